// @ts-check
/** The check of a receipt on this phone, step by step, in plain words. */

import { icon } from "/static/look/icons.js";
import { Component, html } from "/static/phone/view.js";
import { t } from "/static/phone/words.js";
import { money, when } from "../frame.js";
import { problemText } from "../problems.js";

/** What each step shows. @returns {Record<string, string>} */
const STEPS = () => ({
  receipt: t("The receipt can be read"),
  policy: t("It is clear whom you trust"),
  log: t("The log signed this state of its entries"),
  witnesses: t("Enough witnesses confirmed the same state"),
  opening: t("Your details lead to one sealed entry"),
  inclusion: t("That entry is in the log"),
  content: t("Its details are complete"),
  acknowledgement: t("The operator has signed the same"),
  head: t("The log has only grown since this phone knows it"),
});

/** What was found, by the code of the finding. @param {Record<string, string>} facts @returns {Record<string, string>} */
const FINDINGS = (facts) => ({
  "receipt.proven": t("It names entry %(index)s of a log with %(size)s entries.", facts),
  "policy.proven": t("Your list names the log and %(witnesses)s witnesses.", facts),
  "log.proven": t("The signature of %(origin)s under %(size)s entries is true.", facts),
  "witnesses.proven": t("%(count)s confirmed it, the last at %(newest)s UTC: %(names)s.", facts),
  "opening.proven": t("Its fingerprint was computed here from your details alone. Any other amount or name has another fingerprint."),
  "inclusion.proven": t(
    "Entry %(index)s of %(size)s has this fingerprint. It cannot be taken out or changed without the witnesses noticing.", facts),
  "acknowledgement.proven": t("Its signature under this payment is true."),
  "acknowledgement.refuted": t("Its signature under this payment does not fit."),
  "acknowledgement.contradicts": t("The operator has signed something else than the log says. Keep this receipt, it is evidence."),
  "head.proven": t("Nothing that this phone has seen of it was taken out or changed."),
  "head.forked": t("You were shown two histories of it. Keep your receipts, they are evidence."),
  "log.unknown": t("It is from the log %(origin)s, which you do not trust. Somebody may have made a log of their own.", facts),
  "log.unsigned": t("The log %(origin)s has not signed it with the key that you know. It may be invented.", facts),
  "log.signature": t("The signature of %(origin)s does not fit. The receipt was changed after it was signed, or never was signed.", facts),
  "witnesses.signature": t("The signature of %(name)s does not fit. The receipt was changed, or the confirmation is forged.", facts),
  "witnesses.few": t(
    "Only %(count)s of the witnesses that you trust confirmed it; %(needed)s are needed. You may be shown a log that others do not see.", facts),
  "inclusion.beyond": t("The log has only %(size)s entries: there is no entry %(index)s. The receipt is not of this log.", facts),
  "inclusion.root": t("Entry %(index)s of this log is another one. The details were changed, or this payment is not in the log.", facts),
  "content.form": t("The entry is in the log, but its details are not in the form that everybody agreed on. Show it to an auditor."),
});

/** @type {Record<string, [string, string]>} sign and look of a step */
const SIGNS = { proven: ["done", "good"], refuted: ["refused", "bad"] };

/** @extends {Component<{wallet: import("../wallet.js").Wallet, payment: string}, {busy: boolean, report: any, problem: string}>} */
export class Check extends Component {
  /** @type {any} */
  state = { busy: false, report: null, problem: "" };

  check = async () => {
    const { wallet, payment } = this.props;
    this.setState({ busy: true, problem: "" });
    try {
      const report = await wallet.checkReceipt(payment);
      if (report.steps[0].code === "receipt.not_yet") {
        this.setState({ busy: false, problem: t("The log has no proof of it yet. Try again in a minute.") });
      } else {
        this.setState({ busy: false, report });
      }
    } catch (error) {
      this.setState({ busy: false, problem: problemText(error, wallet) });
    }
  };

  /** @param {any} step */
  step(step) {
    const [sign, look] = SIGNS[step.state] ?? ["wait", "soft"];
    const facts = { ...step.facts };
    if (step.code === "witnesses.proven") facts.newest = new Date(Number(facts.newest) * 1000).toISOString().slice(0, 19).replace("T", " ");
    const state = step.state === "proven" ? t("proven") : step.state === "refuted" ? t("false")
      : step.state === "skipped" ? t("not reached") : t("cannot be checked");
    const text = FINDINGS(facts)[step.code];
    return html`<li data-state=${step.state}>${icon(sign, look)}${STEPS()[step.name] ?? step.name}
      <span class="visually-hidden">: ${state}</span>${text ? html`<p translate="no">${text}</p>` : null}</li>`;
  }

  /** What the log says, of that what people ask about. @param {any} report */
  fields(report) {
    const { wallet } = this.props;
    const found = /** @type {Record<string, string>} */ (Object.fromEntries((report.fields ?? []).map((/** @type {any} */ field) => [field.name, field.value])));
    if (!report.fields) return null;
    return html`<h3>${t("What the log says")}</h3><dl class="facts">
      ${found.amount ? html`<dt>${t("Amount")}</dt><dd class="amount">${money(wallet, Number(found.amount))}</dd>` : null}
      ${found.fee ? html`<dt>${t("Fee")}</dt><dd class="amount">${money(wallet, Number(found.fee))}</dd>` : null}
      ${found.balance ? html`<dt>${t("Balance after it")}</dt><dd class="amount">${money(wallet, Number(found.balance))}</dd>` : null}
      ${found.time ? html`<dt>${t("When")}</dt><dd>${when(Number(BigInt(found.time) / 1_000_000n))}</dd>` : null}
      ${report.index === null ? null : html`<dt>${t("Entry in the log")}</dt><dd class="amount">${String(report.index)}</dd>`}
    </dl>`;
  }

  render() {
    const { busy, report, problem } = this.state;
    if (!report) {
      return html`<section aria-label=${t("Check of the receipt")}>
        <button type="button" class="button button-quiet button-wide" disabled=${busy} onClick=${this.check}>${icon("check")}${busy
          ? t("One moment …")
          : t("Check it on this phone")}</button>
        ${problem ? html`<div class="notice notice-wait" role="alert">${problem}</div>` : null}</section>`;
    }
    const { outcome, steps } = report;
    const [look, verdict] = outcome === "proven"
      ? ["good", t("Proven: this payment is in the log")]
      : outcome === "refuted" ? ["bad", t("Not proven: something is false")] : ["wait", t("It cannot be checked here")];
    return html`<section aria-label=${t("Check of the receipt")} data-outcome=${outcome}>
      <div role="status"><h2 class=${look}>${verdict}</h2></div>
      ${outcome === "refuted"
        ? html`<div class="notice notice-bad">${t("Keep this receipt: it is evidence. Show it to an auditor, and do not rely on this payment.")}</div>`
        : null}
      <ol class="steps">${steps.map((/** @type {any} */ step) => this.step(step))}</ol>
      ${this.fields(report)}
      <p class="small soft">${t("This phone has computed all of it by itself, from the receipt alone.")}</p>
    </section>`;
  }
}
