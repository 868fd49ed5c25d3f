// @ts-check
/** One request for money: to pay it or say no; or, when it is one's own, how it stands. */

import { icon } from "/static/look/icons.js";
import { Component, html } from "/static/phone/view.js";
import { t } from "/static/phone/words.js";
import { Form, Screen, money, when } from "../frame.js";
import { problemText } from "../problems.js";
import { requestState } from "./ask.js";
import { untilReached } from "./parts.js";

/** `asked`: the request, where it is not among those that the phone has. @extends {Component<import("../frame.js").ScreenProps, {asked: any, problem: string}>} */
export default class Request extends Component {
  /** @type {any} */
  state = { asked: null, problem: "" };

  /** @type {ReturnType<typeof untilReached>|undefined} */
  loading = undefined;

  componentDidMount() {
    if (!this.known()) this.loading = untilReached(() => this.load(), (error) => this.setState({ problem: problemText(error, this.props.wallet) }));
  }

  componentWillUnmount() {
    this.loading?.stop();
  }

  known() {
    return this.props.wallet.requests.find(({ id }) => id === this.props.parts[0]);
  }

  async load() {
    this.setState({ asked: await this.props.wallet.request(this.props.parts[0]) });
  }

  /** @param {Promise<any>} ended */
  async after(ended) {
    this.setState({ asked: { ...this.state.asked, ...(await ended) } });
  }

  render() {
    const { wallet } = this.props;
    const { problem } = this.state;
    const asked = this.known() ?? this.state.asked;
    if (!asked) {
      return html`<${Screen} wallet=${wallet} title=${t("Request")}><p class="empty" role="status">${problem || t("One moment …")}</p></${Screen}>`;
    }
    const mine = asked.payee === wallet.identity?.account;
    const open = asked.state === "open";
    const cashIn = asked.cash_in;
    const name = mine ? asked.payer_name || t("anybody") : asked.payee_name;
    const words = cashIn
      ? mine ? t("You bring cash to %(name)s", { name }) : t("%(name)s brings you cash", { name })
      : mine ? t("You ask %(name)s for", { name }) : t("%(name)s asks you for", { name });
    return html`<${Screen} wallet=${wallet} title=${cashIn ? t("Cash in") : t("Request")}>
      <section class="stub" data-state=${asked.state}>
        <p>${words}</p>
        <span class="amount amount-large">${asked.amount === null ? t("as much as you like") : money(wallet, asked.amount)}</span>
        ${asked.memo ? html`<p><bdi>${asked.memo}</bdi></p>` : null}
        <hr class="tear" />
        <dl class="facts">
          <dt>${t("State")}</dt><dd><strong role="status">${requestState(asked.state)}</strong></dd>
          <dt>${t("Asked")}</dt><dd>${when(asked.created_at)}</dd>
          ${open ? html`<dt>${t("Runs out")}</dt><dd>${when(asked.expires_at)}</dd>` : null}
        </dl>
      </section>
      ${cashIn && mine && open ? html`<p>${t("Hand over the cash, then wait here until it says paid. Do not go before.")}</p>` : null}
      ${cashIn && !mine && open ? html`<p>${t("Count the cash first. Then pay it in.")}</p>` : null}
      <div class="low">
        ${open && !mine
          ? html`<a class="button button-wide" href=${`#/pay?request=${asked.id}`}>${cashIn ? t("Pay it in") : t.short("Pay")}</a>
            <${Form} wallet=${wallet} look="button-quiet button-wide" label=${t("Say no")} act=${() => this.after(wallet.decline(asked.id))} />`
          : null}
        ${open && mine
          ? html`<${Form} wallet=${wallet} look="button-quiet button-wide" label=${t("Take it back")} act=${() => this.after(wallet.cancel(asked.id))} />`
          : null}
        ${asked.paid_by ? html`<a class="button button-quiet button-wide" href=${`#/payment/${asked.paid_by}`}>${icon("activity")}${t("Receipt")}</a>` : null}
      </div>
    </${Screen}>`;
  }
}
