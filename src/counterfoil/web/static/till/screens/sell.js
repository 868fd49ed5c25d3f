// @ts-check
/** Ring up: an amount on the keypad, goods from the grid, and the total always in sight. */

import { icon } from "/static/look/icons.js";
import { StorageError } from "/static/phone/database.js";
import { Component, html } from "/static/phone/view.js";
import { formatMoney, n, t } from "/static/phone/words.js";
import { Cart } from "../cart.js";
import { amountOf } from "../sale.js";
import { Frame, Problem } from "./frame.js";
import { LineSheet, newPrice } from "./line.js";
import { keepFocus } from "./pin.js";
import { saleName } from "./states.js";

/** Goods above which a search field is worth its place. */
const SEARCH_FROM = 12;

/** @typedef {import("./frame.js").Given} Props */
/**
 * @typedef {{side: "amount"|"goods", editing: number|null, wanted: string, error: string}} State `side`: on narrow
 * screens, one of the two is shown
 */

/** What the clerk entered with last: the next customer is served the same way. @type {"amount"|"goods"} */
let lastSide = "amount";

/** @extends {Component<Props, State>} */
export class Sell extends Component {
  /** @type {State} */
  state = { side: lastSide, editing: null, wanted: "", error: "" };
  onKey = (/** @type {KeyboardEvent} */ event) => this.key(event);

  componentDidMount() {
    addEventListener("keydown", this.onKey);
  }

  componentWillUnmount() {
    removeEventListener("keydown", this.onKey);
  }

  get cart() {
    const { till } = this.props;
    return (till.cart ??= new Cart(/** @type {import("../till.js").Shop} */ (till.shop).currency));
  }

  /** @param {KeyboardEvent} event */
  key(event) {
    if (event.ctrlKey || event.altKey || event.metaKey || event.isComposing || document.querySelector("dialog[open]")) return;
    const target = /** @type {HTMLElement} */ (event.target);
    if (target.closest("input, textarea, select")) return;
    if (event.key === "Enter") {
      if (target.closest("button, a, summary")) return;
      void this.charge(false);
    } else if (event.key === "Escape") this.cart.entry = "";
    else if (/^[0-9]$/.test(event.key)) this.cart.press(event.key);
    else if (event.key === "." || event.key === ",") this.cart.press(".");
    else if (event.key === "Backspace") this.cart.press("back");
    else if (event.key === "+") this.cart.addTyped();
    else return;
    event.preventDefault();
    this.setState({});
  }

  /** @param {boolean} hold */
  async charge(hold) {
    const { till, go } = this.props;
    if (!this.cart.total() || this.ringing) return;
    this.ringing = true;
    try {
      const sale = await till.sales.charge({ hold });
      go(`charge/${sale.id}`);
    } catch (error) {
      if (!(error instanceof StorageError)) throw error;
      this.setState({ error: t("This sale cannot be kept on the device. Free some space, and charge again.") });
    } finally {
      this.ringing = false;
    }
  }

  /** @param {() => void} change */
  edit(change) {
    change();
    this.setState({});
  }

  /** @param {Props} props @param {State} state */
  render(props, { side, editing }) {
    const { till, route } = props;
    const waiting = till.sales.waiting();
    const goods = till.goods.filter((each) => each.shown);
    return html`<${Frame} till=${till} route=${route} title=${till.shop?.merchant.name ?? ""} wide>
      <div class=${`sell by-${goods.length ? side : "amount"}`}>
        <div class="sell-top">
          ${waiting.length > 0 && html`<${Waiting} till=${till} sales=${waiting} />`}
          ${goods.length > 0 && html`<div class="sides" role="group" aria-label=${t("How to enter")}>
            ${this.sideButton("amount", t.short("Amount"))}${this.sideButton("goods", t.short("Goods"))}</div>`}
        </div>
        <section class="sell-goods" aria-label=${t("Goods")}>${this.renderGoods(goods)}</section>
        <section class="sell-sale" aria-label=${t("This sale")}>${this.renderSale()}</section>
      </div>
      ${editing !== null && this.cart.lines[editing] && html`<${LineSheet} till=${till} cart=${this.cart} index=${editing}
        onClose=${() => this.setState({ editing: null })} />`}
    <//>`;
  }

  /** @param {"amount"|"goods"} side @param {string} words */
  sideButton(side, words) {
    return html`<button type="button" class="chip" aria-pressed=${String(this.state.side === side)}
      onClick=${() => this.setState({ side: lastSide = side })}>${words}</button>`;
  }

  /** @param {import("../till.js").Goods[]} goods */
  renderGoods(goods) {
    const { till } = this.props;
    const wanted = this.state.wanted.trim().toLocaleLowerCase();
    const found = wanted ? goods.filter((each) => each.name.toLocaleLowerCase().includes(wanted)) : goods;
    if (!goods.length) {
      return html`<div class="empty">${icon("basket")}<p>${t("No goods yet. Amounts can be entered all the same.")}</p>
        ${till.people.may("goods") && html`<a class="button button-quiet" href="#/goods">${t.short("Add goods")}</a>`}</div>`;
    }
    return html`
      ${goods.length > SEARCH_FROM && html`<div class="field search"><label class="visually-hidden" for="wanted">${t("Search the goods")}</label>
        <input id="wanted" type="search" placeholder=${t("Search the goods")} value=${this.state.wanted}
          onInput=${(/** @type {any} */ event) => this.setState({ wanted: event.target.value })} /></div>`}
      <ul class="grid">${found.map((each) => {
        const count = this.cart.quantityOf(each.id);
        return html`<li key=${each.id}><button type="button" class=${count ? "taken" : ""} onPointerDown=${keepFocus}
          onClick=${() => this.edit(() => this.cart.add({ goods: each.id, name: each.name, price: each.price }))}>
          <bdi class="goods-name">${each.name}</bdi>
          <span class="goods-foot"><span class="amount soft">${this.money(each.price)}${each.unit && ` / ${each.unit}`}</span>
            ${count > 0 && html`<span class="count"><span class="visually-hidden">${t("in this sale:")} </span>${count}</span>`}</span>
        </button></li>`;
      })}</ul>
      ${!found.length && html`<p class="empty">${t("Nothing is called like that.")}</p>`}`;
  }

  renderSale() {
    const { cart } = this;
    const total = cart.total();
    const { till } = this.props;
    return html`
      <div class="total">
        <span class="soft" id="total-label">${cart.pieces() ? n("%(count)s piece", "%(count)s pieces", cart.pieces()) : t("Total")}</span>
        <output class="amount amount-large" aria-labelledby="total-label" aria-live="polite">${this.money(total)}
          <small> ${cart.currency.code}</small></output>
        ${cart.entry && cart.lines.length > 0 && html`<span class="soft entry">${t("with %(amount)s typed", { amount: shownEntry(cart.entry) })}</span>`}
      </div>
      ${cart.lines.length > 0 && html`<ol class="list lines">${cart.lines.map((line, index) => html`<li key=${index}>
        <button type="button" class="row row-plain" onClick=${() => this.setState({ editing: index })}>
          <bdi class="row-title">${line.name || t("Amount")}</bdi>
          <span class="row-note amount">${line.quantity} × ${this.money(line.price)}${newPrice(till, line) !== null && html` <span class="wait">${
            t("now %(price)s", { price: this.money(newPrice(till, line) ?? 0) })}</span>`}</span>
          <span class="row-end amount">${this.money(line.price * line.quantity)}</span>
        </button></li>`)}</ol>`}
      <${Problem} text=${this.state.error} />
      <div class="low sell-keys">
        ${this.renderKeys()}
        <div class="charge-row">
          <button type="button" class="button button-quiet" disabled=${!total || !till.people.may("sell")} onClick=${() => void this.charge(true)}>
            ${t.short("Hold")}</button>
          <button type="button" class="button charge" disabled=${!total || !till.people.may("sell")} onClick=${() => void this.charge(false)}>
            ${t.short("Charge")} <span class="amount">${total > 0 && this.money(total)}</span></button>
        </div>
      </div>`;
  }

  renderKeys() {
    const { cart } = this;
    const key = (/** @type {string} */ each, /** @type {any} */ face = each, label = "") => html`<button type="button"
      aria-label=${label || null} onPointerDown=${keepFocus} onClick=${() => this.edit(() => cart.press(each))}>${face}</button>`;
    const decimal = t("Decimal sign");
    return html`<div class="keypad keypad-sell" role="group" aria-label=${t("Keypad")}>
      ${["1", "2", "3"].map((each) => key(each))}${key("back", icon("erase"), t("Delete the last digit"))}
      ${["4", "5", "6"].map((each) => key(each))}
      <button type="button" aria-label=${t("Clear this sale")} disabled=${!cart.total()} onPointerDown=${keepFocus}
        onClick=${() => this.edit(() => cart.clear())}>C</button>
      ${["7", "8", "9"].map((each) => key(each))}
      <button type="button" class="tall" aria-label=${t("Add the amount as a line")} disabled=${!cart.typed()} onPointerDown=${keepFocus}
        onClick=${() => this.edit(() => cart.addTyped())}>+</button>
      ${key("0")}${key("00")}${cart.currency.digits ? key(".", decimalSign(), decimal) : html`<span />`}
    </div>`;
  }

  /** @param {number} amount */
  money(amount) {
    return formatMoney(amount, { digits: this.cart.currency.digits });
  }
}

/**
 * The sales that wait to be paid, one tap away.
 * @param {{till: import("../till.js").Till, sales: import("../sale.js").Sale[]}} props
 */
function Waiting({ till, sales }) {
  return html`<nav class="waiting" aria-label=${t("Waiting to be paid")}><ul class="chips">${sales.map((sale) => html`<li key=${sale.id}>
    <a class="chip" href=${`#/charge/${sale.id}`}>${icon("wait")}${saleName(sale)}
      <span class="amount">${formatMoney(amountOf(sale), { digits: till.shop?.currency.digits ?? 0 })}</span></a></li>`)}</ul></nav>`;
}

/** "." or "," as the language writes it. */
const decimalSign = () => formatMoney(5, { digits: 1 }).replace(/\p{Nd}/gu, "");

/** @param {string} entry */
const shownEntry = (entry) => entry.replace(".", decimalSign());
