// @ts-check
/** What the holder has, what is kept for others, what waits, and what happened last. */

import { icon } from "/static/look/icons.js";
import { html } from "/static/phone/view.js";
import { formatAge, formatMoment, n, t } from "/static/phone/words.js";
import { Late, Mark, Screen, bare, money, ms, shortly } from "../frame.js";

const NEWEST = 6;
const REFUSED_SHOWN_MS = 24 * 3_600_000;

/** What happened, where nobody's name says it. @param {any} entry @returns {string} */
export function entryTitle(entry) {
  if (entry.code === "fee") return t("Fee");
  if (entry.code === "fee_refund") return t("Fee returned");
  return entry.counterparty_name || entryKind(entry);
}

/** @param {any} entry @returns {string} */
export function entryKind(entry) {
  /** @type {Record<string, string>} */
  const kinds = {
    payment: t("Payment"), fee: t("Fee"), hold: t("Set aside"), refund: t("Paid back"), reversal: t("Taken back"), cash_in: t("Cash in"),
    cash_out: t("Cash out"), batch_payment: t("Payment"), standing_order: t("Standing order"), fee_refund: t("Fee returned"),
    issue: t("Issue of money"), withdrawal: t("Withdrawal"), import: t("From the old book"), import_rounding: t("Rounding"),
  };
  const { code, change, set_aside: aside, transfer, payment, kind } = entry;
  if (aside < 0 && !change) return t("Given back");
  if (code !== "hold" || aside > 0) return kinds[code] ?? t("Payment");
  if (change) return t("From what was set aside");
  // For whom it is kept, neither its beginning nor its end moves anything.
  return kind === "hold" && transfer === payment ? t("Kept for you") : t("Given back");
}

/** One line of the history. @param {{entry: any, wallet: import("../wallet.js").Wallet}} props */
export const EntryRow = ({ entry, wallet }) => {
  const held = !entry.change;
  const amount = held ? entry.set_aside : entry.change;
  const [name, kind] = [entryTitle(entry), entryKind(entry)];
  return html`<li><a class="row" href=${entry.payment ? `#/payment/${entry.payment}` : `#/payment/entry-${entry.transfer}`}>
    <${Mark} name=${name} />
    <span class="row-title"><bdi>${name}</bdi></span>
    <span class="row-note">${kind === name ? "" : kind}${entry.memo ? html`${kind === name ? "" : " · "}<bdi>${entry.memo}</bdi>` : null}</span>
    <span class="row-end">
      <span class=${`amount ${held ? "soft" : amount > 0 ? "in" : "out"}`}>${held ? (amount ? bare(wallet, Math.abs(amount)) : "") : bare(wallet, amount, { sign: true })}</span>
      <span class="row-note">${shortly(entry.at)}</span>
    </span>
  </a></li>`;
};

/** What an order on its way is called. @param {string} state @returns {[string, string]} words and sign */
export function outgoingState(state) {
  switch (state) {
    case "kept":
      return [t("Waits on this phone"), "wait"];
    case "sending":
      return [t("Being sent"), "send"];
    case "unsure":
      return [t("Not known yet"), "wait"];
    case "done":
      return [t("Paid"), "done"];
    default:
      return [t("Refused"), "refused"];
  }
}

/** @param {import("../frame.js").ScreenProps} props */
export default function Home({ wallet }) {
  const { account, identity, settings } = wallet;
  const hidden = settings.hideBalance;
  const shown = (/** @type {number} */ amount) => (hidden ? "•••" : money(wallet, amount));
  const me = identity?.account;
  const waiting = wallet.requests.filter((each) => each.payer === me && each.state === "open");
  const outgoing = wallet.outgoing.filter(
    ({ state, at }) => ["kept", "sending", "unsure"].includes(state) || (state === "refused" && Date.now() - ms(at) < REFUSED_SHOWN_MS),
  );
  const holds = wallet.holds.filter((each) => each.payer === me);
  const toTake = wallet.holds.filter((each) => each.payee === me);
  const news = wallet.news.length;
  return html`<${Screen} wallet=${wallet} home title=${account?.name ?? identity?.name ?? t("Wallet")}
      end=${html`<a href="#/notices" aria-label=${news ? n("%(count)s new notice", "%(count)s new notices", news) : t("Notices")}>${icon("bell")}${news
        ? html`<span class="dot" />`
        : null}</a>`}>
    <section class="stub balance" aria-label=${t("Balance")}>
      <button type="button" class="balance-now" aria-pressed=${hidden ? "true" : "false"} onClick=${() => wallet.setHideBalance(!hidden)}>
        <span class="row-note">${t("Balance")} ${icon(hidden ? "hidden" : "eye")}</span>
        <span class="amount amount-large">${account ? shown(account.balance) : "—"}</span>
        <span class="visually-hidden">${hidden ? t("Show the balance") : t("Hide the balance")}</span>
      </button>
      <hr class="tear" />
      <dl class="facts">
        ${account && account.available !== account.balance
          ? html`<dt>${t("Free to use")}</dt><dd class="amount">${shown(account.available)}</dd>
            <dt>${t("Kept for others")}</dt><dd class="amount">${shown(account.balance - account.available)}</dd>`
          : null}
        <dt>${t("Updated")}</dt><dd>${wallet.accountAt ? formatAge(wallet.accountAt) : t("not known yet")}</dd>
      </dl>
    </section>
    <nav class="deeds" aria-label=${t("Move money")}>
      <a href="#/pay">${icon("pay")}${t.short("Pay")}</a>
      <a href="#/receive">${icon("receive")}${t.short("Receive")}</a>
      <a href="#/ask">${icon("ask")}${t.short("Ask")}</a>
      <a href="#/cash">${icon("cash")}${t.short("Cash")}</a>
    </nav>
    ${wallet.problem || account?.recovery || account?.freezes?.length
      ? html`<${Late} load=${async () => (await import("./alarms.js")).Alarms} wallet=${wallet} />`
      : null}
    ${outgoing.length
      ? html`<section><h2>${t("On its way")}</h2><ul class="list">${outgoing.map((each) => {
        const [words, sign] = outgoingState(each.state);
        return html`<li><a class="row" href=${`#/out/${each.id}`}>${icon(sign, each.state === "refused" ? "bad" : "wait")}
          <span class="row-title"><bdi>${each.payee.name}</bdi></span>
          <span class=${`row-note ${each.state === "refused" ? "bad" : "wait"}`}>${words}</span>
          <span class="row-end amount">${bare(wallet, each.amount)}</span></a></li>`;
      })}</ul></section>`
      : null}
    ${waiting.length
      ? html`<section><h2>${n("%(count)s request waits for you", "%(count)s requests wait for you", waiting.length)}</h2>
        <ul class="list">${waiting.map((each) => html`<li><a class="row" href=${`#/request/${each.id}`}>
          <${Mark} name=${each.payee_name} /><span class="row-title"><bdi>${each.payee_name}</bdi></span>
          <span class="row-note">${[each.cash_in ? t("Cash in") : "", each.memo || t("until %(time)s", { time: formatMoment(ms(each.expires_at), "both") })].filter(Boolean).join(" · ")}</span>
          <span class="row-end amount">${each.amount === null ? t("any amount") : bare(wallet, each.amount)}</span></a></li>`)}</ul></section>`
      : null}
    ${holds.length
      ? html`<section><h2>${t("Kept for others")}</h2><ul class="list">${holds.map((each) => html`<li>
          <a class="row" href=${`#/payment/${each.id}`}>${icon("lock")}
          <span class="row-title">${t("Kept for %(name)s", { name: each.counterparty_name ?? "" })}</span>
          <span class="row-note">${each.expires_at ? t("until %(time)s", { time: formatMoment(ms(each.expires_at), "both") }) : ""}</span>
          <span class="row-end amount">${bare(wallet, each.amount)}</span></a></li>`)}</ul></section>`
      : null}
    ${toTake.length
      ? html`<section><h2>${t("Kept for you")}</h2><ul class="list">${toTake.map((each) => html`<li>
          <a class="row" href=${`#/payment/${each.id}`}>${icon("lock")}
          <span class="row-title"><bdi>${each.counterparty_name ?? ""}</bdi></span>
          <span class="row-note">${[each.service === "cash_out" ? t("Cash out") : "", t("Take it or give it back")].filter(Boolean).join(" · ")}</span>
          <span class="row-end amount">${bare(wallet, each.amount)}</span></a></li>`)}</ul></section>`
      : null}
    <section><h2>${t("Newest")}</h2>
      ${wallet.entries.length
        ? html`<ul class="list">${wallet.entries.slice(0, NEWEST).map((entry) => html`<${EntryRow} entry=${entry} wallet=${wallet} />`)}</ul>
          <p><a class="link" href="#/activity">${t("All activity")}</a></p>`
        : html`<p class="soft">${t("Nothing yet. What you pay and receive stands here.")}</p>`}
    </section>
  </${Screen}>`;
}
