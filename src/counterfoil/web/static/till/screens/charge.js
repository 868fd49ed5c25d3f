// @ts-check
/** The sale before the customer: the code to scan, and "paid" as soon as the server says so. */

import { icon } from "/static/look/icons.js";
import { CodeError, complete } from "/static/phone/emv.js";
import { Unreachable } from "/static/phone/api.js";
import { Component, html } from "/static/phone/view.js";
import { formatMoney, t } from "/static/phone/words.js";
import { aside } from "../device.js";
import { amountOf, hasPaid, isHold, isOpen, stateOf } from "../sale.js";
import { WATCH_MS } from "../till.js";
import { CardSheet, canRead } from "./card.js";
import { Code } from "./code.js";
import { Frame, Problem, saying } from "./frame.js";
import { saleName, stateName } from "./states.js";

/** How long a customer waits for the server's code before seeing the one that needs no server. */
const PATIENCE_MS = 3_000;

/** @typedef {import("./frame.js").Given} Props */
/** @typedef {{error: string, busy: boolean, impatient: boolean, shared: boolean, card: boolean}} State */

/** @extends {Component<Props, State>} */
export class Charge extends Component {
  /** @type {State} */
  state = { error: "", busy: false, impatient: false, shared: false, card: false };
  onKey = (/** @type {KeyboardEvent} */ event) => this.key(event);

  componentDidMount() {
    addEventListener("keydown", this.onKey);
    this.watch = setInterval(() => void this.look(), WATCH_MS);
    this.patience = setTimeout(() => this.setState({ impatient: true }), PATIENCE_MS);
    void this.look();
  }

  componentWillUnmount() {
    removeEventListener("keydown", this.onKey);
    clearInterval(this.watch);
    clearTimeout(this.patience);
  }

  get sale() {
    return this.props.till.sales.get(this.props.route.id);
  }

  /** @param {KeyboardEvent} event */
  key(event) {
    const target = /** @type {HTMLElement} */ (event.target);
    if (document.querySelector("dialog[open]") || (event.key === "Enter" && target.closest("button, a"))) return;
    if (event.key === "Escape" || event.key === "Enter") {
      event.preventDefault();
      this.props.go("");
    }
  }

  /** Asks the server, besides events, which a network may lose. */
  async look() {
    const { sale } = this;
    if (!sale || !isOpen(stateOf(sale)) || document.hidden) return;
    this.props.till.people.touch();
    try {
      if (sale.sent) await this.props.till.sales.ask(sale.id);
      else await this.props.till.sales.send(sale.id);
    } catch (error) {
      saying(error);
    }
  }

  async cancel() {
    const { sale } = this;
    if (!sale || this.state.busy) return;
    this.setState({ busy: true, error: "" });
    try {
      await this.props.till.sales.cancel(sale.id);
      this.setState({ busy: false });
    } catch (error) {
      // Without a network the wish is kept, and said to the server with the next answer.
      this.setState({ busy: false, error: error instanceof Unreachable ? "" : saying(error) });
    }
  }

  /** @param {string} link */
  async share(link) {
    try {
      const url = new URL(link, location.origin).href;
      if (navigator.share) await navigator.share({ url });
      else {
        await navigator.clipboard.writeText(url);
        this.setState({ shared: true });
      }
    } catch {
      // The clerk has closed the browser's own question.
    }
  }

  /** @param {Props} props */
  render({ till, route, go }) {
    const { sale } = this;
    if (!sale) {
      return html`<${Frame} till=${till} route=${route} title=${t("Sale")} back=""><p class="empty">${t("This sale is not on this till.")}</p><//>`;
    }
    const state = stateOf(sale);
    if (hasPaid(state)) return html`<${Paid} till=${till} sale=${sale} go=${go} />`;
    const title = isHold(sale) ? t("Hold") : t("Charge");
    return html`<${Frame} till=${till} route=${route} title=${title} back="" tabs=${false}>
      ${isOpen(state) ? this.renderOpen(sale) : html`<${Over} sale=${sale} till=${till} />`}
      <${Problem} text=${this.state.error} />
      <div class="low charge-end">
        ${isOpen(state) && html`<button type="button" class="button button-danger" disabled=${this.state.busy}
          onClick=${() => void this.cancel()}>${t.short("Cancel sale")}</button>`}
        <button type="button" class="button" onClick=${() => go("")}>${t.short("Next customer")}</button>
      </div>
    <//>`;
  }

  /** @param {import("../sale.js").Sale} sale */
  renderOpen(sale) {
    const { till } = this.props;
    const shop = /** @type {import("../till.js").Shop} */ (till.shop);
    const code = sale.view?.code ?? (till.network.offline || this.state.impatient || !till.people.session ? offlineCode(sale, shop) : null);
    const link = sale.view?.link;
    const money = formatMoney(amountOf(sale), shop.currency);
    return html`<div class="charge-sheet">
      <p class="charge-name"><bdi>${shop.merchant.name}</bdi></p>
      <p class="amount amount-large">${formatMoney(amountOf(sale), { digits: shop.currency.digits })}<small> ${shop.currency.code}</small></p>
      ${isHold(sale) && html`<p class="soft">${t("is set aside, and taken when the sale ends")}</p>`}
      ${!sale.view && code && html`<div class="notice notice-wait" role="status">
        <strong>${t("Not confirmed until the network is back.")}</strong>
        <p>${t("The customer can pay now. What a phone of a customer shows is no proof.")}</p></div>`}
      ${code ? html`<${Code} text=${code} label=${t("Code to pay %(amount)s to %(name)s", { amount: money, name: shop.merchant.name })} />`
        : html`<div class="qr till-qr qr-empty" aria-busy="true"></div>`}
      ${!code && till.network.offline && html`<p class="notice notice-wait" role="status">${t("There is no code without the network. It comes by itself.")}</p>`}
      <div class="charge-foot">
        <p class="charge-state" role="status">${icon("wait")}<strong>${saleName(sale)}</strong> ${stateName(stateOf(sale))}</p>
        ${canRead() && sale.sent && !till.network.offline && till.people.session && html`<button type="button" class="link charge-card"
          onClick=${() => this.setState({ card: true })}>${icon("card")}${t.short("Card")}</button>`}
        ${link && html`<button type="button" class="link" onClick=${() => void this.share(link)}>${icon("share")}
          ${this.state.shared ? t.short("Link copied") : t.short("Share the link")}</button>`}
      </div>
      ${this.state.card && html`<${CardSheet} till=${till} sale=${sale} onClose=${() => this.setState({ card: false })} />`}
    </div>`;
  }
}

/**
 * @param {import("../sale.js").Sale} sale
 * @param {import("../till.js").Shop} shop
 * @returns {string|null} a code that needs no server
 */
function offlineCode(sale, shop) {
  if (!shop.merchant.static_code) return null;
  const { digits } = shop.currency;
  try {
    return complete(shop.merchant.static_code, { amount: amountOf(sale), digits, request: sale.id, hold: isHold(sale) });
  } catch (error) {
    if (error instanceof CodeError) return null; // of a kind that this version cannot read
    throw error;
  }
}

/** It came to nothing. @param {{till: import("../till.js").Till, sale: import("../sale.js").Sale}} props */
function Over({ till, sale }) {
  const state = stateOf(sale);
  return html`<div class="empty" role="status">${icon("refused")}
    <p class="amount amount-large">${formatMoney(amountOf(sale), { digits: till.shop?.currency.digits ?? 0 })}</p>
    <p><strong>${saleName(sale)}: ${stateName(state)}</strong></p>
    ${sale.refusal && html`<p>${sale.refusal.title}</p>`}
    ${state === "withdrawn" && html`<p>${t("The server hears of it with the network. Until then somebody could still pay.")}</p>`}
    ${state === "refused" && html`<button type="button" class="button button-quiet" onClick=${() => aside(till.sales.drop(sale.id))}>
      ${t.short("Take it away")}</button>`}
  </div>`;
}

/**
 * @typedef {{till: import("../till.js").Till, sale: import("../sale.js").Sale, go: (path: string) => void}} PaidProps
 */

/** The whole screen says it: who, how much, and that it is done. @extends {Component<PaidProps>} */
class Paid extends Component {
  componentDidMount() {
    this.next?.focus();
  }

  /** @param {PaidProps} props */
  render({ till, sale, go }) {
    const held = stateOf(sale) === "held";
    const currency = till.shop?.currency ?? { digits: 0, code: "" };
    const word = held ? t("Held") : stateOf(sale) === "paid" ? t("Paid") : stateName(stateOf(sale));
    return html`<div class=${`app till paid ${held ? "paid-held" : ""}`}>
      <main id="main" class="paid-sheet">
        <div role="alert" class="paid-words">
          ${icon(held ? "lock" : "done")}
          <h1 tabindex="-1">${word}</h1>
          <p class="amount amount-large">${formatMoney(amountOf(sale), { digits: currency.digits })}<small> ${currency.code}</small></p>
          ${sale.view?.payer_name && html`<p class="paid-name"><bdi>${sale.view.payer_name}</bdi></p>`}
          <p>${saleName(sale)}</p>
        </div>
        <div class="low paid-end">
          <button type="button" class="button button-wide" ref=${(/** @type {any} */ found) => { this.next = found; }}
            onClick=${() => go("")}>${t.short("Next customer")}</button>
          <a class="button button-quiet button-wide" href=${`#/sales/${sale.id}`}>${held ? t.short("Capture") : t.short("Slip")}</a>
        </div>
      </main>
    </div>`;
  }
}
