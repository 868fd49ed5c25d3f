// @ts-check
/** Ed25519: by the browser, or by noble where the browser is too old for it. Source: RFC 8032 §5.1. */

import { hex, joined } from "./bytes.js";

/** @typedef {Uint8Array<ArrayBuffer>} Bytes */

/** PKCS #8 around the 32 bytes of a seed. Source: RFC 8410 §7 */
const PKCS8 = Uint8Array.from([48, 46, 2, 1, 0, 48, 5, 6, 3, 43, 101, 112, 4, 34, 4, 32]);

/** Keys that were imported, by their bytes in hexadecimal: it is mostly the operator's. @type {Map<string, CryptoKey>} */
const known = new Map();
const KNOWN_MAX = 16;

/**
 * @param {Uint8Array} key 32 bytes
 * @param {Uint8Array} signature 64 bytes
 * @param {Uint8Array} message
 * @returns {Promise<boolean>} whether `key` signed exactly `message`
 */
export async function verify(key, signature, message) {
  if (key.length !== 32 || signature.length !== 64) return false;
  const name = hex(key);
  let imported = known.get(name);
  try {
    imported ??= await crypto.subtle.importKey("raw", /** @type {Bytes} */ (key), { name: "Ed25519" }, false, ["verify"]);
  } catch (error) {
    if (!isUnknown(error)) return false;
    const { verifyAsync } = await noble();
    return verifyAsync(signature, message, key, { zip215: false }).catch(() => false);
  }
  if (known.size >= KNOWN_MAX) known.clear();
  known.set(name, imported);
  return crypto.subtle.verify({ name: "Ed25519" }, imported, /** @type {Bytes} */ (signature), /** @type {Bytes} */ (message));
}

/**
 * A signer with the key of this seed. Where the browser knows Ed25519, the seed cannot be read out of what is returned.
 *
 * @param {Bytes} seed 32 bytes
 * @returns {Promise<CryptoKey|Bytes>} as `sign` takes it, and as IndexedDB keeps it
 */
export async function keyOf(seed) {
  try {
    return await crypto.subtle.importKey("pkcs8", joined(PKCS8, seed), { name: "Ed25519" }, false, ["sign"]);
  } catch (error) {
    if (isUnknown(error)) return seed;
    throw error;
  }
}

/** @param {CryptoKey|Bytes} key of `keyOf` @param {Uint8Array} message @returns {Promise<Bytes>} 64 bytes */
export async function sign(key, message) {
  if (key instanceof Uint8Array) return /** @type {Bytes} */ (await (await noble()).signAsync(message, key));
  return new Uint8Array(await crypto.subtle.sign({ name: "Ed25519" }, key, /** @type {Bytes} */ (message)));
}

/** Fetches what this browser lacks, if anything: from then on all of this works without a network. @returns {Promise<void>} */
export async function prepare() {
  if ((await keyOf(new Uint8Array(32))) instanceof Uint8Array) await noble();
}

const noble = () => import("/static/vendor/noble-ed25519.mjs");

/** @param {unknown} error */
const isUnknown = (error) => error instanceof DOMException && error.name === "NotSupportedError";
