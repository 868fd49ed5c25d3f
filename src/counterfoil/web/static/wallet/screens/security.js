// @ts-check
/** Lock at once, PIN, limits of one's own, whether a PIN alone may pay, who watches; and the way out: no account on this phone any more. */

import { icon } from "/static/look/icons.js";
import { Component, html } from "/static/phone/view.js";
import { formatMoney, parseMoney, t } from "/static/phone/words.js";
import { Field, Form, PinField, Screen, go, money } from "../frame.js";
import { checkPin } from "./open.js";
import { Watchers } from "./watchers.js";

/** @extends {Component<import("../frame.js").ScreenProps, {told: string}>} */
export default class Security extends Component {
  state = { told: "" };

  /** An amount that was typed; null for nothing. @param {string} text */
  amount(text) {
    if (!text.trim()) return null;
    const value = parseMoney(text, { digits: this.props.wallet.scheme?.currency.digits ?? 2 });
    if (value === null) throw t("“%(text)s” is no amount.", { text });
    return value;
  }

  render() {
    const { wallet, parts } = this.props;
    const { account } = wallet;
    if (parts[0] === "watchers") return html`<${Watchers} wallet=${wallet} parts=${parts} />`;
    const limits = account?.limits;
    const locked = account?.freezes.some((/** @type {any} */ freeze) => freeze.own);
    const digits = wallet.scheme?.currency.digits ?? 2;
    const shown = (/** @type {string} */ name) => {
      const value = /** @type {any} */ (limits)?.[name];
      return value !== null && value !== undefined && limits?.own.includes(name) ? formatMoney(value, { digits }) : "";
    };
    const now = (/** @type {string} */ name) => {
      const value = /** @type {any} */ (limits)?.[name];
      return value === null || value === undefined ? t("Now: no limit") : t("Now: %(amount)s", { amount: money(wallet, value) });
    };
    const names = /** @type {[string, string][]} */ ([
      ["per_payment", t("For one payment")], ["per_day", t("For a day")], ["per_month", t("For a month")],
    ]);
    const done = (/** @type {string} */ told) => this.setState({ told });
    return html`<${Screen} wallet=${wallet} title=${t("PIN, limits and lock")}>
      <p role="status" class="good">${told(this.state.told)}</p>
      <section><h2>${t("Lock")}</h2>
        ${locked
          ? html`<p class="wait">${t("This wallet is locked. Nothing can be paid from it, on any device.")}</p>
            <${Form} wallet=${wallet} label=${t("Unlock")} act=${async (/** @type {any} */ { pin }) => { await wallet.unlock(pin); done(t("Unlocked.")); }}><${PinField} id="unlock" /></${Form}>`
          : html`<p>${t("A phone is lost, or something is strange: lock everything now. The PIN opens it again.")}</p>
            <${Form} wallet=${wallet} look="button-danger button-wide" label=${t("Lock the wallet now")} act=${async () => { await wallet.lock(); done(t("Locked. Nothing can be paid from it now.")); }} />`}
      </section>
      <details><summary>${t("Limits of my own")}</summary>
        <${Form} wallet=${wallet} label=${t("Set these limits")} act=${async (/** @type {any} */ values) => {
          const wanted = Object.fromEntries(names.map(([name]) => [name, this.amount(values[name])]));
          await wallet.setLimits(wanted, values.pin);
          done(t("Your limits are set."));
        }}>
          <p class="small soft">${t("Below those of the scheme. Empty: no limit of your own.")}</p>
          ${names.map(([name, label]) => html`<${Field} label=${label} name=${name} hint=${now(name)} input=${{ inputmode: "decimal", defaultValue: shown(name), maxlength: 20 }} />`)}
          <${PinField} />
        </${Form}></details>
      <details><summary>${t("Another PIN")}</summary>
        <${Form} wallet=${wallet} label=${t("Change the PIN")} act=${async (/** @type {any} */ { old, fresh }) => {
          checkPin(fresh);
          await wallet.changePin(old, fresh);
          done(t("The PIN was changed."));
        }}>
          <${PinField} label=${t("PIN now")} name="old" /><${PinField} label=${t("New PIN")} name="fresh" fresh />
        </${Form}></details>
      <details open=${parts[0] === "pin"}><summary>${t("Payments by PIN alone")}</summary>
        <p>${account?.pin_per_day
          ? t("Your number and PIN may pay %(amount)s a day from any phone.", { amount: money(wallet, account.pin_per_day) })
          : t("Not allowed: only your devices can pay. Allow it to pay from a borrowed or old phone.")}</p>
        <${Form} wallet=${wallet} look="button-quiet button-wide" label=${t("Allow this much a day")} act=${async (/** @type {any} */ values) => {
          const perDay = this.amount(values.per_day);
          if (perDay === null) throw t("Type an amount; 0 ends it.");
          await wallet.allowPin(perDay);
          done(t("It is signed and set."));
        }}>
          <${Field} label=${t("Most a day by PIN")} name="per_day" id="by_pin" hint=${t("0: never")} input=${{ inputmode: "decimal", maxlength: 20 }} />
        </${Form}></details>
      <${Leave} wallet=${wallet} open=${parts[0] === "leave"} />
    </${Screen}>`;
  }
}

/** Takes the account off this phone, once nothing waits to be sent. @param {{wallet: import("../wallet.js").Wallet, open: boolean}} props */
const Leave = ({ wallet, open }) => {
  const waits = t("A payment still waits on this phone. Let it be sent first, or take it back: it stands on the first screen.");
  return html`<details open=${open}><summary>${t("Take the account off this phone")}</summary>
    <p>${t("The account and its money stay as they are. This phone forgets them: the key that signs for it is deleted and cannot be brought back, and so are the receipts kept here.")}</p>
    <p>${t("On another phone of yours you go on as before, and can remove this one from the list of devices. Without another phone you need your number, your PIN and some patience to get the account back.")}</p>
    <p><a class="button button-quiet button-wide" href="#/settings">${icon("download")}${t("Save everything in a file first")}</a></p>
    <${Form} wallet=${wallet} look="button-danger button-wide" label=${t("Delete the key and take it off")} act=${async () => {
      try {
        await wallet.forget();
      } catch (error) {
        throw error instanceof RangeError ? waits : error;
      }
      go("/", { replace: true });
    }} /></details>`;
};

/** @param {string} text */
const told = (text) => (text ? html`${icon("check")} ${text}` : "");
