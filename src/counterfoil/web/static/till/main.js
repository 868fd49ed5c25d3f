// @ts-check
/** The till's page: opens what the device knows, listens to the server, and shows the screen that the address names. */

import { StorageError } from "/static/phone/database.js";
import { Component, html, render } from "/static/phone/view.js";
import { load, rest, t } from "/static/phone/words.js";
import { aside } from "./device.js";
import { Till } from "./till.js";

const IDLE_CHECK_MS = 5_000;
const TOAST_MS = 6_000;
const TOASTS_MAX = 3;
/** How long we wait before we try again to fetch a module. */
const AGAIN_MS = 3_000;
/** Events after which everything is looked at: what is not told again may have been missed. */
const WHOLE = new Set(["open", "shop.changed"]);

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
 * @typedef {{toasts: import("./sale.js").Sale[], missing: boolean}} State `missing`: a screen's module could not be
 * fetched so far
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
  state = { toasts: [], missing: false };

  componentDidMount() {
    const { till } = this.props;
    till.addEventListener("change", () => this.changed());
    till.addEventListener("paid", (event) => void this.paid(/** @type {CustomEvent} */ (event).detail.sale));
    addEventListener("hashchange", () => this.settle());
    addEventListener("online", () => aside(till.sync()));
    document.addEventListener("visibilitychange", () => document.hidden || aside(till.sync()));
    for (const kind of ["pointerdown", "keydown"]) addEventListener(kind, () => till.people.touch(), { capture: true, passive: true });
    setInterval(() => aside(till.people.lockIfIdle()), IDLE_CHECK_MS);
    this.changed();
    aside(till.sync());
    this.settle();
    void this.prepare();
  }

  /** Fetches, behind the first screen, what the others need, and what makes the till open without a network. */
  async prepare() {
    for (const name of Object.keys(LATER)) await this.fetch(name);
    const { install } = await this.patiently(() => import("/static/phone/worker.js"));
    await install("till", {
      onWaiting: (takeOver) => {
        this.takeOver = takeOver;
        this.changed();
      },
    });
  }

  /** A screen with its words, as soon as a network brings them. @param {string} name */
  async fetch(name) {
    screens[name] ??= (await this.patiently(() => Promise.all([LATER[name](), rest()])))[0];
  }

  /**
   * What `load` fetches, however often that has to be tried: a network that is away comes back.
   * @template T @param {() => Promise<T>} load @returns {Promise<T>}
   */
  async patiently(load) {
    for (;;) {
      try {
        const found = await load();
        if (this.state.missing) this.setState({ missing: false });
        return found;
      } catch (error) {
        if (error instanceof SyntaxError) throw error; // it has come, and is wrong
        this.setState({ missing: true });
        await new Promise((resolve) => {
          setTimeout(resolve, AGAIN_MS);
          addEventListener("online", resolve, { once: true });
        });
      }
    }
  }

  changed() {
    const { till } = this.props;
    document.documentElement.dataset.theme = till.settings.theme;
    if (till.settings.theme === "auto") delete document.documentElement.dataset.theme;
    document.title = till.shop ? `${till.shop.merchant.name}, ${t("Till")}` : t("Till");
    void this.listen();
    if (this.takeOver && !till.people.clerk) this.takeOver(); // nobody is in the middle of anything
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
    const { follow } = await this.patiently(() => import("/static/phone/events.js"));
    await follow({
      api: till.network.api,
      path: "/v1/till/events",
      signal,
      always: true,
      onEvent: ({ type, data }) => aside(WHOLE.has(type) ? till.sync() : till.sales.look(data.sale)),
    });
    if (!signal.aborted) aside(till.sync()); // the server listens to us no more: it says why
  }

  /** @param {import("./sale.js").Sale} sale */
  async paid(sale) {
    if (this.props.till.settings.sound) void this.patiently(() => import("/static/phone/tone.js")).then(({ paid }) => paid());
    if (here().id === sale.id) return;
    this.setState(({ toasts }) => ({ toasts: [...toasts, sale].slice(-TOASTS_MAX) }));
    await this.fetch("toast"); // money can come before the other screens are here
    this.setState({});
    clearTimeout(this.fade);
    this.fade = setTimeout(() => this.setState({ toasts: [] }), TOAST_MS);
  }

  /** Which screen is due: nobody sells before the till is paired and somebody has signed in. */
  get name() {
    const { till } = this.props;
    const { name } = here();
    if (!till.pairing || till.network.ended || name === "pair") return "pair";
    if (!till.people.clerk) return "people";
    return name in LATER ? name : "";
  }

  /** The screen that is due comes, and its heading is read out. @param {string} name */
  async bring(name) {
    if (this.fetching === name) return;
    this.fetching = name;
    await this.fetch(name);
    if (this.fetching === name) this.fetching = null;
    this.settle();
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
    if (language) aside(this.props.till.set({ language }));
  };

  /** @param {Props} props @param {State} state */
  render({ till }, { toasts, missing }) {
    const route = here();
    const { name } = this;
    const Screen = screens[name];
    if (!Screen) {
      void this.bring(name);
      return html`<main class="app till"><p class="empty" role="status">${missing
        ? t("This part is not on the device yet. It comes with the network.") : t("Opening…")}</p></main>`;
    }
    const code = route.name === "pair" ? route.query.get("code") ?? route.id : ""; // a till that ended may stand anywhere
    const key = name === "pair" ? code : `${name}/${route.id}`; // another sale is another screen
    return html`<${Screen} key=${key} till=${till} route=${route} go=${go} speak=${this.speak} code=${code} />
      ${screens.toast && html`<${screens.toast} till=${till} sales=${toasts} />`}`;
  }
}

async function start() {
  const root = /** @type {HTMLElement} */ (document.getElementById("app"));
  let till;
  try {
    till = await Till.open();
  } catch (error) {
    if (!(error instanceof StorageError)) throw error;
    await load("till").catch(() => null);
    render(html`<main class="app till"><div class="empty" role="alert"><h1>${t("This browser keeps nothing")}</h1>
      <p>${t("A till keeps its sales on the device. Leave the private mode, or allow this page to keep data.")}</p></div></main>`, root);
    return;
  }
  const language = await load("till", till.settings.language).catch(() => "en");
  till.network.api.language = language;
  render(html`<${Page} till=${till} />`, root);
}

void start();
