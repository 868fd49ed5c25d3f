// @ts-check
/** How a phone gets its account: a new one, one from before, one from another phone; and one that a sandbox lends. */

import { base64url, fromBase64url, newId, utf8 } from "/static/phone/bytes.js";
import { Refusal, Unreachable } from "/static/phone/api.js";
import { persist } from "/static/phone/database.js";
import { keyOf } from "/static/phone/ed25519.js";
import { language } from "/static/phone/words.js";
import { makeKey, signerOf } from "./keys.js";
import { again } from "./paying.js";
import { addDevice, enrol as enrolStatement, recover as recoverStatement } from "./statements.js";

/** @typedef {import("./wallet.js").Wallet} Wallet @typedef {import("./wallet.js").View} View */
/** @typedef {{device: string, algorithm: "es256"|"ed25519", key: import("./keys.js").Key, publicKey: Uint8Array}} FreshKey */

const LINK = "CFD1:";
const POLL_MS = 1_500;

/** @param {Wallet} wallet @param {string} number @param {"enrol"|"recover"|"number"} purpose @returns {Promise<{number: string, code: string|null}>} */
export async function sendCode(wallet, number, purpose) {
  await wallet.terms();
  const sent = await wallet.call("POST", "/v1/codes", { body: { number, purpose }, sign: false });
  return { number: sent.number, code: sent.code };
}

/**
 * The key for what is under way, kept before it is sent: after a lost answer the same key asks again.
 *
 * @param {Wallet} wallet
 * @param {string} purpose
 * @returns {Promise<FreshKey>}
 */
async function freshKey(wallet, purpose) {
  const before = await wallet.database.get("self", "pending");
  if (before?.purpose === purpose) return before;
  const { key, publicKey } = await makeKey();
  const pending = { purpose, device: newId(wallet.api.now()), algorithm: /** @type {const} */ ("es256"), key, publicKey };
  await wallet.database.put("self", "pending", pending);
  return pending;
}

/** @param {FreshKey} fresh @param {Uint8Array} statement @param {string} label @returns {Promise<View>} as the API takes a key */
async function keyBody({ device, algorithm, key, publicKey }, statement, label) {
  const possession = base64url(await signerOf({ device, algorithm, key }).sign(statement));
  return { device, algorithm, public_key: base64url(publicKey), possession, label };
}

/** What the phone calls itself. @returns {string} */
function ownLabel() {
  const agent = navigator.userAgent;
  const system = ["Android", "iPhone", "iPad", "Windows", "Mac OS", "CrOS", "Linux"].find((name) => agent.includes(name)) ?? "";
  const browser = [["Firefox", "Firefox"], ["Edg/", "Edge"], ["Chrome", "Chrome"], ["Safari", "Safari"]].find(([mark]) => agent.includes(mark));
  return [system, browser?.[1]].filter(Boolean).join(" ") || "phone";
}

/** A phone has one account: another one would take the place of its key. @param {Wallet} wallet throws RangeError where there is one */
async function vacant(wallet) {
  if (await wallet.database.get("self", "identity")) throw new RangeError("there is an account on this phone");
}

/** @param {Wallet} wallet @param {{number: string, code: string, name: string, pin: string}} who */
export async function enrol(wallet, { number, code, name, pin }) {
  await vacant(wallet);
  const scheme = await wallet.terms();
  const fresh = await freshKey(wallet, `enrol ${number}`);
  const statement = enrolStatement({ origin: scheme.origin, number, ...fresh });
  const body = { number, code, name, language: language(), pin, key: await keyBody(fresh, statement, ownLabel()) };
  const opened = await again(() => wallet.call("POST", "/v1/accounts", { body, sign: false }));
  await become(wallet, fresh, { account: opened.account, party: opened.party, name: opened.name, number, kind: "customer" });
}

/** @param {Wallet} wallet @param {FreshKey} fresh @param {{account: string, party: string, name: string, number: string|null, kind: string}} whose */
async function become(wallet, fresh, whose) {
  await keep(wallet, fresh, whose);
  await wallet.refresh();
}

/** @param {Wallet} wallet @param {FreshKey} fresh @param {{account: string, party: string, name: string, number: string|null, kind: string}} whose */
async function keep(wallet, { device, algorithm, key }, whose) {
  await wallet.remember({ identity: { device, algorithm, key, ...whose }, pending: null, recovery: null });
  void persist();
}

/** Asks the server whose a key is. @param {Wallet} wallet @param {FreshKey} fresh @returns {Promise<View|null>} null: nobody's yet */
async function accountOf(wallet, fresh) {
  const before = wallet.api.sign;
  wallet.api.sign = signerOf(fresh);
  try {
    return await wallet.api.call("GET", "/v1/accounts/me");
  } catch (error) {
    if (error instanceof Refusal && error.code === "unknown_device") return null;
    throw error;
  } finally {
    wallet.api.sign = before;
  }
}

/** @param {View} account */
const whoseAccount = ({ account, party, name, number, kind }) => ({ account, party, name, number, kind });

// After a loss

/** @param {Wallet} wallet @param {{number: string, code: string, pin: string}} who @returns {Promise<View>} */
export async function recover(wallet, { number, code, pin }) {
  await vacant(wallet);
  const scheme = await wallet.terms();
  const fresh = await freshKey(wallet, `recover ${number}`);
  const statement = recoverStatement({ origin: scheme.origin, number, ...fresh });
  const body = { number, code, pin, key: await keyBody(fresh, statement, ownLabel()) };
  // Its key stays with it: whatever else is begun here meanwhile makes a key of its own.
  const recovery = { ...(await again(() => wallet.call("POST", "/v1/recoveries", { body, sign: false }))), number, fresh };
  await wallet.remember({ recovery });
  return recovery;
}

/** @param {Wallet} wallet @returns {Promise<boolean>} */
export async function finishRecovery(wallet) {
  const { fresh } = wallet.recovery ?? {};
  if (!fresh) return false;
  const account = await accountOf(wallet, fresh);
  if (account) await keep(wallet, fresh, whoseAccount(account)); // the round that asks goes on by itself
  return account !== null;
}

// From another phone

/** @param {Wallet} wallet @param {string} [label] */
export async function linkDevice(wallet, label = ownLabel()) {
  await vacant(wallet);
  const scheme = await wallet.terms();
  const fresh = await freshKey(wallet, "link");
  const { device, algorithm, publicKey } = fresh;
  const told = { origin: scheme.origin, device, algorithm, public_key: base64url(publicKey), label };
  return { text: LINK + base64url(utf8(JSON.stringify(told))), wait: (/** @type {AbortSignal | undefined} */ signal) => waitForLink(wallet, fresh, label, signal) };
}

/** @param {Wallet} wallet @param {FreshKey} fresh @param {string} label @param {AbortSignal} [signal] */
async function waitForLink(wallet, fresh, label, signal) {
  const scheme = await wallet.terms();
  const path = `/v1/device-links/${fresh.device}`;
  let proven = false;
  for (;;) {
    signal?.throwIfAborted();
    try {
      if (!proven) {
        const { party } = await wallet.call("GET", path, { sign: false, signal });
        const { possession } = await keyBody(fresh, addDevice({ origin: scheme.origin, party, ...fresh }), label);
        await wallet.call("POST", `${path}/possession`, { body: { possession }, sign: false, signal });
        proven = true;
      }
      const account = await accountOf(wallet, fresh);
      if (account) {
        await become(wallet, fresh, whoseAccount(account));
        return /** @type {import("./wallet.js").Identity} */ (wallet.identity);
      }
    } catch (error) {
      signal?.throwIfAborted();
      const waits = error instanceof Unreachable || (error instanceof Refusal && (error.code === "not_found" || error.status === 429));
      if (!waits) throw error;
    }
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }
}

/** @param {string} text @returns {{origin: string, device: string, algorithm: string, public_key: string, label: string}} */
function readLink(text) {
  if (!text.startsWith(LINK)) throw new RangeError("this is not the code of a new phone");
  try {
    const found = JSON.parse(new TextDecoder().decode(fromBase64url(text.slice(LINK.length))));
    const fields = ["origin", "device", "algorithm", "public_key", "label"];
    if (fields.every((name) => typeof found[name] === "string")) return found;
  } catch {
    // Cut short, or made by something else.
  }
  throw new RangeError("this code of a new phone cannot be read");
}

/** @param {Wallet} wallet @param {string} text @returns {Promise<{device: string, label: string}>} RangeError when it is of another scheme */
export async function readDevice(wallet, text) {
  const { origin, device, label } = readLink(text);
  if (origin !== (await wallet.terms()).origin) throw new RangeError("this phone belongs to another scheme");
  return { device, label };
}

/**
 * Meets the new phone and signs for it. Throws RangeError (not such a code), Refusal, Unreachable; ends with `signal`.
 *
 * @param {Wallet} wallet @param {string} text @param {string} [label] @param {AbortSignal} [signal]
 * @returns {Promise<View>} the device as the server has it now
 */
export async function approveDevice(wallet, text, label, signal) {
  await readDevice(wallet, text);
  const told = readLink(text);
  const { identity, api } = wallet;
  if (!identity || !api.sign) throw new RangeError("there is no account on this phone");
  const path = `/v1/device-links/${told.device}`;
  let possession = null;
  while (!possession) {
    signal?.throwIfAborted();
    ({ possession } = await again(() => wallet.call("POST", path, { signal })));
    if (!possession) await new Promise((resolve) => setTimeout(resolve, POLL_MS / 3));
  }
  const statement = addDevice({
    origin: told.origin, party: identity.party, device: told.device, algorithm: told.algorithm, publicKey: fromBase64url(told.public_key),
  });
  const key = { device: told.device, algorithm: told.algorithm, public_key: told.public_key, possession, label: label ?? told.label };
  const body = { key, by_device: identity.device, signature: base64url(await api.sign.sign(statement)) };
  return again(() => wallet.call("POST", "/v1/devices", { body, sign: false }));
}

// In a sandbox

/** @param {Wallet} wallet @param {string} link an address with #/borrow?device=...&seed=..., or what follows the # */
export async function importSandboxKey(wallet, link) {
  const scheme = await wallet.terms();
  if (!scheme.sandbox) throw new RangeError("only a sandbox lends keys");
  if (wallet.identity) throw new RangeError("there is an account on this phone");
  const query = new URLSearchParams(/#\/borrow\?(.*)$/.exec(link)?.[1] ?? link.replace(/^.*\?/, ""));
  const [device, seed] = [query.get("device") ?? "", fromBase64url(query.get("seed") ?? "")];
  if (seed.length !== 32 || !device) throw new RangeError("this is no link to a borrowed key");
  const fresh = { device, algorithm: /** @type {const} */ ("ed25519"), key: await keyOf(seed), publicKey: new Uint8Array() };
  const account = await accountOf(wallet, fresh);
  if (!account) throw new RangeError("the server does not know this key");
  await become(wallet, fresh, whoseAccount(account));
}
