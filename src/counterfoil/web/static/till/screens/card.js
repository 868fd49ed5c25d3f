// @ts-check
/** The customer's card at the back of this device: it says from which account, the customer reads the sum and types the PIN. */

import { Refusal, Unreachable } from "/static/phone/api.js";
import { Component, html } from "/static/phone/view.js";
import { formatMoney, t } from "/static/phone/words.js";
import { Problem, saying } from "./frame.js";
import { Pin } from "./pin.js";
import { Sheet } from "./sheet.js";

/** What a card says: https://HOST/t?e=32 digits&c=16 digits. */
const SAID = /^https:\/\/[^/?#]+\/t\?e=([0-9A-Fa-f]{32})&c=([0-9A-Fa-f]{16})$/;

/** Whether this device can read cards. */
export const canRead = () => "NDEFReader" in globalThis;

/**
 * @typedef {{tap: string, card: string, amount: number, fee: number, total: number, needs_proof: boolean}} Asked
 * @typedef {{till: import("../till.js").Till, sale: import("../sale.js").Sale, onClose: () => void}} Props
 * @typedef {{asked: Asked|null, busy: boolean, error: string}} State
 */

/** Closes by itself when the server says that the sale is paid. @extends {Component<Props, State>} */
export class CardSheet extends Component {
  /** @type {State} */
  state = { asked: null, busy: false, error: "" };
  reading = new AbortController();

  componentDidMount() {
    void this.read();
  }

  componentWillUnmount() {
    this.reading.abort();
  }

  async read() {
    const reader = new /** @type {any} */ (globalThis).NDEFReader();
    reader.onreading = (/** @type {any} */ event) => void this.tapped(event.message.records);
    reader.onreadingerror = () => this.setState({ error: t("The card was not read. Hold it still for a moment.") });
    try {
      await reader.scan({ signal: this.reading.signal });
    } catch {
      if (!this.reading.signal.aborted) this.setState({ error: t("This device does not read cards. Allow NFC for this page, and turn it on.") });
    }
  }

  /** @param {{recordType: string, data: DataView}[]} records what the card said */
  async tapped(records) {
    if (this.state.busy) return;
    const said = records.map((record) => (record.recordType === "url" ? SAID.exec(new TextDecoder().decode(record.data)) : null)).find(Boolean);
    if (!said) {
      this.setState({ error: t("This is no payment card.") });
      return;
    }
    await this.ask("card", { e: said[1], c: said[2] }, (asked) => this.setState({ asked }));
  }

  /** @param {string} pin */
  async pay(pin) {
    await this.ask("card/pay", { tap: this.state.asked?.tap, pin }, (view) => this.props.till.sales.hear([view]));
  }

  /** @param {string} path @param {object} body @param {(answer: any) => void} then */
  async ask(path, body, then) {
    const { till, sale } = this.props;
    this.setState({ busy: true, error: "" });
    till.people.touch();
    try {
      then(await till.network.call("POST", `/v1/till/sales/${sale.id}/${path}`, { body, clerk: till.people.session?.session ?? "" }));
      this.setState({ busy: false });
    } catch (error) {
      this.setState({ busy: false, error: this.words(error) });
    }
  }

  /** @param {unknown} error */
  words(error) {
    if (error instanceof Unreachable || (error instanceof Refusal && error.retry === "same_id")) {
      return this.state.asked ? t("It is not known yet whether it was paid. The PIN again: it is paid only once.") : saying(error);
    }
    if (error instanceof Refusal && error.code === "pin_locked") return error.title; // the customer's own, whom no shop unlocks
    return saying(error);
  }

  /** @param {Props} props @param {State} state */
  render({ till, onClose }, { asked, busy, error }) {
    const currency = till.shop?.currency ?? { digits: 0, code: "" };
    return html`<${Sheet} title=${t("Card")} onClose=${onClose}>
      ${!asked && html`<p class="center" role="status">${busy ? t("One moment …") : t("Hold the card to the back of this device.")}</p>
        <${Problem} text=${error} />`}
      ${asked && html`<p class="center amount amount-large">${formatMoney(asked.total, { digits: currency.digits })}<small> ${currency.code}</small></p>
        <p class="center">${t("From card %(card)s. Fee: %(fee)s.", { card: asked.card, fee: formatMoney(asked.fee, currency) })}</p>
        ${asked.needs_proof ? html`<p class="notice notice-wait" role="status">${
            t("For this sum the card has to lie on a card reader. The customer can scan the code instead.")}</p>`
          : html`<${Pin} label=${t("PIN of the customer")} busy=${busy} error=${error} onPin=${(/** @type {string} */ pin) => void this.pay(pin)} />`}`}
    <//>`;
  }
}
