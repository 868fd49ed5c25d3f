// @ts-check
/** Sales of a day: those of the server's, and those that it does not have yet. */

import { icon } from "/static/look/icons.js";
import { Component, html } from "/static/phone/view.js";
import { formatMoment, formatMoney, t } from "/static/phone/words.js";
import { amountOf, isOpen, linesOf, madeAt, search, stateOf } from "../sale.js";
import { Frame, Problem, saying } from "./frame.js";
import { FACES, saleName, stateName } from "./states.js";

/** @typedef {import("./frame.js").Given} Props */
/** @typedef {{day: string, wanted: string, ids: string[], next: string|null, busy: boolean, error: string}} State */

const DAY_MS = 24 * 3_600_000;

/** @extends {Component<Props, State>} */
export class Sales extends Component {
  since = Date.now() - DAY_MS;

  /** @param {Props} props */
  constructor(props) {
    super(props);
    /** @type {State} */
    this.state = { day: props.till.shop?.day ?? "", wanted: "", ids: [], next: null, busy: false, error: "" };
  }

  componentDidMount() {
    void this.load(this.state.day);
  }

  /** @param {string} day @param {string|null} [cursor] */
  async load(day, cursor = null) {
    this.setState({ day, busy: true, error: "", ...(cursor ? {} : { ids: [], next: null }) });
    try {
      const { ids, next } = await this.props.till.sales.ofDay(day, cursor);
      this.since = this.props.till.network.now();
      if (this.state.day === day) this.setState({ ids: [...(cursor ? this.state.ids : []), ...ids], next, busy: false });
    } catch (error) {
      const text = this.props.till.network.offline ? t("Without a network you see what this till knows.") : saying(error);
      if (this.state.day === day) this.setState({ busy: false, error: text });
    }
  }

  /**
   * What the server told of the day; today also what this till has made since, or in the last day when it cannot ask.
   */
  listed() {
    const { till } = this.props;
    const { day, ids } = this.state;
    const today = day === till.shop?.day;
    const fresh = (/** @type {import("../sale.js").Sale} */ sale) =>
      !sale.sent || isOpen(stateOf(sale)) || (sale.mine && madeAt(sale) > this.since);
    return till.sales.newest().filter((sale) => ids.includes(sale.id) || (today && fresh(sale)));
  }

  /** @param {Props} props @param {State} state */
  render({ till, route }, { day, wanted, next, busy, error }) {
    const money = (/** @type {number} */ amount) => formatMoney(amount, { digits: till.shop?.currency.digits ?? 0 });
    const found = search(this.listed(), wanted, money);
    return html`<${Frame} till=${till} route=${route} title=${t("Sales")}>
      <div class="filters">
        <div class="field"><label for="search" class="visually-hidden">${t("Search")}</label>
          <input id="search" type="search" placeholder=${t("Number, amount, name, goods")} value=${wanted}
            onInput=${(/** @type {any} */ event) => this.setState({ wanted: event.target.value })} /></div>
        <div class="field"><label for="sales-day" class="visually-hidden">${t("Day")}</label>
          <input id="sales-day" type="date" value=${day} max=${till.shop?.day}
            onChange=${(/** @type {any} */ event) => event.target.value && void this.load(event.target.value)} /></div>
      </div>
      <${Problem} text=${error} />
      ${found.length > 0 && html`<ul class="list">${found.map((sale) => html`<${Row} key=${sale.id} sale=${sale} money=${money} />`)}</ul>`}
      ${!found.length && !busy && !error && html`<div class="empty">${icon("activity")}<p>${wanted ? t("Nothing was found.") : t("No sales on this day.")}</p></div>`}
      ${busy && !found.length && html`<p class="empty" role="status">${t("Reading the sales…")}</p>`}
      ${next && html`<button type="button" class="button button-quiet button-wide" disabled=${busy}
        onClick=${() => void this.load(day, next)}>${t.short("More")}</button>`}
    <//>`;
  }
}

/** @param {{sale: import("../sale.js").Sale, money: (amount: number) => string}} props */
function Row({ sale, money }) {
  const state = stateOf(sale);
  const [sign, tone] = FACES[state];
  const names = linesOf(sale).filter((line) => line.name).map((line) => (line.quantity > 1 ? `${line.quantity} ${line.name}` : line.name));
  const about = sale.view?.payer_name ?? names.join(", ");
  return html`<li><a class="row" href=${isOpen(state) ? `#/charge/${sale.id}` : `#/sales/${sale.id}`}>
    ${icon(sign, tone)}
    <span class="row-title">${saleName(sale)}${about && html` <bdi class="soft about">${about}</bdi>`}</span>
    <span class="row-note">${sale.view && `${formatMoment(madeAt(sale), "time")} · `}<span class=${tone}>${stateName(state)}</span></span>
    <span class="row-end amount">${money(amountOf(sale))}</span></a></li>`;
}
