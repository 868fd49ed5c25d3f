// @ts-check
/** What happened, newest first: searched, by kind, by month. */

import { icon } from "/static/look/icons.js";
import { Component, html } from "/static/phone/view.js";
import { formatMoment, n, t } from "/static/phone/words.js";
import { Field, Screen, bare, ms } from "../frame.js";
import { problemText } from "../problems.js";
import { EntryRow, entryTitle } from "./home.js";

/** @type {Record<string, (entry: any) => boolean>} */
const KINDS = {
  all: () => true,
  in: (entry) => entry.change > 0,
  out: (entry) => entry.change < 0,
  held: (entry) => Boolean(entry.set_aside),
  cash: (entry) => entry.code === "cash_in" || entry.code === "cash_out",
};

/** The month of a moment, as the server names it. @param {number} moment ms */
export const monthOf = (moment) => {
  const date = new Date(moment);
  return `${date.getFullYear()}-${String(date.getMonth() + 1).padStart(2, "0")}`;
};

/** @param {string} month "2026-11" */
export const monthName = (month) => formatMoment(new Date(Number(month.slice(0, 4)), Number(month.slice(5)) - 1, 15).getTime(), "month");

/** @extends {Component<import("../frame.js").ScreenProps, {wanted: string, kind: string, busy: boolean, end: boolean, problem: string}>} */
export default class Activity extends Component {
  state = { wanted: "", kind: "all", busy: false, end: false, problem: "" };

  more = async () => {
    const { wallet } = this.props;
    this.setState({ busy: true, problem: "" });
    try {
      const more = await wallet.moreEntries();
      this.setState({ busy: false, end: !more });
    } catch (error) {
      this.setState({ busy: false, problem: problemText(error, wallet) });
    }
  };

  render() {
    const { wallet } = this.props;
    const { wanted, kind, busy, end, problem } = this.state;
    const names = /** @type {Record<string, string>} */ ({ all: t("All"), in: t("In"), out: t("Out"), held: t("Set aside"), cash: t("Cash") });
    const text = wanted.trim().toLowerCase();
    const found = wallet.entries.filter(
      (entry) => KINDS[kind](entry) && (!text || [entryTitle(entry), entry.memo, bare(wallet, Math.abs(entry.change))].some((each) => (each ?? "").toLowerCase().includes(text))),
    );
    /** @type {Map<string, any[]>} */
    const months = new Map();
    for (const entry of found) {
      const month = monthOf(ms(entry.at));
      months.set(month, [...(months.get(month) ?? []), entry]);
    }
    return html`<${Screen} wallet=${wallet} root title=${t.short("Activity")}
        end=${html`<a href=${`#/month/${monthOf(Date.now())}`} aria-label=${t("A month in figures")}>${icon("day")}</a>`}>
      <${Field} label=${t("Search name, note or amount")} name="wanted" input=${{
        type: "search", value: wanted, onInput: (/** @type {any} */ event) => this.setState({ wanted: event.currentTarget.value }),
      }} />
      <ul class="chips" aria-label=${t("Kinds")}>${Object.entries(names).map(
        ([name, label]) => html`<li><button type="button" class="chip" aria-pressed=${kind === name ? "true" : "false"}
          onClick=${() => this.setState({ kind: name })}>${label}</button></li>`,
      )}</ul>
      <p class="visually-hidden" role="status">${n("%(count)s entry", "%(count)s entries", found.length)}</p>
      ${[...months].map(([month, entries]) => html`<section><h2><a class="plain" href=${`#/month/${month}`}>${monthName(month)}</a></h2>
        <ul class="list">${entries.map((entry) => html`<${EntryRow} key=${entry.transfer} entry=${entry} wallet=${wallet} />`)}</ul></section>`)}
      ${found.length ? null : html`<div class="empty">${icon("activity")}<p>${wallet.entries.length ? t("Nothing like that on this phone.") : t("Nothing yet. What you pay and receive stands here.")}</p></div>`}
      ${problem ? html`<div class="notice notice-wait" role="alert">${problem}</div>` : null}
      ${end || !wallet.older
        ? null
        : html`<button type="button" class="button button-quiet button-wide" disabled=${busy} onClick=${this.more}>${busy ? t("One moment …") : t("Load older ones")}</button>`}
    </${Screen}>`;
  }
}
