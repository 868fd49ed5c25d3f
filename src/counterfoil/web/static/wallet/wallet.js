// @ts-check
/**
 * The one object that the wallet's screens see: what the phone knows, and what its holder can do.
 *
 * It opens from the phone's own storage alone and never waits for a network. Whatever is sent was kept first; nothing is
 * called done that the operator has not signed. What is not needed to show the last known state is loaded when it is used.
 *
 * @typedef {{device: string, account: string, party: string, number: string|null, name: string, kind: string, algorithm: "es256"|"ed25519",
 *            key: import("./keys.js").Key}} Identity
 * @typedef {Record<string, any>} View what the server answered, with its names
 * @typedef {{name: string, origin: string, currency: {code: string, digits: number, numeric: string}, mark: string, region: string, languages: string[],
 *            rulesHash: string, operatorKey: string, sandbox: boolean, tariff: View[], policy: string, at: number}} Scheme
 * @typedef {{account: string, name: string, kind: string|null, address: string|null, at: number}} Contact
 * @typedef {{language: string, theme: "auto"|"light"|"dark", sound: boolean, hideBalance: boolean, push?: string}} Settings `push`: see push.js
 * @typedef {import("./outbox.js").Outgoing} Outgoing
 * @typedef {{code: string, at: number, facts: Record<string, string>}} Alarm something that must not be, and stays
 */

import { Api, Unreachable } from "/static/phone/api.js";
import { Database, StorageError, open } from "/static/phone/database.js";
import { language, load } from "/static/phone/words.js";
import { signerOf } from "./keys.js";

const STORES = ["self", "entries", "outbox", "receipts", "messages", "alarms"];
const SELF = {
  identity: null, scheme: null, account: null, accountAt: null, settings: {}, skewMs: 0, holds: [], requests: [], contacts: [],
  threads: [], notices: [], seen: null, head: null, payerLast: 0n, recovery: null, pending: null, older: null,
};
const SKEW_TOLD_MS = 300_000;

/** Dispatches `change` after anything visible changed, and `received` {amount, name, payment} when money came in. */
export class Wallet extends EventTarget {
  /** @param {import("/static/phone/database.js").Database} database */
  constructor(database) {
    super();
    this.database = database;
    /** @type {Identity|null} */
    this.identity = null;
    /** @type {Scheme|null} */
    this.scheme = null;
    /** The account as the server told it last, and when. @type {View|null} */
    this.account = null;
    /** @type {number|null} */
    this.accountAt = null;
    /** @type {View[]} newest first: what the phone has */
    this.entries = [];
    /** @type {View[]} money that is kept for somebody, and what others keep for us */
    this.holds = [];
    /** @type {View[]} */
    this.requests = [];
    /** @type {Contact[]} */
    this.contacts = [];
    /** @type {View[]} */
    this.threads = [];
    /** @type {View[]} */
    this.notices = [];
    /** When the newest notice was made that the holder has seen here; null before the first round. @type {string|null} */
    this.seen = null;
    /** @type {Outgoing[]} newest first */
    this.outgoing = [];
    /** @type {Alarm[]} */
    this.alarms = [];
    /** A recovery that waits for its day. @type {View|null} */
    this.recovery = null;
    /** @type {Settings} */
    this.settings = { language: "", theme: "auto", sound: true, hideBalance: false };
    /** Newest head of the log that a receipt has proven. @type {{size: bigint, root: string}|null} */
    this.head = null;
    /** Ledger time of our newest payment. @type {bigint} */
    this.payerLast = 0n;
    /** What was searched for and found last: shown, not kept. @type {View[]} */
    this.found = [];
    /** Where older entries than those on the phone begin; null: there are none. @type {string|null} */
    this.older = null;
    /** Why nothing can be sent, as a code: what the server said of this device, or of storage. @type {string|null} */
    this.trouble = null;
    /** @type {import("./outbox.js").Outbox|null} */
    this.outbox = null;
    /** Ends the listening. @type {AbortController|null} */
    this.stopped = null;
    this.api = new Api();
    this.api.onChange = () => void this.#met();
    /** Until when the holder waits for something, at most, in ms of `performance.now()`: what only brings the phone up to date goes on then. */
    this.calmAt = 0;
    /** How often something was told: whoever reads everything from the phone sees what came in between. */
    this.told = 0;
    this.channel = typeof BroadcastChannel === "undefined" ? null : new BroadcastChannel("counterfoil");
    if (this.channel) this.channel.onmessage = () => void this.#changedElsewhere();
  }

  /** Storage and the last known state; no network. Where nothing can be kept, a wallet whose `problem` says so. */
  static async open() {
    let wallet;
    try {
      wallet = new Wallet(await open("counterfoil", STORES));
      await wallet.reload();
    } catch (error) {
      if (!(error instanceof StorageError)) throw error;
      const transaction = () => {
        throw error;
      };
      wallet = new Wallet(new Database(/** @type {any} */ ({ transaction, close() {} })));
      wallet.trouble = `storage_${error.code}`;
    }
    return wallet;
  }

  /** Reads everything from the phone again. */
  async reload() {
    const names = Object.keys(SELF);
    const read = () =>
      Promise.all([
        Promise.all(names.map((name) => this.database.get("self", name))),
        this.database.all("entries"),
        this.database.all("outbox"),
        this.database.all("alarms"),
      ]);
    let [before, now] = [this.told, await read()];
    while (before !== this.told) [before, now] = [this.told, await read()];
    const [values, entries, outgoing, alarms] = now;
    const found = Object.fromEntries(names.map((name, at) => [name, values[at] ?? /** @type {any} */ (SELF)[name]]));
    const { settings, skewMs, ...rest } = found;
    Object.assign(this, rest);
    Object.assign(this.settings, settings);
    this.entries = entries.reverse();
    this.outgoing = outgoing.reverse();
    this.alarms = alarms;
    if (!this.identity) {
      this.found = [];
      if (!this.trouble?.startsWith("storage")) this.trouble = null;
    }
    this.api.skewMs = skewMs;
    this.api.sign = this.identity && signerOf(this.identity);
    this.#show();
  }

  /** Whether the last thing we asked went unanswered. */
  get offline() {
    return !this.api.reached || navigator.onLine === false;
  }

  /** Notices that came since the holder looked at them on this phone. */
  get news() {
    return this.notices.filter(({ at }) => at > (this.seen ?? ""));
  }

  /** The gravest thing that stands in the way, as a code; null when all is well. */
  get problem() {
    if (this.trouble) return this.trouble;
    if (this.alarms.length) return this.alarms[0].code;
    return Math.abs(this.api.skewMs) > SKEW_TOLD_MS ? "clock_wrong" : null;
  }

  /**
   * Keeps parts of the state, then shows them, here and in the other tabs.
   *
   * @param {Partial<Record<keyof typeof SELF, any>>} changes
   */
  async remember(changes) {
    await this.transact(["self"], (use) => {
      for (const [name, value] of Object.entries(changes)) use("self").put(value, name);
    });
    if (this.trouble?.startsWith("storage")) this.trouble = null;
    const { settings, skewMs: _, ...rest } = changes;
    Object.assign(this, rest);
    Object.assign(this.settings, settings);
    this.api.sign = this.identity && signerOf(this.identity);
    this.tell();
  }

  /**
   * As `database.transact`, for what belongs to whoever has this wallet. Throws Unreachable, and nothing was written, when another
   * tab has taken the account off this phone meanwhile, or brought one.
   *
   * @param {string[]} stores
   * @param {import("/static/phone/database.js").Work} work
   */
  async transact(stores, work) {
    const device = this.identity?.device;
    let same = true;
    await this.database.transact([...new Set([...stores, "self"])], (use) => {
      const request = use("self").get("identity");
      request.onsuccess = () => {
        same = request.result?.device === device;
        if (same) work(use);
      };
    });
    if (same) return;
    await this.reload();
    throw new Unreachable("the account on this phone is another one by now");
  }

  /** Something could not be kept: says so until something can. @param {StorageError} error */
  stuck({ code }) {
    this.trouble = `storage_${code}`;
    this.#show();
  }

  /** Something changed that was kept: shows it, here and in the other tabs. */
  tell() {
    this.told += 1;
    this.channel?.postMessage("changed");
    this.#show();
  }

  #show() {
    this.dispatchEvent(new Event("change"));
  }

  async #changedElsewhere() {
    await this.reload();
    if (this.outbox) void this.outbox.send();
  }

  async #met() {
    await this.database.put("self", "skewMs", this.api.skewMs).catch(() => {});
    this.#show();
  }

  /**
   * A request to the server in the holder's language.
   *
   * @param {string} method
   * @param {string} path
   * @param {import("/static/phone/api.js").Options} [options]
   */
  async call(method, path, options) {
    this.api.language = language();
    const device = this.identity?.device;
    try {
      const answer = await this.api.call(method, path, options);
      if (options?.sign === false) return answer;
      // What was asked for an account that was taken off this phone meanwhile is kept nowhere.
      if (this.identity?.device !== device) throw new Unreachable("another account");
      if (this.trouble) this.#trouble(null);
      return answer;
    } catch (error) {
      const code = /** @type {any} */ (error).code;
      if (options?.sign !== false && (code === "unknown_device" || code === "party_closed")) this.#trouble(code);
      throw error;
    }
  }

  /** @param {string|null} code */
  #trouble(code) {
    if (this.trouble?.startsWith("storage")) return;
    this.trouble = code;
    this.#show();
  }

  /** @param {string} code @param {Record<string, string>} facts @returns {Promise<void>} kept for good */
  async alarm(code, facts) {
    const alarm = { code, at: this.api.now(), facts };
    try {
      await this.database.update("alarms", `${code} ${facts.payment ?? facts.size ?? ""}`, (before) => before ?? alarm);
      this.alarms = await this.database.all("alarms");
    } catch (error) {
      if (!(error instanceof StorageError)) throw error;
      this.alarms = [...this.alarms, alarm];
    }
    this.tell();
  }

  // With the network

  /** Brings everything up to date, and sends what waits. Throws nothing: `offline` and `problem` say how it went. */
  async refresh() {
    const { refresh } = await import("./sync.js");
    await refresh(this);
  }

  /** Starts to listen: what comes in shows within a second, and what waits is sent as soon as there is a network. @returns {Promise<void>} */
  async followEvents() {
    const { follow } = await import("./sync.js");
    await follow(this);
  }

  /** Stops listening. */
  stop() {
    this.stopped?.abort();
  }

  /** The scheme's terms: kept, or asked for when there are none yet. @returns {Promise<Scheme>} throws Unreachable, Refusal */
  async terms() {
    if (!this.scheme) await (await import("./sync.js")).refreshScheme(this);
    return /** @type {Scheme} */ (this.scheme);
  }

  /** Older entries than the phone has, at most a page; they are shown and not kept. @returns {Promise<boolean>} whether there are more */
  async moreEntries() {
    return (await import("./sync.js")).moreEntries(this);
  }

  /**
   * Entries with this text in a name or a note, or of this amount, among all that the server has; they are not kept.
   *
   * @param {string} text at most 100 characters
   * @param {string|null} [cursor] of the page before
   * @returns {Promise<{entries: View[], next: string|null}>} newest first; a page with a `next` may be empty
   */
  async search(text, cursor = null) {
    const page = await this.call("GET", "/v1/history", { query: { q: text, limit: 50, cursor } });
    this.found = cursor ? [...this.found, ...page.entries] : page.entries;
    return page;
  }

  /** Asks for the entries of a payment that is older than what the phone has, for `entriesOf`. @param {View} receipt */
  async findEntries(receipt) {
    this.found = await (await import("./sync.js")).entriesAt(this, receipt.completed_at);
    this.#show();
  }

  /** What the phone knows of a payment's entries, or of the entry with this transfer. @param {string} id @returns {View[]} */
  entriesOf(id) {
    const mine = (/** @type {View} */ { payment, transfer }) => payment === id || transfer === id;
    const here = this.entries.filter(mine);
    return here.length ? here : this.found.filter(mine);
  }

  // Paying

  /** @type {typeof import("./paying.js")|null} */
  #module = null;

  async #paying() {
    return (this.#module ??= await import("./paying.js"));
  }

  /** Whom a number, @handle or merchant code means. Offline: only those who were paid before. @param {string} address @returns {Promise<View>} */
  async resolve(address) {
    return (await this.#paying()).resolve(this, address);
  }

  /**
   * What a scanned code says to this wallet: `amount` in minor units, `signed` whether it carries a signature, `confirmed`
   * whether that is the operator's; a code of another Counterfoil scheme is "foreign", too. Throws CodeError. Works offline.
   *
   * @param {string} text
   * @returns {Promise<View>}
   */
  async readCode(text) {
    return (await this.#paying()).readCode(this, text);
  }

  /**
   * What a payment would cost; without a network by the tariff that the phone keeps, with `offline` true.
   *
   * @param {import("./paying.js").Wish} wish
   * @returns {Promise<View>} {payee, payee_name, service, amount, fee, fee_paid_by, total, received, offline}
   */
  async quote(wish) {
    return (await this.#paying()).quote(this, wish);
  }

  /** As `quote`, at once and without asking; null where only the server knows. @param {import("./paying.js").Wish} wish @returns {Promise<View|null>} */
  async price(wish) {
    return (await this.#paying()).price(this, wish);
  }

  /**
   * Signs an order and keeps it; then it is sent at once when there is a network. Throws StorageError, and nothing was sent.
   *
   * @param {{kind?: "pay"|"hold", payee: {account: string, name: string, address?: string|null, kind?: string|null}, amount: number,
   *          maxFee: number, reference?: string|null, memo?: string, timeoutS?: number}} wish
   * @returns {Promise<Outgoing>}
   */
  async keep(wish) {
    return (await this.theOutbox()).keep({ kind: "pay", ...wish });
  }

  /** Takes back an order that never left the phone. @param {string} id @returns {Promise<boolean>} false: it has left, or is none of ours */
  async withdraw(id) {
    return (await this.theOutbox()).withdraw(id);
  }

  /** Gives a payment back, in full or in part. @param {View} payment @param {number} amount @param {string} [memo] */
  async refund(payment, amount, memo = "") {
    return (await this.theOutbox()).answer("refund", payment, amount, memo);
  }

  /** Takes held money; the rest returns to the payer. @param {View} hold @param {number} amount @param {string} [memo] */
  async capture(hold, amount, memo = "") {
    return (await this.theOutbox()).answer("capture", hold, amount, memo);
  }

  /** Gives a whole hold back. @param {View} hold @param {string} [memo] */
  async release(hold, memo = "") {
    return (await this.theOutbox()).answer("release", hold, hold.amount, memo);
  }

  /** @returns {Promise<import("./outbox.js").Outbox>} */
  async theOutbox() {
    if (!this.outbox) {
      const { Outbox } = await import("./outbox.js");
      this.outbox ??= new Outbox(this);
    }
    return this.outbox;
  }

  // Asking

  /**
   * Asks for money: everybody who has the code, or one person. Throws Refusal, Unreachable.
   *
   * @param {{payer?: string|null, amount?: number|null, memo?: string, cashIn?: boolean, purpose?: "pay"|"cash_in"|"hold",
   *          lifetimeS?: number}} wish
   * @returns {Promise<View>}
   */
  async ask(wish) {
    return (await this.#paying()).ask(this, wish);
  }

  /** Says no to a request. @param {string} id */
  async decline(id) {
    return (await this.#paying()).endRequest(this, id, "decline");
  }

  /** Takes one's own request back. @param {string} id */
  async cancel(id) {
    return (await this.#paying()).endRequest(this, id, "cancel");
  }

  /** A request as it stands, also one that is not in the list; until the next refresh it is. @param {string} id @returns {Promise<View>} */
  async request(id) {
    const found = await this.call("GET", `/v1/requests/${id}`);
    this.requests = [...this.requests.filter((each) => each.id !== id), found];
    this.#show();
    return found;
  }

  // Opening

  /**
   * Sends a code that proves a number.
   *
   * @param {string} number as it was typed
   * @param {"enrol"|"recover"|"number"} purpose
   * @returns {Promise<{number: string, code: string|null}>} the number in full; the code in a sandbox only
   */
  async sendCode(number, purpose) {
    return (await import("./enrolment.js")).sendCode(this, number, purpose);
  }

  /** Opens an account. A repeat after a lost answer finds the same. @param {{number: string, code: string, name: string, pin: string}} who */
  async enrol(who) {
    return (await import("./enrolment.js")).enrol(this, who);
  }

  /** Asks for a new key after a loss; it takes effect later. @param {{number: string, code: string, pin: string}} who @returns {Promise<View>} */
  async recover(who) {
    return (await import("./enrolment.js")).recover(this, who);
  }

  /** Whether the recovery has taken effect; then this phone has the account. @returns {Promise<boolean>} */
  async finishRecovery() {
    return (await import("./enrolment.js")).finishRecovery(this);
  }

  /**
   * Makes this phone a further device: show the text as a QR code to the phone that has the account.
   *
   * @param {string} [label]
   * @returns {Promise<{text: string, wait: (signal?: AbortSignal) => Promise<Identity>}>}
   */
  async linkDevice(label) {
    return (await import("./enrolment.js")).linkDevice(this, label);
  }

  /** Reads another phone's code. @param {string} text @returns {Promise<{device: string, label: string}>} RangeError when it is none */
  async readDevice(text) {
    return (await import("./enrolment.js")).readDevice(this, text);
  }

  /** Lets the phone that showed `text` sign for this account. @param {string} text @param {string} [label] @param {AbortSignal} [signal] */
  async approveDevice(text, label, signal) {
    return (await import("./enrolment.js")).approveDevice(this, text, label, signal);
  }

  /** Takes over a key of the sandbox from a `#/borrow?` link. The key goes nowhere but into this phone. @param {string} link */
  async importSandboxKey(link) {
    return (await import("./enrolment.js")).importSandboxKey(this, link);
  }

  // The account

  /** Nothing leaves the account until it is unlocked. @param {string} [reason] */
  async lock(reason) {
    return (await import("./holder.js")).lock(this, reason);
  }

  /** @param {string} pin */
  async unlock(pin) {
    return (await import("./holder.js")).unlock(this, pin);
  }

  /** @param {{per_payment?: number|null, per_day?: number|null, per_month?: number|null}} limits @param {string} pin */
  async setLimits(limits, pin) {
    return (await import("./holder.js")).setLimits(this, limits, pin);
  }

  /** What may be paid by PIN a day, minor units; 0: nothing. @param {number} amountADay */
  async allowPin(amountADay) {
    return (await import("./holder.js")).allowPin(this, amountADay);
  }

  /** @param {string} handle */
  async setHandle(handle) {
    return (await import("./holder.js")).setHandle(this, handle);
  }

  /** @param {string} old @param {string} fresh */
  async changePin(old, fresh) {
    await this.call("POST", "/v1/pin", { body: { old, new: fresh } });
  }

  /** @param {string} code */
  async setLanguage(code) {
    await load("wallet", code);
    await this.set({ language: code });
    if (this.identity) await this.call("POST", "/v1/language", { body: { language: code } }).catch(() => {});
  }

  /** @param {"auto"|"light"|"dark"} theme */
  async setTheme(theme) {
    await this.set({ theme });
  }

  /** @param {boolean} hideBalance */
  async setHideBalance(hideBalance) {
    await this.set({ hideBalance });
  }

  /** @param {Partial<Settings>} changes shown at once, also where they cannot be kept */
  async set(changes) {
    Object.assign(this.settings, changes);
    this.#show();
    await this.remember({ settings: { ...this.settings } }).catch(() => {});
  }

  /** @returns {Promise<View[]>} */
  async devices() {
    return (await this.call("GET", "/v1/devices")).devices;
  }

  /** @param {string} id */
  async revokeDevice(id) {
    return (await import("./holder.js")).revokeDevice(this, id);
  }

  /** Says of a recovery that waits: that was not me. @param {string} id */
  async cancelRecovery(id) {
    return (await import("./holder.js")).cancelRecovery(this, id);
  }

  /** @param {string} month yyyy-mm @returns {Promise<View>} */
  async month(month) {
    return this.call("GET", `/v1/months/${month}`);
  }

  /** @param {string} month yyyy-mm @param {"csv"|"pdf"} form @returns {Promise<Blob>} */
  async statement(month, form) {
    const accept = form === "csv" ? "text/csv" : "application/pdf";
    return this.call("GET", `/v1/statements/${month}`, { accept, query: { lang: language() }, timeoutMs: 60_000 });
  }

  /** Everything about the holder: account, entries, messages, devices, receipts. @param {(share: number) => void} onProgress 0 to 1 */
  async exportAll(onProgress) {
    return (await import("./holder.js")).exportAll(this, onProgress);
  }

  /** Takes this account off this phone; the account itself stays. Orders that wait must be settled first. */
  async forget() {
    return (await import("./holder.js")).forget(this);
  }

  // Messages

  /**
   * The messages with somebody, newest first, and marks them as read; without a network those that the phone has.
   *
   * @param {string} account
   * @param {string|null} [cursor] `next` of the page before, for older ones; these are not kept
   * @returns {Promise<View>} {name, messages, blocked, next}
   */
  async thread(account, cursor = null) {
    return (await import("./messages.js")).thread(this, account, cursor);
  }

  /** @param {string} account @param {string} text @returns {Promise<View>} a repeat after Unreachable with the same text is one message */
  async send(account, text) {
    return (await import("./messages.js")).send(this, account, text);
  }

  /** @param {string} account @param {boolean} blocked */
  async block(account, blocked) {
    await this.call("POST", `/v1/threads/${account}/${blocked ? "block" : "unblock"}`);
  }

  // Receipts

  /** What is kept of a payment, asked for where it is not. @param {string} payment @returns {Promise<View>} {receipt, acknowledgement, proof, verdict} */
  async receipt(payment) {
    return (await import("./receipts.js")).receipt(this, payment);
  }

  /** Checks a receipt on this phone, without a network where it is kept. @param {string} payment @returns {Promise<import("/static/proof/verify.js").Report>} */
  async checkReceipt(payment) {
    return (await import("./receipts.js")).checkReceipt(this, payment);
  }

  /** The receipt as a file for others. @param {string} payment @returns {Promise<File|null>} null: not witnessed yet */
  async shareReceipt(payment) {
    return (await import("./receipts.js")).receiptFile(this, payment);
  }

  /** Whom the scheme names as witnesses now, beside those that this phone trusts. */
  async newPolicy() {
    return (await import("./receipts.js")).newPolicy(this);
  }

  /** Trusts these witnesses instead of those known so far. Ask the holder first. @param {string} policy as `newPolicy` gave it */
  async acceptPolicy(policy) {
    return (await import("./receipts.js")).acceptPolicy(this, policy);
  }
}
