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
import { checkReceipt } from "./acknowledgement.js";
import { encodeOrder } from "./orders.js";

const LOCK = "counterfoil-outbox";
const LIFETIME_MS = 24 * 3_600_000;
/** After its expiry, what the server had already begun is over. */
const EXPIRY_MARGIN_MS = 60_000;
const PAUSES_MS = [1_000, 2_000, 4_000, 8_000, 15_000, 30_000, 60_000];
const WRONG_WORD_PAUSE_MS = 600_000;
const KEPT_MS = 30 * 24 * 3_600_000;
/** Being turned away at the door says nothing of what an earlier try did. */
const TURNED_AWAY = ["not_your_account"];

/** @param {Outgoing} outgoing */
const isOpen = ({ state }) => state === "kept" || state === "sending" || state === "unsure";

/** The orders of one wallet. */
export class Outbox {
  /** @param {import("./wallet.js").Wallet} wallet */
  constructor(wallet) {
    this.wallet = wallet;
    /** @type {Promise<void>|null} */
    this.running = null;
    this.again = false;
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
    if (wallet.alarms.some(({ code }) => code === "other_scheme")) throw new RangeError("this server is not the scheme of this wallet");
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
    /** @type {Outgoing} */
    const outgoing = {
      id, kind, state: "kept", payee, amount, fee: maxFee, reference, memo, at: api.now(), expiresAt, tries: 0, left: false, nextAt: 0,
      order: base64url(bytes), hash: hex(await sha256(bytes)), device: identity.device, signature: base64url(await api.sign.sign(bytes)),
      refusal: null, receipt: null,
    };
    const contacts = taking ? wallet.contacts : known(wallet.contacts, payee, outgoing.at);
    await wallet.database.transact(["outbox", "self"], (use) => {
      use("outbox").put(outgoing, id);
      use("self").put(contacts, "contacts");
    });
    wallet.contacts = contacts;
    wallet.outgoing = [outgoing, ...wallet.outgoing];
    wallet.tell();
    void this.send();
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
      this.again = true;
      return this.running;
    }
    this.running = this.#sendAll(now).finally(() => {
      this.running = null;
      if (this.again) void this.send();
    });
    return this.running;
  }

  /** @param {boolean} now */
  async #sendAll(now) {
    this.again = false;
    clearTimeout(this.timer);
    try {
      if (navigator.locks) await navigator.locks.request(LOCK, () => this.#sendDue(now));
      else await this.#sendDue(now);
    } catch (error) {
      console.error(error);
    }
    this.#schedule();
  }

  /** @param {boolean} now */
  async #sendDue(now) {
    const { wallet } = this;
    /** @type {Outgoing[]} */
    const all = await wallet.database.all("outbox");
    for (const outgoing of all) {
      if (!wallet.identity) return;
      if (!isOpen(outgoing) || (!now && outgoing.nextAt > Date.now())) continue;
      if (wallet.api.now() > outgoing.expiresAt + EXPIRY_MARGIN_MS) await this.#afterExpiry(outgoing);
      else if (navigator.onLine === false || !(await this.#reaches())) return;
      else await this.#sendOne(outgoing);
    }
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
  async #sendOne({ id, device, order, signature }) {
    const { wallet } = this;
    let resumed = false;
    const outgoing = await this.#change(id, (kept) => {
      resumed = kept.left;
      return { ...kept, state: "sending", left: true, tries: kept.tries + 1 };
    });
    if (!outgoing) return;
    try {
      const receipt = await wallet.call("POST", "/v1/payments", { body: { order, device, signature }, sign: false });
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
      if (Date.parse(serverTime) <= outgoing.expiresAt + EXPIRY_MARGIN_MS) return void (await this.#unsure(outgoing));
      await this.#answered(outgoing, await wallet.call("GET", `/v1/payments/${outgoing.id}`));
    } catch (error) {
      if (error instanceof Refusal && error.code === "payment_not_found") await this.#refused(outgoing, expired());
      else if (error instanceof Refusal || error instanceof Unreachable) await this.#notDone(outgoing, error, true);
      else throw error;
    }
  }

  /** @param {Outgoing} outgoing @param {any} receipt */
  async #answered(outgoing, receipt) {
    const { wallet } = this;
    const scheme = await wallet.terms();
    const known = { origin: scheme.origin, operatorKey: scheme.operatorKey, account: /** @type {any} */ (wallet.identity).account };
    const word = await checkReceipt(receipt, known, outgoing.hash);
    if (!word || (outgoing.kind !== "release" && word.amount !== BigInt(outgoing.amount))) {
      await wallet.alarm("acknowledgement_wrong", { payment: outgoing.id });
      await this.#unsure(outgoing, WRONG_WORD_PAUSE_MS);
      return;
    }
    const taking = outgoing.kind === "capture" || outgoing.kind === "release";
    const payerLast = !taking && word.completedAt > wallet.payerLast ? word.completedAt : wallet.payerLast;
    const done = { ...outgoing, state: /** @type {const} */ ("done"), fee: receipt.fee, refusal: null, receipt };
    await wallet.database.transact(["outbox", "receipts", "self"], (use) => {
      use("outbox").put(done, done.id);
      use("receipts").put({ receipt, proof: null, verdict: null, at: wallet.api.now() }, done.id);
      use("self").put(payerLast, "payerLast");
    });
    wallet.payerLast = payerLast;
    this.#show(done);
    void wallet.refresh();
  }

  /** @param {Outgoing} outgoing @param {Refusal|Unreachable} error @param {boolean} resumed an earlier try may have been carried out */
  async #notDone(outgoing, error, resumed) {
    if (!(error instanceof Refusal) || error.retry === "same_id" || error.status >= 500 || error.status === 429) return this.#unsure(outgoing);
    if (resumed && (error.status === 401 || TURNED_AWAY.includes(error.code))) return this.#unsure(outgoing);
    const { code, title, detail, retry, facts } = error;
    await this.#refused(outgoing, { code, title, detail, retry, facts });
  }

  /** @param {Outgoing} outgoing @param {number} [pauseMs] */
  async #unsure(outgoing, pauseMs) {
    const pause = pauseMs ?? PAUSES_MS[Math.min(outgoing.tries, PAUSES_MS.length) - 1] ?? PAUSES_MS[0];
    const nextAt = Date.now() + pause * (0.75 + Math.random() / 2);
    await this.#change(outgoing.id, (kept) => ({ ...kept, state: "unsure", nextAt }));
  }

  /** @param {Outgoing} outgoing @param {Why} refusal */
  async #refused(outgoing, refusal) {
    await this.#change(outgoing.id, (kept) => ({ ...kept, state: "refused", refusal }));
    void this.wallet.refresh();
  }

  /** @param {string} id @param {(kept: Outgoing) => Outgoing} change @returns {Promise<Outgoing|undefined>} undefined: withdrawn, or over */
  async #change(id, change) {
    const changed = await this.wallet.database.update("outbox", id, (kept) => (kept && isOpen(kept) ? change(kept) : undefined));
    if (changed) this.#show(changed);
    return changed;
  }

  /** @param {Outgoing} changed */
  #show(changed) {
    this.wallet.outgoing = this.wallet.outgoing.map((outgoing) => (outgoing.id === changed.id ? changed : outgoing));
    this.wallet.tell();
  }

  #schedule() {
    const waiting = this.wallet.outgoing.filter(isOpen);
    if (!waiting.length) return;
    const due = Math.min(...waiting.map(({ nextAt }) => nextAt)) - Date.now();
    // Without a network the next try is when it comes back; a look now and then costs nothing.
    const pause = this.wallet.offline ? Math.max(due, 5_000) : Math.max(due, 500);
    this.timer = setTimeout(() => void this.send(), Math.min(pause, 60_000));
  }
}

/** @param {import("./wallet.js").Contact[]} contacts @param {Payee} payee @param {number} at @returns {import("./wallet.js").Contact[]} newest first */
export function known(contacts, { account, name, address = null, kind = null }, at) {
  const before = contacts.find((contact) => contact.account === account);
  const contact = { account, name: name || (before?.name ?? ""), kind: kind ?? before?.kind ?? null, address: address ?? before?.address ?? null, at };
  return [contact, ...contacts.filter((each) => each !== before)].slice(0, 200);
}

/** @returns {Why} */
const expired = () => ({ code: "order_expired", title: "", detail: "the order expired before it was carried out", retry: "change", facts: {} });
