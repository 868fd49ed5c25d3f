// @ts-check
/** Cash in and cash out at an agent: both sides sign, whoever hands over the cash is sure first. */

import { icon } from "/static/look/icons.js";
import { Component, html } from "/static/phone/view.js";
import { t } from "/static/phone/words.js";
import { Form, Screen, go } from "../frame.js";
import { AmountPad, Find } from "./parts.js";

/** @extends {Component<import("../frame.js").ScreenProps, {agent: any, amount: number|null, bring: boolean}>} */
export default class Cash extends Component {
  /** @type {any} */
  state = { agent: null, amount: null, bring: false };

  ask = async () => {
    const { agent, amount } = this.state;
    const asked = await this.props.wallet.ask({ payer: agent.account, amount, memo: "", cashIn: true });
    go(`/request/${asked.id}`, { replace: true });
  };

  render() {
    const { wallet } = this.props;
    const { agent, amount, bring } = this.state;
    if (agent) {
      return html`<${Screen} wallet=${wallet} title=${t("Cash in")} key="amount">
        <${Form} wallet=${wallet} label=${t("Ask the agent")} disabled=${!amount} act=${this.ask}>
          <p class="to">${t("Agent: %(name)s", { name: agent.name })}</p>
          <${AmountPad} wallet=${wallet} amount=${amount} label=${t("Amount")} onAmount=${(/** @type {any} */ now) => this.setState({ amount: now })} />
        </${Form}></${Screen}>`;
    }
    if (bring) {
      return html`<${Screen} wallet=${wallet} title=${t("Cash in")} key="agent">
        <p>${t("Choose the agent in front of you. They are asked first, and pay it in when they have your cash.")}</p>
        <${Find} wallet=${wallet} label=${t("The agent’s number or code")} kind="agent" onFound=${(/** @type {any} */ found) => {
          if (found.kind && found.kind !== "agent") throw t("%(name)s is no agent.", { name: found.name });
          this.setState({ agent: found });
        }} /></${Screen}>`;
    }
    const agentSelf = wallet.account?.kind === "agent";
    return html`<${Screen} wallet=${wallet} title=${t.short("Cash")} key="which">
      ${agentSelf
        ? html`<p>${t("As an agent you answer what customers ask: it stands on the first screen, under requests and under what is kept for you.")}</p>`
        : html`<ul class="list">
          <li><button type="button" class="row" onClick=${() => this.setState({ bring: true })}>${icon("receive")}
            <span class="row-title">${t("Cash in")}</span><span class="row-note">${t("You hand over cash, and it is in your account.")}</span><span class="row-end">${icon("next", "soft")}</span></button></li>
          <li><a class="row" href="#/pay?cash=out&hold=1">${icon("pay")}
            <span class="row-title">${t("Cash out")}</span><span class="row-note">${t("An amount is kept for the agent, who takes it when you have the cash.")}</span><span class="row-end">${icon("next", "soft")}</span></a></li>
        </ul>`}
    </${Screen}>`;
  }
}
