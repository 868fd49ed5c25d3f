// @ts-check
/** The customer's slip: on paper, as a code to scan, or as a link by SMS. */

import { icon } from "/static/look/icons.js";
import { Component, html } from "/static/phone/view.js";
import { language, t } from "/static/phone/words.js";
import { Code } from "./code.js";
import { Problem, saying } from "./frame.js";
import { Sheet } from "./sheet.js";

/** @typedef {{till: import("../till.js").Till, sale: import("../sale.js").Sale, onClose: () => void}} Props */
/** @typedef {{number: string, busy: boolean, sent: boolean, error: string}} State */

/** @extends {Component<Props, State>} */
export class SlipSheet extends Component {
  /** @type {State} */
  state = { number: "", busy: false, sent: false, error: "" };

  /** @param {Event} event */
  async send(event) {
    event.preventDefault();
    this.setState({ busy: true, sent: false, error: "" });
    try {
      await this.props.till.sendSlip(this.props.sale.id, this.state.number.replace(/[\s().-]/g, ""));
      this.setState({ busy: false, sent: true });
    } catch (error) {
      this.setState({ busy: false, error: saying(error) });
    }
  }

  /** @param {Props} props @param {State} state */
  render({ sale, onClose }, { number, busy, sent, error }) {
    const address = new URL(sale.view?.slip ?? "/", location.origin);
    const page = new URL(address);
    page.searchParams.set("lang", language());
    return html`<${Sheet} title=${t("Slip")} onClose=${onClose}>
      <a class="button button-wide" href=${page.href} target="_blank" rel="noopener">${icon("print")}${t.short("Print")}</a>
      <${Code} text=${address.href} label=${t("Code with the link to the slip")} />
      <p class="center soft small">${t("The customer scans this code and keeps the slip.")}</p>
      <form onSubmit=${(/** @type {Event} */ event) => void this.send(event)}>
        <div class="field"><label for="number">${t("Send by SMS")}</label>
          <input id="number" type="tel" inputmode="tel" autocomplete="off" maxlength="24" value=${number} aria-describedby="number-hint"
            onInput=${(/** @type {any} */ event) => this.setState({ number: event.target.value, sent: false })} />
          <p class="hint" id="number-hint">${t("Leave it empty for the number of the payer.")}</p></div>
        <button class="button button-quiet button-wide" disabled=${busy}>${icon("send")}${t.short("Send")}</button>
      </form>
      <div role="status">${sent && html`<p class="notice notice-good">${t("The slip is on its way.")}</p>`}</div>
      <${Problem} text=${error} />
    <//>`;
  }
}
