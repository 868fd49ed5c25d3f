// @ts-check
/** What a holder does with the account itself: lock it, set limits, take devices away, carry everything out. */

import { base64url, newId } from "/static/phone/bytes.js";
import { again } from "./paying.js";
import { allowPin as allowPinStatement, cancelRecovery as cancelStatement, revokeDevice as revokeStatement } from "./statements.js";

/** @typedef {import("./wallet.js").Wallet} Wallet @typedef {import("./wallet.js").View} View */

const PAGE = 200;

/** @param {Wallet} wallet @returns {{identity: import("./wallet.js").Identity, sign: (message: Uint8Array) => Promise<string>}} */
function own({ identity, api }) {
  const signer = api.sign;
  if (!identity || !signer) throw new RangeError("there is no account on this phone");
  return { identity, sign: async (message) => base64url(await signer.sign(message)) };
}

/** @param {Wallet} wallet @param {string} [reason] what others are told of it */
export async function lock(wallet, reason = "locked by its holder") {
  const id = newId(wallet.api.now());
  await again(() => wallet.call("POST", "/v1/freezes", { body: { id, reason } }));
  await wallet.refresh();
}

/** @param {Wallet} wallet @param {string} pin @param {string} [reason] */
export async function unlock(wallet, pin, reason = "unlocked by its holder") {
  const account = await wallet.call("GET", "/v1/accounts/me");
  for (const freeze of account.freezes.filter((/** @type {View} */ each) => each.own)) {
    await again(() => wallet.call("POST", `/v1/freezes/${freeze.id}/lift`, { body: { pin, reason } }));
  }
  await wallet.refresh();
}

/** @param {Wallet} wallet @param {View} limits @param {string} pin */
export async function setLimits(wallet, limits, pin) {
  await wallet.call("POST", "/v1/limits", { body: { pin, ...limits } });
  await wallet.refresh();
}

/** @param {Wallet} wallet @param {number} amount minor units a day; 0 ends it */
export async function allowPin(wallet, amount) {
  const { identity, sign } = own(wallet);
  const { origin } = await wallet.terms();
  const statement = allowPinStatement({ origin, account: identity.account, amount, madeAtMs: Math.floor(wallet.api.now()) });
  const body = { statement: base64url(statement), device: identity.device, signature: await sign(statement) };
  await again(() => wallet.call("POST", "/v1/pin-consent", { body }));
  await wallet.refresh();
}

/** @param {Wallet} wallet @param {string} handle @returns {Promise<string>} as it was taken */
export async function setHandle(wallet, handle) {
  const taken = await again(() => wallet.call("POST", "/v1/handle", { body: { handle } }));
  await wallet.refresh();
  return taken.handle;
}

/** @param {Wallet} wallet @param {string} device */
export async function revokeDevice(wallet, device) {
  const { identity, sign } = own(wallet);
  const { origin } = await wallet.terms();
  const signature = await sign(revokeStatement({ origin, party: identity.party, device }));
  await again(() => wallet.call("POST", `/v1/devices/${device}/revoke`, { body: { by_device: identity.device, signature }, sign: false }));
}

/** @param {Wallet} wallet @param {string} recovery */
export async function cancelRecovery(wallet, recovery) {
  const { identity, sign } = own(wallet);
  const { origin } = await wallet.terms();
  const signature = await sign(cancelStatement({ origin, party: identity.party, recovery }));
  const body = { by_device: identity.device, signature };
  await again(() => wallet.call("POST", `/v1/recoveries/${recovery}/cancel`, { body, sign: false }));
  await wallet.refresh();
}

/** @param {Wallet} wallet @param {(share: number) => void} onProgress 0 to 1 @returns {Promise<Blob>} JSON */
export async function exportAll(wallet, onProgress) {
  onProgress(0);
  const [account, devices] = await Promise.all([wallet.call("GET", "/v1/accounts/me"), wallet.devices()]);
  const entries = await pages(wallet, "/v1/history", "entries");
  onProgress(0.2);
  const threads = await pages(wallet, "/v1/threads", "threads", 100);
  /** @type {Record<string, View[]>} */
  const messages = {};
  for (const { account: other } of threads) messages[other] = await pages(wallet, `/v1/threads/${other}`, "messages", 100);
  onProgress(0.3);
  const { fetchReceipt } = await import("./receipts.js");
  const payments = [...new Set(entries.map(({ payment }) => payment).filter(Boolean))];
  /** @type {Record<string, View>} */
  const receipts = {};
  for (const [at, payment] of payments.entries()) {
    const { receipt, proof } = await fetchReceipt(wallet, payment);
    receipts[payment] = { receipt, proof };
    onProgress(0.3 + (0.7 * (at + 1)) / payments.length);
  }
  const { name, origin, operatorKey, policy } = await wallet.terms();
  const everything = {
    format: "counterfoil/export/v1", made_at: new Date(wallet.api.now()).toISOString(), scheme: { name, origin, operator_key: operatorKey, policy },
    account, devices, entries, threads, messages, receipts, alarms: wallet.alarms,
  };
  onProgress(1);
  return new Blob([JSON.stringify(everything, null, 1)], { type: "application/json" });
}

/** @param {Wallet} wallet @param {string} path @param {string} name @param {number} [limit] @returns {Promise<View[]>} of all pages */
async function pages(wallet, path, name, limit = PAGE) {
  const found = [];
  let cursor = null;
  do {
    const page = await wallet.call("GET", path, { query: { limit, cursor } });
    found.push(...page[name]);
    cursor = page.next;
  } while (cursor);
  return found;
}

const EVERYTHING = ["self", "entries", "outbox", "receipts", "messages", "alarms"];

/**
 * Leaves the phone's own settings and nothing else. Throws RangeError while orders wait: what became of them would never be
 * known. Where the server takes nothing from this device any more, none of them can be carried out.
 *
 * @param {Wallet} wallet
 */
export async function forget(wallet) {
  const isOut = wallet.trouble === "unknown_device" || wallet.trouble === "party_closed";
  let waits = false;
  await wallet.database.transact(EVERYTHING, (use) => {
    const orders = use("outbox").getAll(); // what another tab signs meanwhile is found here, or finds no account
    orders.onsuccess = () => {
      waits = !isOut && orders.result.some(({ state }) => ["kept", "sending", "unsure"].includes(state));
      if (waits) return;
      for (const store of EVERYTHING) use(store).clear();
      use("self").put({ ...wallet.settings, hideBalance: false }, "settings");
    };
  });
  if (waits) throw new RangeError("an order is still on its way");
  wallet.stop();
  wallet.trouble = null;
  await wallet.reload();
  wallet.tell();
}
