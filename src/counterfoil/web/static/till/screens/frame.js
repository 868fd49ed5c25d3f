// @ts-check
/** What stands around every screen: the bar with the clerk, the tabs, the line about the network. */

import { icon } from "/static/look/icons.js";
import { Refusal, Unreachable } from "/static/phone/api.js";
import { StorageError } from "/static/phone/database.js";
import { html } from "/static/phone/view.js";
import { formatMoment, n, t } from "/static/phone/words.js";
import { aside } from "../device.js";

/** @typedef {import("../till.js").Till} Till */
/** @typedef {{name: string, id: string, rest: string}} Route */
/** What every screen is given. @typedef {{till: Till, route: Route, go: (path: string) => void}} Given */

/**
 * @param {{till: Till, route: Route, title: string, back?: string, wide?: boolean, tabs?: boolean, children?: any}} props
 * `back`: where the arrow leads; `wide`: two columns
 */
export function Frame({ till, route, title, back, wide = false, tabs = true, children }) {
  return html`<div class=${`app till ${wide ? "till-wide" : ""}`}>
    <header class="bar">
      ${back !== undefined && html`<a href=${`#/${back}`} aria-label=${t("Back")}>${icon("back")}</a>`}
      <h1 tabindex="-1"><bdi>${title}</bdi></h1>
      ${till.people.clerk && html`<button class="clerk" type="button" onClick=${() => aside(till.people.signOut())}>
        <bdi class="clerk-name">${till.people.clerk.name}</bdi>${icon("lock")}<span class="visually-hidden">${t("Lock the till")}</span>
      </button>`}
    </header>
    <${Network} till=${till} />
    <main id="main">${children}</main>
    ${tabs && html`<${Tabs} till=${till} here=${route.name} />`}
  </div>`;
}

/** Says that no money here is real; that the network is away, and what waits for it; or that this device keeps nothing more. @param {{till: Till}} props */
export function Network({ till }) {
  const waiting = till.sales.unsent().length + till.unanswered.length;
  const trouble = troubleOf(till.device.trouble);
  const text = trouble ? trouble : till.network.offline
    ? waiting ? n("No network. %(count)s thing waits.", "No network. %(count)s things wait.", waiting) : t("No network.")
    : waiting && !till.people.session ? n("%(count)s thing waits until somebody signs in.", "%(count)s things wait until somebody signs in.", waiting)
      : "";
  return html`<div role="status">
    ${till.shop?.scheme.sandbox && html`<p class="sandbox">${t("A sandbox: no money here is real.")}</p>`}
    ${text && html`<p class="strip">${icon(trouble ? "refused" : "offline")}<span>${text}</span></p>`}</div>`;
}

/** @param {string} code of what is wrong with the device's storage */
function troubleOf(code) {
  if (code === "full") return t("This device is full and keeps nothing more. Free some space.");
  return code ? t("This browser keeps nothing any more. Close it, and open the till again.") : "";
}

/** @param {{till: Till, here: string}} props */
function Tabs({ till, here }) {
  const all = [
    { name: "", sign: "basket", words: t.short("Sell"), shown: true },
    { name: "sales", sign: "activity", words: t.short("Sales"), shown: true },
    { name: "day", sign: "day", words: t.short("Day"), shown: till.people.may("see_takings") || till.people.may("close_day") },
    { name: "goods", sign: "shop", words: t.short("Goods"), shown: till.people.may("goods") },
    { name: "settings", sign: "settings", words: t.short("Settings"), shown: true },
  ];
  return html`<nav class="tabs" aria-label=${t("Main menu")}>
    ${all.filter((tab) => tab.shown).map((tab) => html`<a key=${tab.name} href=${`#/${tab.name}`}
      aria-current=${tab.name === here || (tab.name === "" && here === "charge") ? "page" : null}>${icon(tab.sign)}${tab.words}</a>`)}
  </nav>`;
}

/**
 * An error in the clerk's words.
 * @param {unknown} error
 * @returns {string} throws what is no answer of the server's or the network's
 */
export function saying(error) {
  if (error instanceof Unreachable) return t("There is no network. Nothing was changed.");
  if (error instanceof StorageError) return troubleOf(error.code);
  if (error instanceof Refusal) return refusalOf(error);
  throw error;
}

/** @param {Refusal} refusal */
function refusalOf({ code, title, facts }) {
  if (code === "wrong_pin" && facts.attempts_left) return t("The PIN is not right. Attempts left: %(count)s.", { count: facts.attempts_left });
  if (code === "wrong_pin") return t("The PIN is not right, and it is locked now for a while.");
  if (code !== "pin_locked" || !facts.locked_until) return title;
  const time = formatMoment(facts.locked_until / 1_000_000, "time");
  return t("The PIN is locked until %(time)s after too many wrong ones. The owner can unlock it in the wallet.", { time });
}

/** @param {{text: string}} props */
export const Problem = ({ text }) => html`<div role="alert">${text && html`<p class="notice notice-bad">${text}</p>`}</div>`;
