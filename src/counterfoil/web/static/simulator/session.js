// @ts-check
/**
 * A USSD session as a network and its gateway carry it: each answer goes to the callback with all that was typed before, and
 * what comes back is a screen that goes on (CON) or ends (END). The notice of the end follows, as from the real gateway.
 *
 * @typedef {{ text: string, ends: boolean }} Screen
 */

/** Milliseconds that a gateway waits for an answer. */
const ANSWER_MS_MAX = 15_000;
/** A network that does not exist: country and network of tests. Source: ITU-T E.212, 001-01. */
const NETWORK = "00101";
const SCREEN = /^(CON|END) ([^]*)$/;

/** The gateway got no answer, or none that it can show. */
export class NoScreen extends Error {
  /** @param {boolean} late whether nothing came at all */
  constructor(late) {
    super("no screen");
    this.late = late;
  }
}

export class Session {
  /** @param {{ callback: string, code: string, number: string }} given */
  constructor({ callback, code, number }) {
    this.callback = callback;
    this.code = code;
    this.number = number;
    this.id = `SIM_${[...crypto.getRandomValues(new Uint8Array(12))].map((byte) => byte.toString(16).padStart(2, "0")).join("")}`;
    /** @type {string[]} */
    this.typed = [];
    this.hops = 0;
    this.began = performance.now();
    this.lastScreen = "";
    this.isOver = false;
  }

  /** Dials. @returns {Promise<Screen>} */
  dial() {
    return this.ask();
  }

  /** Sends what was typed. @param {string} text @returns {Promise<Screen>} */
  send(text) {
    this.typed.push(text);
    return this.ask();
  }

  /** @returns {Promise<Screen>} */
  async ask() {
    this.hops += 1;
    let answer;
    try {
      answer = await this.post({ text: this.typed.join("*") }, AbortSignal.timeout(ANSWER_MS_MAX));
    } catch {
      this.end("Failed");
      throw new NoScreen(true);
    }
    const match = answer.ok ? SCREEN.exec(await answer.text()) : null;
    if (!match) {
      this.end("Failed");
      throw new NoScreen(false);
    }
    const ends = match[1] === "END";
    this.lastScreen = match[0];
    if (ends) this.end("Success");
    return { text: match[2] ?? "", ends };
  }

  /** Tells the callback that the session is over. Safe to repeat. @param {"Success"|"Incomplete"|"Failed"} status */
  end(status) {
    if (this.isOver) return;
    this.isOver = true;
    const notice = {
      date: new Date().toISOString().slice(0, 19).replace("T", " "),
      status,
      cost: "0",
      durationInMillis: String(Math.round(performance.now() - this.began)),
      hopsCount: String(this.hops),
      input: this.typed.join("*"),
      lastAppResponse: this.lastScreen,
    };
    void this.post(notice).catch(() => {}); // a gateway tells it once
  }

  /** @param {Record<string, string>} fields @param {AbortSignal} [signal] */
  post(fields, signal) {
    const common = { sessionId: this.id, phoneNumber: this.number, networkCode: NETWORK, serviceCode: this.code };
    return fetch(this.callback, { method: "POST", body: new URLSearchParams({ ...common, ...fields }), signal: signal ?? null, keepalive: true });
  }
}
