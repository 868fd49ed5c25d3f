// @ts-check
/**
 * What every screen of the wallet stands in: bar and heading, forms that say what went wrong, names, amounts, moments.
 *
 * @typedef {import("./wallet.js").Wallet} Wallet
 * @typedef {{wallet: Wallet, parts: string[], query: URLSearchParams}} ScreenProps  what the router gives a screen
 */

import { icon } from "/static/look/icons.js";
import { Component, html } from "/static/phone/view.js";
import { formatMoment, formatMoney, rest, t } from "/static/phone/words.js";

/** Screens that are drawn at once, by their name in the address: those that were opened before, and those that are next. @type {Map<string, any>} */
export const ready = new Map();

/**
 * Opens a screen of the wallet.
 *
 * @param {string} path such as "/pay?to=%40amina"
 * @param {{replace?: boolean}} [how] replace: the screen that is left cannot be gone back to
 */
export function go(path, { replace = false } = {}) {
  if (!replace) {
    location.hash = path;
    return;
  }
  history.replaceState({ inside: true }, "", `#${path}`);
  dispatchEvent(new HashChangeEvent("hashchange"));
}

/** Goes back to the screen before, or home when the wallet was opened right here. */
export function back() {
  if (history.state?.inside) history.back();
  else go("/", { replace: true });
}

/** @type {(text: string) => void} */
let speak = () => {};

/** @param {(text: string) => void} fn who says things to screen readers */
export const onSay = (fn) => {
  speak = fn;
};

/** Says something to screen readers. @param {string} text */
export const say = (text) => speak(text);

/**
 * A screen: bar with heading and way back, then its content. The heading has the focus when it opens.
 *
 * @extends {Component<{title: string, wallet: Wallet, home?: boolean, root?: boolean, end?: any, children?: any}, {}>}
 */
export class Screen extends Component {
  componentDidMount() {
    document.querySelector(".app")?.scrollTo?.(0, 0);
    scrollTo(0, 0);
    if (!document.activeElement || document.activeElement === document.body || !document.activeElement.closest("main")) {
      /** @type {HTMLElement|null} */ (document.querySelector(".bar h1"))?.focus({ preventScroll: true });
    }
    this.componentDidUpdate();
  }

  componentDidUpdate() {
    const name = this.props.wallet.scheme?.name ?? "Counterfoil";
    document.title = this.props.home ? name : `${this.props.title} · ${name}`;
  }

  render() {
    const { title, home, root = home, end, children } = this.props;
    return html`
      <header class="bar">
        ${root ? null : html`<button type="button" onClick=${back} aria-label=${t("Back")}>${icon("back")}</button>`}
        <h1 tabindex="-1">${title}</h1>
        ${end}
      </header>
      <main id="main">${children}</main>`;
  }
}

/**
 * A form with one deed: while it runs nothing can be sent twice; what goes wrong is said above the button.
 *
 * @extends {Component<{act: (values: Record<string, string>) => Promise<any>|any, label: string, look?: string,
 *   disabled?: boolean, children?: any, wallet: Wallet}, {busy: boolean, error: string}>}
 */
export class Form extends Component {
  state = { busy: false, error: "" };

  /** @param {SubmitEvent} event */
  submit = async (event) => {
    event.preventDefault();
    if (this.state.busy) return;
    const form = /** @type {HTMLFormElement} */ (event.currentTarget);
    const values = /** @type {Record<string, string>} */ (Object.fromEntries(new FormData(form)));
    this.setState({ busy: true, error: "" });
    try {
      await this.props.act(values);
      for (const field of form.querySelectorAll("[type=password]")) /** @type {HTMLInputElement} */ (field).value = "";
      this.setState({ busy: false });
    } catch (error) {
      this.setState({ busy: false, error: await toldOf(error, this.props.wallet) });
      const first = /** @type {HTMLElement|null} */ (form.querySelector("input"));
      first?.focus();
    }
  };

  render() {
    const { label, look = "button-wide", disabled, children } = this.props;
    const { busy, error } = this.state;
    return html`<form onSubmit=${this.submit} novalidate>
      ${children}
      <div role="alert">${error ? html`<div class="notice notice-bad">${error}</div>` : null}</div>
      <button class=${`button ${look}`} disabled=${disabled || busy}>${busy ? t("One moment …") : label}</button>
    </form>`;
  }
}

/**
 * A field with its label and a hint. `id`: where another field of the screen has the same name.
 *
 * @param {{label: string, name: string, id?: string, hint?: any, input?: Record<string, any>}} props
 */
export const Field = ({ label, name, id = name, hint, input = {} }) => html`<div class="field">
  <label for=${`f-${id}`}>${label}</label>
  <input id=${`f-${id}`} name=${name} autocomplete="off" aria-describedby=${hint ? `h-${id}` : undefined} ...${input} />
  ${hint ? html`<p id=${`h-${id}`} class="hint">${hint}</p>` : null}
</div>`;

/** A PIN. @param {{label?: string, name?: string, id?: string, hint?: any, fresh?: boolean}} props fresh: one that is chosen now */
export const PinField = ({ label, name = "pin", id, hint, fresh = false }) =>
  html`<${Field} label=${label ?? t.short("PIN")} name=${name} id=${id} hint=${hint} input=${{
    type: "password",
    class: "code",
    inputmode: "numeric",
    pattern: "[0-9]*",
    maxlength: 8,
    required: true,
    autocomplete: fresh ? "new-password" : "current-password",
  }} />`;

/** The first letter of a name. @param {{name: string}} props */
export const Mark = ({ name }) => html`<span class="mark" aria-hidden="true">${[...(name || "?")][0].toUpperCase()}</span>`;

/** Milliseconds since 1970 of a moment as the server or the engine gives it. @param {string|number} moment */
export const ms = (moment) => (typeof moment === "number" ? moment : Date.parse(moment));

/** @param {string|number} moment @param {'day'|'time'|'both'|'month'} [form] */
export const when = (moment, form = "both") => formatMoment(ms(moment), form);

/** Day or, for today, time: what a list has room for. @param {string|number} moment */
export const shortly = (moment) =>
  when(moment, new Date(ms(moment)).toDateString() === new Date().toDateString() ? "time" : "day");

/** An amount with the currency's name. @param {Wallet} wallet @param {number} amount @param {{sign?: boolean}} [how] */
export const money = (wallet, amount, how = {}) =>
  formatMoney(amount, wallet.scheme?.currency ?? { code: "", digits: 2 }, how);

/** An amount without the currency's name, for lists. @param {Wallet} wallet @param {number} amount @param {{sign?: boolean}} [how] */
export const bare = (wallet, amount, how = {}) =>
  formatMoney(amount, { code: "", digits: wallet.scheme?.currency.digits ?? 2 }, how);

/** @param {unknown} error @param {Wallet} wallet @returns {Promise<string>} what went wrong, in words */
async function toldOf(error, wallet) {
  if (typeof error === "string") return error;
  try {
    const [{ problemText }] = await Promise.all([import("./problems.js"), rest()]);
    return problemText(error, wallet);
  } catch {
    return t("The server cannot be reached. Nothing was changed; try again when there is a network.");
  }
}

/**
 * A part of a screen that is loaded when it is shown.
 *
 * @extends {Component<{load: () => Promise<any>, wallet: Wallet}, {view: any}>}
 */
export class Late extends Component {
  state = { view: null };

  componentDidMount() {
    Promise.all([this.props.load(), rest().catch(() => {})]).then(([view]) => this.setState({ view }), console.error);
  }

  render() {
    const { view } = this.state;
    return view ? html`<${view} wallet=${this.props.wallet} />` : null;
  }
}
