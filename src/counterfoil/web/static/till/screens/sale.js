// @ts-check
/** One sale: what was sold, what became of it, and what can still be done with it. */

import { icon } from "/static/look/icons.js";
import { Refusal, Unreachable } from "/static/phone/api.js";
import { Component, html } from "/static/phone/view.js";
import { formatMoment, formatMoney, t } from "/static/phone/words.js";
import { RIGHT, run, unansweredOf } from "../actions.js";
import { amountOf, hasPaid, isOpen, linesOf, madeAt, refundable, stateOf } from "../sale.js";
import { AmountSheet } from "./amount.js";
import { Frame, Problem, saying } from "./frame.js";
import { Approval } from "./approval.js";
import { SlipSheet } from "./slip.js";
import { FACES, saleName, stateName } from "./states.js";

/** @typedef {import("../actions.js").Kind} Kind */
/** @typedef {import("./frame.js").Given} Props */
/**
 * @typedef {{asking: Kind|"slip"|null, allowing: {kind: Kind, amount: number, memo: string}|null, busy: boolean,
 * error: string}} State
 */

/** @extends {Component<Props, State>} */
export class SaleScreen extends Component {
  /** @type {State} */
  state = { asking: null, allowing: null, busy: false, error: "" };

  componentDidMount() {
    void this.look();
  }

  get sale() {
    return this.props.till.sales.get(this.props.route.id);
  }

  async look() {
    const { till, route } = this.props;
    if (this.sale && !this.sale.sent) return; // it is sent first
    try {
      await till.sales.ask(route.id);
    } catch (error) {
      if (!(error instanceof Unreachable)) this.setState({ error: saying(error) });
    }
  }

  /**
   * Does it at once where the clerk at the till may; money back always asks for a PIN.
   * @param {Kind} kind
   * @param {number} amount
   * @param {string} [memo]
   */
  async start(kind, amount, memo = "") {
    const { till } = this.props;
    this.setState({ asking: null });
    if (kind === "refund" || !till.people.may(RIGHT[kind])) this.setState({ allowing: { kind, amount, memo } });
    else await this.run({ kind, amount, memo });
  }

  /** @param {{kind: Kind, amount: number, memo: string}} what @param {string} [session] */
  async run(what, session) {
    this.setState({ busy: true, error: "" });
    try {
      await run(this.props.till, { sale: this.props.route.id, ...what }, session);
      this.setState({ busy: false, allowing: null });
    } catch (error) {
      const unknown = error instanceof Unreachable || (error instanceof Refusal && error.retry === "same_id");
      this.setState({ busy: false, allowing: null, error: unknown ? "" : saying(error) });
    }
  }

  /** @param {Props} props @param {State} state */
  render({ till, route }, { asking, allowing, busy, error }) {
    const { sale } = this;
    const title = sale ? saleName(sale) : t("Sale");
    if (!sale) {
      return html`<${Frame} till=${till} route=${route} title=${title} back="sales">
        ${error ? html`<${Problem} text=${error} />` : html`<p class="empty" role="status">${t("Reading the sale…")}</p>`}<//>`;
    }
    const close = () => this.setState({ asking: null, allowing: null });
    const pending = unansweredOf(till, sale.id);
    return html`<${Frame} till=${till} route=${route} title=${title} back="sales">
      <${Stub} till=${till} sale=${sale} />
      <${Problem} text=${error} />
      ${pending && html`<div class="notice notice-wait" role="status">
        <strong>${t("We do not know yet whether this was done: %(what)s.", { what: actionName(pending.kind) })}</strong>
        <p>${t("It is repeated by itself, and cannot happen twice. Nothing else is done to this sale until then.")}</p>
        <button type="button" class="button button-quiet" disabled=${busy}
          onClick=${() => void this.start(pending.kind, pending.amount, pending.memo)}>${t.short("Ask again")}</button></div>`}
      ${!pending && this.renderActions(sale, busy)}
      ${(asking === "capture" || asking === "refund") && html`<${AmountSheet} kind=${asking} currency=${till.shop?.currency}
        max=${asking === "refund" ? refundable(sale) : amountOf(sale)} onClose=${close}
        onAmount=${(/** @type {number} */ amount, /** @type {string} */ memo) => void this.start(asking, amount, memo)} />`}
      ${asking === "slip" && html`<${SlipSheet} till=${till} sale=${sale} onClose=${close} />`}
      ${allowing && html`<${Approval} till=${till} right=${RIGHT[allowing.kind]} title=${actionName(allowing.kind)} onClose=${close}
        onAllowed=${(/** @type {string} */ session) => this.run(allowing, session)}>
        ${allowing.amount > 0 && html`<p class="amount amount-large">${formatMoney(allowing.amount, { digits: till.shop?.currency.digits ?? 0 })}
          <small> ${till.shop?.currency.code}</small></p>`}
      <//>`}
    <//>`;
  }

  /** @param {import("../sale.js").Sale} sale @param {boolean} busy */
  renderActions(sale, busy) {
    const state = stateOf(sale);
    const ask = (/** @type {Kind|"slip"} */ asking) => () => this.setState({ asking, error: "" });
    return html`<div class="sale-actions">
      ${state === "held" && html`
        <button type="button" class="button button-wide" disabled=${busy} onClick=${ask("capture")}>${icon("check")}${t.short("Capture")}</button>
        <button type="button" class="button button-quiet button-wide" disabled=${busy}
          onClick=${() => void this.start("release", 0)}>${t.short("Release")}</button>`}
      ${isOpen(state) && html`<a class="button button-wide" href=${`#/charge/${sale.id}`}>${icon("scan")}${t.short("Show the code")}</a>`}
      ${hasPaid(state) && sale.view?.slip && html`<button type="button" class="button button-quiet button-wide"
        onClick=${ask("slip")}>${icon("print")}${t.short("Slip")}</button>`}
      ${refundable(sale) > 0 && html`<button type="button" class="button button-danger button-wide" disabled=${busy}
        onClick=${ask("refund")}>${icon("refund")}${t.short("Refund")}</button>`}
    </div>`;
  }
}

/** @param {Kind|"reversal"} kind */
function actionName(kind) {
  return { capture: t("Capture"), release: t("Release"), refund: t("Refund"), reversal: t("Reversal") }[kind];
}

/** @param {{till: import("../till.js").Till, sale: import("../sale.js").Sale}} props */
function Stub({ till, sale }) {
  const state = stateOf(sale);
  const [sign, tone] = FACES[state];
  const digits = till.shop?.currency.digits ?? 0;
  const money = (/** @type {number} */ amount) => formatMoney(amount, { digits });
  const { view } = sale;
  const nameOf = (/** @type {string|null|undefined} */ id) => till.shop?.clerks.find((each) => each.id === id)?.name ?? "";
  const facts = [
    [t("Customer"), view?.payer_name],
    [t("Made"), formatMoment(madeAt(sale))],
    [t("Paid"), view?.paid_at && formatMoment(Date.parse(view.paid_at), formatMoment(Date.parse(view.paid_at), "day") === formatMoment(madeAt(sale), "day") ? "time" : "both")],
    [t("Kept until"), state === "held" && view?.expires_at && formatMoment(Date.parse(view.expires_at))],
    [t("Clerk"), nameOf(view?.clerk ?? sale.made?.clerk)],
    ...(view?.actions ?? []).map(({ kind, amount, clerk, at }) => [
      `${actionName(/** @type {Kind|"reversal"} */ (kind))}, ${formatMoment(Date.parse(at), "time")}`, `${money(amount)} ${nameOf(clerk)}`]),
  ].filter(([, value]) => value);
  return html`<section class="stub">
    <p class=${`sale-state ${tone}`}>${icon(sign)}<strong>${stateName(state)}</strong></p>
    <p class="amount amount-large">${money(amountOf(sale))}<small> ${till.shop?.currency.code}</small></p>
    <ul class="list lines">${linesOf(sale).map((line, index) => html`<li key=${index}><div class="row row-plain">
      <bdi class="row-title">${line.name || t("Amount")}</bdi>
      <span class="row-note amount">${line.quantity} × ${money(line.price)}</span>
      <span class="row-end amount">${money(line.price * line.quantity)}</span></div></li>`)}</ul>
    <hr class="tear" />
    <dl class="facts">${facts.map(([name, value]) => html`<dt>${name}</dt><dd><bdi>${value}</bdi></dd>`)}</dl>
    ${sale.refusal && html`<p class="bad">${sale.refusal.title}</p>`}
  </section>`;
}
