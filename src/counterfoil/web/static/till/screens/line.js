// @ts-check
/** One line of the sale: how many, at which price. The price is changed only by who has the right to change goods. */

import { icon } from "/static/look/icons.js";
import { Component, html } from "/static/phone/view.js";
import { formatMoney, parseMoney, t } from "/static/phone/words.js";
import { Sheet } from "./sheet.js";

/**
 * @typedef {{till: import("../till.js").Till, cart: import("../cart.js").Cart, index: number, onClose: () => void}}
 * Props
 */
/** @typedef {{quantity: string, price: string, error: string}} State */

/** @extends {Component<Props, State>} */
export class LineSheet extends Component {
  /** @param {Props} props */
  constructor(props) {
    super(props);
    const line = props.cart.lines[props.index];
    /** @type {State} */
    this.state = { quantity: String(line.quantity), price: this.money(line.price), error: "" };
  }

  /** @param {number} amount */
  money(amount) {
    return formatMoney(amount, { digits: this.props.cart.currency.digits });
  }

  /** @param {number} step */
  step(step) {
    const quantity = Math.max(1, Math.min(999, (Number(this.state.quantity) || 0) + step));
    this.setState({ quantity: String(quantity) });
  }

  /** @param {Event} event */
  save(event) {
    event.preventDefault();
    const { cart, index, onClose, till } = this.props;
    const quantity = Number(this.state.quantity);
    const price = till.people.may("goods") ? parseMoney(this.state.price, cart.currency) : cart.lines[index].price;
    if (!Number.isInteger(quantity) || quantity < 0 || quantity > 999) {
      this.setState({ error: t("The quantity must be a whole number up to 999.") });
    } else if (price === null || price <= 0) {
      this.setState({ error: t("The price must be an amount, like %(example)s.", { example: this.money(1250) }) });
    } else {
      cart.change(index, { quantity, price });
      onClose();
    }
  }

  /** @param {number} price what the goods cost now */
  renew(price) {
    this.props.cart.change(this.props.index, { price });
    this.props.onClose();
  }

  remove() {
    this.props.cart.change(this.props.index, { quantity: 0 });
    this.props.onClose();
  }

  /** @param {Props} props @param {State} state */
  render({ till, cart, index, onClose }, { quantity, price, error }) {
    const line = cart.lines[index];
    const renewed = newPrice(till, line);
    return html`<${Sheet} title=${line.name || t("Amount")} onClose=${onClose}>
      <form onSubmit=${(/** @type {Event} */ event) => this.save(event)}>
        <div class="field"><label for="quantity">${t("Quantity")}</label>
          <div class="stepper">
            <button type="button" class="button button-quiet" aria-label=${t("One less")} onClick=${() => this.step(-1)}>${icon("minus")}</button>
            <input id="quantity" inputmode="numeric" autocomplete="off" maxlength="3" value=${quantity} aria-describedby="line-error"
              onInput=${(/** @type {any} */ event) => this.setState({ quantity: event.target.value.trim() })} />
            <button type="button" class="button button-quiet" aria-label=${t("One more")} onClick=${() => this.step(1)}>${icon("plus")}</button>
          </div></div>
        <div class="field"><label for="price">${t("Price")}</label>
          <input id="price" inputmode="decimal" autocomplete="off" maxlength="16" value=${price} readonly=${!till.people.may("goods")}
            aria-describedby="line-error price-hint" onInput=${(/** @type {any} */ event) => this.setState({ price: event.target.value })} />
          ${!till.people.may("goods") && html`<p class="hint" id="price-hint">${t("You may not change prices.")}</p>`}</div>
        <p class="error bad" id="line-error" role="alert">${error}</p>
        <button class="button button-wide">${t.short("Done")}</button>
        ${renewed !== null && html`<button type="button" class="button button-quiet button-wide" onClick=${() => this.renew(renewed)}>
          ${t("Take the new price, %(price)s", { price: this.money(renewed) })}</button>`}
        <button type="button" class="button button-danger button-wide" onClick=${() => this.remove()}>${icon("remove")}${t.short("Remove")}</button>
      </form>
    <//>`;
  }
}

/**
 * What the goods of a line cost now, when that is not what the line says.
 * @param {import("../till.js").Till} till @param {import("../cart.js").Line} line
 */
export function newPrice(till, line) {
  const goods = line.goods && till.goods.find((each) => each.id === line.goods);
  return goods && goods.price !== line.price ? goods.price : null;
}
