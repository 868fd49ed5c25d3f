// @ts-check
/** The customer's slip: on paper, as a code to scan, or as a link by SMS. */

import { icon } from "/static/look/icons.js";
import { Component, html } from "/static/phone/view.js";
import { language, t } from "/static/phone/words.js";
import { Code } from "./code.js";
import { Problem, saying } from "./frame.js";
import { Sheet } from "./sheet.js";

/** @typedef {{till: import("../till.js").Till, sale: import("../sale.js").Sale, onClose: () => void}} Props */
/** @typedef {{number: string, busy: boolean, sent: string, error: string}} State */

/** @extends {Component<Props, State>} */
export class SlipSheet extends Component {
  /** @type {State} */
  state = { number: "", busy: false, sent: "", error: "" };

  /** @param {Props} _props @param {State} before the answer stands below the code: small screens have to be moved to it */
  componentDidUpdate(_props, before) {
    if (before.busy && !this.state.busy) this.end?.scrollIntoView({ block: "nearest" });
  }

  /** @param {Event} event */
  async send(event) {
    event.preventDefault();
    this.setState({ busy: true, sent: "", error: "" });
    try {
      const { till, sale } = this.props;
      const number = this.state.number.replace(/[\s().-]/g, "");
      const answer = await till.network.call("POST", `/v1/till/sales/${sale.id}/slip-sms`, { body: number ? { number } : {} });
      this.setState({ busy: false, sent: answer.number });
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
            onInput=${(/** @type {any} */ event) => this.setState({ number: event.target.value, sent: "" })} />
          <p class="hint" id="number-hint">${t("Leave it empty for the number of the payer.")}</p></div>
        <button class="button button-quiet button-wide" disabled=${busy}>${icon("send")}${t.short("Send")}</button>
      </form>
      <div role="status" ref=${(/** @type {any} */ found) => { this.end = found; }}>${sent && html`<p class="notice notice-good">${
        t("Handed over to be sent to %(number)s. If it does not arrive, the customer can scan the code.", { number: sent })}</p>`}</div>
      <${Problem} text=${error} />
    <//>`;
  }
}
