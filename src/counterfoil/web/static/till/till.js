// @ts-check
/**
 * The one object that the till's screens see: who we are, who stands there, the goods, the sales, and how they reach the server.
 *
 * A sale has its id before anything is sent, and is kept on the device first. The server's word alone makes it paid. Whatever
 * is repeated carries the same id, so that late, lost and double answers change nothing.
 *
 * @typedef {import("./sale.js").Sale} Sale
 * @typedef {import("./sale.js").SaleView} SaleView
 * @typedef {{id: string, name: string, rights: string[]}} Clerk
 * @typedef {{id: string, name: string, price: number, unit: string, shown: boolean, position: number}} Goods
 * @typedef {{clerk: string, session: string, rights: string[], expiresAt: number, usedAt: number}} Session
 * @typedef {object} Shop what the server says of the till
 * @property {{id: string, name: string}} till
 * @property {{name: string, code: string|null, account: string, static_code: string}} merchant
 * @property {{code: string, digits: number}} currency
 * @property {Clerk[]} clerks
 * @property {string} day in the scheme's time zone
 * @property {string} now the server's clock
 * @property {{name: string, origin: string, sandbox: boolean}} scheme
 * @typedef {{language: string, theme: "auto"|"light"|"dark", sound: boolean, lockMinutes: number}} Settings
 */

import { Api, Refusal, Unreachable } from "/static/phone/api.js";
import { newId } from "/static/phone/bytes.js";
import { open as openDatabase, persist } from "/static/phone/database.js";
import { Actions } from "./actions.js";
import { Cart } from "./cart.js";
import { hasPaid, isOpen, newSale, stateOf, told } from "./sale.js";

/** The device's stores: who we are; sales; what was asked of the server and not answered. */
const STORES = ["self", "goods", "sales", "actions"];
const RETRY_MS = [1_000, 2_000, 5_000, 10_000, 30_000];
/** How often the sale on the screen is asked for, besides events. */
export const WATCH_MS = 4_000;
const KEEP_MS = 8 * 24 * 3_600_000;
export const LOCK_MINUTES = [1, 5, 15, 30];
/** Refusals of a sale after which another try can go well. */
const LATER = new Set(["later", "same_id"]);

/**
 * Dispatches `change` after anything visible changed, and `paid` {sale} when the server says that one of ours was paid
 * or held.
 */
export class Till extends EventTarget {
  /** @param {import("/static/phone/database.js").Database} database */
  constructor(database) {
    super();
    this.database = database;
    /** @type {{token: string, label: string}|null} */
    this.pairing = null;
    /** @type {Shop|null} */
    this.shop = null;
    /** @type {Session|null} */
    this.session = null;
    /** Somebody who sells while the network is away, without a PIN. @type {string|null} */
    this.stranger = null;
    /** @type {Settings} */
    this.settings = { language: "", theme: "auto", sound: true, lockMinutes: 5 };
    /** @type {Goods[]} */
    this.goods = [];
    /** @type {Map<string, Sale>} */
    this.sales = new Map();
    this.offline = false;
    /** The owner has ended this till. */
    this.ended = false;
    /** @type {Cart|null} */
    this.cart = null;
    this.api = new Api({ token: "", clerk: "", language: "en" });
    this.actions = new Actions(this);
    this.tries = 0;
    /** @type {ReturnType<typeof setTimeout>|undefined} */
    this.retry = undefined;
    /** @type {Promise<void>|null} */
    this.syncing = null;
    this.channel = new BroadcastChannel("counterfoil-till");
    this.channel.onmessage = () => void this.reload();
  }

  /** What the device knows, without any network. Throws StorageError. */
  static async open() {
    const till = new Till(await openDatabase("counterfoil-till", STORES));
    await till.reload();
    return till;
  }

  /** Reads everything from the device again: another tab has changed it. */
  async reload() {
    const { database } = this;
    const [pairing, shop, session, settings, goods, sales] = await Promise.all([
      database.get("self", "pairing"), database.get("self", "shop"), database.get("self", "session"),
      database.get("self", "settings"), database.all("goods"), database.all("sales"),
    ]);
    this.pairing = pairing ?? null;
    this.shop = shop ?? null;
    this.session = session ?? null;
    this.settings = { ...this.settings, ...settings };
    this.goods = inOrder(goods);
    this.sales = new Map(sales.map((/** @type {Sale} */ sale) => [sale.id, sale]));
    this.api.token = this.pairing?.token ?? "";
    this.api.clerk = this.session?.session ?? "";
    if (this.settings.language) this.api.language = this.settings.language;
    if (this.shop && !this.cart) this.cart = new Cart(this.shop.currency);
    await this.actions.load();
    this.lockIfIdle();
    this.changed();
  }

  changed() {
    this.dispatchEvent(new Event("change"));
  }

  /** Tells this tab's screens, and the other tabs. */
  told() {
    this.channel.postMessage("changed");
    this.changed();
  }

  // Who we are

  /**
   * Becomes a till of a shop. Throws Refusal, Unreachable.
   * @param {string} code as the owner's wallet shows it @param {string} label how this device is called
   */
  async pair(code, label) {
    const answer = await this.call("POST", "/v1/tills/pair", { body: { code: code.replace(/[\s-]/g, "").toUpperCase(), label } });
    const before = this.shop?.merchant.account;
    await this.signOut();
    this.pairing = { token: answer.token, label };
    this.api.token = answer.token;
    const shop = await this.call("GET", "/v1/till", { clerk: "" });
    // Sales that were not sent yet stay, when it is the same shop again.
    if (before !== shop.merchant.account) await this.forget();
    this.pairing = { token: answer.token, label };
    this.api.token = answer.token;
    this.ended = false;
    await this.database.put("self", "pairing", this.pairing);
    void persist();
    await this.sync();
    this.told();
  }

  /** Leaves the shop: everything of it goes from this device. */
  async unpair() {
    await this.signOut();
    await this.forget();
    this.told();
  }

  async forget() {
    for (const store of ["goods", "sales", "actions"]) await this.database.clear(store);
    for (const key of ["pairing", "shop", "session"]) await this.database.delete("self", key);
    Object.assign(this, { pairing: null, shop: null, session: null, stranger: null, goods: [], sales: new Map(), cart: null });
    this.api.token = this.api.clerk = "";
    await this.actions.load();
  }

  // Who is there

  /** @returns {Clerk|null} */
  get clerk() {
    const id = this.session?.clerk ?? this.stranger;
    return this.shop?.clerks.find((clerk) => clerk.id === id) ?? null;
  }

  /** @param {string} right sell, refund, capture, goods, close_day, see_takings */
  may(right) {
    return this.session ? this.session.rights.includes(right) : right === "sell" && this.stranger !== null;
  }

  /** Somebody comes to the till. Throws Refusal, Unreachable. @param {string} clerk @param {string} pin */
  async signIn(clerk, pin) {
    const session = await this.prove(clerk, pin);
    await this.signOut();
    this.session = session;
    this.stranger = null;
    this.api.clerk = session.session;
    await this.database.put("self", "session", session);
    this.told();
    void this.sync();
  }

  /**
   * A session of a clerk's, for one thing that the one at the till may not do alone.
   * @param {string} clerk
   * @param {string} pin
   * @returns {Promise<Session>}
   */
  async prove(clerk, pin) {
    const answer = await this.call("POST", "/v1/till/sign-in", { body: { clerk, pin }, clerk: "" });
    const now = Date.now();
    return { clerk, session: answer.session, rights: answer.rights, expiresAt: Date.parse(answer.expires_at), usedAt: now };
  }

  /** Goes on without a network and without a PIN: may sell, and see nothing else. @param {string} clerk */
  goOnOffline(clerk) {
    this.stranger = clerk;
    this.changed();
  }

  /** The next one has to enter a PIN. */
  async signOut() {
    const session = this.session?.session;
    this.session = this.stranger = null;
    this.api.clerk = "";
    await this.database.delete("self", "session");
    this.told();
    if (session) await this.end(session);
  }

  /** Ends a session on the server; without a network it ends there by itself. @param {string} session */
  async end(session) {
    try {
      await this.call("POST", "/v1/till/sign-out", { clerk: session });
    } catch (error) {
      if (!(error instanceof Unreachable || error instanceof Refusal)) throw error;
    }
  }

  /** Somebody touches the till. */
  touch() {
    if (!this.session) return;
    this.session.usedAt = Date.now();
    if (Date.now() - (this.touchedAt ?? 0) < 10_000) return;
    this.touchedAt = Date.now();
    void this.database.put("self", "session", this.session);
  }

  /** Locks when nobody has touched the till for as long as the settings say. */
  lockIfIdle() {
    const { session } = this;
    if (!session) return;
    const idle = Date.now() - session.usedAt > this.settings.lockMinutes * 60_000;
    if (idle || Date.now() > session.expiresAt) void this.signOut();
  }

  /** @param {Partial<Settings>} change */
  async set(change) {
    this.settings = { ...this.settings, ...change };
    this.api.language = this.settings.language || this.api.language;
    await this.database.put("self", "settings", this.settings);
    this.told();
  }

  // Selling

  /**
   * Makes the sale that was rung up. It exists from here on, with or without a network; it is sent while the screens go on.
   * @param {{hold?: boolean}} [how] @returns {Promise<Sale>}
   */
  async charge({ hold = false } = {}) {
    if (!this.cart || !this.cart.total()) throw new RangeError("there is nothing to charge");
    const lines = this.cart.finished();
    const amount = this.cart.total();
    const sale = newSale({
      id: newId(this.api.now()), lines, amount, hold, made_at: new Date(this.api.now()).toISOString(), clerk: this.clerk?.id ?? null,
    });
    await this.keep(sale);
    this.cart.clear();
    this.told();
    void this.send(sale.id);
    return sale;
  }

  /** @param {string} id @returns {Sale} */
  sale(id) {
    const sale = this.sales.get(id);
    if (!sale) throw new RangeError(`no sale ${id}`);
    return sale;
  }

  /** Sends a sale that the server does not have yet. Leaves it as it is when there is no answer. @param {string} id */
  async send(id) {
    const sale = this.sale(id);
    if (sale.sent || sale.refusal || !sale.made || !this.session) return;
    try {
      this.tell(await this.call("POST", "/v1/till/sales", { body: body(sale.made) }));
      if (sale.withdrawn) await this.cancelSent(id);
    } catch (error) {
      if (error instanceof Unreachable) return;
      if (!(error instanceof Refusal)) throw error;
      if (LATER.has(error.retry) || error.status === 401) return this.tryLater();
      await this.keep({ ...this.sale(id), refusal: { code: error.code, title: error.title } });
      this.told();
    }
  }

  /**
   * Takes a sale back: nobody shall pay it any more. One that the server does not know yet is cancelled as soon as it
   * does.
   * @param {string} id
   */
  async cancel(id) {
    await this.keep({ ...this.sale(id), withdrawn: true });
    this.told();
    if (this.sale(id).sent) await this.cancelSent(id);
    else await this.send(id);
  }

  /** @param {string} id */
  async cancelSent(id) {
    try {
      this.tell(await this.call("POST", `/v1/till/sales/${id}/cancel`));
    } catch (error) {
      if (error instanceof Refusal && error.code === "not_in_this_state") await this.ask(id);
      else throw error;
    }
  }

  /** A refused sale is taken off the list. @param {string} id */
  async drop(id) {
    if (stateOf(this.sale(id)) !== "refused") return;
    this.sales.delete(id);
    await this.database.delete("sales", id);
    this.told();
  }

  /** What the server says of a sale now. @param {string} id @returns {Promise<Sale>} */
  async ask(id) {
    this.tell(await this.call("GET", `/v1/till/sales/${id}`));
    return this.sale(id);
  }

  /**
   * Something happened to a sale of the shop: the server is asked what. Locked, the till waits until somebody signs in.
   * @param {{sale?: string}} event
   */
  async heard({ sale }) {
    if (!sale || !this.session) return;
    try {
      await this.ask(sale);
    } catch (error) {
      if (!(error instanceof Unreachable || error instanceof Refusal)) throw error;
    }
  }

  /** Takes in what the server said of a sale. @param {SaleView} view */
  tell(view) {
    const before = this.sales.get(view.id);
    const sale = told(before, view);
    const news = sale.mine && !sale.announced && hasPaid(stateOf(sale));
    if (news) sale.announced = true;
    if (before && JSON.stringify(before) === JSON.stringify(sale)) return;
    void this.keep(sale);
    this.told();
    if (news) this.dispatchEvent(new CustomEvent("paid", { detail: { sale } }));
  }

  /** @param {Sale} sale */
  async keep(sale) {
    this.sales.set(sale.id, sale);
    await this.database.put("sales", sale.id, sale);
  }

  /** Sales of this device that somebody may still pay, newest first. */
  waiting() {
    return this.newest().filter((sale) => sale.mine && isOpen(stateOf(sale)));
  }

  /** Sales that this device made and the server does not have. */
  unsent() {
    return [...this.sales.values()].filter((sale) => !sale.sent && !sale.refusal);
  }

  /** All sales that the device knows, newest first. Ids rise with time. */
  newest() {
    return [...this.sales.values()].sort((a, b) => (a.id < b.id ? 1 : -1));
  }

  // Sales, goods and days on the server

  /**
   * One page of a day's sales; the sales themselves are in `sales` afterwards.
   * @param {string} day
   * @param {string|null} [cursor]
   * @returns {Promise<{ids: string[], next: string|null}>}
   */
  async salesOf(day, cursor = null) {
    const answer = await this.call("GET", "/v1/till/sales", { query: cursor ? { day, cursor } : { day } });
    answer.sales.forEach((/** @type {SaleView} */ view) => this.tell(view));
    return { ids: answer.sales.map((/** @type {SaleView} */ view) => view.id), next: answer.next };
  }

  async loadGoods() {
    const { goods } = await this.call("GET", "/v1/till/goods");
    await this.keepGoods(goods);
  }

  /** Adds or changes goods. Throws Refusal, Unreachable. @param {Goods} changed */
  async putGoods(changed) {
    const { id, ...rest } = changed;
    await this.call("PUT", `/v1/till/goods/${id}`, { body: rest });
    await this.keepGoods([...this.goods.filter((each) => each.id !== id), changed]);
  }

  /** @param {Goods[]} goods */
  async keepGoods(goods) {
    this.goods = inOrder(goods);
    await this.database.clear("goods");
    for (const each of goods) await this.database.put("goods", each.id, each);
    this.told();
  }

  /** @param {string} [day] today when none is named */
  async day(day) {
    return this.call("GET", "/v1/till/day", { query: day ? { day } : undefined });
  }

  /** Closes the day for good. A repeat, also after a lost answer, is the same closing. @param {string} day */
  async closeDay(day) {
    const kept = await this.database.get("self", "closing");
    const closing = kept?.day === day ? kept : { day, id: newId(this.api.now()) };
    await this.database.put("self", "closing", closing);
    return this.call("POST", "/v1/till/day/close", { body: { id: closing.id } });
  }

  /** Sends the slip's link. @param {string} id @param {string} number "" for the payer's own */
  async sendSlip(id, number) {
    await this.call("POST", `/v1/till/sales/${id}/slip-sms`, { body: number ? { number } : {} });
  }

  // The network

  /**
   * @param {string} method @param {string} path
   * @param {{body?: object, query?: Record<string, string>, clerk?: string, signal?: AbortSignal}} [options] `clerk`: another session than the one at the till
   * @returns {Promise<any>} Throws Refusal, Unreachable.
   */
  async call(method, path, options = {}) {
    const { clerk, ...rest } = options;
    const { session } = this;
    const { token, language, skewMs } = this.api;
    const api = clerk === undefined ? this.api : new Api({ token, clerk, language, skewMs });
    try {
      const answer = await api.call(method, path, rest);
      this.reached();
      return answer;
    } catch (error) {
      if (error instanceof Unreachable) this.unreachable();
      else if (error instanceof Refusal) {
        this.reached();
        // A late answer to the one who was here before does not send the next one away.
        if (error.status === 401 && clerk === undefined && session && this.session === session) await this.signOut();
      }
      throw error;
    }
  }

  reached() {
    if (!this.offline) return;
    this.offline = false;
    this.changed();
    void this.sync();
  }

  unreachable() {
    this.tryLater();
    if (this.offline) return;
    this.offline = true;
    this.changed();
  }

  tryLater() {
    clearTimeout(this.retry);
    this.retry = setTimeout(() => void this.sync(), RETRY_MS[Math.min(this.tries++, RETRY_MS.length - 1)]);
  }

  /**
   * Brings device and server together; one at a time, and never throws for a network that is away.
   * @returns {Promise<void>}
   */
  sync() {
    this.syncing ??= this.synchronise().finally(() => {
      this.syncing = null;
    });
    return this.syncing;
  }

  async synchronise() {
    if (!this.pairing) return;
    clearTimeout(this.retry);
    try {
      await this.loadShop();
      if (this.session) {
        await this.loadGoods();
        for (const sale of this.unsent()) await this.send(sale.id);
        await this.actions.resume();
        for (const sale of this.newest()) {
          if (sale.withdrawn && sale.view?.state === "open") await this.cancelSent(sale.id);
          else if (sale.mine && sale.view?.state === "open") await this.ask(sale.id);
        }
        if (this.shop) await this.salesOf(this.shop.day);
      }
      if (!this.offline) this.tries = 0;
      await this.clean();
    } catch (error) {
      if (error instanceof Refusal && LATER.has(error.retry)) this.tryLater();
      else if (!(error instanceof Unreachable || error instanceof Refusal)) throw error;
    }
  }

  async loadShop() {
    try {
      const shop = await this.call("GET", "/v1/till", { clerk: "" });
      if (shop.now) this.api.setClock(Date.parse(shop.now));
      this.ended = false;
      this.shop = shop;
      this.cart ??= new Cart(shop.currency);
      await this.database.put("self", "shop", shop);
      this.told();
    } catch (error) {
      if (error instanceof Refusal && (error.status === 401 || error.code === "forbidden")) {
        this.ended = true;
        this.changed();
      }
      throw error;
    }
  }

  /** Sales that are over, and older than a week, go from the device; the server has them. */
  async clean() {
    const limit = Date.now() - KEEP_MS;
    for (const sale of this.sales.values()) {
      if (!sale.view || Date.parse(sale.view.at) > limit || isOpen(stateOf(sale))) continue;
      this.sales.delete(sale.id);
      await this.database.delete("sales", sale.id);
    }
  }
}

/** @param {import("./sale.js").Made} made what the server takes */
function body(made) {
  const { clerk, lines, ...rest } = made;
  const sent = lines.map(({ goods, ...line }) => (goods ? { ...line, goods } : line));
  return clerk ? { ...rest, lines: sent, clerk } : { ...rest, lines: sent };
}

/** @param {Goods[]} goods */
const inOrder = (goods) => [...goods].sort((a, b) => a.position - b.position || a.name.localeCompare(b.name));
