// @ts-check
/** Ed25519 signatures verified: by the browser, or by noble where the browser is too old. Source: RFC 8032 §5.1.7. */

/** @typedef {Uint8Array<ArrayBuffer>} Bytes */

/**
 * @param {Uint8Array} key 32 bytes
 * @param {Uint8Array} signature 64 bytes
 * @param {Uint8Array} message
 * @returns {Promise<boolean>} whether `key` signed exactly `message`
 */
export async function verify(key, signature, message) {
  if (key.length !== 32 || signature.length !== 64) return false;
  let imported;
  try {
    imported = await crypto.subtle.importKey("raw", /** @type {Bytes} */ (key), { name: "Ed25519" }, false, ["verify"]);
  } catch (error) {
    if (!(error instanceof DOMException && error.name === "NotSupportedError")) return false;
    const { verifyAsync } = await import("/static/vendor/noble-ed25519.mjs");
    try {
      return await verifyAsync(signature, message, key);
    } catch {
      return false;
    }
  }
  return crypto.subtle.verify({ name: "Ed25519" }, imported, /** @type {Bytes} */ (signature), /** @type {Bytes} */ (message));
}
