// @ts-check
/**
 * Orders on their way: signed once, kept on the phone, then sent as the same bytes until the outcome is known.
 *
 *     kept ──> sending ─┬─> done      the operator has signed it, with the key that this wallet knows
 *       │         ▲     ├─> refused   the operator has said no, or it has expired and was never carried out
 *       │         └─────┴── unsure    no answer: asked again, and it cannot happen twice
 *       └─> withdrawn: only while it never left the phone
 *
 * One tab sends at a time, under a lock. After its expiry an order is not sent any more: the server is asked what became of it.
 *
 * @typedef {import("./orders.js").Kind} Kind
 * @typedef {{account: string, name: string, address?: string|null, kind?: string|null}} Payee
 * @typedef {{code: string, title: string, detail: string, retry: string, facts: Record<string, any>}} Why
 * @typedef {{id: string, kind: Kind, state: "kept"|"sending"|"unsure"|"done"|"refused", payee: Payee, amount: number, fee: number,
 *            reference: string|null, memo: string, at: number, expiresAt: number, tries: number, left: boolean, nextAt: number,
 *            order: string, hash: string, device: string, signature: string, refusal: Why|null, receipt: any|null}} Outgoing
 */

import { base64url, fromBase64url, hex, newId, sha256 } from "/static/phone/bytes.js";
import { Refusal, Unreachable } from "/static/phone/api.js";
import { StorageError } from "/static/phone/database.js";
import { checkReceipt } from "./acknowledgement.js";
import { encodeOrder } from "./orders.js";

const LOCK = "counterfoil-outbox";
const LIFETIME_MS = 24 * 3_600_000;
/** After its expiry, what the server had already begun is over. */
const EXPIRY_MARGIN_MS = 60_000;
/** After the outcome was drawn: by then it is on the screen. */
const DRAWN_MS = 50;
/** By then what the payment has changed can be asked for. */
const SETTLED_MS = 500;
/** By then an answer came at once, or did not. */
const SOON_MS = 150;
/** By then a request was answered or given up. */
const ANSWER_MS = 21_000;
/** By then the next picture would have been drawn if the page were seen. */
const HIDDEN_MS = 200;
const PAUSES_MS = [1_000, 2_000, 4_000, 8_000, 15_000, 30_000, 60_000];
const WRONG_WORD_PAUSE_MS = 600_000;
const KEPT_MS = 30 * 24 * 3_600_000;
/** Status of a refusal that the server has kept with the payment. */
const NOT_CARRIED_OUT = 422;

/** @type {Pick<Outgoing, "state"|"tries"|"left"|"nextAt">} */
const WAITING = { state: "kept", tries: 0, left: false, nextAt: 0 };
/** Nobody else sends it before its answer is overdue. @returns {Pick<Outgoing, "state"|"tries"|"left"|"nextAt">} */
const LEAVING = () => ({ state: "sending", tries: 1, left: true, nextAt: Date.now() + ANSWER_MS });

/** @param {Outgoing} outgoing */
const isOpen = ({ state }) => state === "kept" || state === "sending" || state === "unsure";

/** The orders of one wallet. */
export class Outbox {
  /** @param {import("./wallet.js").Wallet} wallet */
  constructor(wallet) {
    this.wallet = wallet;
    /** @type {Promise<void>|null} */
    this.running = null;
    /** What is to be done when it has run. @type {""|"due"|"now"} */
    this.again = "";
    /** Rounds that broke, one after another: each is followed by a longer pause. */
    this.broken = 0;
    /** @type {ReturnType<typeof setTimeout>|undefined} */
    this.timer = undefined;
  }

  /**
   * @param {{kind: Kind, payee: Payee, amount: number, maxFee: number, reference?: string|null, memo?: string, timeoutS?: number,
   *          payer?: string}} wish `payer` where it is not the holder: of a capture or release
   * @returns {Promise<Outgoing>} signed and on the disk. Throws StorageError, RangeError; then nothing was kept.
   */
  async keep({ kind, payee, amount, maxFee, reference = null, memo = "", timeoutS = 0, payer }) {
    const { wallet } = this;
    const { identity, api } = wallet;
    const scheme = await wallet.terms();
    if (!identity || !api.sign) throw new RangeError("there is no account on this phone");
    if (isOfAnotherScheme(wallet)) throw new RangeError("this server is not the scheme of this wallet");
    // With the network there and nothing else on its way, one write is the promise to send it and the word that it leaves.
    const leaving = !this.running && api.reached && navigator.onLine !== false;
    const id = newId(api.now());
    const expiresAt = api.now() + LIFETIME_MS;
    const taking = kind === "capture" || kind === "release";
    const bytes = encodeOrder({
      origin: scheme.origin,
      asset: scheme.currency.code,
      payer: taking ? /** @type {string} */ (payer) : identity.account,
      payee: taking ? identity.account : payee.account,
      amount,
      maxFee,
      id,
      expiryMs: Math.floor(expiresAt),
      rulesHash: fromBase64url(scheme.rulesHash),
      kind,
      reference,
      timeoutS,
      memo,
      payerLast: taking ? 0n : wallet.payerLast,
      ...(wallet.head ? { checkpointSize: wallet.head.size, checkpointRoot: fromBase64url(wallet.head.root) } : {}),
    });
    const [hash, signature] = await Promise.all([sha256(bytes), api.sign.sign(bytes)]);
    /** @type {Outgoing} */
    const outgoing = {
      id, kind, payee, amount, fee: maxFee, reference, memo, at: api.now(), expiresAt, ...(leaving ? LEAVING() : WAITING),
      order: base64url(bytes), hash: hex(hash), device: identity.device, signature: base64url(signature), refusal: null, receipt: null,
    };
    // The order alone, and of nothing else that is just being written: who is paid at once is learnt then.
    const contacts = taking || leaving ? null : known(wallet.contacts, payee, outgoing.at);
    await wallet.database.write(contacts ? ["outbox", "self"] : ["outbox"], (use) => {
      use("outbox").put(outgoing, id);
      if (contacts) use("self").put(contacts, "contacts");
    });
    if (contacts) wallet.contacts = contacts;
    wallet.outgoing = [outgoing, ...wallet.outgoing];
    wallet.told += 1; // whoever reads everything from the phone at this moment reads it again
    if (leaving) void this.#leave(outgoing).catch((error) => this.#broke(error)).finally(() => this.#schedule());
    else {
      wallet.tell();
      void this.send();
    }
    return outgoing;
  }

  /**
   * What answers an earlier payment of others: refund, capture, release.
   *
   * @param {"refund"|"capture"|"release"} kind
   * @param {any} about its receipt or hold, as `wallet.receipt(id).receipt` or an element of `wallet.holds`
   * @param {number} amount
   * @param {string} memo
   */
  async answer(kind, about, amount, memo) {
    const { wallet } = this;
    let maxFee = 0;
    if (kind !== "release") {
      const { fee, fee_paid_by: paidBy } = await wallet.quote({ account: about.payer, amount, kind, reference: about.id });
      maxFee = kind === "capture" && paidBy === "payer" ? 0 : fee;
    }
    const payee = { account: about.payer, name: about.counterparty_name ?? "" };
    return this.keep({ kind, payee, payer: about.payer, amount, maxFee, reference: about.id, memo });
  }

  /** @param {string} id @returns {Promise<boolean>} */
  async withdraw(id) {
    const { wallet } = this;
    let withdrawn = false;
    await wallet.database.transact(["outbox"], (use) => {
      const request = use("outbox").get(id);
      request.onsuccess = () => {
        withdrawn = request.result?.state === "kept" && !request.result.left;
        if (withdrawn) use("outbox").delete(id);
      };
    });
    if (withdrawn) {
      wallet.outgoing = wallet.outgoing.filter((outgoing) => outgoing.id !== id);
      wallet.tell();
    }
    return withdrawn;
  }

  /** Sends what is due, once in this tab and one tab at a time. `now`: also what would wait for its next try. @param {{now?: boolean}} [how] */
  send({ now = false } = {}) {
    if (this.running) {
      this.again = now || this.again === "now" ? "now" : "due";
      return this.running;
    }
    this.running = this.#sendAll(now).finally(() => {
      this.running = null;
      if (this.again) void this.send({ now: this.again === "now" });
    });
    return this.running;
  }

  /** @param {boolean} now */
  async #sendAll(now) {
    this.again = "";
    try {
      if (navigator.locks) await navigator.locks.request(LOCK, () => this.#sendDue(now));
      else await this.#sendDue(now);
      this.broken = 0;
    } catch (error) {
      this.#broke(error);
    }
    this.#schedule();
  }

  /** @param {boolean} now */
  async #sendDue(now) {
    const { wallet } = this;
    /** @type {Outgoing[]} */
    const all = await wallet.database.all("outbox");
    /** @type {unknown} */
    let broken = null;
    for (const outgoing of all) {
      if (!wallet.identity || isOfAnotherScheme(wallet)) return;
      if (!isOpen(outgoing) || (!now && outgoing.nextAt > Date.now())) continue;
      try {
        if (wallet.api.now() > outgoing.expiresAt + EXPIRY_MARGIN_MS) await this.#afterExpiry(outgoing);
        else if (navigator.onLine === false || !(await this.#reaches())) break;
        else await this.#sendOne(outgoing);
      } catch (error) {
        broken ??= error; // the others are sent all the same
      }
    }
    if (broken) throw broken;
    const old = all.filter((outgoing) => !isOpen(outgoing) && outgoing.at < Date.now() - KEPT_MS);
    for (const { id } of old) await wallet.database.delete("outbox", id);
  }

  /** Whether the server answers at all, where the last request went astray: an order that cannot leave can be withdrawn. */
  async #reaches() {
    const { wallet } = this;
    if (wallet.api.reached) return true;
    try {
      await wallet.call("GET", "/v1/scheme", { sign: false, timeoutMs: 10_000 });
      return true;
    } catch {
      return wallet.api.reached;
    }
  }

  /** @param {Outgoing} outgoing */
  async #sendOne({ id }) {
    let resumed = false;
    const outgoing = await this.#change(id, (kept) => {
      resumed = kept.left;
      return { ...kept, state: "sending", left: true, tries: kept.tries + 1 };
    });
    if (outgoing) await this.#deliver(outgoing, resumed);
  }

  /** The first try. Most answers come before "being sent" could be drawn: it is told where they do not. @param {Outgoing} outgoing */
  async #leave(outgoing) {
    const timer = setTimeout(() => this.wallet.tell(), SOON_MS);
    await this.#deliver(outgoing, false).finally(() => clearTimeout(timer));
  }

  /**
   * One try, of an order that is written down as sending.
   *
   * @param {Outgoing} outgoing
   * @param {boolean} resumed an earlier try may have been carried out
   */
  async #deliver(outgoing, resumed) {
    const { order, device, signature } = outgoing;
    try {
      const receipt = await this.wallet.call("POST", "/v1/payments", { body: { order, device, signature }, sign: false });
      await this.#answered(outgoing, receipt);
    } catch (error) {
      if (!(error instanceof Refusal || error instanceof Unreachable)) throw error;
      await this.#notDone(outgoing, error, resumed);
    }
  }

  /**
   * The order is not sent any more. It was never carried out and never will be, or it was before its expiry.
   *
   * @param {Outgoing} outgoing
   */
  async #afterExpiry(outgoing) {
    const { wallet } = this;
    if (!outgoing.left) return void (await this.#refused(outgoing, expired()));
    try {
      const { server_time: serverTime } = await wallet.call("GET", "/v1/scheme", { sign: false });
      const serverMs = Date.parse(serverTime);
      wallet.api.setClock(serverMs);
      if (serverMs <= outgoing.expiresAt) return void (await this.#sendOne(outgoing)); // it was our clock that was wrong
      if (!(serverMs > outgoing.expiresAt + EXPIRY_MARGIN_MS)) return void (await this.#unsure(outgoing));
    } catch (error) {
      if (!(error instanceof Refusal || error instanceof Unreachable)) throw error;
      return void (await this.#unsure(outgoing));
    }
    await this.#ask(outgoing, expired());
  }

  /**
   * Asks what became of an order that may have been carried out. It was not where the server does not know it, or has kept why;
   * anything else that it says is about the question, and leaves it open.
   *
   * @param {Outgoing} outgoing
   * @param {Why} refusal why not, where the server does not know it
   */
  async #ask(outgoing, refusal) {
    try {
      await this.#answered(outgoing, await this.wallet.call("GET", `/v1/payments/${outgoing.id}`));
    } catch (error) {
      if (!(error instanceof Refusal || error instanceof Unreachable)) throw error;
      if (error instanceof Refusal && error.code === "payment_not_found") await this.#refused(outgoing, refusal);
      else if (error instanceof Refusal && error.status === NOT_CARRIED_OUT) await this.#refused(outgoing, whyOf(error));
      else await this.#unsure(outgoing);
    }
  }

  /** @param {Outgoing} outgoing @param {any} receipt */
  async #answered(outgoing, receipt) {
    const { wallet } = this;
    const scheme = await wallet.terms();
    const { account, device } = /** @type {import("./wallet.js").Identity} */ (wallet.identity);
    const word = await checkReceipt(receipt, { origin: scheme.origin, operatorKey: scheme.operatorKey, account }, outgoing.hash);
    if (!word || (outgoing.kind !== "release" && word.amount !== BigInt(outgoing.amount))) {
      await wallet.alarm("acknowledgement_wrong", { payment: outgoing.id });
      await this.#unsure(outgoing, WRONG_WORD_PAUSE_MS);
      return;
    }
    const taking = outgoing.kind === "capture" || outgoing.kind === "release";
    const isOurs = receipt.fee_paid_by === (taking ? "payee" : "payer");
    // It was done, and not as it was agreed to: the operator has signed against itself.
    if (isOurs && word.fee > BigInt(outgoing.fee)) await wallet.alarm("fee_above_agreed", { payment: outgoing.id });
    const done = { ...outgoing, state: /** @type {const} */ ("done"), fee: receipt.fee, refusal: null, receipt };
    const last = () => (!taking && word.completedAt > wallet.payerLast ? word.completedAt : wallet.payerLast);
    wallet.payerLast = last();
    wallet.requests = wallet.requests.map((asked) => (asked.id === outgoing.reference ? { ...asked, state: "paid" } : asked));
    this.#show(done); // the holder waits for it; should it not be kept, the server is asked again
    await drawn();
    wallet.calmAt = 0;
    if (wallet.identity?.device !== device) return; // taken off this phone meanwhile
    wallet.payerLast = last();
    if (!taking) wallet.contacts = known(wallet.contacts, done.payee, done.at);
    await wallet.database.write(["outbox", "receipts", "self"], (use) => {
      use("outbox").put(done, done.id);
      use("receipts").put({ receipt, proof: null, verdict: null, at: wallet.api.now() }, done.id);
      use("self").put(wallet.payerLast, "payerLast");
      use("self").put(wallet.contacts, "contacts");
    });
    this.#show(done); // another tab's word may have brought back what was kept before
    setTimeout(() => void wallet.refresh(), SETTLED_MS);
  }

  /** @param {Outgoing} outgoing @param {Refusal|Unreachable} error @param {boolean} resumed an earlier try may have been carried out */
  async #notDone(outgoing, error, resumed) {
    if (!(error instanceof Refusal) || error.retry === "same_id" || error.status >= 500 || error.status === 429) return this.#unsure(outgoing);
    if (resumed && error.status === 401) return this.#unsure(outgoing); // turned away at the door: that says nothing of an earlier try
    await (resumed ? this.#ask(outgoing, whyOf(error)) : this.#refused(outgoing, whyOf(error)));
  }

  /** @param {Outgoing} outgoing @param {number} [pauseMs] */
  async #unsure(outgoing, pauseMs) {
    const pause = pauseMs ?? PAUSES_MS[Math.min(outgoing.tries, PAUSES_MS.length) - 1] ?? PAUSES_MS[0];
    const nextAt = Date.now() + pause * (0.75 + Math.random() / 2);
    await this.#change(outgoing.id, (kept) => ({ ...kept, state: "unsure", nextAt }));
  }

  /** @param {Outgoing} outgoing @param {Why} refusal */
  async #refused(outgoing, refusal) {
    const { wallet } = this;
    await this.#change(outgoing.id, (kept) => ({ ...kept, state: "refused", refusal }));
    if (refusal.code === "rules_changed" && wallet.scheme) await wallet.remember({ scheme: { ...wallet.scheme, at: 0 } });
    void wallet.refresh();
  }

  /** @param {string} id @param {(kept: Outgoing) => Outgoing} change @returns {Promise<Outgoing|undefined>} undefined: withdrawn, or over */
  async #change(id, change) {
    const changed = await this.wallet.database.update("outbox", id, (kept) => (kept && isOpen(kept) ? change(kept) : undefined));
    if (changed) this.#show(changed);
    return changed;
  }

  /** @param {Outgoing} changed */
  #show(changed) {
    const others = this.wallet.outgoing.filter(({ id }) => id !== changed.id);
    this.wallet.outgoing = [...others, changed].sort((a, b) => (a.id < b.id ? 1 : -1));
    this.wallet.tell();
  }

  /** @param {unknown} error what should not have happened, or storage that keeps nothing: tried again, ever more rarely */
  #broke(error) {
    console.error(error);
    this.broken += 1;
    if (error instanceof StorageError) this.wallet.stuck(error);
  }

  #schedule() {
    clearTimeout(this.timer);
    const waiting = this.wallet.outgoing.filter(isOpen);
    if (!waiting.length) return;
    const due = Math.min(...waiting.map(({ nextAt }) => nextAt)) - Date.now();
    // Without a network the next try is when it comes back; a look now and then costs nothing.
    const least = this.broken ? PAUSES_MS[Math.min(this.broken, PAUSES_MS.length) - 1] : 500;
    const pause = Math.max(due, this.wallet.offline ? Math.max(least, 5_000) : least);
    this.timer = setTimeout(() => void this.send(), Math.min(pause, 60_000));
  }
}

/** @param {import("./wallet.js").Contact[]} contacts @param {Payee} payee @param {number} at @returns {import("./wallet.js").Contact[]} newest first */
export function known(contacts, { account, name, address = null, kind = null }, at) {
  const before = contacts.find((contact) => contact.account === account);
  const contact = { account, name: name || (before?.name ?? ""), kind: kind ?? before?.kind ?? null, address: address ?? before?.address ?? null, at };
  return [contact, ...contacts.filter((each) => each !== before)].slice(0, 200);
}

/** @returns {Promise<void>} when what was shown is on the screen, or nobody looks any more */
function drawn() {
  const over = new AbortController();
  return new Promise((resolve) => {
    over.signal.addEventListener("abort", () => resolve());
    const end = () => over.abort();
    requestAnimationFrame(() => setTimeout(end, DRAWN_MS));
    setTimeout(end, HIDDEN_MS);
    addEventListener("pagehide", end, { signal: over.signal });
  });
}

/** @param {import("./wallet.js").Wallet} wallet */
const isOfAnotherScheme = ({ alarms }) => alarms.some(({ code }) => code === "other_scheme");

/** @param {Refusal} refusal @returns {Why} */
const whyOf = ({ code, title, detail, retry, facts }) => ({ code, title, detail, retry, facts });

/** @returns {Why} */
const expired = () => ({ code: "order_expired", title: "", detail: "the order expired before it was carried out", retry: "change", facts: {} });
