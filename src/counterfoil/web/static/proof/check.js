/**
 * The page around verify.js: takes a receipt (pasted, from a file, from a QR code) and shows what the check found, in words.
 */

import { pageWords, show } from "./show.js";
import { check, checkChain, prepare } from "./verify.js";

const SCAN_INTERVAL_MS = 200;
const FILE_SIZE_MAX = 8_000_000;
const QR_PREFIX = "CF1:";

/** @template {HTMLElement} T @param {string} id @returns {T} */
const element = (id) => /** @type {T} */ (document.getElementById(id));

const { words } = pageWords;
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

// Checking

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
