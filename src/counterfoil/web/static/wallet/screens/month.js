// @ts-check
/** A month in figures: what came in, what went out and to whom, and its statement as a file. */

import { icon } from "/static/look/icons.js";
import { Component, html } from "/static/phone/view.js";
import { t } from "/static/phone/words.js";
import { Screen, bare, money } from "../frame.js";
import { problemText } from "../problems.js";
import { monthName, monthOf } from "./activity.js";
import { entryKind } from "./home.js";
import { save, untilReached } from "./parts.js";

/** @extends {Component<import("../frame.js").ScreenProps, {month: any, problem: string, saving: string}>} */
export default class Month extends Component {
  /** @type {any} */
  state = { month: null, problem: "", saving: "" };

  /** @type {ReturnType<typeof untilReached>|undefined} */
  loading = undefined;

  componentDidMount() {
    this.loading = untilReached(() => this.load(), (error) => this.setState({ problem: problemText(error, this.props.wallet) }));
  }

  componentWillUnmount() {
    this.loading?.stop();
  }

  async load() {
    this.setState({ month: await this.props.wallet.month(this.props.parts[0]), problem: "" });
  }

  /** @param {"csv"|"pdf"} form */
  async statement(form) {
    const { wallet, parts } = this.props;
    this.setState({ saving: form, problem: "" });
    try {
      save(await wallet.statement(parts[0], form), `${wallet.scheme?.name ?? "counterfoil"}-${parts[0]}.${form}`);
      this.setState({ saving: "" });
    } catch (error) {
      this.setState({ saving: "", problem: problemText(error, wallet) });
    }
  }

  render() {
    const { wallet, parts } = this.props;
    const { month, problem, saving } = this.state;
    const [before, after] = [-1, 1].map((step) => {
      const date = new Date(Number(parts[0].slice(0, 4)), Number(parts[0].slice(5)) - 1 + step, 15);
      return monthOf(date.getTime());
    });
    const last = after > monthOf(Date.now());
    const scheme = wallet.scheme?.name ?? "Counterfoil";
    const whose = month ? [...month.by_counterparty.map((/** @type {any} */ each) => ({ ...each, name: each.name ?? scheme })), { ...month.others, name: t("others") }] : [];
    return html`<${Screen} wallet=${wallet} title=${monthName(parts[0])}>
      <p class="months">
        <a class="link" href=${`#/month/${before}`}>${icon("back")}<span class="visually-hidden">${t("Month before")}: </span>${monthName(before)}</a>
        ${last ? null : html`<a class="link" href=${`#/month/${after}`}><span class="visually-hidden">${t("Month after")}: </span>${monthName(after)}${icon("next")}</a>`}
      </p>
      ${problem ? html`<div class="notice notice-wait" role="alert">${problem}</div>` : null}
      ${month
        ? html`<section class="stub">
            <dl class="facts">
              <dt>${t("At the beginning")}</dt><dd class="amount">${money(wallet, month.opening)}</dd>
              <dt>${t("In")}</dt><dd class="amount in">${bare(wallet, month.in, { sign: true })}</dd>
              <dt>${t("Out")}</dt><dd class="amount">${bare(wallet, -month.out)}</dd>
              <dt>${t("of it fees")}</dt><dd class="amount">${bare(wallet, month.fees)}</dd>
            </dl><hr class="tear" />
            <dl class="facts"><dt>${t("At the end")}</dt><dd class="amount"><strong>${money(wallet, month.closing)}</strong></dd></dl>
          </section>
          <${Bars} wallet=${wallet} title=${t("Where it went")} lines=${whose.map((each) => ({ name: each.name, amount: each.out }))} />
          <${Bars} wallet=${wallet} title=${t("Where it came from")} lines=${whose.map((each) => ({ name: each.name, amount: each.in }))} />
          <${Bars} wallet=${wallet} title=${t("By kind")} lines=${month.by_kind.map((/** @type {any} */ each) => ({ name: entryKind({ code: each.kind, change: 1 }), amount: each.out + each.in }))} />`
        : problem ? null : html`<p class="empty" aria-busy="true">${t("One moment …")}</p>`}
      <h2>${t("Statement")}</h2>
      <div class="buttons">
        <button type="button" class="button button-quiet" disabled=${saving} onClick=${() => this.statement("pdf")}>${icon("download")}PDF</button>
        <button type="button" class="button button-quiet" disabled=${saving} onClick=${() => this.statement("csv")}>${icon("download")}CSV</button>
      </div>
    </${Screen}>`;
  }
}

/** @param {{wallet: import("../wallet.js").Wallet, title: string, lines: {name: string, amount: number}[]}} props */
const Bars = ({ wallet, title, lines }) => {
  const shown = lines.filter(({ amount }) => amount > 0).sort((a, b) => b.amount - a.amount);
  if (!shown.length) return null;
  const most = shown[0].amount;
  return html`<h2>${title}</h2><ul class="bars">${shown.map(({ name, amount }) => html`<li>
    <span><bdi>${name}</bdi></span><span class="amount">${bare(wallet, amount)}</span>
    <span class="bar-line" style=${`inline-size:${Math.max((100 * amount) / most, 1)}%`} aria-hidden="true" /></li>`)}</ul>`;
};
