// @ts-check
/** Who confirms the log: those that this phone trusts, and what the scheme would have it trust instead. Nothing changes unasked. */

import { icon } from "/static/look/icons.js";
import { Component, html } from "/static/phone/view.js";
import { t } from "/static/phone/words.js";
import { Form, Screen, go } from "../frame.js";
import { problemText } from "../problems.js";

/** @typedef {import("../receipts.js").Trusted} Trusted */

/** @extends {Component<{wallet: import("../wallet.js").Wallet}, {told: {policy: string, before: Trusted, after: Trusted}|null, problem: string}>} */
export class Witnesses extends Component {
  /** @type {any} */
  state = { told: null, problem: "" };

  componentDidMount() {
    void this.load();
  }

  async load() {
    const { wallet } = this.props;
    try {
      this.setState({ told: await wallet.newPolicy() });
    } catch (error) {
      const unreadable = /** @type {any} */ (error).outcome === "unreadable";
      this.setState({ problem: unreadable ? t("What the scheme publishes about its witnesses cannot be read. This phone goes on trusting those that it knows.") : problemText(error, wallet) });
    }
  }

  render() {
    const { wallet } = this.props;
    const { told, problem } = this.state;
    return html`<${Screen} wallet=${wallet} title=${t("Witnesses")}>
      <p>${t("Others watch the log and confirm what they see. Without them you could be shown a log that nobody else sees.")}</p>
      ${problem ? html`<div class="notice notice-wait" role="alert">${problem}</div>` : null}
      ${told ? this.told(told) : problem ? null : html`<p class="empty" aria-busy="true">${t("One moment …")}</p>`}
    </${Screen}>`;
  }

  /** @param {{policy: string, before: Trusted, after: Trusted}} what */
  told({ policy, before, after }) {
    const { wallet } = this.props;
    const differ = (/** @type {Trusted} */ these, /** @type {Trusted} */ those) => these.names.filter((_, at) => !those.keys.includes(these.keys[at]));
    const [fresh, gone] = [differ(after, before), differ(before, after)];
    const changed = fresh.filter((name) => gone.includes(name));
    const stay = after.names.filter((name) => !fresh.includes(name));
    const same = !fresh.length && !gone.length && before.rule === after.rule;
    if (same && !wallet.alarms.some(({ code }) => code === "policy_changed")) return html`<${Names} title=${enough(after)} names=${stay} sign="check" />`;
    return html`
      <div role="status">${same
        ? html`<div class="notice">${t("They are the same as before; only addresses or remarks have changed.")}</div>`
        : html`<div class="notice notice-wait"><strong>${t("The scheme names other witnesses")}</strong>
          <p>${t("Ask first, or compare with what was published elsewhere. You may wait: payments go on, and receipts are checked with the witnesses that you know.")}</p></div>`}</div>
      <${Names} title=${t("New")} names=${fresh.filter((name) => !changed.includes(name))} sign="plus" />
      <${Names} title=${t("With another key")} names=${changed} sign="alert" />
      <${Names} title=${t("No longer")} names=${gone.filter((name) => !changed.includes(name))} sign="minus" />
      <${Names} title=${t("As before")} names=${stay} sign="check" />
      <dl class="facts facts-long"><dt>${t("Up to now")}</dt><dd>${enough(before)}</dd><dt>${t("Then")}</dt><dd>${enough(after)}</dd></dl>
      ${after.needed === 0
        ? html`<div class="notice notice-bad">${t("Nobody but the scheme itself would confirm its log any more.")}</div>`
        : null}
      <div class="low">
        <${Form} wallet=${wallet} look=${same ? "button-wide" : "button-danger button-wide"} label=${t("Trust these from now on")} act=${async () => {
          await wallet.acceptPolicy(policy);
          go("/", { replace: true });
        }} />
        <a class="button button-quiet button-wide" href="#/">${t("Not now")}</a>
      </div>`;
  }
}

/** How many must confirm. @param {Trusted} trusted @returns {string} */
function enough({ names, needed, of }) {
  if (needed === null) return t("Several groups of %(count)s witnesses must confirm", { count: String(names.length) });
  return needed
    ? t("%(needed)s of %(count)s witnesses must confirm", { needed: String(needed), count: String(of) })
    : t("No witness must confirm");
}

/** @param {{title: string, names: string[], sign: string}} props */
const Names = ({ title, names, sign }) =>
  names.length
    ? html`<h2>${title}</h2><ul class="list">${names.map((name) => html`<li><div class="row">${icon(sign)}<span class="row-title"><bdi>${name}</bdi></span></div></li>`)}</ul>`
    : null;
