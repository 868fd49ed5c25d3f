// @ts-check
/**
 * The one object that the till's screens see: the shop, its goods, who stands there, the sales, and the line to the server.
 *
 * @typedef {{id: string, name: string, price: number, unit: string, shown: boolean, position: number}} Goods
 * @typedef {object} Shop what the server says of the till
 * @property {{id: string, name: string}} till
 * @property {{name: string, code: string|null, account: string, static_code: string}} merchant
 * @property {{code: string, digits: number}} currency
 * @property {import("./people.js").Clerk[]} clerks
 * @property {string} day in the scheme's time zone
 * @property {string} now the server's clock
 * @property {{name: string, origin: string, sandbox: boolean}} scheme
 * @typedef {{language: string, theme: "auto"|"light"|"dark", sound: boolean, lockMinutes: number}} Settings
 */

import { Refusal, Unreachable } from "/static/phone/api.js";
import { Device, aside } from "./device.js";
import { Network, isLater } from "./network.js";
import { People } from "./people.js";
import { Selling } from "./selling.js";

/** How often the sale on the screen is asked for, besides events. */
export const WATCH_MS = 4_000;
export const LOCK_MINUTES = [1, 5, 15, 30];

/**
 * Dispatches `change` after anything visible changed, and `paid` {sale} when the server says that one of ours was paid
 * or held.
 */
export class Till extends EventTarget {
  /** @param {Device} device */
  constructor(device) {
    super();
    this.device = device;
    device.onTrouble = () => this.changed();
    /** @type {{token: string, label: string}|null} */
    this.pairing = null;
    /** @type {Shop|null} */
    this.shop = null;
    /** @type {Settings} */
    this.settings = { language: "", theme: "auto", sound: true, lockMinutes: 5 };
    /** @type {Goods[]} */
    this.goods = [];
    /** How often goods were changed here: a list that was asked for before is old. */
    this.goodsChanged = 0;
    /** What is rung up in this tab. @type {import("./cart.js").Cart|null} */
    this.cart = null;
    /** What was asked of the server and not answered; see actions.js. @type {import("./actions.js").Action[]} */
    this.unanswered = [];
    const syncing = () => aside(this.sync());
    this.network = new Network({
      changed: () => this.changed(),
      back: () => this.syncing || syncing(),
      again: syncing,
      left: () => this.people.signOut(),
    });
    this.people = new People(this);
    this.sales = new Selling(this);
    /** @type {Promise<void>|null} */
    this.syncing = null;
    /** Something happened while we were at it. */
    this.stale = false;
    this.channel = new BroadcastChannel("counterfoil-till");
    this.channel.onmessage = () => aside(this.reload());
  }

  /** What the device knows, without any network. Throws StorageError. */
  static async open() {
    const till = new Till(await Device.open());
    await till.reload();
    return till;
  }

  /** Reads everything from the device again: another tab has changed it. */
  async reload() {
    const { device, network } = this;
    let writes, kept;
    do {
      writes = device.writes;
      const self = ["pairing", "shop", "session", "settings"].map((key) => device.get("self", key));
      kept = await Promise.all([...self, device.all("goods"), device.all("sales"), device.all("actions")]);
    } while (writes !== device.writes);
    const [pairing, shop, session, settings, goods, sales, actions] = kept;
    this.pairing = pairing ?? null;
    this.shop = shop ?? null;
    this.settings = { ...this.settings, ...settings };
    this.goods = inOrder(goods);
    const paid = this.sales.take(sales);
    this.unanswered = actions;
    if (network.api.token !== this.pairing?.token) network.ended = false;
    network.api.token = this.pairing?.token ?? "";
    this.people.take(session ?? null);
    if (this.settings.language) network.api.language = this.settings.language;
    this.changed();
    this.sales.announce(paid);
    await this.people.lockIfIdle();
  }

  changed() {
    this.dispatchEvent(new Event("change"));
  }

  /** Tells this tab's screens, and the other tabs. */
  told() {
    this.channel.postMessage("changed");
    this.changed();
  }

  /** @param {Partial<Settings>} change */
  async set(change) {
    this.settings = { ...this.settings, ...change };
    this.network.api.language = this.settings.language || this.network.api.language;
    this.changed();
    await this.device.put("self", "settings", this.settings);
    this.told();
  }

  /** A list that is older than a change made here is asked for again. Throws Refusal, Unreachable. */
  async loadGoods() {
    let asked, answer;
    do {
      asked = this.goodsChanged;
      answer = await this.network.call("GET", "/v1/till/goods");
    } while (asked !== this.goodsChanged);
    await this.keepGoods(answer.goods);
  }

  /** @param {Goods[]} goods all of them */
  async keepGoods(goods) {
    if (JSON.stringify(this.goods) === JSON.stringify(inOrder(goods))) return;
    this.goods = inOrder(goods);
    await this.device.replace(["goods"], (use) => goods.forEach((each) => use("goods").put(each, each.id)));
    this.told();
  }

  /**
   * Brings device and server together; one at a time, and never throws for a network that is away. What changes meanwhile is
   * looked at again. Throws StorageError.
   * @returns {Promise<void>}
   */
  sync() {
    if (this.syncing) this.stale = true;
    this.syncing ??= this.synchronise().finally(() => {
      this.syncing = null;
    });
    return this.syncing;
  }

  async synchronise() {
    if (!this.pairing) return;
    clearTimeout(this.network.retry);
    try {
      do {
        this.stale = false;
        await this.loadShop();
        if (!this.people.session) continue;
        await this.loadGoods();
        await this.sales.sync();
      } while (this.stale);
      if (!this.network.offline) this.network.tries = 0;
    } catch (error) {
      if (!(error instanceof Unreachable || error instanceof Refusal)) throw error;
      if (isLater(error) && !this.network.ended && this.people.session) this.network.tryLater();
    }
  }

  async loadShop() {
    const { network, people } = this;
    const { token } = network.api;
    const shop = await network.call("GET", "/v1/till", { clerk: "" });
    if (token !== network.api.token) return; // it was paired anew meanwhile
    network.setClock(shop.now);
    network.ended = false;
    this.shop = shop;
    await this.device.put("self", "shop", shop);
    this.told();
    if (people.session && !people.clerk) await people.signOut(); // who works here no more
  }
}

/** @param {Goods[]} goods */
const inOrder = (goods) => [...goods].sort((a, b) => a.position - b.position || a.name.localeCompare(b.name));
