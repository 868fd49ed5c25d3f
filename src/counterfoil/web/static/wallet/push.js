// @ts-check
/** Being woken when money comes in (Web Push): the browser's subscription, and the server's word for it. Loaded with the settings. */

import { base64url, fromBase64url } from "/static/phone/bytes.js";
import { Refusal, Unreachable } from "/static/phone/api.js";

/** @typedef {import("./wallet.js").Wallet} Wallet */

/** What was begun last; see `inTurn`. @type {Promise<unknown>} */
let last = Promise.resolve();

/** Does one thing at a time, so that what the holder says last is done last. @template T @param {() => Promise<T>} work @returns {Promise<T>} */
function inTurn(work) {
  const mine = last.then(work);
  last = mine.catch(() => {});
  return mine;
}

/** The browser or its owner does not want it. */
export class NotAllowed extends Error {}

/** @returns {Promise<ServiceWorkerRegistration|null>} null where this browser cannot be woken */
async function registration() {
  if (!("serviceWorker" in navigator) || !("PushManager" in globalThis) || !("Notification" in globalThis)) return null;
  const found = await navigator.serviceWorker.getRegistration("/wallet/");
  return found?.active ? found : null;
}

/** @param {Wallet} wallet @returns {Promise<string|null>} the scheme's key; null where it offers none, or nobody answers */
async function schemeKey(wallet) {
  try {
    return (await wallet.call("GET", "/v1/push", { sign: false }))?.key ?? null;
  } catch (error) {
    if (error instanceof Refusal || error instanceof Unreachable) return null;
    throw error;
  }
}

/** What is kept of a subscription: which device of ours was to be woken, and where. @param {Wallet} wallet @param {PushSubscription} subscription */
const mark = (wallet, subscription) => `${wallet.identity?.device} ${subscription.endpoint}`;

/** @param {string} key of the scheme @param {PushSubscription} subscription @returns {boolean} whether it takes what that key signs */
function isFor(key, { options: { applicationServerKey } }) {
  return !applicationServerKey || base64url(new Uint8Array(applicationServerKey)) === key;
}

/** @param {Wallet} wallet @returns {boolean} whether this device is woken, as far as the phone knows */
export const isOn = (wallet) => Boolean(wallet.settings.push?.startsWith(`${wallet.identity?.device} `));

/** @param {Wallet} wallet @returns {Promise<boolean>} whether there is something to switch: the browser can, and the scheme offers it */
export async function isOffered(wallet) {
  return (await registration()) !== null && (isOn(wallet) || (await schemeKey(wallet)) !== null);
}

/**
 * Asks the holder's browser for permission, subscribes, and tells the server. Only after a tap.
 *
 * @param {Wallet} wallet
 * @returns {Promise<void>} throws NotAllowed, Unreachable, Refusal
 */
export async function turnOn(wallet) {
  if ((await Notification.requestPermission()) !== "granted") throw new NotAllowed();
  await inTurn(() => subscribe(wallet));
}

/** @param {Wallet} wallet */
async function subscribe(wallet) {
  const [found, key] = [await registration(), await schemeKey(wallet)];
  if (!key) throw new Unreachable("no key for push");
  if (!found) throw new NotAllowed();
  const options = { userVisibleOnly: true, applicationServerKey: fromBase64url(key) };
  let subscription;
  try {
    const before = await found.pushManager.getSubscription();
    if (before && !isFor(key, before)) await before.unsubscribe(); // else the browser refuses
    subscription = await found.pushManager.subscribe(options);
  } catch (error) {
    throw new NotAllowed("the browser did not subscribe", { cause: error });
  }
  const { endpoint, keys } = subscription.toJSON();
  await wallet.call("PUT", "/v1/push/subscription", { body: { endpoint, p256dh: keys?.p256dh, auth: keys?.auth } });
  await wallet.set({ push: mark(wallet, subscription) });
}

/** Wakes this device no more. @param {Wallet} wallet @returns {Promise<void>} throws Unreachable, Refusal */
export function turnOff(wallet) {
  return inTurn(async () => {
    await wallet.call("DELETE", "/v1/push/subscription");
    await wallet.set({ push: "" });
    await (await (await registration())?.pushManager.getSubscription())?.unsubscribe().catch(() => false);
  });
}

/** Tells the server where the browser has moved the subscription, and subscribes anew for another key. Throws nothing. @param {Wallet} wallet */
export const renew = (wallet) => inTurn(() => renewed(wallet));

/** @param {Wallet} wallet */
async function renewed(wallet) {
  if (!isOn(wallet)) return;
  try {
    const found = await registration();
    if (!found || Notification.permission !== "granted") return;
    const [subscription, key] = [await found.pushManager.getSubscription(), await schemeKey(wallet)];
    if (key && (!subscription || !isFor(key, subscription) || mark(wallet, subscription) !== wallet.settings.push)) await subscribe(wallet);
  } catch (error) {
    console.warn("push is not renewed", error);
  }
}
