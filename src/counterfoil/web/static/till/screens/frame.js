// @ts-check
/** What stands around every screen: the bar with the clerk, the tabs, the line about the network. */

import { icon } from "/static/look/icons.js";
import { Refusal, Unreachable } from "/static/phone/api.js";
import { html } from "/static/phone/view.js";
import { n, t } from "/static/phone/words.js";

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
      ${till.clerk && html`<button class="clerk" type="button" onClick=${() => void till.signOut()}>
        <bdi class="clerk-name">${till.clerk.name}</bdi>${icon("lock")}<span class="visually-hidden">${t("Lock the till")}</span>
      </button>`}
    </header>
    <${Network} till=${till} />
    <main id="main">${children}</main>
    ${tabs && html`<${Tabs} till=${till} here=${route.name} />`}
  </div>`;
}

/** Says that the network is away, and what waits for it. @param {{till: Till}} props */
export function Network({ till }) {
  const waiting = till.unsent().length + till.actions.open.length;
  const text = till.offline
    ? waiting ? n("No network. %(count)s thing waits.", "No network. %(count)s things wait.", waiting) : t("No network.")
    : waiting && !till.session ? n("%(count)s thing waits until somebody signs in.", "%(count)s things wait until somebody signs in.", waiting)
      : "";
  return html`<div role="status" class=${text ? "strip" : ""}>${text && html`${icon("offline")}<span>${text}</span>`}</div>`;
}

/** @param {{till: Till, here: string}} props */
function Tabs({ till, here }) {
  const all = [
    { name: "", sign: "basket", words: t.short("Sell"), shown: true },
    { name: "sales", sign: "activity", words: t.short("Sales"), shown: true },
    { name: "day", sign: "day", words: t.short("Day"), shown: till.may("see_takings") || till.may("close_day") },
    { name: "goods", sign: "shop", words: t.short("Goods"), shown: till.may("goods") },
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
  if (error instanceof Refusal) return error.title;
  throw error;
}

/** @param {{text: string}} props */
export const Problem = ({ text }) => html`<div role="alert">${text && html`<p class="notice notice-bad">${text}</p>`}</div>`;
