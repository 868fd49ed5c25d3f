/**
 * Says what a check of verify.js found, in the words of the page: the verdict, the steps, and what the log says.
 *
 * The page has elements with the ids words (JSON: the words, the currency), result, verdict, steps, says and fields.
 *
 * @typedef {import("./verify.js").Report} Report
 * @typedef {import("./verify.js").Step} Step
 * @typedef {import("./verify.js").Field} Field
 */

import { hex } from "./verify.js";

const NANOSECONDS = 1_000_000_000n;
/** What people look for first; the rest follows as it stands in the entry, and fingerprints last. */
const FIRST = ["type", "what", "event", "direction", "amount", "fee", "balance", "held", "time", "account", "counterparty"];

/** @template {HTMLElement} T @param {string} id @returns {T} */
const element = (id) => /** @type {T} */ (document.getElementById(id));

/** What the server put into the page. */
export const pageWords = JSON.parse(element("words").textContent ?? "{}");
const { words, currency } = pageWords;
const language = document.documentElement.lang;

/** Shows a report, and moves the focus to its verdict. @param {Report} report */
export function show(report) {
  const failed = report.steps.findIndex((step) => step.state === report.outcome) + 1;
  const verdict = element("verdict");
  verdict.className = tone(report.outcome);
  verdict.textContent = filled(words.verdicts[report.outcome], { step: String(failed) });
  element("steps").replaceChildren(...report.steps.map(stepItem));
  const says = element("says");
  says.hidden = report.fields === null;
  says.querySelector("h3")?.replaceChildren(words.other.says);
  element("fields").replaceChildren(...(report.fields ? fieldItems(report) : []));
  element("result").hidden = false;
  verdict.focus();
}

/** @param {string} state */
const tone = (state) => ({ proven: "good", refuted: "bad", skipped: "soft" })[state] ?? "wait";

/** @param {Step} step */
function stepItem(step) {
  const item = node("li", tone(step.state));
  const line = node("p", "step");
  line.append(node("strong", "", words.steps[step.name]), " ", node("span", `mark ${tone(step.state)}`, words.states[step.state]));
  const facts = { ...step.facts };
  if (step.code === "witnesses.proven") facts.newest = moment(BigInt(facts.newest) * NANOSECONDS);
  if (step.code === "chain.proven" || step.code === "chain.balance") {
    for (const name of ["before", "expected", "balance"]) if (facts[name]) facts[name] = money(BigInt(facts[name]));
  }
  item.append(line);
  const text = filled(words.findings[step.code], facts);
  if (text) item.append(node("p", "finding", text));
  return item;
}

/** @param {Report} report */
function fieldItems(report) {
  /** @type {Field[]} */
  const fields = [...(report.fields ?? [])];
  fields.push({ name: "index", kind: "count", value: String(report.index) });
  fields.push({ name: "leaf", kind: "hash", value: hex(/** @type {Uint8Array} */ (report.leaf)) });
  const place = (/** @type {Field} */ { name, kind }) => (kind === "hash" ? 99 : FIRST.includes(name) ? FIRST.indexOf(name) : FIRST.length);
  fields.sort((a, b) => place(a) - place(b));
  return fields.flatMap((field) => [node("dt", "", words.fields[field.name]), fieldValue(field)]);
}

/** @param {Field} field */
function fieldValue({ kind, name, value }) {
  const item = node("dd", kind === "amount" || kind === "signed" || kind === "count" ? "number" : "");
  if (kind === "amount") item.textContent = money(BigInt(value));
  else if (kind === "signed") item.textContent = money(BigInt(value), true);
  else if (kind === "moment") item.textContent = value === "0" ? words.other.none : moment(BigInt(value));
  else if (kind === "choice") item.textContent = words.choices[value] ?? value;
  else if (kind === "id" || kind === "hash") item.append(node("code", "", name === "by" && /^[0-]+$/.test(value) ? words.other.none : value));
  else item.append(node("bdi", "", value || words.other.none));
  return item;
}

/** Minor units as the page's language writes them. @param {bigint} amount @param {boolean} signed with + or a true minus sign */
function money(amount, signed = false) {
  const absolute = amount < 0n ? -amount : amount;
  const unit = 10n ** BigInt(currency.digits);
  const point = new Intl.NumberFormat(language).formatToParts(1.5).find((part) => part.type === "decimal")?.value ?? ".";
  const minor = currency.digits ? point + String(absolute % unit).padStart(currency.digits, "0") : "";
  const sign = amount < 0n ? "\u2212" : signed && amount > 0n ? "+" : "";
  return `${sign}${new Intl.NumberFormat(language).format(absolute / unit)}${minor} ${currency.code}`;
}

/** Day and time in UTC, to the second, as the server's pages write it. @param {bigint} nanoseconds */
function moment(nanoseconds) {
  const milliseconds = Number(nanoseconds / 1_000_000n);
  return milliseconds > 8.64e15 ? String(nanoseconds) : new Date(milliseconds).toISOString().slice(0, 19).replace("T", " ");
}

/** @param {string} text @param {Record<string, string>} facts */
const filled = (text, facts) => text.replace(/%\((\w+)\)s/g, (_, name) => facts[name] ?? "");

/** @param {string} tag @param {string} className @param {string} text */
function node(tag, className, text = "") {
  const made = document.createElement(tag);
  if (className) made.className = className;
  if (text) made.textContent = text;
  return made;
}
