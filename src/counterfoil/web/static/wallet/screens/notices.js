// @ts-check
/** What the holder was told about the account. */

import { icon } from "/static/look/icons.js";
import { Component, html } from "/static/phone/view.js";
import { t } from "/static/phone/words.js";
import { Screen, money, when } from "../frame.js";
import { Alarms } from "./alarms.js";

/** What happened, by its kind. @param {any} wallet @param {any} notice @returns {string} */
function words(wallet, { kind, facts = {} }) {
  if (kind.startsWith("watch")) {
    const { name = "", watcher = "", amount } = facts;
    if (kind === "watch_asked") return t("%(name)s asks you to watch over their account", { name });
    if (kind === "watched_paid") return t("%(name)s paid %(amount)s", { name, amount: money(wallet, amount) });
    if (kind === "watched_received") return t("%(name)s received %(amount)s", { name, amount: money(wallet, amount) });
    return watcher ? t("Your watchers: %(name)s", { name: watcher }) : t("Something changed in the account of %(name)s", { name });
  }
  return /** @type {Record<string, string>} */ ({
    opened: t("The account was opened"),
    device_added: t("A device was added"),
    device_revoked: t("A device was removed"),
    recovery_started: t("Somebody asked for a new key to your account"),
    recovery_done: t("The new key is in force"),
    recovery_cancelled: t("The new key was stopped"),
    pin_set: t("The PIN was set"),
    pin_allowed: t("Payments by PIN alone were changed"),
    number_changed: t("Your number was changed"),
    handle_set: t("Your name for payments: %(handle)s", { handle: `@${facts.handle ?? ""}` }),
    own_limits_set: t("Your limits were changed"),
    tier_changed: t("The scheme changed your limits"),
    frozen: t("The account was frozen"),
    unfrozen: t("The account is free again"),
    token_created: t("A key for a server was made: %(label)s", { label: facts.label ?? "" }),
    token_revoked: t("A key for a server was ended: %(label)s", { label: facts.label ?? "" }),
    closed: t("The account was closed"),
  })[kind] ?? t("Something changed in your account");
}

/** @extends {Component<import("../frame.js").ScreenProps, {}>} */
export default class Notices extends Component {
  /** When the newest was made that the holder had seen before this screen opened. */
  before = this.props.wallet.seen ?? "";

  componentDidMount() {
    this.look();
  }

  componentDidUpdate() {
    this.look();
  }

  /** What is shown now is seen. */
  look() {
    const { wallet } = this.props;
    const [newest] = wallet.notices;
    if (newest && wallet.news.length) void wallet.remember({ seen: newest.at }).catch(() => {});
  }

  /** @param {any} notice */
  row(notice) {
    const { wallet } = this.props;
    const { at, by, facts } = notice;
    const isNew = at > this.before;
    const whose = by === "staff" ? t("by %(scheme)s", { scheme: wallet.scheme?.name ?? "Counterfoil" }) : "";
    return html`<li><div class="row">${icon("bell")}
      <span class="row-title">${isNew ? html`<strong>${words(wallet, notice)}</strong> <span class="chip-note">${t("new")}</span>` : words(wallet, notice)}</span>
      <span class="row-note">${[when(at), whose].filter(Boolean).join(" · ")}${facts.reason ? html` · <bdi>${facts.reason}</bdi>` : null}</span></div></li>`;
  }

  render() {
    const { wallet } = this.props;
    return html`<${Screen} wallet=${wallet} title=${t("Notices")}>
      <${Alarms} wallet=${wallet} />
      ${wallet.notices.length
        ? html`<ul class="list">${wallet.notices.map((each) => this.row(each))}</ul>`
        : html`<div class="empty">${icon("bell")}<p>${t("Nothing so far. What changes in your account is told here.")}</p></div>`}
    </${Screen}>`;
  }
}
