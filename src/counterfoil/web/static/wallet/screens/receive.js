// @ts-check
/** Be paid: one's own code, with or without amount and note, a link to send, and the moment when the money is there. */

import { icon } from "/static/look/icons.js";
import { write } from "/static/phone/emv.js";
import { Component, html } from "/static/phone/view.js";
import { language, t } from "/static/phone/words.js";
import { Field, Form, Screen, money } from "../frame.js";
import { AmountPad, Code, share } from "./parts.js";

/** @extends {Component<import("../frame.js").ScreenProps, {amount: number|null, draft: number|null, memo: string, asking: boolean, received: any, told: string}>} */
export default class Receive extends Component {
  /** @type {any} */
  state = { amount: null, draft: null, memo: "", asking: false, received: null, told: "" };

  componentDidMount() {
    this.props.wallet.addEventListener("received", this.received);
  }

  componentWillUnmount() {
    this.props.wallet.removeEventListener("received", this.received);
  }

  received = (/** @type {any} */ event) => this.setState({ received: event.detail });

  address() {
    const { account, identity } = this.props.wallet;
    return account?.merchant_code ?? (account?.handle ? `@${account.handle}` : identity?.number ?? "");
  }

  link() {
    const { amount, memo } = this.state;
    const { digits = 2 } = this.props.wallet.scheme?.currency ?? {};
    const url = new URL(`/pay/${encodeURIComponent(this.address())}`, location.origin);
    if (amount) url.searchParams.set("amount", (amount / 10 ** digits).toFixed(digits));
    if (memo) url.searchParams.set("memo", memo);
    return url.href;
  }

  share = async () => {
    const { wallet } = this.props;
    const { amount } = this.state;
    const title = amount ? t("Pay me %(amount)s", { amount: money(wallet, amount) }) : t("Pay me");
    const done = await share({ title, url: this.link() });
    if (done === "copied") this.setState({ told: t("The link was copied.") });
  };

  render() {
    const { wallet } = this.props;
    const { amount, draft, memo, asking, received, told } = this.state;
    const { identity, account, scheme } = wallet;
    if (received) {
      return html`<${Screen} wallet=${wallet} title=${t("Received")} key="received">
        <section class="outcome" role="status" data-state="received">
          <span class="outcome-sign good">${icon("done")}</span>
          <h2 class="good">${t("Paid")}</h2>
          <span class="amount amount-large">${money(wallet, received.amount)}</span>
          <p>${received.name ? t("From %(name)s", { name: received.name }) : ""}</p>
        </section>
        <div class="low">
          ${received.payment ? html`<a class="button button-quiet button-wide" href=${`#/payment/${received.payment}`}>${icon("activity")}${t("Receipt")}</a>` : null}
          <button class="button button-wide" onClick=${() => this.setState({ received: null })}>${t("Show my code")}</button>
        </div></${Screen}>`;
    }
    if (asking) {
      return html`<${Screen} wallet=${wallet} title=${t("Amount and note")} key="asking">
        <${Form} wallet=${wallet} label=${t("Show the code")} act=${(/** @type {any} */ values) => this.setState({ asking: false, amount: draft, memo: values.memo.trim() })}>
          <${AmountPad} wallet=${wallet} amount=${amount} label=${t("Amount")} onAmount=${(/** @type {any} */ now) => this.setState({ draft: now })} />
          <${Field} label=${t("Note (both of you see it)")} name="memo" input=${{ maxlength: 25, defaultValue: memo }} />
        </${Form}></${Screen}>`;
    }
    const text = identity && scheme
      ? write({
        scheme: scheme.mark, currency: scheme.currency.numeric, digits: scheme.currency.digits, country: scheme.region,
        language: language(), account: identity.account, address: this.address(), name: account?.name ?? identity.name, amount, memo,
      })
      : "";
    return html`<${Screen} wallet=${wallet} title=${t.short("Receive")} key="code">
      <p class="center payee"><bdi>${account?.name ?? identity?.name}</bdi></p>
      ${amount ? html`<span class="amount amount-large center">${money(wallet, amount)}</span>` : null}
      ${memo ? html`<p class="center"><bdi>${memo}</bdi></p>` : null}
      <${Code} text=${text} label=${t("My code, for others to scan")} />
      <p class="center soft" role="status">${told || t("It says “paid” here as soon as the money is yours.")}</p>
      <div class="low">
        <button type="button" class="button button-quiet button-wide" onClick=${() => this.setState({ asking: true, draft: amount })}>
          ${icon("edit")}${amount || memo ? t("Change amount or note") : t("With amount or note")}</button>
        <button type="button" class="button button-quiet button-wide" onClick=${this.share}>${icon("share")}${t("Send a link")}</button>
      </div>
    </${Screen}>`;
  }
}
