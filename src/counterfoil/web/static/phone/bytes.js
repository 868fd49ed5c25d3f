// @ts-check
/** Bytes and their texts: base64url without padding, hexadecimal, ids, big-endian numbers. */

/** @typedef {Uint8Array<ArrayBuffer>} Bytes */

/** @param {string} text @returns {Bytes} UTF-8 */
export const utf8 = (text) => /** @type {Bytes} */ (new TextEncoder().encode(text));

/** @param {...Uint8Array} parts @returns {Bytes} one after the other */
export function joined(...parts) {
  const data = new Uint8Array(parts.reduce((size, part) => size + part.length, 0));
  let at = 0;
  for (const part of parts) {
    data.set(part, at);
    at += part.length;
  }
  return data;
}

/** @param {number|bigint} value @param {number} size @returns {Bytes} unsigned, big-endian; RangeError when it does not fit */
export function number(value, size) {
  const data = new Uint8Array(size);
  let rest = BigInt(value);
  for (let at = size - 1; at >= 0; at--, rest >>= 8n) data[at] = Number(rest & 255n);
  if (rest !== 0n) throw new RangeError(`${value} does not fit in ${size} bytes`);
  return data;
}

/** @param {Uint8Array} data @returns {string} */
export const hex = (data) => Array.from(data, (byte) => byte.toString(16).padStart(2, "0")).join("");

/** @param {string} text @returns {Bytes} */
export const fromHex = (text) => Uint8Array.from(text.match(/../g) ?? [], (pair) => parseInt(pair, 16));

/** @param {Uint8Array} data @returns {string} with padding, as headers have it */
export const base64 = (data) => btoa(String.fromCharCode(...data));

/** @param {Uint8Array} data @returns {string} base64url without padding, as JSON has it */
export const base64url = (data) => base64(data).replace(/\+/g, "-").replace(/\//g, "_").replace(/=/g, "");

/** @param {string} text base64url or base64 @returns {Bytes} RangeError for anything else, also for loose last bits */
export function fromBase64url(text) {
  const plain = text.replace(/=+$/, "").replace(/\+/g, "-").replace(/\//g, "_");
  if (!/^[A-Za-z0-9_-]*$/.test(plain)) throw new RangeError("not base64url");
  const data = Uint8Array.from(atob(plain.replace(/-/g, "+").replace(/_/g, "/")), (char) => char.charCodeAt(0));
  if (base64url(data) !== plain) throw new RangeError("not base64url");
  return data;
}

/** @param {string|null} id a UUID's text; null is zero @returns {Bytes} its 16 bytes */
export function idBytes(id) {
  if (id === null) return new Uint8Array(16);
  if (!/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/.test(id)) throw new RangeError(`${id} is no id`);
  return fromHex(id.replace(/-/g, ""));
}

/** @param {Uint8Array} data 16 bytes @returns {string} a UUID's text */
export const idText = (data) => hex(data).replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, "$1-$2-$3-$4-$5");

/** @param {number} ms now @returns {string} a new id, in time order. Source: RFC 9562 §5.7 (UUIDv7) */
export function newId(ms) {
  const data = joined(number(Math.max(0, Math.floor(ms)), 6), crypto.getRandomValues(new Uint8Array(10)));
  data[6] = (data[6] & 0x0f) | 0x70;
  data[8] = (data[8] & 0x3f) | 0x80;
  return idText(data);
}

/** @param {Uint8Array} data @returns {Promise<Bytes>} */
export const sha256 = async (data) => new Uint8Array(await crypto.subtle.digest("SHA-256", /** @type {Bytes} */ (data)));
