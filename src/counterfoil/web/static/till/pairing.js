// @ts-check
/** How a device becomes a till of a shop, and how it leaves. Fetched when it is needed. */

import { persist } from "/static/phone/database.js";
import { aside } from "./device.js";

/** @typedef {import("./till.js").Till} Till */

/**
 * Makes this device a till. Sales that were not sent yet stay when it is the same shop again, and go with any other.
 * Throws Refusal, Unreachable, StorageError.
 *
 * @param {Till} till
 * @param {string} code as the owner's wallet shows it @param {string} label how this device is called
 */
export async function pair(till, code, label) {
  const { network } = till;
  const answer = await network.call("POST", "/v1/tills/pair", { body: { code: code.replace(/[\s-]/g, "").toUpperCase(), label } });
  const before = till.shop?.merchant.account;
  await till.people.signOut();
  if (before && before !== answer.account) await forget(till);
  till.pairing = { token: answer.token, label };
  network.api.token = answer.token;
  network.ended = false;
  await till.device.put("self", "pairing", till.pairing);
  aside(persist());
  if (till.syncing) await till.syncing.catch(() => {}); // which asked with the token of before
  await till.sync();
  till.told();
}

/** Leaves the shop: everything of it goes from this device. @param {Till} till */
export async function unpair(till) {
  await till.people.signOut();
  await forget(till);
  till.told();
}

/** @param {Till} till */
async function forget(till) {
  const { settings } = till;
  Object.assign(till, { pairing: null, shop: null, goods: [], cart: null, unanswered: [] });
  till.people.stranger = null;
  till.sales.take([]);
  till.network.api.token = "";
  await till.device.replace(["self", "goods", "sales", "actions"], (use) => use("self").put(settings, "settings"));
}
