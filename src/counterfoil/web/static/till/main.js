// @ts-check
/** The till's page: opens what the device knows, listens to the server, and shows the screen that the address names. */

import { Component, html, render } from "/static/phone/view.js";
import { load, rest, t } from "/static/phone/words.js";
import { Till } from "./till.js";

const IDLE_CHECK_MS = 5_000;
const TOAST_MS = 6_000;

/**
 * Screens are fetched when they are first shown; the rest follow behind the first one.
 * @type {Record<string, () => Promise<any>>}
 */
const LATER = {
  pair: () => import("./screens/pair.js").then((module) => module.Pair),
  people: () => import("./screens/people.js").then((module) => module.People),
  "": () => import("./screens/sell.js").then((module) => module.Sell),
  charge: () => import("./screens/charge.js").then((module) => module.Charge),
  sales: () => import("./screens/sales.js").then((module) => module.Sales),
  sale: () => import("./screens/sale.js").then((module) => module.SaleScreen),
  day: () => import("./screens/day.js").then((module) => module.Day),
  goods: () => import("./screens/goods.js").then((module) => module.Goods),
  settings: () => import("./screens/settings.js").then((module) => module.Settings),
  toast: () => import("./screens/toast.js").then((module) => module.Toast),
};
/** @type {Record<string, any>} */
const screens = {};

/** Leads to a screen: "", "charge/ID", "sales", "sales/ID", "day", "goods", "settings". @param {string} path */
export const go = (path) => {
  location.hash = `#/${path}`;
};

/** @returns {import("./screens/frame.js").Route & {query: URLSearchParams}} */
function here() {
  const [path, query = ""] = location.hash.replace(/^#\/?/, "").split("?");
  const [name = "", id = ""] = path.split("/");
  return { name: name === "sales" && id ? "sale" : name, id, rest: query, query: new URLSearchParams(query) };
}

/** @typedef {{till: Till}} Props */
/**
 * @typedef {{toast: import("./sale.js").Sale|null, missing: boolean}} State `missing`: a screen's module could not be
 * fetched
 */

/** @extends {Component<Props, State>} */
class Page extends Component {
  /** The token that is listened with. @type {string} */
  token = "";
  /** The screen whose module is on its way. @type {string|null} */
  fetching = null;
  /** Changes over to a newer version of the app. @type {(() => void)|null} */
  takeOver = null;
  /** @type {State} */
  state = { toast: null, missing: false };

  componentDidMount() {
    const { till } = this.props;
    till.addEventListener("change", () => this.changed());
    till.addEventListener("paid", (event) => void this.paid(/** @type {CustomEvent} */ (event).detail.sale));
    addEventListener("hashchange", () => this.arrive());
    addEventListener("online", () => void till.sync());
    document.addEventListener("visibilitychange", () => !document.hidden && void till.sync());
    for (const kind of ["pointerdown", "keydown"]) addEventListener(kind, () => till.touch(), { capture: true, passive: true });
    setInterval(() => till.lockIfIdle(), IDLE_CHECK_MS);
    this.changed();
    void till.sync();
    this.arrive();
    void this.prepare();
  }

  /** Fetches, behind the first screen, what the others need, and what makes the till open without a network. */
  async prepare() {
    try {
      for (const name of Object.keys(LATER)) screens[name] ??= await LATER[name]();
      const { install } = await import("/static/phone/worker.js");
      await install("till", {
        onWaiting: (takeOver) => {
          this.takeOver = takeOver;
          this.changed();
        },
      });
    } catch (error) {
      if (!(error instanceof TypeError)) throw error; // no network: what is missing comes when it is opened
    }
  }

  changed() {
    const { till } = this.props;
    document.documentElement.dataset.theme = till.settings.theme;
    if (till.settings.theme === "auto") delete document.documentElement.dataset.theme;
    document.title = till.shop ? `${till.shop.merchant.name}, ${t("Till")}` : t("Till");
    void this.listen();
    if (this.takeOver && !till.clerk) this.takeOver(); // nobody is in the middle of anything
    this.setState({});
  }

  /** Follows the sales of the till, for as long as it is paired with the same shop. */
  async listen() {
    const { till } = this.props;
    const token = till.pairing?.token ?? "";
    if (token === this.token) return;
    this.token = token;
    this.listening?.abort();
    if (!token) return;
    const { signal } = (this.listening = new AbortController());
    const { follow } = await import("/static/phone/events.js");
    void follow({
      api: till.api,
      path: "/v1/till/events",
      signal,
      always: true,
      onEvent: (event) => void (event.type === "open" ? till.sync() : till.heard(event.data)),
    });
  }

  /** @param {import("./sale.js").Sale} sale */
  async paid(sale) {
    if (this.props.till.settings.sound) void import("/static/phone/tone.js").then(({ paid }) => paid());
    if (here().id === sale.id) return;
    screens.toast ??= await LATER.toast(); // money can come before the other screens are here
    this.setState({ toast: sale });
    clearTimeout(this.fade);
    this.fade = setTimeout(() => this.setState({ toast: null }), TOAST_MS);
  }

  /** A screen was asked for: its module comes, and its heading is read out. */
  arrive() {
    this.setState({ missing: false });
    this.settle();
  }

  /** Which screen is due: nobody sells before the till is paired and somebody has signed in. */
  get name() {
    const { till } = this.props;
    const { name } = here();
    if (!till.pairing || till.ended || name === "pair") return "pair";
    if (!till.clerk || !till.cart) return "people";
    return name in LATER ? name : "";
  }

  /** @param {string} name */
  fetch(name) {
    if (this.fetching === name) return;
    this.fetching = name;
    Promise.all([LATER[name](), rest()]).then(([screen]) => {
      screens[name] = screen;
      this.settle();
    }, () => this.setState({ missing: true })).finally(() => {
      this.fetching = null;
    });
  }

  settle() {
    this.setState({}, () => {
      scrollTo(0, 0);
      const target = document.activeElement;
      if (!target || target === document.body || !target.isConnected || target.closest(".tabs")) {
        /** @type {HTMLElement|null} */ (document.querySelector("h1[tabindex]"))?.focus();
      }
    });
  }

  /** @param {string} code */
  speak = async (code) => {
    const language = await load("till", code).catch(() => null);
    if (language) await this.props.till.set({ language });
  };

  /** @param {Props} props @param {State} state */
  render({ till }, { toast, missing }) {
    const route = here();
    const { name } = this;
    const Screen = screens[name];
    if (!Screen) {
      if (!missing) this.fetch(name);
      return html`<main class="app till"><p class="empty" role="status">${missing
        ? t("This part is not on the device yet. It comes with the network.") : t("Opening…")}</p></main>`;
    }
    const key = name === "pair" ? route.id + route.rest : name;
    return html`<${Screen} key=${key} till=${till} route=${route} go=${go} speak=${this.speak} code=${route.query.get("code") ?? route.id} />
      ${screens.toast && html`<${screens.toast} till=${till} sale=${toast} />`}`;
  }
}

async function start() {
  const root = /** @type {HTMLElement} */ (document.getElementById("app"));
  let till;
  try {
    till = await Till.open();
  } catch {
    await load("till").catch(() => null);
    render(html`<main class="app till"><div class="empty" role="alert"><h1>${t("This browser keeps nothing")}</h1>
      <p>${t("A till keeps its sales on the device. Leave the private mode, or allow this page to keep data.")}</p></div></main>`, root);
    return;
  }
  const language = await load("till", till.settings.language).catch(() => "en");
  till.api.language = language;
  render(html`<${Page} till=${till} />`, root);
}

void start();
