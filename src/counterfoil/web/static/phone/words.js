// @ts-check
/** Words in the holder's language: texts from the catalogue, Korean particles, amounts and moments by the browser's CLDR. */

/** @typedef {Record<string, unknown>} Values */

/** @type {Record<string, string|string[]>} */
let texts = {};
let plural = "one";
let chosen = "en";
/** Those that are offered, each with the name that its speakers give it. @type {{code: string, name: string}[]} */
export let languages = [{ code: "en", name: "English" }];

/** Which form of a plural a count takes, by the rule's name in the catalogue. @type {Record<string, (count: number) => number>} */
const PLURALS = { none: () => 0, one: (count) => Number(count !== 1), one_or_none: (count) => Number(count > 1) };

/** The language in use. */
export const language = () => chosen;

/**
 * Loads the words of an app in a language. Where they cannot be had, English stays; call again.
 *
 * @param {"wallet"|"till"} app
 * @param {string} [wanted] "": what the browser prefers among those that are offered
 * @returns {Promise<string>} the language that is in use now
 */
export async function load(app, wanted = "") {
  const offered = document.querySelector('meta[name="counterfoil-words"]')?.getAttribute("content") ?? "";
  const versions = new Map(offered.split(" ").filter(Boolean).map((each) => [each.split(":")[0], each.split(":").slice(1)]));
  if (versions.size) languages = [...versions.keys()].map((code) => ({ code, name: ownName(code) }));
  const liked = [wanted, ...navigator.languages].map((tag) => tag.split("-")[0]);
  const next = liked.find((tag) => versions.has(tag)) ?? languages[0].code;
  const [first, others] = versions.get(next) ?? [];
  const asked = loadRest !== null;
  use(next === "en" ? { language: "en", plural: "one", texts: {} } : await fetched(`/${app}/words/${next}.json?v=${first}`));
  loadRest = async () => {
    if (next === "en") return;
    const { texts: more } = await fetched(`/${app}/words/${next}-rest.json?v=${others}`);
    if (chosen === next) Object.assign(texts, more);
  };
  resting = null;
  if (asked) await rest().catch(() => {});
  document.documentElement.lang = chosen;
  return chosen;
}

/** @type {(() => Promise<void>)|null} */
let loadRest = null;
/** @type {Promise<void>|null} */
let resting = null;

/**
 * The words of all screens but the first ones: await it with the screen that is loaded later.
 *
 * @returns {Promise<void>} fails where they cannot be had; the next call tries again
 */
export function rest() {
  resting ??= (loadRest ?? (() => Promise.resolve()))().catch((error) => {
    resting = null;
    throw error;
  });
  return resting;
}

/** @param {string} address */
async function fetched(address) {
  const answer = await fetch(address);
  if (!answer.ok) throw new Error(`${address}: status ${answer.status}`);
  return answer.json();
}

/** @param {string} code */
function ownName(code) {
  const name = new Intl.DisplayNames([code], { type: "language" }).of(code) ?? code;
  return name[0].toLocaleUpperCase(code) + name.slice(1);
}

/** @param {{language: string, plural: string, texts: Record<string, string|string[]>}} catalogue */
export function use(catalogue) {
  chosen = catalogue.language;
  plural = catalogue.plural;
  texts = catalogue.texts;
  formats.clear();
}

/** What numbers and moments of the chosen language look like: to make one of these costs as much as many uses. @type {Map<string, any>} */
const formats = new Map();

/** @template T @param {string} name @param {() => T} make @returns {T} */
function format(name, make) {
  const known = formats.get(name) ?? make();
  formats.set(name, known);
  return known;
}

const numbers = () => format("numbers", () => new Intl.NumberFormat(chosen));

/** What stands between the digits of the chosen language. @returns {{point: string, group: string}} */
export const separators = () => format("separators", () => {
  const parts = new Intl.NumberFormat(chosen, { useGrouping: true }).formatToParts(1234567.5);
  const found = (/** @type {string} */ type) => parts.find((part) => part.type === type)?.value;
  return { point: found("decimal") ?? ".", group: found("group") ?? "," };
});

/** @param {string} text a literal; `%(name)s` is filled in @param {Values} [values] @returns {string} */
export function t(text, values = {}) {
  const found = texts[text];
  return fill(typeof found === "string" && found ? found : text, values);
}

/** For buttons and tabs: a test keeps these texts short in every language. @type {(text: string, values?: Values) => string} */
t.short = (text, values) => t(text, values);

/**
 * A text that depends on a count, which `%(count)s` shows in the language's digits.
 *
 * @param {string} one
 * @param {string} many
 * @param {number} count
 * @param {Values} [values]
 */
export function n(one, many, count, values = {}) {
  const found = texts[one];
  const text = Array.isArray(found) ? found[(PLURALS[plural] ?? PLURALS.one)(count)] : count === 1 ? one : many;
  return fill(text || many, { count: numbers().format(count), ...values });
}

/** @param {string} text @param {Values} values */
function fill(text, values) {
  let out = "";
  let at = 0;
  for (const token of text.matchAll(/%\((\w+)\)s|%%|\{([가-힣]+)\/([가-힣]+)\}/g)) {
    out += text.slice(at, token.index);
    at = /** @type {number} */ (token.index) + token[0].length;
    out += token[0] === "%%" ? "%" : token[1] ? String(values[token[1]] ?? "") : particle(out, token[2], token[3]);
  }
  return out + text.slice(at);
}

// What a Korean reader hears last: nothing (a vowel), ㄹ, or another consonant; null when nobody can say.
const DIGITS = ["other", "ㄹ", "", "other", "", "", "other", "ㄹ", "ㄹ", ""];
const NAMES = { L: "ㄹ", R: "ㄹ", M: "other", N: "other" };

/**
 * The particle after `before`: `closed` after a consonant, `open` after a vowel; 으로 gives way after ㄹ, too. Where nobody
 * can say, both: 을(를). As Python's counterfoil.i18n.particles.
 *
 * @param {string} before
 * @param {string} closed
 * @param {string} open
 */
export function particle(before, closed, open) {
  const sound = lastSound(before);
  if (sound === null) return `${closed}(${open})`;
  return sound === "" || (sound === "ㄹ" && closed.startsWith("으")) ? open : closed;
}

/** @param {string} text @returns {string|null} */
function lastSound(text) {
  const word = /[^\s]*$/.exec(text.replace(/[\s"'’”»)\]}〉》」』.,!?…:;]+$/, ""))?.[0] ?? "";
  const last = word.slice(-1);
  if (/[가-힣]/.test(last)) return ["", "other", "ㄹ"][final(last)];
  if (/[0-9]/.test(last)) return digits(word);
  const latin = /[A-Za-zÀ-ɏ]+$/.exec(word)?.[0];
  if (last === "%") return "";
  return latin ? letters(latin) : null;
}

/** @param {string} syllable @returns {number} 0 none, 1 another, 2 ㄹ. Source: Unicode §3.12 */
function final(syllable) {
  const jamo = (syllable.charCodeAt(0) - 0xac00) % 28;
  return jamo === 0 ? 0 : jamo === 8 ? 2 : 1;
}

/** @param {string} word */
function digits(word) {
  const tail = /(?:[.,:/-])?([0-9]+)$/.exec(word.replace(/,(?=[0-9]{3}(?![0-9]))/g, ""));
  const whole = tail?.[1] ?? "";
  const zeros = /[1-9](0+)$/.exec(whole)?.[1].length ?? 0;
  if (zeros === 0 || /^[.:/-]/.test(tail?.[0] ?? "")) return DIGITS[Number(whole.slice(-1))];
  return zeros >= 12 && zeros < 16 ? "" : "other"; // 십, 백, 천, 만, 억 and 경 are closed, 조 is open
}

/** @param {string} word Latin letters, read as Koreans read a name; capitals one by one */
function letters(word) {
  const last = word.slice(-1);
  if (word === word.toUpperCase() && word.length <= 5) return NAMES[/** @type {keyof typeof NAMES} */ (last)] ?? "";
  const plain = word.toLowerCase().normalize("NFD").replace(/[\u0300-\u036f]/g, "");
  if (/l$/.test(plain)) return "ㄹ";
  return /[mn]$|ng$|(^|[^aeiouy])[aeiou](ck|[bckpt])$/.test(plain) ? "other" : "";
}

/** @typedef {{digits: number, code?: string}} Currency */

/**
 * Minor units as a person of the language writes them; with the currency's code where `currency` has one.
 *
 * @param {number|bigint} amount
 * @param {Currency} currency
 * @param {{sign?: boolean}} [options] sign: + or − in front
 */
export function formatMoney(amount, { digits: places, code }, { sign = false } = {}) {
  const negative = amount < 0;
  const plain = String(amount).replace("-", "").padStart(places + 1, "0");
  const whole = numbers().format(BigInt(plain.slice(0, plain.length - places)));
  const text = places ? whole + separators().point + plain.slice(-places) : whole;
  const front = negative ? "\u2212" : sign && Number(amount) > 0 ? "+" : "";
  return front + text + (code ? `\u00a0${code}` : "");
}

/**
 * Minor units of what somebody typed: with the language's separators, or a plain point.
 *
 * @param {string} text
 * @param {Currency} currency
 * @returns {number|null} null for what is no amount of this currency
 */
export function parseMoney(text, { digits: places }) {
  const { point, group } = separators();
  let plain = text.replace(/[\s\u00a0\u202f'’]/g, "");
  if (group.trim() && plain.includes(group)) {
    const grouped = new RegExp(`^\\d{1,3}(\\${group}\\d{3})+(\\${point}\\d*)?$`);
    if (grouped.test(plain)) plain = plain.split(group).join("");
  }
  const found = /^([0-9]{1,15})(?:[.,]([0-9]*))?$/.exec(plain.split(point).join("."));
  if (!found || (found[2] ?? "").length > places) return null;
  const value = Number(found[1] + (found[2] ?? "").padEnd(places, "0"));
  return Number.isSafeInteger(value) ? value : null;
}

/** @type {Record<string, Intl.DateTimeFormatOptions>} */
const MOMENTS = {
  day: { dateStyle: "medium" },
  time: { timeStyle: "short" },
  both: { dateStyle: "medium", timeStyle: "short" },
  month: { year: "numeric", month: "long" },
};

/** @param {number} ms since 1970 @param {"day"|"time"|"both"|"month"} [form] @returns {string} in the phone's time zone */
export const formatMoment = (ms, form = "both") =>
  format(form, () => new Intl.DateTimeFormat(chosen, MOMENTS[form])).format(ms);

/** @param {number} ms since 1970 @param {number} [nowMs] @returns {string} "3 minutes ago", "now", "yesterday" */
export function formatAge(ms, nowMs = Date.now()) {
  const seconds = (ms - nowMs) / 1000;
  const words = format("ages", () => new Intl.RelativeTimeFormat(chosen, { numeric: "auto" }));
  /** @type {[number, Intl.RelativeTimeFormatUnit][]} */
  const units = [[86_400, "day"], [3_600, "hour"], [60, "minute"]];
  for (const [size, unit] of units) if (Math.abs(seconds) >= size) return words.format(Math.trunc(seconds / size), unit);
  return words.format(0, "second");
}
