// @ts-check
/**
 * Who stands at the till, what they may do, and when the till locks.
 *
 * @typedef {{id: string, name: string, rights: string[]}} Clerk
 * @typedef {{clerk: string, session: string, rights: string[], expiresAt: number, usedAt: number}} Session `expiresAt` by
 * the server's clock, `usedAt` by the device's
 * @typedef {import("./till.js").Till} Till
 */

import { Refusal, Unreachable } from "/static/phone/api.js";
import { aside } from "./device.js";

/** How often it is written down that somebody has touched the till. */
const TOUCH_MS = 10_000;

export class People {
  /** @param {Till} till */
  constructor(till) {
    this.till = till;
    /** @type {Session|null} */
    this.session = null;
    /** Somebody who sells while the network is away, without a PIN. @type {string|null} */
    this.stranger = null;
    this.touchedAt = 0;
  }

  /** @returns {Clerk|null} */
  get clerk() {
    const id = this.session?.clerk ?? this.stranger;
    return this.till.shop?.clerks.find((clerk) => clerk.id === id) ?? null;
  }

  /** By what the owner allows now, not when the session began. @param {string} right sell, refund, capture, goods, close_day, see_takings */
  may(right) {
    if (this.session) return this.clerk?.rights.includes(right) ?? false;
    return right === "sell" && this.stranger !== null;
  }

  /** Somebody comes to the till. Throws Refusal, Unreachable, StorageError. @param {string} clerk @param {string} pin */
  async signIn(clerk, pin) {
    const session = await this.prove(clerk, pin);
    await this.signOut();
    await this.till.device.put("self", "session", session);
    this.take(session);
    this.stranger = null;
    this.till.told();
    aside(this.till.sync());
  }

  /** @param {Session|null} session */
  take(session) {
    this.session = session;
    this.till.network.api.clerk = session?.session ?? "";
  }

  /**
   * A session of a clerk's, for one thing that the one at the till may not do alone.
   * @param {string} clerk
   * @param {string} pin
   * @returns {Promise<Session>}
   */
  async prove(clerk, pin) {
    const answer = await this.till.network.call("POST", "/v1/till/sign-in", { body: { clerk, pin }, clerk: "" });
    return { clerk, session: answer.session, rights: answer.rights, expiresAt: Date.parse(answer.expires_at), usedAt: Date.now() };
  }

  /** Goes on without a network and without a PIN: may sell, and see nothing else. @param {string} clerk */
  goOnOffline(clerk) {
    this.stranger = clerk;
    this.till.changed();
  }

  /** The next one has to enter a PIN. */
  async signOut() {
    const session = this.session?.session;
    this.take(null);
    this.stranger = null;
    this.till.changed();
    await this.till.device.delete("self", "session");
    this.till.told();
    if (session) aside(this.end(session));
  }

  /** Ends a session on the server; without a network it ends there by itself. @param {string} session */
  async end(session) {
    try {
      await this.till.network.call("POST", "/v1/till/sign-out", { clerk: session });
    } catch (error) {
      if (!(error instanceof Unreachable || error instanceof Refusal)) throw error;
    }
  }

  /** Somebody touches the till. */
  touch() {
    if (!this.session) return;
    this.session.usedAt = Date.now();
    if (Math.abs(Date.now() - this.touchedAt) < TOUCH_MS) return;
    this.touchedAt = Date.now();
    aside(this.till.device.put("self", "session", this.session));
  }

  /** Locks when nobody has touched the till, in any of its tabs, for as long as the settings say. */
  async lockIfIdle() {
    const { session } = this;
    if (!session) return;
    const expired = this.till.network.now() > session.expiresAt;
    if (!expired && !this.isIdle(session)) return;
    const kept = await this.till.device.get("self", "session");
    if (kept?.session === session.session) session.usedAt = Math.max(session.usedAt, kept.usedAt);
    if (this.session === session && (expired || this.isIdle(session))) await this.signOut();
  }

  /** @param {Session} session a clock that was set back counts as a long time, too */
  isIdle({ usedAt }) {
    return Math.abs(Date.now() - usedAt) > this.till.settings.lockMinutes * 60_000;
  }
}
