/**
 * The page around verify.js: takes a receipt (pasted, from a file, from a QR code) and shows what the check found, in words.
 *
 * @typedef {import("./verify.js").Report} Report
 * @typedef {import("./verify.js").Step} Step
 * @typedef {import("./verify.js").Field} Field
 */

import { check, checkChain, hex, prepare } from "./verify.js";

const SCAN_INTERVAL_MS = 200;
const FILE_SIZE_MAX = 8_000_000;
const QR_PREFIX = "CF1:";
const NANOSECONDS = 1_000_000_000n;
/** What people look for first; the rest follows as it stands in the entry, and fingerprints last. */
const FIRST = ["type", "what", "event", "direction", "amount", "fee", "balance", "held", "time", "account", "counterparty"];

/** @template {HTMLElement} T @param {string} id @returns {T} */
const element = (id) => /** @type {T} */ (document.getElementById(id));

const { words, currency } = JSON.parse(element("words").textContent ?? "{}");
const language = document.documentElement.lang;
const form = /** @type {HTMLFormElement} */ (element("check"));
const receiptBox = /** @type {HTMLTextAreaElement} */ (element("receipt"));
const beforeBox = /** @type {HTMLTextAreaElement} */ (element("before"));
const policyBox = /** @type {HTMLTextAreaElement} */ (element("policy"));
const scanButton = /** @type {HTMLButtonElement} */ (element("scan"));
const video = /** @type {HTMLVideoElement} */ (element("video"));

/** The opened file's own text, until somebody edits it: a text box has one kind of line end only. @type {string|null} */
let opened = null;
let checks = 0;

form.addEventListener("submit", (event) => {
  event.preventDefault();
  void run();
});
receiptBox.addEventListener("input", () => {
  opened = null;
});
element("file").addEventListener("change", (event) => void open(/** @type {HTMLInputElement} */ (event.target), receiptBox));
element("policy-file").addEventListener("change", (event) => void open(/** @type {HTMLInputElement} */ (event.target), policyBox));
scanButton.addEventListener("click", () => void scan());
element("stop").addEventListener("click", stop);
form.hidden = false;
void prepare().catch(() => {}); // then the check says what is missing

// Taking a receipt

/** What was pasted, as the file that it was copied from: people copy too much or too little white space. @param {string} text */
function pasted(text) {
  const trimmed = text.replace(/\r\n?/g, "\n").trim();
  return trimmed.startsWith(QR_PREFIX) ? trimmed : `${trimmed}\n`;
}

/** @param {HTMLInputElement} input @param {HTMLTextAreaElement} box */
async function open(input, box) {
  const file = input.files?.[0];
  input.value = "";
  if (!file) return;
  hint("");
  if (box === receiptBox && file.type.startsWith("image/")) {
    const text = await codeIn(file);
    if (text) await take(text);
    return;
  }
  try {
    if (file.size > FILE_SIZE_MAX) throw new RangeError();
    const text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(await file.arrayBuffer());
    box.value = text;
    if (box === receiptBox) {
      opened = text;
      await run();
    }
  } catch (error) {
    if (!(error instanceof TypeError || error instanceof RangeError)) throw error;
    hint(words.other.not_text);
  }
}

/** @param {string} text */
async function take(text) {
  receiptBox.value = text;
  opened = null;
  await run();
}

/** @returns {Promise<any>} the browser's own reader of QR codes; null where it has none */
async function detector() {
  const Detector = /** @type {any} */ (globalThis).BarcodeDetector;
  if (!Detector || !(await Detector.getSupportedFormats()).includes("qr_code")) return null;
  return new Detector({ formats: ["qr_code"] });
}

/** @param {any} reader @param {any} source @returns {Promise<string|null>} */
async function read(reader, source) {
  const found = await reader.detect(source);
  return found.map((/** @type {any} */ code) => code.rawValue).find((/** @type {string} */ text) => text.startsWith(QR_PREFIX)) ?? null;
}

/** @param {File} file @returns {Promise<string|null>} */
async function codeIn(file) {
  const reader = await detector();
  if (!reader) {
    hint(words.other.no_scan);
    return null;
  }
  let text = null;
  try {
    text = await read(reader, await createImageBitmap(file));
  } catch {
    // a picture that the browser cannot read has no code for us either
  }
  if (!text) hint(words.other.no_code);
  return text;
}

async function scan() {
  const reader = await detector();
  if (!reader) return hint(words.other.no_scan);
  try {
    video.srcObject = await navigator.mediaDevices.getUserMedia({ video: { facingMode: "environment" } });
    element("camera").hidden = false;
    await video.play();
  } catch {
    stop();
    return hint(words.other.no_camera);
  }
  hint(words.other.scanning);
  while (video.srcObject) {
    const text = await read(reader, video).catch(() => null);
    if (text) {
      stop();
      return take(text);
    }
    await new Promise((resume) => setTimeout(resume, SCAN_INTERVAL_MS));
  }
}

function stop() {
  const stream = /** @type {MediaStream|null} */ (video.srcObject);
  stream?.getTracks().forEach((track) => track.stop());
  video.srcObject = null;
  element("camera").hidden = true;
  hint("");
}

/** @param {string} text */
function hint(text) {
  element("hint").textContent = text;
}

// Checking, and saying what was found

async function run() {
  const mine = ++checks;
  const policy = policyBox.value;
  const text = opened ?? pasted(receiptBox.value);
  const report = await check(text, policy);
  const steps = report.steps;
  if (report.outcome === "proven" && beforeBox.value.trim()) {
    const step = checkChain(await check(pasted(beforeBox.value), policy), report);
    steps.push(step);
    if (step.state === "refuted") report.outcome = "refuted";
  }
  if (mine === checks) show(report);
}

/** @param {Report} report */
function show(report) {
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
