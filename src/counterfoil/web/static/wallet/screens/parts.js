// @ts-check
/**
 * What several screens are made of: the amount with its keypad, consent by a slide, finding somebody, a QR code, sharing.
 *
 * @typedef {import("../wallet.js").Wallet} Wallet
 * @typedef {{account: string, name: string, address?: string|null, kind?: string|null}} Payee
 */

import { icon } from "/static/look/icons.js";
import { Unreachable } from "/static/phone/api.js";
import { Component, html } from "/static/phone/view.js";
import { formatMoney, language, parseMoney, separators, t } from "/static/phone/words.js";
import { Field, Form, Mark, money } from "../frame.js";

const SLIDE_ENOUGH = 0.85;
const CONTACTS_SHOWN = 8;
const BUSY_MS = 200;
/** From one try to the next while the server is not reached; the last one from then on. */
const AGAIN_MS = [1_000, 2_000, 4_000, 8_000];

/**
 * Does what a screen needs when it opens; where the server was not reached, again after a while, until it was or the screen is left.
 *
 * @param {() => Promise<void>} act
 * @param {(error: any) => void} failed is told of each failure, and not after `stop`
 * @returns {{again: () => void, stop: () => void}} `again`: at once, as by a button
 */
export function untilReached(act, failed) {
  let tries = 0;
  let stopped = false;
  /** @type {ReturnType<typeof setTimeout>|undefined} */
  let timer;
  const again = async () => {
    clearTimeout(timer);
    try {
      await act();
    } catch (error) {
      if (stopped) return;
      failed(error);
      clearTimeout(timer); // of another try that failed meanwhile
      if (error instanceof Unreachable) timer = setTimeout(again, AGAIN_MS[Math.min(tries++, AGAIN_MS.length - 1)]);
    }
  };
  void again();
  return {
    again,
    stop() {
      stopped = true;
      clearTimeout(timer);
    },
  };
}

/** The decimal separator of the language. */
export const point = () => separators().point;

/**
 * What was typed so far, grouped as the language does, with at most as many decimal places as the currency has.
 *
 * @param {string} text
 * @param {number} digits
 * @returns {string}
 */
export function tidyAmount(text, digits) {
  const mark = point();
  const at = digits ? text.search(mark === "," ? /,/ : /\./) : -1;
  const whole = (at < 0 ? text : text.slice(0, at)).replace(/\D/g, "").replace(/^0+(?=\d)/, "").slice(0, 12);
  const rest = at < 0 ? "" : mark + text.slice(at + 1).replace(/\D/g, "").slice(0, digits);
  return whole || rest ? new Intl.NumberFormat(language()).format(BigInt(whole || "0")) + rest : "";
}

/**
 * An amount, typed on a keypad that the thumb reaches or on a real keyboard.
 *
 * @extends {Component<{wallet: Wallet, amount: number|null, label: string, onAmount: (amount: number|null) => void}, {text: string}>}
 */
export class AmountPad extends Component {
  digits = this.props.wallet.scheme?.currency.digits ?? 2;
  state = { text: this.props.amount ? formatMoney(this.props.amount, { digits: this.digits }) : "" };

  componentDidMount() {
    document.addEventListener("keydown", this.typed);
  }

  componentWillUnmount() {
    document.removeEventListener("keydown", this.typed);
  }

  /** Digits of a real keyboard count wherever the focus is, but in a field. @param {KeyboardEvent} event */
  typed = (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.target instanceof HTMLElement && event.target.closest("input, textarea, select")) return;
    if (/^[0-9]$/.test(event.key)) this.set(this.state.text + event.key);
    else if (this.digits && /^[.,]$/.test(event.key)) this.set(this.state.text + point());
    else if (event.key === "Backspace") this.set(erased(this.state.text, this.digits));
  };

  /** @param {string} text */
  set(text) {
    const tidy = tidyAmount(text, this.digits);
    this.setState({ text: tidy });
    this.props.onAmount(tidy ? parseMoney(tidy, { digits: this.digits }) || null : null);
  }

  render() {
    const { wallet, label } = this.props;
    const { text } = this.state;
    const keys = ["1", "2", "3", "4", "5", "6", "7", "8", "9", this.digits ? point() : "00", "0"];
    return html`<div class="pad">
      <label class="pad-shown"><span class="visually-hidden">${label}</span>
        <input name="amount" class="amount-large" inputmode="none" autocomplete="off" placeholder="0" value=${text}
          onInput=${(/** @type {any} */ event) => {
            const { value } = event.currentTarget;
            this.set(value);
            event.currentTarget.value = tidyAmount(value, this.digits);
          }} />
        <span class="soft">${wallet.scheme?.currency.code}</span></label>
      <div class="keypad" role="group" aria-label=${t("Digits")}>
        ${keys.map((key) => html`<button type="button" onClick=${() => this.set(text + key)}>${key}</button>`)}
        <button type="button" aria-label=${t("Erase the last digit")} onClick=${() => this.set(erased(text, this.digits))}>${icon("erase")}</button>
      </div></div>`;
  }
}

/** Without its last digit. @param {string} text @param {number} digits */
function erased(text, digits) {
  const plain = tidyAmount(text, digits);
  return plain.slice(0, -1).replace(/[^\d.,]$/, "");
}

/** Asked once, and told of changes: each question costs the layout of the page. */
const motion = matchMedia("(prefers-reduced-motion: reduce)");
let still = motion.matches;
motion.addEventListener("change", () => {
  still = motion.matches;
});

/**
 * Consent: a slide for the thumb; a plain button for keyboards, screen readers and those who want no motion.
 *
 * @extends {Component<{label: string, slide: string, act: () => Promise<void>, problem: (error: unknown) => string}, any>}
 */
export class Consent extends Component {
  state = { busy: false, at: 0, error: null };
  still = still;
  /** From the touch on; what is done before anybody could read it is not said. */
  acting = false;

  act = async () => {
    if (this.acting) return;
    this.acting = true;
    setTimeout(() => this.acting && this.setState({ busy: true, error: null }), BUSY_MS);
    try {
      await this.props.act();
    } catch (error) {
      this.acting = false;
      this.setState({ busy: false, at: 0, error: this.props.problem(error) });
    }
  };

  /** @param {PointerEvent} event */
  down = (event) => {
    if (this.acting) return;
    const thumb = /** @type {HTMLElement} */ (event.currentTarget);
    const room = /** @type {HTMLElement} */ (thumb.parentElement).clientWidth - thumb.offsetWidth - 8;
    const rightward = getComputedStyle(thumb).direction === "rtl" ? -1 : 1;
    const from = event.clientX;
    thumb.setPointerCapture(event.pointerId);
    const move = (/** @type {PointerEvent} */ now) =>
      this.setState({ at: Math.min(Math.max(((now.clientX - from) * rightward) / room, 0), 1) });
    const end = (/** @type {PointerEvent} */ now) => {
      thumb.removeEventListener("pointermove", move);
      if (now.type === "pointerup" && this.state.at >= SLIDE_ENOUGH) {
        this.setState({ at: 1 });
        void this.act();
      } else {
        this.setState({ at: 0 });
      }
    };
    thumb.addEventListener("pointermove", move);
    thumb.addEventListener("pointerup", end, { once: true });
    thumb.addEventListener("pointercancel", end, { once: true });
  };

  render() {
    const { label, slide } = this.props;
    const { busy, at, error } = this.state;
    return html`<div class="consent">
      <div role="alert">${error ? html`<div class="notice notice-bad">${error}</div>` : null}</div>
      ${this.still
        ? null
        : html`<div class="slide" aria-hidden="true" data-busy=${busy ? "true" : undefined} style=${`--at:${at}`}>
          <span class="slide-words">${busy ? t("One moment …") : slide}</span>
          <span class="slide-thumb" onPointerDown=${this.down}>${icon("next")}</span></div>`}
      <button type="button" class=${this.still ? "button button-wide" : "link"} disabled=${busy} onClick=${this.act}>
        ${this.still ? label : t("%(deed)s without sliding", { deed: label })}</button>
    </div>`;
  }
}

/**
 * Finds somebody by number, handle or code, or among those that were met before.
 *
 * @extends {Component<{wallet: Wallet, label: string, onFound: (payee: Payee) => void, kind?: string}, {text: string}>}
 */
export class Find extends Component {
  state = { text: "" };

  /** @param {Record<string, string>} values */
  find = async ({ address }) => {
    const { wallet, onFound } = this.props;
    if (!address.trim()) throw t("Type a number, a @name or a code.");
    const found = await wallet.resolve(address.trim());
    onFound({ account: found.account, name: found.name, kind: found.kind, address: address.trim() });
  };

  render() {
    const { wallet, label, onFound, kind } = this.props;
    const wanted = this.state.text.trim().toLowerCase();
    const known = wallet.contacts
      .filter((each) => (!kind || each.kind === kind) && [each.name, each.address ?? ""].some((text) => text.toLowerCase().includes(wanted)))
      .slice(0, CONTACTS_SHOWN);
    return html`
      <${Form} wallet=${wallet} act=${this.find} label=${t("Go on")}>
        <${Field} label=${label} name="address" hint=${t("Phone number, @name or code")} input=${{
          autocapitalize: "off", spellcheck: false, maxlength: 64, inputmode: "text",
          onInput: (/** @type {any} */ event) => this.setState({ text: event.currentTarget.value }),
        }} /></${Form}>
      ${known.length
        ? html`<h2>${t("People you know")}</h2><ul class="list">${known.map(
          (each) => html`<li><button type="button" class="row" onClick=${() => onFound(each)}><${Mark} name=${each.name} />
            <span class="row-title"><bdi>${each.name}</bdi></span><span class="row-note">${each.address ?? ""}</span></button></li>`,
        )}</ul>`
        : null}`;
  }
}

/** A QR code, drawn when its text is known. @extends {Component<{text: string, label: string}, {drawn: string}>} */
export class Code extends Component {
  state = { drawn: "" };

  componentDidMount() {
    void this.draw();
  }

  /** @param {{text: string}} before */
  componentDidUpdate(before) {
    if (before.text !== this.props.text) void this.draw();
  }

  async draw() {
    const { text, label } = this.props;
    const { draw } = await import("/static/phone/qr.js");
    const drawn = await draw(text, { label });
    if (text === this.props.text) this.setState({ drawn });
  }

  render() {
    const { label, text } = this.props;
    return html`<div class="qr" role="img" aria-label=${label} data-text=${text} dangerouslySetInnerHTML=${{ __html: this.state.drawn }} />`;
  }
}

/**
 * Hands a text, link or file to another app; where the browser cannot, copies the text or saves the file.
 *
 * @param {{title: string, text?: string, url?: string, file?: File}} what
 * @returns {Promise<"shared"|"copied"|"saved"|"stopped">}
 */
export async function share({ title, text, url, file }) {
  const data = { title, ...(text ? { text } : {}), ...(url ? { url } : {}), ...(file ? { files: [file] } : {}) };
  if (navigator.share && (!file || navigator.canShare?.(data))) {
    try {
      await navigator.share(data);
      return "shared";
    } catch (error) {
      if (/** @type {Error} */ (error).name === "AbortError") return "stopped";
    }
  }
  if (file) {
    save(file, file.name);
    return "saved";
  }
  await navigator.clipboard.writeText([text, url].filter(Boolean).join("\n"));
  return "copied";
}

/** Saves a file where the browser keeps them. @param {Blob} blob @param {string} name */
export function save(blob, name) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}

/** What a payment costs, line by line. @param {{wallet: Wallet, amount: number, quote: any}} props */
export const Costs = ({ wallet, amount, quote }) => html`<dl class="facts">
  <dt>${t("Amount")}</dt><dd class="amount">${money(wallet, amount)}</dd>
  <dt>${t("Fee")}</dt><dd class="amount">${quote.fee && quote.fee_paid_by === "payer" ? money(wallet, quote.fee) : t("none for you")}</dd>
  <dt><strong>${t("Leaves your account")}</strong></dt><dd class="amount"><strong>${money(wallet, quote.total)}</strong></dd>
</dl>`;
