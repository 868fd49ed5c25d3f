// @ts-check
/** The day at the till: what came in, what went back, what it cost, and the end of it. */

import { icon } from "/static/look/icons.js";
import { Refusal } from "/static/phone/api.js";
import { newId } from "/static/phone/bytes.js";
import { Component, html } from "/static/phone/view.js";
import { formatMoney, n, t } from "/static/phone/words.js";
import { Frame, Problem, saying } from "./frame.js";
import { Sheet } from "./sheet.js";

/**
 * @typedef {object} DayView amounts in minor units
 * @property {string} day
 * @property {number} sales how many were paid
 * @property {number} refunds
 * @property {number} holds_open
 * @property {number} gross
 * @property {number} refunded
 * @property {number} fees
 * @property {number} net
 * @property {number} unrung payments to the shop that no till has asked for, and what they are worth
 * @property {number} unrung_amount
 * @property {number|null} [available]
 * @property {{clerk: string, name: string, count: number, amount: number}[]} by_clerk
 * @property {{goods: string|null, name: string, quantity: number, amount: number}[]} by_goods
 * @property {{number: number, at: string}|null} closed
 * @typedef {import("./frame.js").Given} Props
 * @typedef {{wanted: string, view: DayView|null, closing: boolean, busy: boolean, error: string}} State
 */

/** @extends {Component<Props, State>} */
export class Day extends Component {
  /** @param {Props} props */
  constructor(props) {
    super(props);
    /** @type {State} */
    this.state = { wanted: props.till.shop?.day ?? "", view: null, closing: false, busy: false, error: "" };
  }

  componentDidMount() {
    void this.load(this.state.wanted);
  }

  /** @param {string} wanted */
  async load(wanted) {
    this.setState({ wanted, view: null, error: "" });
    try {
      const view = await this.props.till.network.call("GET", "/v1/till/day", { query: wanted ? { day: wanted } : undefined });
      if (this.state.wanted === wanted) this.setState({ view });
    } catch (error) {
      const text = saying(error);
      if (this.state.wanted === wanted) this.setState({ error: text });
    }
  }

  async close() {
    this.setState({ busy: true });
    try {
      const view = await closeDay(this.props.till, this.state.wanted);
      this.setState({ view, busy: false, closing: false, error: "" });
    } catch (error) {
      this.setState({ busy: false, closing: false, error: saying(error) });
      if (error instanceof Refusal && error.code === "not_in_this_state") await this.load(this.state.wanted); // closed elsewhere
    }
  }

  /** @param {Props} props @param {State} state */
  render({ till, route }, { wanted, view, closing, busy, error }) {
    const today = till.shop?.day;
    const unsent = till.sales.unsent().length;
    return html`<${Frame} till=${till} route=${route} title=${t("Day")}>
      <div class="field"><label for="day" class="visually-hidden">${t("Day")}</label>
        <input id="day" type="date" value=${wanted} max=${today}
          onChange=${(/** @type {any} */ event) => event.target.value && void this.load(event.target.value)} /></div>
      <${Problem} text=${error} />
      ${view ? html`<${Takings} till=${till} view=${view} />` : !error && html`<p class="empty" role="status">${t("Adding up…")}</p>`}
      ${view && !view.closed && wanted === today && till.people.may("close_day") && html`<button type="button" class="button button-wide"
        onClick=${() => this.setState({ closing: true })}>${icon("lock")}${t.short("Close the day")}</button>`}
      ${closing && view && html`<${Sheet} title=${t("Close the day?")} onClose=${() => this.setState({ closing: false })}>
        <p>${t("The sums get a number and are never changed afterwards. Sales made from now on belong to the next closing.")}</p>
        ${view.holds_open > 0 && html`<p class="notice notice-wait">${n("%(count)s hold is still open.", "%(count)s holds are still open.", view.holds_open)}</p>`}
        ${unsent > 0 && html`<p class="notice notice-wait">${n("%(count)s sale of this till was not sent yet.", "%(count)s sales of this till were not sent yet.", unsent)}</p>`}
        <button type="button" class="button button-wide" disabled=${busy} onClick=${() => void this.close()}>${t.short("Close the day")}</button>
        <button type="button" class="button button-quiet button-wide" onClick=${() => this.setState({ closing: false })}>${t.short("Not yet")}</button>
      <//>`}
    <//>`;
  }
}

/**
 * Closes the day for good. A repeat, also after a lost answer, is the same closing.
 * @param {import("../till.js").Till} till @param {string} day @returns {Promise<DayView>}
 */
async function closeDay({ device, network }, day) {
  const kept = await device.get("self", "closing");
  const closing = kept?.day === day ? kept : { day, id: newId(network.now()) };
  await device.put("self", "closing", closing);
  return network.call("POST", "/v1/till/day/close", { body: { id: closing.id } });
}

/** @param {{till: import("../till.js").Till, view: DayView}} props */
function Takings({ till, view }) {
  const currency = till.shop?.currency ?? { digits: 0, code: "" };
  const money = (/** @type {number} */ amount) => formatMoney(amount, { digits: currency.digits });
  const share = (/** @type {string} */ name, /** @type {number} */ count, /** @type {number} */ amount) => html`<li><div class="row row-plain">
    <bdi class="row-title">${name}</bdi><span class="row-note">${count} ×</span><span class="row-end amount">${money(amount)}</span></div></li>`;
  return html`
    <section class="stub">
      ${view.closed && html`<p class="good sale-state">${icon("lock")}<strong>${t("Closed, No. %(number)s", { number: view.closed.number })}</strong></p>`}
      <p class="soft">${t("Takings less refunds and fees")}</p>
      <p class="amount amount-large">${money(view.net)}<small> ${currency.code}</small></p>
      <hr class="tear" />
      <dl class="facts">
        <dt>${n("%(count)s sale", "%(count)s sales", view.sales)}</dt><dd class="amount">${money(view.gross)}</dd>
        <dt>${n("%(count)s refund", "%(count)s refunds", view.refunds)}</dt><dd class="amount">${money(-view.refunded)}</dd>
        <dt>${t("Fees")}</dt><dd class="amount">${money(-view.fees)}</dd>
        ${view.unrung > 0 && html`<dt>${t("Without a till")}</dt><dd class="amount">${money(view.unrung_amount)}</dd>`}
        ${view.holds_open > 0 && html`<dt>${t("Holds still open")}</dt><dd class="amount">${view.holds_open}</dd>`}
      </dl>
    </section>
    ${view.by_clerk.length > 0 && html`<h2>${t("By clerk")}</h2><ul class="list">${view.by_clerk.map((each) => share(each.name, each.count, each.amount))}</ul>`}
    ${view.by_goods.length > 0 && html`<h2>${t("By goods")}</h2>
      <ul class="list">${view.by_goods.map((each) => share(each.name || t("Amounts without goods"), each.quantity, each.amount))}</ul>`}
    ${typeof view.available === "number" && html`<h2>${t("Pay out")}</h2>
      <p>${t("%(amount)s could be paid out now. The owner does it in the wallet of the shop: to a bank, another account, or an agent for cash.",
        { amount: formatMoney(view.available, currency) })}</p>`}`;
}
