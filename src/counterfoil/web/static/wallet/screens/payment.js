// @ts-check
/** One payment: its receipt, the check of it on this phone, and what can still be done with it. */

import { icon } from "/static/look/icons.js";
import { Component, html } from "/static/phone/view.js";
import { t } from "/static/phone/words.js";
import { Form, Screen, go, money, when } from "../frame.js";
import { problemText } from "../problems.js";
import { AmountPad, share, untilReached } from "./parts.js";
import { entryKind } from "./home.js";
import { Check } from "./check.js";

/** @extends {Component<import("../frame.js").ScreenProps, {receipt: any, problem: string, doing: ""|"refund"|"capture", amount: number|null, told: string}>} */
export default class Payment extends Component {
  /** @type {any} */
  state = { receipt: null, problem: "", doing: "", amount: null, told: "" };
  id = this.props.parts[0];

  /** @type {ReturnType<typeof untilReached>|undefined} */
  loading = undefined;

  componentDidMount() {
    this.loading = untilReached(() => this.load(), (error) => this.setState({ problem: problemText(error, this.props.wallet) }));
  }

  componentWillUnmount() {
    this.loading?.stop();
  }

  async load() {
    const { wallet } = this.props;
    if (this.id.startsWith("entry-")) return;
    const receipt = await wallet.receipt(this.id);
    this.setState({ receipt, problem: "" });
    // Its name stands in the history, which may go further back on the server.
    if (!wallet.entriesOf(this.id).length) await wallet.findEntries(receipt.receipt).catch(() => {});
  }

  share = async () => {
    const { wallet } = this.props;
    try {
      const shared = await wallet.shareReceipt(this.id);
      if (!shared) return this.setState({ told: t("The log has no proof of it yet. Try again in a minute.") });
      const done = await share({ title: t("Receipt"), file: shared });
      if (done === "saved") this.setState({ told: t("The receipt was saved as a file. Anybody can check it.") });
    } catch (error) {
      this.setState({ told: problemText(error, wallet) });
    }
  };

  /** @param {Promise<any>} kept */
  async after(kept) {
    go(`/out/${(await kept).id}`, { replace: true });
  }

  render() {
    const { wallet } = this.props;
    const { receipt, problem, doing, amount, told } = this.state;
    const me = wallet.identity?.account;
    const entries = wallet.entriesOf(this.id.replace("entry-", ""));
    const entry = entries.find(({ code }) => code !== "fee" && code !== "fee_refund") ?? entries[0];
    const hold = wallet.holds.find(({ id }) => id === this.id);
    const view = hold ?? receipt?.receipt;
    if (!entry && !view) {
      const text = problem || (this.id.startsWith("entry-") ? t("This entry is not on this phone. Look for it among the activity.") : t("One moment …"));
      return html`<${Screen} wallet=${wallet} title=${t("Receipt")}><p class="empty">${text}</p></${Screen}>`;
    }
    const incoming = view?.payee ? view.payee === me : entry.change > 0;
    const other = wallet.contacts.find(({ account }) => account === (incoming ? view?.payer : view?.payee));
    const name = entry?.counterparty_name ?? hold?.counterparty_name ?? other?.name ?? "";
    const total = view?.amount ?? Math.abs(entry.change || entry.set_aside);
    const held = view?.kind === "hold" && view.state === "held";
    if (doing) {
      return html`<${Screen} wallet=${wallet} title=${doing === "refund" ? t("Pay back") : t("Take")} key=${doing}>
        <${Form} wallet=${wallet} disabled=${!amount || amount > total} label=${doing === "refund" ? t("Pay back") : t("Take")}
            act=${() => this.after(doing === "refund" ? wallet.refund(view, amount) : wallet.capture(view, amount))}>
          <p class="to">${doing === "refund" ? t("To %(name)s", { name }) : t("From %(name)s", { name })}</p>
          <${AmountPad} wallet=${wallet} amount=${total} label=${t("Amount")} onAmount=${(/** @type {any} */ now) => this.setState({ amount: now })} />
          <p class="hint small soft">${t("At most %(amount)s", { amount: money(wallet, total) })}</p>
        </${Form}></${Screen}>`;
    }
    const business = wallet.account && wallet.account.kind !== "customer";
    return html`<${Screen} wallet=${wallet} title=${t("Receipt")} key="receipt"
        end=${receipt ? html`<button type="button" aria-label=${t("Share the receipt")} onClick=${this.share}>${icon("share")}</button>` : null}>
      <section class="stub" data-state=${view?.state}>
        <p class="soft">${stateWords(view, incoming) || entryKind(entry)}</p>
        ${name || entry ? html`<p class="payee"><bdi>${name || entryKind(entry)}</bdi></p>` : null}
        <span class=${`amount amount-large ${incoming ? "in" : "out"}`}>${money(wallet, incoming ? total : -total, { sign: true })}</span>
        ${view?.memo ?? entry?.memo ? html`<p><bdi>${view?.memo ?? entry?.memo}</bdi></p>` : null}
        <hr class="tear" />
        <dl class="facts">
          <dt>${t("When")}</dt><dd>${when(view?.completed_at ?? entry.at)}</dd>
          ${view?.fee && (view.fee_paid_by === "payee") === incoming ? html`<dt>${t("Fee")}</dt><dd class="amount">${money(wallet, view.fee)}</dd>` : null}
          ${held && view.expires_at ? html`<dt>${t("Kept until")}</dt><dd>${when(view.expires_at)}</dd>` : null}
          ${view?.balance !== undefined && view.account === me ? html`<dt>${t("Balance after it")}</dt><dd class="amount">${money(wallet, view.balance)}</dd>` : null}
        </dl>
      </section>
      ${problem ? html`<div class="notice notice-wait" role="alert">${problem}</div>` : null}
      <p role="status" class="soft">${told}</p>
      ${this.id.startsWith("entry-") ? null : html`<${Check} wallet=${wallet} payment=${this.id} />`}
      <div class="low">
        ${held && incoming
          ? html`<button type="button" class="button button-wide" onClick=${() => this.setState({ doing: "capture", amount: total })}>${t("Take the money")}</button>
            <${Form} wallet=${wallet} look="button-quiet button-wide" label=${t("Give it back")} act=${() => this.after(wallet.release(view))} />`
          : null}
        ${!held && incoming && business && view && ["completed", "captured"].includes(view.state) && ["pay", "capture"].includes(view.kind)
          ? html`<button type="button" class="button button-quiet button-wide" onClick=${() => this.setState({ doing: "refund", amount: total })}>${icon("refund")}${t("Pay back")}</button>`
          : null}
        ${entry?.counterparty_name ? html`<a class="button button-quiet button-wide" href=${`#/thread/${entry.counterparty}?name=${encodeURIComponent(name)}`}>${icon("messages")}${t("Write to %(name)s", { name })}</a>` : null}
        ${!incoming && name && view?.kind === "pay" ? html`<a class="button button-quiet button-wide" href=${`#/pay?account=${view.payee}&name=${encodeURIComponent(name)}`}>${icon("pay")}${t("Pay again")}</a>` : null}
      </div>
    </${Screen}>`;
  }
}

/** @param {any} view @param {boolean} incoming @returns {string} */
function stateWords(view, incoming) {
  if (!view) return "";
  if (view.kind === "refund") return incoming ? t("Paid back to you") : t("You paid back");
  switch (view.state) {
    case "held":
      return incoming ? t("Kept for you") : t("Kept for");
    case "released":
    case "expired":
      return t("Was kept, given back");
    case "captured":
    case "completed":
      return incoming ? t("Received from") : t("Paid to");
    case "refused":
      return t("Refused");
    default:
      return t("Not known yet");
  }
}
