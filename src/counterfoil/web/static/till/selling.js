// @ts-check
/**
 * The sales of this till: kept first, then sent until the server has answered.
 *
 * A sale has its id before anything is sent. The server's word alone makes it paid. Whatever is repeated carries the same id,
 * so that late, lost and double answers change nothing.
 *
 * @typedef {import("./sale.js").Sale} Sale
 * @typedef {import("./sale.js").SaleView} SaleView
 * @typedef {import("./till.js").Till} Till
 */

import { Refusal, Unreachable } from "/static/phone/api.js";
import { newId } from "/static/phone/bytes.js";
import { aside } from "./device.js";
import { isLater } from "./network.js";
import { hasPaid, inTime, isOpen, madeAt, newSale, stateOf, told } from "./sale.js";

const KEEP_MS = 8 * 24 * 3_600_000;

export class Selling {
  /** @param {Till} till */
  constructor(till) {
    this.till = till;
    /** @type {Map<string, Sale>} */
    this.known = new Map();
  }

  /** @param {Sale[]} sales what the device has kept @returns {Sale[]} those of which another tab has heard that they are paid, and we not yet */
  take(sales) {
    const before = this.known;
    this.known = new Map(sales.map((sale) => [sale.id, sale]));
    return sales.filter((sale) => sale.announced && before.get(sale.id)?.announced === false);
  }

  /** @param {string} id */
  get(id) {
    return this.known.get(id);
  }

  /** Sales of this device that somebody may still pay, newest first. */
  waiting() {
    return this.newest().filter((sale) => sale.mine && isOpen(stateOf(sale)));
  }

  /** Sales that this device made and the server does not have. */
  unsent() {
    return [...this.known.values()].filter((sale) => !sale.sent && !sale.refusal);
  }

  /** All sales that the device knows, newest first. */
  newest() {
    return [...this.known.values()].sort((a, b) => madeAt(b) - madeAt(a) || (a.id < b.id ? 1 : -1));
  }

  // Making

  /**
   * Makes the sale that was rung up. It exists from here on, with or without a network; it is sent while the screens go on.
   * Throws StorageError: then there is no sale, and the cart is as it was.
   * @param {{hold?: boolean}} [how] @returns {Promise<Sale>}
   */
  async charge({ hold = false } = {}) {
    const { cart, network, people } = this.till;
    if (!cart || !cart.total()) throw new RangeError("there is nothing to charge");
    const now = network.now();
    const made = { lines: cart.finished(), amount: cart.total(), hold, made_at: new Date(now).toISOString(), clerk: people.clerk?.id ?? null };
    const sale = { ...newSale({ id: newId(now), ...made }), skewMs: network.api.skewMs, tried: network.onTime };
    await this.till.device.put("sales", sale.id, sale);
    this.known.set(sale.id, sale);
    cart.clear();
    this.till.told();
    aside(this.send(sale.id));
    return sale;
  }

  /** Sends a sale that the server does not have yet. Leaves it as it is when there is no answer. @param {string} id */
  async send(id) {
    const { network, people } = this.till;
    const sale = this.find(id);
    if (sale.sent || sale.refusal || !sale.made || !people.session) return;
    if (!network.onTime) return this.till.sync(); // which asks for the time, and comes back here
    const due = inTime(sale, network.api.skewMs);
    if (due !== sale) this.keep(due);
    try {
      this.hear([await network.call("POST", "/v1/till/sales", { body: body(due.made) })]);
      if (this.find(id).withdrawn) await this.cancelSent(id);
    } catch (error) {
      if (error instanceof Unreachable) return;
      if (!(error instanceof Refusal)) throw error;
      if (isLater(error)) network.tryLater();
      else if (error.facts.field === "made_at" && !sale.late) await this.sendLate(id);
      else this.change(id, { refusal: { code: error.code, title: error.title } });
    }
  }

  /** The device's clock was so wrong that the sale seems to be of another week: it is of now. @param {string} id */
  async sendLate(id) {
    const sale = this.find(id);
    const made_at = new Date(this.till.network.now()).toISOString();
    this.keep({ ...sale, late: true, made: sale.made && { ...sale.made, made_at } });
    await this.send(id);
  }

  /**
   * Takes a sale back: nobody shall pay it any more. One that the server does not know yet is cancelled as soon as it
   * does.
   * @param {string} id
   */
  async cancel(id) {
    this.change(id, { withdrawn: true });
    if (this.find(id).sent) await this.cancelSent(id);
    else await this.send(id);
  }

  /** @param {string} id */
  async cancelSent(id) {
    try {
      this.hear([await this.till.network.call("POST", `/v1/till/sales/${id}/cancel`)]);
    } catch (error) {
      if (error instanceof Refusal && error.code === "not_in_this_state") await this.ask(id);
      else throw error;
    }
  }

  /** A refused sale is taken off the list. @param {string} id */
  async drop(id) {
    if (stateOf(this.find(id)) !== "refused") return;
    this.known.delete(id);
    await this.till.device.delete("sales", id);
    this.till.told();
  }

  // Hearing

  /** What the server says of a sale now. @param {string} id @returns {Promise<Sale>} */
  async ask(id) {
    this.hear([await this.till.network.call("GET", `/v1/till/sales/${id}`)]);
    return this.find(id);
  }

  /** Asks for what something has happened to. Locked, the till waits until somebody signs in. @param {string} [id] */
  async look(id) {
    if (!id || !this.till.people.session) return;
    try {
      await this.ask(id);
    } catch (error) {
      if (!(error instanceof Unreachable || error instanceof Refusal)) throw error;
    }
  }

  /**
   * One page of a day's sales; the sales themselves are known afterwards.
   * @param {string} day
   * @param {string|null} [cursor]
   * @returns {Promise<{ids: string[], next: string|null}>}
   */
  async ofDay(day, cursor = null) {
    const { sales, next } = await this.till.network.call("GET", "/v1/till/sales", { query: cursor ? { day, cursor } : { day } });
    this.hear(sales);
    return { ids: sales.map((/** @type {SaleView} */ view) => view.id), next };
  }

  /** Brings sales and server together. Throws Unreachable, and Refusal of what concerns all of them. */
  async sync() {
    for (const sale of this.unsent()) await this.send(sale.id);
    if (this.till.unanswered.length) await (await actions()).resume(this.till);
    for (const sale of this.newest()) {
      if (!sale.mine || sale.view?.state !== "open") continue;
      try {
        await (sale.withdrawn ? this.cancelSent(sale.id) : this.ask(sale.id));
      } catch (error) {
        if (!(error instanceof Refusal) || isLater(error)) throw error; // one sale is in no other's way
      }
    }
    if (this.till.shop) await this.ofDay(this.till.shop.day);
    await this.clean();
  }

  /** Takes in what the server said of sales. @param {SaleView[]} views */
  hear(views) {
    /** @type {Sale[]} */
    const paid = [];
    let news = false;
    for (const view of views) {
      const before = this.known.get(view.id);
      const sale = told(before, view);
      const isPaid = sale.mine && !sale.announced && hasPaid(stateOf(sale));
      if (isPaid) sale.announced = true;
      if (before && JSON.stringify(before) === JSON.stringify(sale)) continue;
      this.keep(sale);
      news = true;
      if (isPaid) paid.push(sale);
    }
    if (news) this.till.told();
    this.announce(paid);
  }

  /** To whoever looks at this tab. @param {Sale[]} paid */
  announce(paid) {
    for (const sale of paid) this.till.dispatchEvent(new CustomEvent("paid", { detail: { sale } }));
  }

  // Keeping

  /** @param {string} id @returns {Sale} */
  find(id) {
    const sale = this.known.get(id);
    if (!sale) throw new RangeError(`no sale ${id}`);
    return sale;
  }

  /** What we know holds also where the device has no room for it. @param {Sale} sale */
  keep(sale) {
    this.known.set(sale.id, sale);
    aside(this.till.device.put("sales", sale.id, sale));
  }

  /** @param {string} id @param {Partial<Sale>} what */
  change(id, what) {
    this.keep({ ...this.find(id), ...what });
    this.till.told();
  }

  /** Sales that are over, and older than a week, go from the device; the server has them. */
  async clean() {
    const limit = this.till.network.now() - KEEP_MS;
    for (const sale of this.known.values()) {
      if (!sale.view || Date.parse(sale.view.at) > limit || isOpen(stateOf(sale))) continue;
      this.known.delete(sale.id);
      await this.till.device.delete("sales", sale.id);
    }
  }
}

/** What is rarely needed comes when it is. Throws Unreachable. */
const actions = () => import("./actions.js").catch((error) => {
  throw new Unreachable(error);
});

/** @param {import("./sale.js").Made|null} made what the server takes */
function body(made) {
  const { clerk, lines, ...rest } = /** @type {import("./sale.js").Made} */ (made);
  const sent = lines.map(({ goods, ...line }) => (goods ? { ...line, goods } : line));
  return clerk ? { ...rest, lines: sent, clerk } : { ...rest, lines: sent };
}
