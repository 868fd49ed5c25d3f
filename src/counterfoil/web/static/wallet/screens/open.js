// @ts-check
/** Open an account: the number, the code that proves it, name and PIN. */

import { Component, html } from "/static/phone/view.js";
import { t } from "/static/phone/words.js";
import { Field, Form, PinField, Screen, go } from "../frame.js";

/** @extends {Component<import("../frame.js").ScreenProps, {step: "number"|"code"|"name", number: string, code: string, shown: string|null}>} */
export default class Open extends Component {
  /** @type {any} */
  state = { step: "number", number: "", code: "", shown: null };

  componentDidMount() {
    if (this.props.wallet.identity) return go("/", { replace: true }); // a phone has one account
    this.step({});
  }

  /** @param {any} changes */
  step(changes) {
    this.setState(changes, () => /** @type {HTMLElement|null} */ (document.querySelector("#main input"))?.focus());
  }

  /** @param {Record<string, string>} values */
  number = async ({ number }) => {
    if (number.replace(/\D/g, "").length < 6) throw t("Type the whole number, such as 0712 345 678.");
    const sent = await this.props.wallet.sendCode(number, "enrol");
    this.step({ step: "code", number: sent.number, shown: sent.code });
  };

  /** @param {Record<string, string>} values */
  code = ({ code }) => {
    if (!/^\d{4,10}$/.test(code.trim())) throw t("Type the digits of the code.");
    this.step({ step: "name", code: code.trim() });
  };

  /** @param {Record<string, string>} values */
  enrol = async ({ name, pin }) => {
    if (!name.trim()) throw t("Type your name: those you pay see it.");
    checkPin(pin);
    const { number, code } = this.state;
    const { wallet, query } = this.props;
    try {
      await wallet.enrol({ number, code, name: name.trim(), pin });
    } catch (/** @type {any} */ error) {
      // Whoever has an account by a simple phone brings it here.
      if (error.code === "already_taken" && error.facts?.field === "number") return go(`/join/recover?number=${encodeURIComponent(number)}`);
      throw error;
    }
    go(query.get("then") || "/", { replace: true });
  };

  render() {
    const { wallet } = this.props;
    const { step, number, shown } = this.state;
    const at = ["number", "code", "name"].indexOf(step) + 1;
    return html`<${Screen} wallet=${wallet} title=${t("Open an account")}>
      <p class="soft">${t("Step %(step)s of 3", { step: String(at) })}</p>
      ${step === "number"
        ? html`<${Form} key="number" wallet=${wallet} act=${this.number} label=${t("Send me a code")}>
          <${Field} label=${t("Phone number")} name="number" hint=${t("A code is sent to it. It is also how people find you.")}
            input=${{ type: "tel", autocomplete: "tel", defaultValue: number, required: true }} /></${Form}>`
        : step === "code"
          ? html`<${Form} key="code" wallet=${wallet} act=${this.code} label=${t("Go on")}>
            ${shown ? html`<div class="notice">${t("In a sandbox nothing is sent. Your code:")} <strong class="amount">${shown}</strong></div>` : null}
            <${Field} label=${t("Code sent to %(number)s", { number })} name="code"
              input=${{ class: "code", inputmode: "numeric", autocomplete: "one-time-code", maxlength: 10, required: true }} />
            </${Form}>${this.again()}`
          : html`<${Form} key="name" wallet=${wallet} act=${this.enrol} label=${t("Open the account")}>
            <${Field} label=${t("Your name")} name="name" hint=${t("Those you pay see it.")} input=${{ autocomplete: "name", maxlength: 60, required: true }} />
            <${PinField} label=${t("Choose a PIN")} fresh hint=${t("4 to 8 digits, not 1234. You need it when this phone is lost.")} /></${Form}>${this.again()}`}
    </${Screen}>`;
  }

  again() {
    return html`<p class="center"><button type="button" class="link" onClick=${() => this.step({ step: "number" })}>${t("Another number, or a new code")}</button></p>`;
  }
}

/** Throws, in words, for a PIN that the server would not take. As parse_pin in parties/numbers.py. @param {string} pin */
export function checkPin(pin) {
  if (!/^\d{4,8}$/.test(pin)) throw t("A PIN has 4 to 8 digits.");
  const steps = new Set([...pin].slice(1).map((digit, at) => (Number(digit) - Number(pin[at]) + 10) % 10));
  if (steps.size === 1 && [0, 1, 9].some((step) => steps.has(step))) throw t("This PIN is too easy to guess.");
}
