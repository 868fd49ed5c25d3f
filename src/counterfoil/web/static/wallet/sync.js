// @ts-check
/**
 * Brings the phone up to date: terms, account, entries, requests, holds, messages, notices; then receipts, one after another.
 *
 * Entries are complete on the phone from the newest down to the oldest that it keeps: new pages are fetched until a known
 * entry meets them, and kept all together or not at all.
 */

import { base64url, number, sha256, utf8 } from "/static/phone/bytes.js";
import { follow as followStream } from "/static/phone/events.js";
import { Refusal, Unreachable } from "/static/phone/api.js";
import { StorageError } from "/static/phone/database.js";
import { known } from "./outbox.js";

/** @typedef {import("./wallet.js").Wallet} Wallet @typedef {import("./wallet.js").View} View */

export const KEPT_MAX = 500;
const PAGE = 50;
const TERMS_AGE_MS = 3_600_000;
const QUIET_MS = 300;
const CONTACTS_LEARNT = 100;

/** Whether it was looked, since the start, if the browser has moved the subscription to pushes. */
let renewed = false;

/** @type {WeakMap<Wallet, {running: Promise<void>|null, next: Promise<void>|null}>} */
const states = new WeakMap();
/** The account whose entries were asked for before, however few there were: what comes then has just come in. @type {WeakMap<Wallet, string>} */
const met = new WeakMap();

/** @param {Wallet} wallet @returns {Promise<void>} kept when a round that began after this call is over; one round at a time */
export function refresh(wallet) {
  const state = states.get(wallet) ?? { running: null, next: null };
  states.set(wallet, state);
  const begin = () =>
    refreshAll(wallet).finally(() => {
      state.running = state.next;
      state.next = null;
    });
  if (!state.running) return (state.running = begin());
  state.next ??= state.running.catch(() => {}).then(begin);
  return state.next;
}

/** @param {Wallet} wallet @returns {Promise<void>} when the holder waits for nothing */
export async function calm(wallet) {
  for (let ms; (ms = wallet.calmAt - performance.now()) > 0; ) await new Promise((resolve) => setTimeout(resolve, ms));
}

/** @param {Wallet} wallet */
async function refreshAll(wallet) {
  if (navigator.onLine === false) return wallet.tell();
  try {
    if (!wallet.scheme || wallet.api.now() - wallet.scheme.at > TERMS_AGE_MS) await refreshScheme(wallet);
    if (!wallet.identity && !(wallet.recovery && (await wallet.finishRecovery()))) return;
    await calm(wallet);
    await refreshAccount(wallet);
    await calm(wallet);
    await refreshEntries(wallet);
    await calm(wallet);
    await Promise.all([refreshHolds(wallet), refreshRequests(wallet), refreshTalk(wallet)]);
    const { fetchProofs } = await import("./receipts.js").catch((error) => Promise.reject(new Unreachable(error)));
    await fetchProofs(wallet);
    if (wallet.identity?.kind === "merchant") {
      const { countersign } = await import("./countersigning.js").catch((error) => Promise.reject(new Unreachable(error)));
      await countersign(wallet);
    }
    if (wallet.settings.push && !renewed) {
      renewed = true;
      void import("./push.js").then(({ renew }) => renew(wallet)).catch(() => {});
    }
  } catch (error) {
    if (error instanceof StorageError) return wallet.stuck(error);
    if (!(error instanceof Refusal || error instanceof Unreachable)) throw error;
    wallet.tell();
  }
}

/**
 * The scheme's terms. The first that are heard are kept for good where they say who the scheme is: another origin or key
 * under the same address is an alarm, and nothing is signed for it.
 *
 * @param {Wallet} wallet
 */
export async function refreshScheme(wallet) {
  const found = await wallet.call("GET", "/v1/scheme", { sign: false });
  if (typeof found?.origin !== "string" || typeof found.operator_key !== "string") throw new Unreachable("it answered with something else");
  wallet.api.setClock(Date.parse(found.server_time));
  const before = wallet.scheme;
  if (before && (before.origin !== found.origin || before.operatorKey !== found.operator_key)) {
    await wallet.alarm("other_scheme", { origin: found.origin, key: found.operator_key });
    return;
  }
  const policy = await wallet.call("GET", "/log/policy", { sign: false, accept: "text/plain" }).catch(() => "");
  if (before?.policy && policy && before.policy !== policy) await wallet.alarm("policy_changed", {});
  const scheme = {
    name: found.name,
    origin: found.origin,
    currency: { code: found.currency, digits: found.digits, numeric: found.currency_numeric },
    mark: base64url((await sha256(utf8(found.origin))).subarray(0, 6)),
    region: found.region,
    languages: found.languages,
    rulesHash: found.rules_hash,
    operatorKey: found.operator_key,
    sandbox: found.sandbox,
    tariff: found.tariff ?? [],
    policy: before?.policy || policy,
    at: wallet.api.now(),
  };
  await wallet.remember({ scheme });
}

/** @param {Wallet} wallet */
async function refreshAccount(wallet) {
  const account = await wallet.call("GET", "/v1/accounts/me");
  const identity = { .../** @type {any} */ (wallet.identity), name: account.name, number: account.number, kind: account.kind };
  await wallet.remember({ account, accountAt: wallet.api.now(), identity });
}

// Entries

/** @param {View} entry @returns {string} where it stands among the others: in time order, unique */
const keyOf = (entry) => `${entry.at} ${entry.transfer}`;

/** @param {View} entry @returns {string} cursor of the page that begins with this entry again. Source: cursor_text in web/values.py */
function cursorAt(entry) {
  const [seconds, micros] = entry.at.replace("Z", "").split(".");
  const ns = BigInt(Date.parse(`${seconds}Z`)) * 1_000_000n + BigInt(micros) * 1_000n;
  return base64url(number(ns + 1_000n, 16));
}

/** @param {Wallet} wallet */
async function refreshEntries(wallet) {
  const here = new Map(wallet.entries.map((entry) => [keyOf(entry), entry]));
  /** @type {View[]} */
  const fresh = [];
  /** @type {string|null} */
  let cursor = null;
  let meets = false;
  do {
    /** @type {{entries: View[], next: string|null}} */
    const page = await wallet.call("GET", "/v1/history", { query: { limit: PAGE, cursor } });
    meets = page.entries.some((entry) => here.has(keyOf(entry)));
    fresh.push(...page.entries.filter((entry) => !here.has(keyOf(entry))));
    cursor = page.next;
  } while (cursor && !meets && fresh.length < KEPT_MAX);
  const { account } = /** @type {import("./wallet.js").Identity} */ (wallet.identity);
  const isFirst = !here.size && met.get(wallet) !== account;
  met.set(wallet, account);
  if (!fresh.length) return;
  // Where the known entries were not met, there is a gap: what is below it goes, and can be had on demand.
  const kept = [...fresh, ...(meets ? wallet.entries : [])];
  const entries = kept.slice(0, KEPT_MAX);
  const older = meets ? (kept.length > KEPT_MAX ? cursorAt(entries[entries.length - 1]) : wallet.older) : cursor;
  const contacts = learnt(wallet, fresh);
  await wallet.transact(["entries", "self"], (use) => {
    if (!meets) use("entries").clear();
    for (const entry of fresh) use("entries").put(entry, keyOf(entry));
    for (const entry of kept.slice(KEPT_MAX)) use("entries").delete(keyOf(entry));
    use("self").put(older, "older");
    use("self").put(contacts, "contacts");
  });
  Object.assign(wallet, { entries, older, contacts });
  wallet.tell();
  if (!isFirst) for (const entry of fresh.reverse()) if (entry.change > 0 && entry.payment) received(wallet, entry);
}

/** Those who were paid or have paid, newest first. @param {Wallet} wallet @param {View[]} fresh newest first */
function learnt(wallet, fresh) {
  let contacts = wallet.contacts;
  const people = fresh.filter((entry) => entry.counterparty_name && entry.payment).slice(0, CONTACTS_LEARNT);
  for (const { counterparty, counterparty_name: name, at } of people.reverse()) {
    contacts = known(contacts, { account: counterparty, name }, Date.parse(at));
  }
  return contacts;
}

/** @param {Wallet} wallet @param {View} entry */
function received(wallet, entry) {
  const detail = { amount: entry.change, name: entry.counterparty_name, payment: entry.payment };
  wallet.dispatchEvent(new CustomEvent("received", { detail }));
}

/** @param {Wallet} wallet @returns {Promise<boolean>} */
export async function moreEntries(wallet) {
  if (!wallet.older) return false;
  const page = await wallet.call("GET", "/v1/history", { query: { limit: PAGE, cursor: wallet.older } });
  const here = new Set(wallet.entries.map(keyOf));
  wallet.entries = [...wallet.entries, ...page.entries.filter((/** @type {View} */ entry) => !here.has(keyOf(entry)))];
  wallet.older = page.next;
  wallet.dispatchEvent(new Event("change"));
  return page.next !== null;
}

/** The entries made at a moment, and a few before. @param {Wallet} wallet @param {string} at @returns {Promise<View[]>} */
export async function entriesAt(wallet, at) {
  const page = await wallet.call("GET", "/v1/history", { query: { limit: 10, cursor: cursorAt({ at }) } });
  return page.entries;
}

// What waits for somebody

/** Holds that are still open, as the history shows their beginning and the server their state. @param {Wallet} wallet */
async function refreshHolds(wallet) {
  const now = wallet.api.now();
  const before = new Map(wallet.holds.map((hold) => [hold.id, hold]));
  const begun = wallet.entries.filter(({ kind, payment, change, code }) => kind === "hold" && payment && !change && code !== "fee");
  const newest = [...new Map(begun.map((entry) => [entry.payment, entry])).values()].slice(0, 50);
  const holds = [];
  for (const entry of newest) {
    const kept = await wallet.database.get("receipts", entry.payment);
    if (!before.has(entry.payment) && kept?.ended) continue;
    const view = await wallet.call("GET", `/v1/payments/${entry.payment}`);
    if (view.state === "held" && Date.parse(view.held_until) > now) {
      holds.push({ ...view, counterparty: entry.counterparty, counterparty_name: entry.counterparty_name, expires_at: view.held_until });
    } else {
      // What the operator has signed stays as it was verified: only how it ended is new.
      const ended = (/** @type {View} */ found) => ({ ...(found?.receipt ?? view), state: view.state });
      await wallet.database.update("receipts", entry.payment, (found) => ({ proof: null, verdict: null, at: now, ...found, receipt: ended(found), ended: true }));
    }
  }
  if (JSON.stringify(holds) !== JSON.stringify(wallet.holds)) await wallet.remember({ holds });
}

/** @param {Wallet} wallet */
async function refreshRequests(wallet) {
  const { requests } = await wallet.call("GET", "/v1/requests", { query: { limit: 50 } });
  const names = new Map(wallet.contacts.map(({ account, name }) => [account, name]));
  const named = requests.map((/** @type {View} */ request) => ({
    ...request,
    payee_name: request.payee_name ?? names.get(request.payee) ?? "",
    payer_name: request.payer_name ?? names.get(request.payer) ?? "",
  }));
  if (JSON.stringify(named) !== JSON.stringify(wallet.requests)) await wallet.remember({ requests: named });
}

/** Threads and notices. @param {Wallet} wallet */
async function refreshTalk(wallet) {
  const [{ threads }, { notices }] = await Promise.all([
    wallet.call("GET", "/v1/threads", { query: { limit: 50 } }),
    wallet.call("GET", "/v1/notices", { query: { limit: 50 } }),
  ]);
  // What happened before this phone had the account is no news on it.
  const seen = wallet.seen ?? notices[0]?.at ?? "";
  const now = [threads, notices, seen];
  if (JSON.stringify(now) !== JSON.stringify([wallet.threads, wallet.notices, wallet.seen])) await wallet.remember({ threads, notices, seen });
}

// Listening

/** @param {Wallet} wallet @returns {Promise<void>} */
export async function follow(wallet) {
  wallet.stop();
  const stopped = new AbortController();
  wallet.stopped = stopped;
  const { signal } = stopped;
  const outbox = await wallet.theOutbox();
  const wake = () => {
    void outbox.send({ now: true });
    void refresh(wallet);
  };
  addEventListener("online", wake, { signal });
  addEventListener("offline", () => wallet.dispatchEvent(new Event("change")), { signal });
  document.addEventListener("visibilitychange", () => document.visibilityState === "visible" && wake(), { signal });
  wake();
  if (!wallet.identity) return;
  /** @type {ReturnType<typeof setTimeout>|undefined} */
  let soon;
  void followStream({
    api: wallet.api,
    signal,
    onEvent: () => {
      clearTimeout(soon);
      soon = setTimeout(() => void refresh(wallet), wallet.entries.length ? QUIET_MS : 0);
    },
  });
}
