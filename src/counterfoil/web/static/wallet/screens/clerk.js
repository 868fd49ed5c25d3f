// @ts-check
/** One clerk of the owner's: name, PIN and rights, the lock after wrong PINs, and the end. */

import { Component, html } from "/static/phone/view.js";
import { t } from "/static/phone/words.js";
import { Field, Form, PinField, Screen, when } from "../frame.js";
import { checkPin } from "./open.js";

/** @typedef {{id: string, name: string, rights: string[], locked_until: string|null}} ClerkView */

/** @returns {Record<string, string>} what a clerk may be allowed */
export const RIGHTS = () => ({
  sell: t("Sell"), refund: t("Pay back"), capture: t("Take what is kept"), goods: t("Change goods and prices"),
  close_day: t("Close the day"), see_takings: t("See the takings"),
});

/** @param {Record<string, string>} values of a form with `Rights` in it */
export const chosenRights = (values) => Object.keys(RIGHTS()).filter((right) => values[right]);

/** @param {{given: string[]}} props */
export const Rights = ({ given }) => html`<fieldset><legend>${t("May")}</legend>${Object.entries(RIGHTS()).map(([right, label]) => html`<label class="choice">
  <input type="checkbox" name=${right} defaultChecked=${given.includes(right)} /> ${label}</label>`)}</fieldset>`;

/**
 * `onDone` is called with true when something was changed.
 *
 * @extends {Component<{wallet: import("../frame.js").Wallet, clerk: ClerkView, onDone: (changed: boolean) => void}, {clerk: ClerkView}>}
 */
export class Clerk extends Component {
  /** @param {{wallet: import("../frame.js").Wallet, clerk: ClerkView, onDone: (changed: boolean) => void}} props */
  constructor(props) {
    super(props);
    this.state = { clerk: props.clerk };
  }

  /** @param {object} body @returns {Promise<ClerkView>} */
  change(body) {
    return this.props.wallet.api.call("PATCH", `/v1/clerks/${this.state.clerk.id}`, { body });
  }

  render() {
    const { wallet, onDone } = this.props;
    const { clerk } = this.state;
    return html`<${Screen} wallet=${wallet} title=${clerk.name} key=${clerk.id}>
      ${clerk.locked_until ? html`<div class="notice notice-wait">
        <p>${t("Locked until %(time)s after too many wrong PINs.", { time: when(clerk.locked_until, "time") })}</p>
        <${Form} wallet=${wallet} look="button-quiet button-wide" label=${t("Unlock")} act=${async () => this.setState({ clerk: await this.change({ unlock: true }) })} />
      </div>` : null}
      <${Form} wallet=${wallet} label=${t("Save")} act=${async (/** @type {Record<string, string>} */ values) => {
        if (!values.clerk.trim()) throw t("Enter a name.");
        if (values.pin) checkPin(values.pin);
        await this.change({ name: values.clerk.trim(), rights: chosenRights(values), ...(values.pin ? { pin: values.pin } : {}) });
        onDone(true);
      }}>
        <${Field} label=${t("Name")} name="clerk" input=${{ maxlength: 40, defaultValue: clerk.name }} />
        <${PinField} label=${t("New PIN")} hint=${t("Leave it empty to keep the PIN. A new one signs the clerk out of every till.")} fresh />
        <${Rights} given=${clerk.rights} />
      </${Form}>
      <details class="remove"><summary>${t("Remove for good")}</summary>
        <p>${t("What this clerk has sold keeps the name.")}</p>
        <${Form} wallet=${wallet} look="button-danger button-wide" label=${t("Remove for good")} act=${async () => {
          await wallet.api.call("DELETE", `/v1/clerks/${clerk.id}`);
          onDone(true);
        }} /></details>
      <div class="low"><button type="button" class="button button-quiet button-wide" onClick=${() => onDone(false)}>${t("Back to the list")}</button></div>
    </${Screen}>`;
  }
}
