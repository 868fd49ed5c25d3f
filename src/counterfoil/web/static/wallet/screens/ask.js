// @ts-check
/** Ask somebody for money: whom, how much, what for; and what was asked before. */

import { Component, html } from "/static/phone/view.js";
import { t } from "/static/phone/words.js";
import { Field, Form, Mark, Screen, bare, go, shortly } from "../frame.js";
import { AmountPad, Find } from "./parts.js";

/** How a request stands, in a word. @param {string} state @returns {string} */
export function requestState(state) {
  return /** @type {Record<string, string>} */ ({
    open: t("open"), paid: t("paid"), declined: t("declined"), cancelled: t("taken back"), expired: t("run out"),
  })[state] ?? state;
}

/** @extends {Component<import("../frame.js").ScreenProps, {payer: any, amount: number|null}>} */
export default class Ask extends Component {
  /** @type {any} */
  state = { payer: null, amount: null };

  componentDidMount() {
    const known = this.props.wallet.contacts.find(({ account }) => account === this.props.query.get("account"));
    if (known) this.setState({ payer: known });
  }

  /** @param {Record<string, string>} values */
  ask = async ({ memo }) => {
    const { payer, amount } = this.state;
    const asked = await this.props.wallet.ask({ payer: payer.account, amount, memo: memo.trim() });
    go(`/request/${asked.id}`, { replace: true });
  };

  render() {
    const { wallet } = this.props;
    const { payer, amount } = this.state;
    if (payer) {
      return html`<${Screen} wallet=${wallet} title=${t("Ask for money")} key="amount">
        <${Form} wallet=${wallet} label=${t.short("Ask")} disabled=${!amount} act=${this.ask}>
          <p class="to">${t("From %(name)s", { name: payer.name })}</p>
          <${AmountPad} wallet=${wallet} amount=${amount} label=${t("Amount")} onAmount=${(/** @type {any} */ now) => this.setState({ amount: now })} />
          <${Field} label=${t("What for (both of you see it)")} name="memo" input=${{ maxlength: 80 }} />
        </${Form}></${Screen}>`;
    }
    const mine = wallet.requests.filter((each) => each.payee === wallet.identity?.account).slice(0, 10);
    return html`<${Screen} wallet=${wallet} title=${t("Ask for money")} key="whom">
      <${Find} wallet=${wallet} label=${t("Whom do you ask?")} onFound=${(/** @type {any} */ found) => this.setState({ payer: found })} />
      ${mine.length
        ? html`<h2>${t("Asked before")}</h2><ul class="list">${mine.map((each) => html`<li><a class="row" href=${`#/request/${each.id}`}>
            <${Mark} name=${each.payer_name} /><span class="row-title"><bdi>${each.payer_name || t("anybody")}</bdi></span>
            <span class="row-note">${[requestState(each.state), each.memo].filter(Boolean).join(" · ")}</span>
            <span class="row-end"><span class="amount">${each.amount === null ? "" : bare(wallet, each.amount)}</span>
            <span class="row-note">${shortly(each.created_at)}</span></span></a></li>`)}</ul>`
        : null}
    </${Screen}>`;
  }
}
