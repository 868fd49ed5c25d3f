// @ts-check
/**
 * How the till reaches the server: whether it does, whether it still may, and when it tries again.
 *
 * @typedef {{body?: object, query?: Record<string, string>, clerk?: string, signal?: AbortSignal}} Options `clerk`: another
 * session than the one at the till
 */

import { Api, Refusal, Unreachable } from "/static/phone/api.js";

const RETRY_MS = [1_000, 2_000, 5_000, 10_000, 30_000];
/** Refusals after which another try can go well. */
const LATER = new Set(["later", "same_id"]);

/** @param {unknown} error whether it says nothing against what was asked: the same can be asked again */
export const isLater = (error) =>
  error instanceof Unreachable || (error instanceof Refusal && (LATER.has(error.retry) || error.status === 401));

/** @param {Refusal} error whether the owner has ended this till, or paired another device with it */
const isOver = (error) => error.code === "wrong_token" || (error.code === "forbidden" && !error.facts.right);

/** The line to the server. */
export class Network {
  /** @param {{changed: () => void, back: () => void, again: () => void, left: (session: string) => Promise<void>}} told what the till does when something has `changed`, the network is `back`, it is time to try `again`, and the session of a clerk has `left` */
  constructor(told) {
    this.told = told;
    this.api = new Api({ token: "", clerk: "", language: "en" });
    this.offline = false;
    /** The owner has ended this till. */
    this.ended = false;
    /** The server has told us the time since we were opened. */
    this.onTime = false;
    this.tries = 0;
    /** @type {ReturnType<typeof setTimeout>|undefined} */
    this.retry = undefined;
  }

  /** Milliseconds since 1970 by the server's clock, as far as we know it. */
  now() {
    return this.api.now();
  }

  /** @param {string} moment what the server's clock shows */
  setClock(moment) {
    this.api.setClock(Date.parse(moment));
    this.onTime = true;
  }

  /**
   * @param {string} method @param {string} path @param {Options} [options]
   * @returns {Promise<any>} Throws Refusal, Unreachable.
   */
  async call(method, path, options = {}) {
    const { clerk, ...rest } = options;
    const { token, language, skewMs, clerk: session } = this.api;
    const api = clerk === undefined ? this.api : new Api({ token, clerk, language, skewMs });
    try {
      const answer = await api.call(method, path, rest);
      this.reached();
      return answer;
    } catch (error) {
      if (error instanceof Unreachable) this.unreachable();
      else if (error instanceof Refusal) {
        this.reached();
        if (isOver(error)) this.over(token ?? "");
        // A late answer to the one who was here before does not send the next one away.
        else if (error.status === 401 && clerk === undefined && session && this.api.clerk === session) await this.told.left(session);
      }
      throw error;
    }
  }

  /** @param {string} token that is good no more; a newer one may have come meanwhile */
  over(token) {
    if (!token || token !== this.api.token || this.ended) return;
    this.ended = true;
    this.told.changed();
  }

  reached() {
    if (!this.offline) return;
    this.offline = false;
    this.told.changed();
    this.told.back();
  }

  unreachable() {
    this.tryLater();
    if (this.offline) return;
    this.offline = true;
    this.told.changed();
  }

  tryLater() {
    clearTimeout(this.retry);
    this.retry = setTimeout(() => this.told.again(), RETRY_MS[Math.min(this.tries++, RETRY_MS.length - 1)]);
  }
}
