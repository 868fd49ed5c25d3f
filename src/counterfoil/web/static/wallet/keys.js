// @ts-check
/** The phone's key: P-256, made here, never to be read out again, not even by us. A sandbox also lends Ed25519 keys. */

/** @typedef {Uint8Array<ArrayBuffer>} Bytes */
/** @typedef {CryptoKey|Bytes} Key  bytes: the seed of a lent key, where the browser knows no Ed25519 */
/** @typedef {{device: string, algorithm: "es256"|"ed25519", key: Key}} OwnKey */

/**
 * A new key. IndexedDB keeps the private half as a handle; its bytes stay with the browser.
 *
 * @returns {Promise<{key: CryptoKey, publicKey: Bytes}>} publicKey: 65 bytes, 04 || x || y
 */
export async function makeKey() {
  const pair = await crypto.subtle.generateKey({ name: "ECDSA", namedCurve: "P-256" }, false, ["sign", "verify"]);
  return { key: pair.privateKey, publicKey: new Uint8Array(await crypto.subtle.exportKey("raw", pair.publicKey)) };
}

/**
 * @param {OwnKey} own
 * @returns {import("/static/phone/api.js").Signer} signs with it: 64 bytes, for ES256 r || s
 */
export function signerOf({ device, algorithm, key }) {
  if (algorithm === "ed25519") return { device, algorithm, sign: async (message) => (await import("/static/phone/ed25519.js")).sign(key, message) };
  const how = { name: "ECDSA", hash: "SHA-256" };
  const own = /** @type {CryptoKey} */ (key);
  return { device, algorithm, sign: async (message) => new Uint8Array(await crypto.subtle.sign(how, own, /** @type {Bytes} */ (message))) };
}
