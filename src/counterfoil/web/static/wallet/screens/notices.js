// @ts-check
/** What the holder was told about the account. */

import { icon } from "/static/look/icons.js";
import { Component, html } from "/static/phone/view.js";
import { t } from "/static/phone/words.js";
import { Screen, money, when } from "../frame.js";
import { Alarms } from "./alarms.js";

/** What is told of watching, and to those who watch. @param {any} wallet @param {any} notice @returns {string} */
function watchWords(wallet, { kind, facts = {} }) {
  const name = facts.watcher ?? facts.name ?? "";
  const amount = facts.amount === undefined ? "" : money(wallet, facts.amount);
  const own = kind.replace(/^watched_/, "");
  return /** @type {Record<string, string>} */ ({
    watcher_chosen: t("%(name)s was asked to watch over your account", { name }),
    watcher_accepted: t("%(name)s watches over your account", { name }),
    watcher_declined: t("%(name)s does not want to watch over your account", { name }),
    watcher_left: t("%(name)s no longer watches over your account", { name }),
    watcher_taken_away: t("%(name)s was taken away as a watcher", { name }),
    watcher_kept: t("%(name)s goes on watching over your account", { name }),
    watcher_ended: t("%(name)s no longer watches over your account", { name }),
    watch_asked: t("%(name)s asks you to watch over their account", { name }),
    watch_taken_away: t("%(name)s no longer wants you to watch", { name }),
    watch_kept: t("%(name)s wants you to go on watching", { name }),
    watch_ended: t("You no longer watch over %(name)s.", { name }),
    watched_paid: t("%(name)s paid %(amount)s", { name, amount }),
    watched_received: t("%(name)s received %(amount)s", { name, amount }),
    watched_held: t("%(name)s set aside %(amount)s", { name, amount }),
    watched_released: t("%(name)s: %(amount)s no longer set aside", { name, amount }),
  })[kind] ?? (NOBODYS.includes(own) ? `${name}: ${words(wallet, { kind: own })}` : t("Something changed in the account of %(name)s", { name }));
}

/** Happenings whose words speak of nobody's account in particular. */
const NOBODYS = ["device_added", "device_revoked", "recovery_done", "recovery_cancelled", "pin_set", "frozen", "unfrozen", "closed"];

/** Where a notice leads; "" for nowhere. @param {any} notice @returns {string} */
function way({ kind, facts }) {
  if (/^watch(er)?_/.test(kind)) return "#/security/watchers";
  if (/^card_/.test(kind)) return "#/cards";
  if (kind === "parking_ends") return `/parking/${facts?.stay ?? ""}`;
  return facts?.receipt_code ? `/r/${facts.receipt_code}` : "";
}

/** What happened, by its kind. @param {any} wallet @param {any} notice @returns {string} */
function words(wallet, notice) {
  const { kind, facts = {} } = notice;
  if (kind.startsWith("watch")) return watchWords(wallet, notice);
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
    card_added: t("Card %(card)s was added", { card: facts.card ?? "" }),
    card_locked: t("Card %(card)s was locked", { card: facts.card ?? "" }),
    card_unlocked: t("Card %(card)s was unlocked", { card: facts.card ?? "" }),
    card_ended: t("Card %(card)s was taken away", { card: facts.card ?? "" }),
    closed: t("The account was closed"),
    parking_ends: t("Parking at %(name)s: enough is set aside until %(time)s", { name: facts.name ?? "", time: when(new Date(Number(facts.until ?? 0) / 1e6).toISOString()) }),
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
    const path = way(notice);
    const shown = html`${icon("bell")}
      <span class="row-title">${isNew ? html`<strong>${words(wallet, notice)}</strong> <span class="chip-note">${t("new")}</span>` : words(wallet, notice)}</span>
      <span class="row-note">${[when(at), whose, facts.receipt_code].filter(Boolean).join(" · ")}${facts.reason ? html` · <bdi>${facts.reason}</bdi>` : null}</span>`;
    return html`<li>${path ? html`<a class="row" href=${path}>${shown}<span class="row-end">${icon("next", "soft")}</span></a>` : html`<div class="row">${shown}</div>`}</li>`;
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
