// @ts-check
/** Makes this device a till of a shop: by the code, or the link, that the owner's wallet shows. */

import { icon } from "/static/look/icons.js";
import { Component, html } from "/static/phone/view.js";
import { n, t } from "/static/phone/words.js";
import { pair } from "../pairing.js";
import { Problem, saying } from "./frame.js";

/** @typedef {{till: import("../till.js").Till, code: string}} Props */
/** @typedef {{code: string, label: string, busy: boolean, error: string}} State */

/** @extends {Component<Props, State>} */
export class Pair extends Component {
  /** @param {Props} props */
  constructor(props) {
    super(props);
    /** @type {State} */
    this.state = { code: props.code, label: deviceName(), busy: false, error: "" };
  }

  /** @param {Event} event */
  async send(event) {
    event.preventDefault();
    const { code, label, busy } = this.state;
    if (busy) return;
    if (!code.trim()) {
      this.setState({ error: t("Enter the code that the wallet of the owner shows.") });
      return;
    }
    this.setState({ busy: true, error: "" });
    try {
      await pair(this.props.till, code, label.trim() || deviceName());
      location.hash = "#/";
    } catch (error) {
      this.setState({ busy: false, error: saying(error) });
    }
  }

  /** @param {Props} props @param {State} state */
  render({ till }, { code, label, busy, error }) {
    const unsent = till.sales.unsent().length;
    return html`<div class="app till">
      <header class="bar"><h1 tabindex="-1">${t("Set up this till")}</h1></header>
      <main id="main">
        ${till.network.ended && html`<div class="notice notice-wait" role="alert">
          <p>${t("The owner has ended this till. It can be paired again with a new code.")}</p>
          <p>${t("Money that comes now is in the shop’s account, and is not shown here.")}</p></div>`}
        ${unsent > 0 && html`<p class="notice notice-wait">${n("%(count)s sale was not sent yet. Pair this device with the same shop, and it is sent; with another shop it is lost.",
          "%(count)s sales were not sent yet. Pair this device with the same shop, and they are sent; with another shop they are lost.", unsent)}</p>`}
        <p>${t("In the wallet of the shop, the owner opens Settings, then Tills and poster, and makes a new till. The wallet then shows a code.")}</p>
        <form onSubmit=${(/** @type {Event} */ event) => void this.send(event)}>
          <div class="field"><label for="code">${t("Code")}</label>
            <input id="code" class="code" autocomplete="off" autocapitalize="characters" spellcheck=${false} maxlength="24" value=${code}
              aria-describedby="pair-error" onInput=${(/** @type {any} */ event) => this.setState({ code: event.target.value })} /></div>
          <div class="field"><label for="label">${t("Name of this device")}</label>
            <input id="label" maxlength="40" value=${label} aria-describedby="label-hint"
              onInput=${(/** @type {any} */ event) => this.setState({ label: event.target.value })} />
            <p class="hint" id="label-hint">${t("The owner sees it in the list of tills.")}</p></div>
          <div id="pair-error"><${Problem} text=${error} /></div>
          <button class="button button-wide" disabled=${busy}>${icon("check")}${t.short("Pair")}</button>
        </form>
      </main>
    </div>`;
  }
}

/** What kind of device this is, as a name to begin with. */
function deviceName() {
  return matchMedia("(min-width: 56rem)").matches ? t("Counter") : matchMedia("(min-width: 40rem)").matches ? t("Tablet") : t("Phone");
}
