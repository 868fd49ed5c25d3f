// @ts-check
/** What the shop sells: names, prices, and their order on the till. */

import { icon } from "/static/look/icons.js";
import { newId } from "/static/phone/bytes.js";
import { Component, html } from "/static/phone/view.js";
import { formatMoney, parseMoney, t } from "/static/phone/words.js";
import { Frame, Problem, saying } from "./frame.js";
import { Sheet } from "./sheet.js";

const NAME_SIZE_MAX = 60;

/** @typedef {import("../till.js").Goods} Piece */
/** @typedef {import("./frame.js").Given} Props */
/** @typedef {{editing: Piece|null, busy: boolean, error: string}} State */

/** @extends {Component<Props, State>} */
export class Goods extends Component {
  /** @type {State} */
  state = { editing: null, busy: false, error: "" };

  componentDidMount() {
    void this.run(() => this.props.till.loadGoods());
  }

  /** @param {() => Promise<void>} work */
  async run(work) {
    if (this.state.busy) return;
    this.setState({ busy: true, error: "" });
    try {
      await work();
      this.setState({ busy: false });
    } catch (error) {
      this.setState({ busy: false, error: saying(error) });
    }
  }

  add() {
    const { till } = this.props;
    const position = Math.max(0, ...till.goods.map((each) => each.position)) + 1;
    this.setState({ editing: { id: newId(till.network.now()), name: "", price: 0, unit: "", shown: true, position } });
  }

  /** Changes places with the neighbour. @param {number} index @param {number} step */
  async move(index, step) {
    const { till } = this.props;
    const order = [...till.goods];
    const [moved] = order.splice(index, 1);
    order.splice(index + step, 0, moved);
    for (const [position, each] of order.entries()) {
      if (each.position !== position) await putGoods(till, { ...each, position });
    }
  }

  /** @param {Props} props @param {State} state */
  render({ till, route }, { editing, busy, error }) {
    const { goods } = till;
    const digits = till.shop?.currency.digits ?? 0;
    return html`<${Frame} till=${till} route=${route} title=${t("Goods")}>
      <${Problem} text=${error} />
      ${!goods.length && html`<div class="empty">${icon("shop")}<p>${t("Goods that are sold often stand on the till, one tap away.")}</p></div>`}
      <ul class="list">${goods.map((each, index) => html`<li key=${each.id} class="goods-row">
        <button type="button" class="row row-plain" onClick=${() => this.setState({ editing: each, error: "" })}>
          <bdi class="row-title">${each.name}</bdi>
          ${noteOf(each) && html`<span class="row-note">${noteOf(each)}</span>`}
          <span class="row-end amount">${formatMoney(each.price, { digits })}</span></button>
        <button type="button" class="move" disabled=${busy || index === 0} aria-label=${t("Move %(name)s up", { name: each.name })}
          onClick=${() => void this.run(() => this.move(index, -1))}>${icon("back", "up")}</button>
        <button type="button" class="move" disabled=${busy || index === goods.length - 1} aria-label=${t("Move %(name)s down", { name: each.name })}
          onClick=${() => void this.run(() => this.move(index, 1))}>${icon("back", "down")}</button>
      </li>`)}</ul>
      <div class="low"><button type="button" class="button button-wide" onClick=${() => this.add()}>${icon("plus")}${t.short("Add goods")}</button></div>
      ${editing && html`<${GoodsSheet} till=${till} goods=${editing} onClose=${() => this.setState({ editing: null })} />`}
    <//>`;
  }
}

/**
 * Adds or changes goods. Throws Refusal, Unreachable, StorageError.
 * @param {import("../till.js").Till} till @param {Piece} changed
 */
async function putGoods(till, changed) {
  const { id, ...rest } = changed;
  try {
    await till.network.call("PUT", `/v1/till/goods/${id}`, { body: rest });
  } finally {
    till.goodsChanged += 1; // a list that was asked for before, and comes now, is old
  }
  await till.keepGoods([...till.goods.filter((each) => each.id !== id), changed]);
}

/** @param {Piece} goods */
const noteOf = ({ shown, unit }) => (shown ? unit && t("per %(unit)s", { unit }) : t("hidden"));

/** @typedef {{till: import("../till.js").Till, goods: Piece, onClose: () => void}} SheetProps */
/** @typedef {{name: string, price: string, unit: string, shown: boolean, busy: boolean, error: string}} SheetState */

/** @extends {Component<SheetProps, SheetState>} */
class GoodsSheet extends Component {
  /** @param {SheetProps} props */
  constructor(props) {
    super(props);
    const { name, price, unit, shown } = props.goods;
    const digits = props.till.shop?.currency.digits ?? 0;
    /** @type {SheetState} */
    this.state = { name, price: price ? formatMoney(price, { digits }) : "", unit, shown, busy: false, error: "" };
  }

  /** @param {Event} event */
  async save(event) {
    event.preventDefault();
    const { till, goods, onClose } = this.props;
    const { name, unit, shown } = this.state;
    const digits = till.shop?.currency.digits ?? 0;
    const price = parseMoney(this.state.price, { digits });
    if (!name.trim()) {
      this.setState({ error: t("Enter a name.") });
    } else if (price === null || price <= 0) {
      this.setState({ error: t("The price must be an amount, like %(example)s.", { example: formatMoney(1250, { digits }) }) });
    } else {
      this.setState({ busy: true, error: "" });
      try {
        await putGoods(till, { ...goods, name: name.trim(), price, unit: unit.trim(), shown });
        onClose();
      } catch (error) {
        this.setState({ busy: false, error: saying(error) });
      }
    }
  }

  /** @param {SheetProps} props @param {SheetState} state */
  render({ till, goods, onClose }, { name, price, unit, shown, busy, error }) {
    const priceLabel = t("Price in %(currency)s", { currency: till.shop?.currency.code });
    return html`<${Sheet} title=${goods.name || t("New goods")} onClose=${onClose}>
      <form onSubmit=${(/** @type {Event} */ event) => void this.save(event)}>
        <div class="field"><label for="goods-name">${t("Name")}</label><input id="goods-name" autocomplete="off" maxlength=${NAME_SIZE_MAX}
          value=${name} onInput=${(/** @type {any} */ event) => this.setState({ name: event.target.value })} /></div>
        <div class="field"><label for="goods-price">${priceLabel}</label>
          <input id="goods-price" inputmode="decimal" autocomplete="off" maxlength="16" value=${price}
            onInput=${(/** @type {any} */ event) => this.setState({ price: event.target.value })} /></div>
        <div class="field"><label for="goods-unit">${t("Unit (may stay empty)")}</label><input id="goods-unit" autocomplete="off" maxlength="16"
          value=${unit} placeholder=${t("kg, litre, hour")} onInput=${(/** @type {any} */ event) => this.setState({ unit: event.target.value })} /></div>
        <label class="choice"><input type="checkbox" checked=${shown}
          onChange=${(/** @type {any} */ event) => this.setState({ shown: event.target.checked })} />${t("Shown on the till")}</label>
        <${Problem} text=${error} />
        <button class="button button-wide" disabled=${busy}>${t.short("Save")}</button>
      </form>
    <//>`;
  }
}
