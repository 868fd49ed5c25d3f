// @ts-check
/**
 * The telephone: keys, screen and timing of a simple one. What it shows comes from the callback of a real gateway's kind.
 *
 *     idle ── dial, green ──> running ──> menu ── type, green ──> running ... ──> last (END) ── any of both ──> idle
 *                                          └── red, or a minute without a key ──> idle, and the gateway tells the end
 *
 * @typedef {"idle"|"running"|"menu"|"last"} State
 */

import { inbox } from "./inbox.js";
import { NoScreen, Session } from "./session.js";
import { Typing } from "./typing.js";

/** Milliseconds that a network takes at least. */
const RUNNING_MS_MIN = 900;
/** Milliseconds without a key after which a network ends the session. */
const SILENT_MS_MAX = 60_000;
/** Milliseconds after which a key is held and no longer pressed. */
const HOLD_MS = 600;
const PRESSED_MS = 120;
const TYPED_SIZE_MAX = 160;
const DIALLED = /^[0-9*#+]*$/;

/** @template {HTMLElement} T @param {string} id @returns {T} */
const element = (id) => /** @type {T} */ (document.getElementById(id));

const { words, code, callback } = JSON.parse(element("words").textContent ?? "{}");
const telephone = element("telephone");
const shown = element("shown");
const input = /** @type {HTMLInputElement} */ (element("typed"));
const whose = /** @type {HTMLSelectElement} */ (element("whose"));
const other = /** @type {HTMLInputElement} */ (element("number"));
const typing = new Typing();
const texts = inbox(element("texts"), words);

/** @type {State} */
let state = "idle";
/** @type {Session|null} */
let session = null;
let timer = 0;
/** Counts what was begun, so that an answer that comes after the red key is nobody's. */
let turn = 0;

// What is seen

/** @param {State} next @param {string} text */
function show(next, text) {
  state = next;
  telephone.dataset.state = next;
  shown.textContent = text;
  shown.scrollTop = 0;
  input.value = "";
  input.readOnly = next === "running" || next === "last";
  typing.mode = "digits";
  typing.rest();
  showMode();
  clearTimeout(timer);
  if (next === "menu") wait();
  if (!matchMedia("(pointer: coarse)").matches) input.focus({ preventScroll: true });
}

function showMode() {
  telephone.dataset.mode = typing.mode;
  element("mode").textContent = { digits: "123", small: "abc", capital: "ABC" }[typing.mode];
}

function wait() {
  clearTimeout(timer);
  timer = setTimeout(() => {
    session?.end("Incomplete");
    session = null;
    show("last", words.timed_out);
  }, SILENT_MS_MAX);
}

// Green, red, and the others

function number() {
  return whose.value || other.value.replace(/[^0-9+]/g, "");
}

async function green() {
  if (state === "running") return;
  if (state === "last") return idle();
  const typed = input.value;
  if (state === "idle" && typed === "") {
    input.value = code; // as telephones do: the last number, and a second press calls it
    return;
  }
  if (state === "menu") return ask((open) => open.send(typed));
  if (typed !== code) return ask(() => Promise.reject(new NoScreen(false)));
  session = new Session({ callback, code, number: number() });
  await ask((open) => open.dial());
}

/** Shows what comes back, but not before a network would. @param {(open: Session) => Promise<import("./session.js").Screen>} question */
async function ask(question) {
  const mine = (turn += 1);
  const open = session ?? new Session({ callback, code, number: number() });
  show("running", words.running);
  const pause = new Promise((resume) => setTimeout(resume, RUNNING_MS_MIN));
  const [screen] = await Promise.all([question(open).catch((error) => failed(error)), pause]);
  if (mine !== turn) return;
  if (screen.ends) session = null;
  show(screen.ends ? "last" : "menu", screen.text);
  if (screen.ends) texts.look(number());
}

/** @param {unknown} error */
function failed(error) {
  if (!(error instanceof NoScreen)) throw error;
  return { text: error.late ? words.no_answer : words.no_service, ends: true };
}

function idle() {
  turn += 1;
  session?.end("Incomplete");
  session = null;
  show("idle", words.dial);
}

function clear() {
  if (input.readOnly) return;
  typing.rest();
  input.value = [...input.value].slice(0, -1).join("");
  touched();
}

function touched() {
  if (state === "menu") wait();
}

/** @param {string} key */
function press(key) {
  if (input.readOnly) return;
  const text = typing.press(input.value, key, performance.now());
  if (text.length <= TYPED_SIZE_MAX) input.value = text;
  input.scrollLeft = input.scrollWidth;
  touched();
}

// Fingers

for (const button of telephone.querySelectorAll("button")) {
  let holding = 0;
  button.addEventListener("pointerdown", (event) => {
    event.preventDefault(); // what is typed keeps the focus
    const key = button.dataset.key;
    if (key === undefined) return;
    press(key);
    holding = setTimeout(() => {
      if (!input.readOnly) input.value = typing.hold(input.value, key);
    }, HOLD_MS);
  });
  for (const end of ["pointerup", "pointerleave", "pointercancel"]) button.addEventListener(end, () => clearTimeout(holding));
  button.addEventListener("click", (event) => {
    // By keyboard or by a screen reader, which have no pointer: a finger's press has been written.
    if (button.dataset.key !== undefined && /** @type {PointerEvent} */ (event).pointerType !== "" && event.detail > 0) return;
    act(button);
  });
}

/** @param {HTMLButtonElement} button */
function act(button) {
  if (button.dataset.key !== undefined) press(button.dataset.key);
  else if (button.id === "green") void green();
  else if (button.id === "red") idle();
  else if (button.id === "clear") clear();
  else {
    typing.turn();
    showMode();
  }
}

// A computer's keyboard

/** @param {string} selector */
function light(selector) {
  const key = telephone.querySelector(selector);
  key?.classList.add("pressed");
  setTimeout(() => key?.classList.remove("pressed"), PRESSED_MS);
}

document.addEventListener("keydown", (event) => {
  const target = /** @type {Element} */ (event.target);
  if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing || (target !== input && target.closest("a, select, input, summary"))) return;
  const isButton = target.closest("button") !== null;
  if (event.key === "Escape") {
    light("#red");
    idle();
  } else if (event.key === "Enter" && !isButton) {
    event.preventDefault();
    light("#green");
    void green();
  } else if (event.key === "Backspace") {
    light("#clear");
    if (target !== input) clear();
  } else if (event.key.length === 1 && !(isButton && event.key === " ")) {
    if (/^[0-9*#]$/.test(event.key)) light(`[data-key="${event.key}"]`);
    input.focus({ preventScroll: true });
  }
});

let kept = "";
input.addEventListener("beforeinput", () => {
  kept = input.value;
});
input.addEventListener("input", () => {
  if (state === "idle" && !DIALLED.test(input.value)) input.value = kept;
  typing.rest();
  touched();
});

// Whose telephone

function choose() {
  const isOther = whose.value === "";
  element("other").hidden = !isOther;
  idle();
  texts.look(number());
  if (isOther) other.focus();
}

whose.addEventListener("change", choose);
other.addEventListener("change", () => {
  idle();
  texts.look(number());
});
addEventListener("pagehide", () => session?.end("Incomplete"));

function tick() {
  element("clock").textContent = new Intl.DateTimeFormat(document.documentElement.lang, { hour: "2-digit", minute: "2-digit", hour12: false }).format();
}

tick();
setInterval(tick, 10_000);
telephone.hidden = false;
element("other").hidden = whose.value !== "";
show("idle", words.dial);
texts.look(number());
