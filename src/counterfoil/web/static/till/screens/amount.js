// @ts-check
/** How much of a sale: all of it, or a part. */

import { Component, html } from "/static/phone/view.js";
import { formatMoney, parseMoney, t } from "/static/phone/words.js";
import { Sheet } from "./sheet.js";

const MEMO_SIZE_MAX = 60;

/**
 * @typedef {object} Props
 * @property {"capture"|"refund"} kind
 * @property {{digits: number, code: string}} currency
 * @property {number} max minor units
 * @property {() => void} onClose
 * @property {(amount: number, memo: string) => void} onAmount
 * @typedef {{amount: string, memo: string, error: string}} State
 */

/** @extends {Component<Props, State>} */
export class AmountSheet extends Component {
  /** @param {Props} props */
  constructor(props) {
    super(props);
    /** @type {State} */
    this.state = { amount: formatMoney(props.max, { digits: props.currency.digits }), memo: "", error: "" };
  }

  componentDidMount() {
    this.box?.select();
  }

  /** @param {Event} event */
  send(event) {
    event.preventDefault();
    const { currency, max, onAmount } = this.props;
    const amount = parseMoney(this.state.amount, currency);
    if (amount === null || amount <= 0 || amount > max) {
      this.setState({ error: t("Enter an amount up to %(amount)s.", { amount: formatMoney(max, currency) }) });
    } else {
      onAmount(amount, this.state.memo.trim());
    }
  }

  /** @param {Props} props @param {State} state */
  render({ kind, currency, max, onClose }, { amount, memo, error }) {
    const refund = kind === "refund";
    const name = refund ? t("Refund") : t("Capture");
    const label = t("Amount in %(currency)s", { currency: currency.code });
    const most = t("At most %(amount)s", { amount: formatMoney(max, currency) });
    const hint = refund ? most : `${most} · ${t("What is not captured goes back to the payer.")}`;
    return html`<${Sheet} title=${name} onClose=${onClose}>
      <form onSubmit=${(/** @type {Event} */ event) => this.send(event)}>
        <div class="field"><label for="amount">${label}</label>
          <input id="amount" autofocus inputmode="decimal" autocomplete="off" maxlength="16" value=${amount} aria-describedby="amount-hint amount-error"
            aria-invalid=${error ? "true" : "false"} ref=${(/** @type {any} */ found) => { this.box = found; }}
            onInput=${(/** @type {any} */ event) => this.setState({ amount: event.target.value, error: "" })} />
          <p class="hint" id="amount-hint">${hint}</p>
          <p class="error" id="amount-error" role="alert">${error}</p></div>
        ${refund && html`<div class="field"><label for="memo">${t("Reason (the payer sees it)")}</label>
          <input id="memo" autocomplete="off" maxlength=${MEMO_SIZE_MAX} value=${memo}
            onInput=${(/** @type {any} */ event) => this.setState({ memo: event.target.value })} /></div>`}
        <button class=${`button button-wide ${refund ? "button-danger" : ""}`}>${refund ? t.short("Refund") : t.short("Capture")}</button>
      </form>
    <//>`;
  }
}
