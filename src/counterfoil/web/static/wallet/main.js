// @ts-check
/**
 * The wallet from its start: storage, words, the first picture, then the network. Which screen is shown stands in the address
 * after #; all but the welcome of somebody new are loaded when they are opened, and kept for offline use behind the first picture.
 *
 * @typedef {(props: import("./frame.js").ScreenProps) => any} ScreenView
 */

import { icon } from "/static/look/icons.js";
import { Component, html, render } from "/static/phone/view.js";
import { formatAge, language, load, rest, t } from "/static/phone/words.js";
import { Screen, back, go, money, onSay, ready } from "./frame.js";
import Welcome from "./screens/welcome.js";
import { Wallet } from "./wallet.js";

export { back, go };

const TOAST_MS = 5_000;

/** @type {Record<string, () => Promise<{default: any}>>} */
const SCREENS = {
  "": () => import("./screens/home.js"),
  borrow: () => import("./screens/borrow.js"),
  pay: () => import("./screens/pay.js"),
  scan: () => import("./screens/scan.js"),
  out: () => import("./screens/outcome.js"),
  receive: () => import("./screens/receive.js"),
  ask: () => import("./screens/ask.js"),
  request: () => import("./screens/request.js"),
  activity: () => import("./screens/activity.js"),
  month: () => import("./screens/month.js"),
  payment: () => import("./screens/payment.js"),
  messages: () => import("./screens/messages.js"),
  thread: () => import("./screens/thread.js"),
  cash: () => import("./screens/cash.js"),
  settings: () => import("./screens/settings.js"),
  security: () => import("./screens/security.js"),
  devices: () => import("./screens/devices.js"),
  about: () => import("./screens/about.js"),
  notices: () => import("./screens/notices.js"),
  cards: () => import("./screens/cards.js"),
  tills: () => import("./screens/tills.js"),
  join: () => import("./screens/join.js"),
  open: () => import("./screens/open.js"),
};
/** Those that need no account. */
const OPEN_TO_ALL = ["open", "join", "about", "borrow"];

const TABS = () => [
  ["", "home", t.short("Home")],
  ["activity", "activity", t.short("Activity")],
  ["scan", "scan", t.short("Scan")],
  ["messages", "messages", t.short("Messages")],
  ["settings", "settings", t.short("Settings")],
];
const TAB_OF = /** @type {Record<string, string>} */ ({
  pay: "scan", thread: "messages", payment: "activity", month: "activity", security: "settings", devices: "settings",
  about: "settings", cards: "settings", tills: "settings", request: "", receive: "", ask: "", cash: "", out: "", notices: "",
});

/** Where there is one thing to do at a time, the tabs make room for it. */
const FLOWS = ["pay", "out", "receive", "ask", "request", "cash"];

/** @returns {{name: string, parts: string[], query: URLSearchParams, key: string}} where the address points */
function place() {
  const [path, query = ""] = location.hash.slice(1).split("?");
  const [name = "", ...parts] = path.split("/").filter(Boolean).map(decodeURIComponent);
  return { name, parts, query: new URLSearchParams(query), key: location.hash };
}

/** @extends {Component<{wallet: Wallet}, {place: ReturnType<typeof place>, view: any, missing: boolean, broken: unknown,
 *   takeOver: (() => void)|null, toast: {title: string, text: string}|null, said: string}>} */
class App extends Component {
  /** @type {any} */
  state = { place: place(), view: null, missing: false, broken: null, takeOver: null, toast: null, said: "" };

  /** The device that listens; null before the first. @type {string|null} */
  listening = null;

  componentDidMount() {
    const { wallet } = this.props;
    wallet.addEventListener("change", () => this.changed());
    wallet.addEventListener("received", (event) => this.received(/** @type {CustomEvent} */ (event).detail));
    addEventListener("hashchange", () => {
      if (!history.state?.inside) history.replaceState({ inside: true }, "");
      void this.open();
    });
    onSay((said) => this.setState({ said }));
    void this.open();
    this.changed();
    void import("/static/phone/worker.js").then(({ install }) => install("wallet", { onWaiting: (takeOver) => this.setState({ takeOver }) }));
  }

  /** Shows what is new, and listens for as long as it is the same device that listens. */
  changed() {
    const device = this.props.wallet.identity?.device ?? "";
    if (device !== this.listening) {
      const before = this.listening;
      this.listening = device;
      void this.props.wallet.followEvents();
      if (before !== null) void this.open();
    }
    this.setState({});
  }

  /** @param {unknown} broken */
  componentDidCatch(broken) {
    console.error(broken);
    this.setState({ broken });
  }

  async open() {
    const now = place();
    const here = ready.get(now.name);
    this.setState({ place: now, broken: null, missing: false, toast: null, ...(here ? { view: { name: now.name, view: here } } : {}) });
    const { wallet } = this.props;
    if (here || (!wallet.identity && !OPEN_TO_ALL.includes(now.name))) return;
    const importer = SCREENS[now.name];
    if (!importer) return go("/", { replace: true });
    try {
      const [{ default: view }] = await Promise.all([importer(), styled(), rest().catch(() => {})]);
      ready.set(now.name, view);
      if (place().key === now.key) this.setState({ view: { name: now.name, view } });
    } catch (error) {
      console.error(error);
      if (place().key === now.key) this.setState({ missing: true });
    }
  }

  /** @param {{amount: number, name: string|null}} detail */
  async received({ amount, name }) {
    const { wallet } = this.props;
    const title = money(wallet, amount, { sign: true });
    const text = name ? t("From %(name)s", { name }) : "";
    const toast = { title, text };
    this.setState({ toast });
    setTimeout(() => this.state.toast === toast && this.setState({ toast: null }), TOAST_MS);
    if (wallet.settings.sound !== false) (await import("/static/phone/tone.js")).paid();
  }

  screen() {
    const { wallet } = this.props;
    const { place: here, view, missing, broken } = this.state;
    if (broken || missing) {
      return html`<${Screen} wallet=${wallet} title=${missing ? t("Not on this phone yet") : t("This screen broke")}>
        <div class="empty">${icon("alert")}
          <p>${missing
            ? t("This part is loaded when it is first opened, and the server cannot be reached.")
            : t("Your money and what waits to be sent are safe. Open it again; if it breaks again, tell us what you did.")}</p>
          <p><button class="button" onClick=${() => this.open()}>${t("Try again")}</button></p>
        </div></${Screen}>`;
    }
    const props = { wallet, parts: here.parts, query: here.query };
    if (!wallet.identity && !OPEN_TO_ALL.includes(here.name)) return html`<${Welcome} ...${props} />`;
    return view?.name === here.name ? html`<${view.view} key=${here.key} ...${props} />` : html`<main id="main" aria-busy="true" />`;
  }

  render() {
    const { wallet } = this.props;
    const { place: here, takeOver, toast, said } = this.state;
    // Told again, even the same language costs a new look at every element.
    const root = document.documentElement;
    if (root.lang !== language()) root.lang = language();
    const { theme } = wallet.settings;
    if (theme === "dark" || theme === "light") root.dataset.theme = theme;
    else delete root.dataset.theme;
    const tab = TAB_OF[here.name] ?? here.name;
    return html`<div class=${`app ${FLOWS.includes(here.name) ? "app-flow" : ""}`}>
      <div class="strips" role="status">
        ${(wallet.scheme ?? root.dataset).sandbox ? html`<p class="strip">${t("A sandbox: no money here is real.")}</p>` : null}
        ${wallet.offline && wallet.identity
          ? html`<p class="strip">${icon("offline")}${wallet.accountAt
            ? t("No network. Last answer: %(age)s.", { age: formatAge(wallet.accountAt) })
            : t("No network.")}</p>`
          : null}
        ${takeOver
          ? html`<p class="strip">${t("A newer wallet is ready.")} <button class="link" onClick=${takeOver}>${t("Use it now")}</button></p>`
          : null}
      </div>
      ${this.screen()}
      ${wallet.identity
        ? html`<nav class="tabs" aria-label=${t("Parts of the wallet")}>${TABS().map(
          ([path, name, label]) => html`<a href=${`#/${path}`} aria-current=${tab === path ? "page" : undefined}>${icon(name)}<span>${label}</span></a>`,
        )}</nav>`
        : null}
      <div role="status">${toast
        ? html`<div class="toast">${icon("done")}<p><span class="visually-hidden">${t("Received")}: </span><strong class="amount">${toast.title}</strong><br />${toast.text}</p></div>`
        : null}</div>
      <div class="visually-hidden" role="status" aria-live="polite">${said}</div>
    </div>`;
  }
}

/** The look of the screens that are loaded later; once. @type {Promise<void>|null} */
let style = null;

/** @returns {Promise<void>} when it is there */
function styled() {
  style ??= new Promise((resolve, reject) => {
    const link = Object.assign(document.createElement("link"), { rel: "stylesheet", href: "/static/wallet/screens/screens.css" });
    link.onload = () => resolve();
    link.onerror = () => {
      style = null;
      reject(new Error("no screens.css"));
    };
    document.head.append(link);
  });
  return style;
}

/** @param {HTMLElement} root */
async function start(root) {
  const wallet = await Wallet.open();
  await load("wallet", wallet.settings.language).catch(() => load("wallet", "en"));
  render(html`<${App} wallet=${wallet} />`, root);
}

void start(/** @type {HTMLElement} */ (document.getElementById("app")));
