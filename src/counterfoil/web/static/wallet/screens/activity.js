// @ts-check
/** What happened, newest first: searched, by kind, by month. What is searched for is looked for on the server, too. */

import { icon } from "/static/look/icons.js";
import { Unreachable } from "/static/phone/api.js";
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
export function monthName(month) {
  const name = formatMoment(new Date(Number(month.slice(0, 4)), Number(month.slice(5)) - 1, 15).getTime(), "month");
  return name.slice(0, 1).toLocaleUpperCase() + name.slice(1); // it stands as a title
}

const QUIET_MS = 350;
const TEXT_MAX = 100;

/**
 * `asked`: whether the server was asked for what is searched for; `next`: how its answer goes on.
 *
 * @extends {Component<import("../frame.js").ScreenProps, {wanted: string, kind: string, busy: boolean, end: boolean, problem: string,
 *   found: import("../wallet.js").View[], next: string|null, asked: "no"|"waits"|"yes"|"offline"}>}
 */
export default class Activity extends Component {
  /** @type {any} */
  state = { wanted: "", kind: "all", busy: false, end: false, problem: "", found: [], next: null, asked: "no" };
  /** @type {ReturnType<typeof setTimeout>|undefined} */
  timer = undefined;

  componentDidUpdate() {
    if (this.state.asked === "offline" && !this.props.wallet.offline) this.want(this.state.wanted);
  }

  componentWillUnmount() {
    clearTimeout(this.timer);
  }

  /** @param {string} wanted */
  want(wanted) {
    clearTimeout(this.timer);
    const asked = wanted.trim() ? "waits" : "no";
    this.setState({ wanted, asked, found: [], next: null, problem: "" });
    if (asked === "waits") this.timer = setTimeout(() => void this.search(null), QUIET_MS);
  }

  /** @param {string|null} cursor */
  async search(cursor) {
    const { wallet } = this.props;
    const { wanted } = this.state;
    this.setState({ asked: "waits" });
    const still = () => this.state.wanted === wanted;
    try {
      const { entries, next } = await wallet.search(wanted.trim(), cursor);
      if (still()) this.setState({ asked: "yes", next, found: cursor ? [...this.state.found, ...entries] : entries });
    } catch (error) {
      if (still() && error instanceof Unreachable) this.setState({ asked: "offline" });
      else if (still()) this.setState({ asked: "no", problem: problemText(error, wallet) });
    }
  }

  /** What is on the phone and what the server has found, each once, newest first. @param {string} text */
  matches(text) {
    const { wallet } = this.props;
    const here = wallet.entries.filter(
      (entry) => !text || [entryTitle(entry), entry.memo, bare(wallet, Math.abs(entry.change || entry.set_aside))].some((each) => (each ?? "").toLowerCase().includes(text)),
    );
    const known = new Set(here.map(({ transfer }) => transfer));
    const there = text ? this.state.found.filter((/** @type {any} */ entry) => !known.has(entry.transfer)) : [];
    return there.length ? [...here, ...there].sort((a, b) => (a.at < b.at ? 1 : -1)) : here;
  }

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
    const { wanted, kind, busy, end, problem, next, asked } = this.state;
    const names = /** @type {Record<string, string>} */ ({ all: t("All"), in: t("In"), out: t("Out"), held: t("Set aside"), cash: t("Cash") });
    const text = wanted.trim().toLowerCase();
    const found = this.matches(text).filter(KINDS[kind]);
    /** @type {Map<string, any[]>} */
    const months = new Map();
    for (const entry of found) {
      const month = monthOf(ms(entry.at));
      months.set(month, [...(months.get(month) ?? []), entry]);
    }
    return html`<${Screen} wallet=${wallet} root title=${t.short("Activity")}
        end=${html`<a href=${`#/month/${monthOf(Date.now())}`} aria-label=${t("A month in figures")}>${icon("day")}</a>`}>
      <${Field} label=${t("Search name, note or amount")} name="wanted" input=${{
        type: "search", value: wanted, maxlength: TEXT_MAX, onInput: (/** @type {any} */ event) => this.want(event.currentTarget.value),
      }} />
      <ul class="chips" aria-label=${t("Kinds")}>${Object.entries(names).map(
        ([name, label]) => html`<li><button type="button" class="chip" aria-pressed=${kind === name ? "true" : "false"}
          onClick=${() => this.setState({ kind: name })}>${label}</button></li>`,
      )}</ul>
      <p class="visually-hidden" role="status">${n("%(count)s entry", "%(count)s entries", found.length)}</p>
      <p class="small soft" role="status">${asked === "offline" ? t("No network: only what is on this phone was searched.") : asked === "waits" ? t("One moment …") : ""}</p>
      ${[...months].map(([month, entries]) => html`<section><h2><a class="plain" href=${`#/month/${month}`}>${monthName(month)}</a></h2>
        <ul class="list">${entries.map((entry) => html`<${EntryRow} key=${entry.transfer} entry=${entry} wallet=${wallet} />`)}</ul></section>`)}
      ${found.length || asked === "waits"
        ? null
        : html`<div class="empty">${icon("activity")}<p>${wallet.entries.length || text ? t("Nothing like that.") : t("Nothing yet. What you pay and receive stands here.")}</p></div>`}
      ${problem ? html`<div class="notice notice-wait" role="alert">${problem}</div>` : null}
      ${text
        ? next && asked === "yes"
          ? html`<button type="button" class="button button-quiet button-wide" onClick=${() => this.search(next)}>${t("Search further back")}</button>`
          : null
        : end || !wallet.older
        ? null
        : html`<button type="button" class="button button-quiet button-wide" disabled=${busy} onClick=${this.more}>${busy ? t("One moment …") : t("Load older ones")}</button>`}
    </${Screen}>`;
  }
}
