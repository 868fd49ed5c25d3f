// @ts-check
/** What became of an order that was consented to: exactly what is known, and what to do. */

import { icon } from "/static/look/icons.js";
import { html } from "/static/phone/view.js";
import { formatMoment, t } from "/static/phone/words.js";
import { Form, Screen, go, money, ms, say } from "../frame.js";
import { problemText } from "../problems.js";

/** @param {any} out @param {import("../wallet.js").Wallet} wallet @returns {{sign: string, look: string, title: string, text: string}} */
function told(out, wallet) {
  const amount = money(wallet, out.amount);
  const { name } = out.payee;
  switch (out.state) {
    case "kept":
      return { sign: "wait", look: "wait", title: t("Kept on this phone"),
        text: wallet.offline
          ? t("There is no network. The order is sent once, as soon as there is one. Nothing has been paid so far.")
          : t("It is sent in a moment. Nothing has been paid so far.") };
    case "sending":
      return { sign: "send", look: "wait", title: t("Being sent"), text: t("The order is on its way to the server. Nothing is known yet.") };
    case "unsure":
      return { sign: "wait", look: "wait", title: t("Not known yet"),
        text: t("The order was sent, and no answer came. This phone asks again by itself; the order can only be carried out once. Do not pay again.") };
    case "done":
      if (out.kind === "hold") {
        return { sign: "lock", look: "good", title: t("Set aside"), text: t("%(amount)s is kept for %(name)s.", { amount, name }) };
      }
      if (out.kind === "release") return { sign: "done", look: "good", title: t("Given back"), text: t("%(amount)s to %(name)s", { amount, name }) };
      if (out.kind === "capture") return { sign: "done", look: "good", title: t("Taken"), text: t("%(amount)s from %(name)s", { amount, name }) };
      if (out.kind === "refund") return { sign: "done", look: "good", title: t("Paid back"), text: t("%(amount)s to %(name)s", { amount, name }) };
      return { sign: "done", look: "good", title: t("Paid"), text: t("%(amount)s to %(name)s", { amount, name }) };
    default:
      return { sign: "refused", look: "bad", title: t("Not paid"), text: out.refusal ? refusalText(out.refusal, wallet) : t("The order was refused.") };
  }
}

/** Why it was refused, and what to do. @param {any} refusal @param {import("../wallet.js").Wallet} wallet */
function refusalText(refusal, wallet) {
  switch (refusal.code) {
    case "order_expired":
      return t("It was not sent in time and will never be paid. Pay again if it is still due.");
    case "rules_changed":
    case "fee_above_maximum":
      return t("The fees have changed since you agreed. Nothing was paid: look at the new fee and agree again.");
    case "payee_cannot_receive":
    case "payee_limit_exceeded":
      return t("The other account cannot take this money. Nothing was paid: ask them.");
    default:
      return problemText(refusal, wallet);
  }
}

/** @param {import("../frame.js").ScreenProps} props */
export default function Outcome({ wallet, parts }) {
  const out = wallet.outgoing.find(({ id }) => id === parts[0]);
  if (!out) {
    return html`<${Screen} wallet=${wallet} title=${t("This order")}><p class="empty">${t("This order is no longer on this phone.")}</p>
      <p><a class="button button-wide" href=${`#/payment/${parts[0]}`}>${t("Open its receipt")}</a></p></${Screen}>`;
  }
  const { sign, look, title, text } = told(out, wallet);
  return html`<${Screen} wallet=${wallet} title=${out.payee.name || t("This order")}>
    <section class="outcome" role="status" aria-live="assertive" data-state=${out.state}>
      <span class=${`outcome-sign ${look}`}>${icon(sign)}</span>
      <h2 class=${look}>${title}</h2>
      <span class="amount amount-large">${money(wallet, out.amount)}</span>
      <p>${text}</p>
    </section>
    <dl class="facts">
      <dt>${t("To")}</dt><dd><bdi>${out.payee.name}</bdi></dd>
      ${out.receipt?.fee && out.receipt.fee_paid_by === "payer" ? html`<dt>${t("Fee")}</dt><dd class="amount">${money(wallet, out.receipt.fee)}</dd>` : null}
      <dt>${t("Agreed")}</dt><dd>${formatMoment(ms(out.at), "both")}</dd>
      ${out.tries > 1 ? html`<dt>${t("Attempts")}</dt><dd>${out.tries}</dd>` : null}
      ${out.memo ? html`<dt>${t("Note")}</dt><dd><bdi>${out.memo}</bdi></dd>` : null}
    </dl>
    <div class="low">
      ${out.state === "kept"
        ? html`<${Form} wallet=${wallet} look="button-quiet button-wide" label=${t("Take it back")} act=${async () => {
          if (!(await wallet.withdraw(out.id))) throw t("It has just been sent and can no longer be taken back.");
          say(t("Taken back. Nothing was paid."));
          go("/", { replace: true });
        }} />`
        : null}
      ${out.state === "done" ? html`<a class="button button-quiet button-wide" href=${`#/payment/${out.id}`}>${icon("activity")}${t("Receipt")}</a>` : null}
      ${out.state === "refused" ? html`<a class="button button-quiet button-wide" href=${`#/pay?account=${out.payee.account}`}>${t("Pay again")}</a>` : null}
      <button type="button" class="button button-wide" onClick=${() => go("/", { replace: true })}>${t("Home")}</button>
    </div>
  </${Screen}>`;
}
