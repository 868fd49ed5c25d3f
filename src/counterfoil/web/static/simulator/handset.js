// @ts-check
/**
 * One telephone: keys, screen and timing of a simple one. What it shows comes from the callback of a real gateway's kind.
 *
 *     idle ── dial, green ──> running ──> menu ── type, green ──> running ... ──> last (END) ── any of both ──> idle
 *                                          └── red, or a minute without a key ──> idle, and the gateway tells the end
 *
 * @typedef {"idle"|"running"|"menu"|"last"} State
 * @typedef {Record<"dial"|"running"|"no_service"|"no_answer"|"timed_out"|"no_texts", string>} Words
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

export class Handset {
  /** @param {HTMLElement} set @param {{ words: Words, code: string, callback: string }} given */
  constructor(set, { words, code, callback }) {
    /** @template {HTMLElement} T @param {string} selector @returns {T} */
    const part = (selector) => /** @type {T} */ (set.querySelector(selector));
    this.set = set;
    this.words = words;
    this.code = code;
    this.callback = callback;
    this.telephone = part(".telephone");
    this.shown = part(".shown");
    this.news = part(".news");
    this.mode = part(".mode");
    this.clock = part(".clock");
    /** @type {HTMLInputElement} */
    this.input = part(".typed");
    /** @type {HTMLSelectElement} */
    this.whose = part(".whose");
    /** @type {HTMLInputElement} */
    this.other = part(".other input");
    this.typing = new Typing();
    this.texts = inbox(part(".texts"), words, (text) => this.tell(text));
    /** Whether a computer's keyboard writes on this one. */
    this.isHeld = false;
    /** @type {State} */
    this.state = "idle";
    /** @type {Session|null} */
    this.session = null;
    this.timer = 0;
    /** Counts what was begun, so that an answer that comes after the red key is nobody's. */
    this.turn = 0;
    this.listen();
  }

  /** Whether the screen is wide enough to show it. */
  get isSeen() {
    return this.telephone.offsetParent !== null;
  }

  get number() {
    return this.whose.value || this.other.value.replace(/[^0-9+]/g, "");
  }

  start() {
    this.telephone.hidden = false;
    this.tick();
    setInterval(() => this.tick(), 10_000);
    this.choose();
  }

  tick() {
    this.clock.textContent = new Intl.DateTimeFormat(document.documentElement.lang, { hour: "2-digit", minute: "2-digit", hour12: false }).format();
  }

  // What is seen

  /** @param {State} next @param {string} text */
  show(next, text) {
    this.state = next;
    this.telephone.dataset.state = next;
    this.shown.textContent = text;
    this.shown.scrollTop = 0;
    this.input.value = "";
    this.input.readOnly = next === "running" || next === "last";
    this.typing.mode = "digits";
    this.typing.rest();
    this.showMode();
    clearTimeout(this.timer);
    if (next === "menu") this.wait();
    if (this.isHeld && !matchMedia("(pointer: coarse)").matches) this.input.focus({ preventScroll: true });
  }

  showMode() {
    this.telephone.dataset.mode = this.typing.mode;
    this.mode.textContent = { digits: "123", small: "abc", capital: "ABC" }[this.typing.mode];
  }

  wait() {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => {
      this.hangUp();
      this.show("last", this.words.timed_out);
    }, SILENT_MS_MAX);
  }

  /** A text has come: it is told where the clock stands, until a key is pressed there. @param {string} text */
  tell(text) {
    this.news.textContent = text;
    this.telephone.toggleAttribute("data-news", text !== "");
  }

  // Green, red, and the others

  async green() {
    if (this.state === "running") return;
    if (this.state === "last") return this.idle();
    const typed = this.input.value;
    if (this.state === "menu") return this.ask((open) => open.send(typed));
    this.tell("");
    if (typed === "") {
      this.input.value = this.code; // as telephones do: the last number, and a second press calls it
      return;
    }
    if (typed !== this.code) return this.ask(() => Promise.reject(new NoScreen(false)));
    this.session = this.dialled();
    await this.ask((open) => open.dial());
  }

  dialled() {
    return new Session({ callback: this.callback, code: this.code, number: this.number });
  }

  /** Shows what comes back, but not before a network would. @param {(open: Session) => Promise<import("./session.js").Screen>} question */
  async ask(question) {
    const mine = (this.turn += 1);
    const open = this.session ?? this.dialled();
    this.show("running", this.words.running);
    const pause = new Promise((resume) => setTimeout(resume, RUNNING_MS_MIN));
    const [screen] = await Promise.all([question(open).catch((error) => this.failed(error)), pause]);
    if (mine !== this.turn) return;
    if (screen.ends) this.session = null;
    this.show(screen.ends ? "last" : "menu", screen.text);
    if (screen.ends) this.texts.look(this.number);
  }

  /** @param {unknown} error */
  failed(error) {
    if (!(error instanceof NoScreen)) throw error;
    return { text: error.late ? this.words.no_answer : this.words.no_service, ends: true };
  }

  /** The red key: ends the call, or puts away what stands on the screen. */
  red() {
    if (this.state === "idle") this.tell("");
    this.idle();
  }

  idle() {
    this.turn += 1;
    this.hangUp();
    this.show("idle", this.words.dial);
  }

  /** The network is told that the call is over. Safe to repeat. */
  hangUp() {
    this.session?.end("Incomplete");
    this.session = null;
  }

  clear() {
    if (this.input.readOnly) return;
    this.typing.rest();
    this.input.value = [...this.input.value].slice(0, -1).join("");
    this.touched();
  }

  touched() {
    if (this.state === "menu") this.wait();
  }

  /** @param {string} key */
  press(key) {
    if (this.input.readOnly) return;
    const text = this.typing.press(this.input.value, key, performance.now());
    if (text.length <= TYPED_SIZE_MAX) this.input.value = text;
    this.input.scrollLeft = this.input.scrollWidth;
    this.touched();
  }

  /** @param {HTMLButtonElement} button */
  act(button) {
    const { key, does } = button.dataset;
    if (key !== undefined) this.press(key);
    else if (does === "green") void this.green();
    else if (does === "red") this.red();
    else if (does === "clear") this.clear();
    else {
      this.typing.turn();
      this.showMode();
    }
  }

  // Fingers, and what a keyboard writes

  listen() {
    for (const button of this.telephone.querySelectorAll("button")) this.listenTo(button);
    let kept = "";
    this.input.addEventListener("beforeinput", () => {
      kept = this.input.value;
    });
    this.input.addEventListener("input", () => {
      if (this.state === "idle" && !DIALLED.test(this.input.value)) this.input.value = kept;
      this.typing.rest();
      this.touched();
    });
    this.whose.addEventListener("change", () => {
      this.choose();
      if (this.whose.value === "") this.other.focus();
    });
    this.other.addEventListener("change", () => this.choose());
  }

  /** @param {HTMLButtonElement} button */
  listenTo(button) {
    let holding = 0;
    button.addEventListener("pointerdown", (event) => {
      event.preventDefault(); // what is typed keeps the focus
      const key = button.dataset.key;
      if (key === undefined) return;
      this.press(key);
      holding = setTimeout(() => {
        if (!this.input.readOnly) this.input.value = this.typing.hold(this.input.value, key);
      }, HOLD_MS);
    });
    for (const end of ["pointerup", "pointerleave", "pointercancel"]) button.addEventListener(end, () => clearTimeout(holding));
    button.addEventListener("click", (event) => {
      // By keyboard or by a screen reader, which have no pointer: a finger's press has been written.
      if (button.dataset.key !== undefined && /** @type {PointerEvent} */ (event).pointerType !== "" && event.detail > 0) return;
      this.act(button);
    });
  }

  /** A key of a computer's keyboard, pressed anywhere on the page but in a field of its own. @param {KeyboardEvent} event */
  typed(event) {
    const target = /** @type {Element} */ (event.target);
    const isButton = target.closest("button") !== null;
    if (event.key === "Escape") {
      this.light('[data-does="red"]');
      this.red();
    } else if (event.key === "Enter" && !isButton) {
      event.preventDefault();
      this.light('[data-does="green"]');
      void this.green();
    } else if (event.key === "Backspace") {
      this.light('[data-does="clear"]');
      if (target !== this.input) this.clear();
    } else if (event.key.length === 1 && !(isButton && event.key === " ")) {
      if (/^[0-9*#]$/.test(event.key)) this.light(`[data-key="${event.key}"]`);
      this.input.focus({ preventScroll: true });
    }
  }

  /** @param {string} selector */
  light(selector) {
    const key = this.telephone.querySelector(selector);
    key?.classList.add("pressed");
    setTimeout(() => key?.classList.remove("pressed"), PRESSED_MS);
  }

  // Whose telephone

  /** Hands the telephone to whom the fields name. */
  choose() {
    const mine = /** @type {HTMLElement} */ (this.set.querySelector(".mine"));
    mine.hidden = this.whose.value === "";
    /** @type {HTMLElement} */ (mine.firstElementChild).textContent = this.whose.value;
    /** @type {HTMLElement} */ (this.set.querySelector(".other")).hidden = !mine.hidden;
    this.tell("");
    this.idle();
    this.texts.look(this.number);
  }

  /** Offers all telephones but those of these numbers. @param {string[]} numbers */
  without(numbers) {
    for (const option of this.whose.options) option.disabled = option.value !== "" && numbers.includes(option.value);
  }
}
