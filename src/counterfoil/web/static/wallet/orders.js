// @ts-check
/** The signed order: the exact bytes that this phone signs when its holder wants money to move. Source: docs/reference/order.md. */

import { idBytes, joined, number, utf8 } from "/static/phone/bytes.js";

/** @typedef {"pay"|"hold"|"capture"|"release"|"refund"} Kind */
/**
 * @typedef {object} Order
 * @property {string} origin
 * @property {string} asset
 * @property {string} payer
 * @property {string} payee
 * @property {number|bigint} amount minor units
 * @property {number|bigint} maxFee
 * @property {string} id
 * @property {number} expiryMs
 * @property {Uint8Array} rulesHash
 * @property {Kind} [kind]
 * @property {string|null} [reference]
 * @property {number} [timeoutS]
 * @property {string} [memo]
 * @property {bigint} [payerLast] ns
 * @property {number|bigint} [checkpointSize]
 * @property {Uint8Array} [checkpointRoot]
 */

/** @type {Kind[]} */
const KINDS = ["pay", "hold", "capture", "release", "refund"];
export const MEMO_SIZE_MAX = 256;
const AMOUNT_MAX = 2n ** 63n - 1n;
/** Root of a log without entries: the SHA-256 of nothing. */
const EMPTY_ROOT = Uint8Array.from(
  [227, 176, 196, 66, 152, 252, 28, 20, 154, 251, 244, 200, 153, 111, 185, 36, 39, 174, 65, 228, 100, 155, 147, 76, 164, 149,
    153, 27, 120, 82, 184, 85],
);

/** @param {string} text @returns {import("/static/phone/bytes.js").Bytes} after its length in two bytes */
export function sized(text) {
  const data = utf8(text);
  return joined(number(data.length, 2), data);
}

/** @param {string} memo @returns {import("/static/phone/bytes.js").Bytes} RangeError for what the server would refuse to read */
export function memoBytes(memo) {
  const data = utf8(memo);
  if (data.length > MEMO_SIZE_MAX) throw new RangeError(`memo: must be at most ${MEMO_SIZE_MAX} bytes`);
  if (data.includes(0)) throw new RangeError("memo: must not contain the character U+0000");
  return data;
}

/**
 * @param {Order} order
 * @returns {import("/static/phone/bytes.js").Bytes} RangeError for what the server would refuse to read
 */
export function encodeOrder(order) {
  const { kind = "pay", reference = null, timeoutS = 0, payerLast = 0n, checkpointSize = 0, checkpointRoot = EMPTY_ROOT } = order;
  if (BigInt(order.amount) < 1n || BigInt(order.amount) > AMOUNT_MAX) throw new RangeError("amount: must be 1 to 2^63-1");
  if (BigInt(order.maxFee) < 0n || BigInt(order.maxFee) > AMOUNT_MAX) throw new RangeError("maxFee: must be 0 to 2^63-1");
  if (!KINDS.includes(kind)) throw new RangeError("kind: must be pay, hold, capture, release or refund");
  if (["capture", "release", "refund"].includes(kind) && !reference) throw new RangeError("reference: must name the hold or payment");
  if ((kind === "hold") !== timeoutS > 0) throw new RangeError("timeoutS: must be above zero for a hold only");
  if (order.rulesHash.length !== 32 || checkpointRoot.length !== 32) throw new RangeError("a hash has 32 bytes");
  return joined(
    utf8("counterfoil/order/v1"),
    sized(order.origin),
    sized(order.asset),
    idBytes(order.payer),
    idBytes(order.payee),
    number(order.amount, 8),
    number(order.maxFee, 8),
    idBytes(order.id),
    number(order.expiryMs, 8),
    number(payerLast, 8),
    number(checkpointSize, 8),
    checkpointRoot,
    order.rulesHash,
    number(KINDS.indexOf(kind) + 1, 1),
    idBytes(reference),
    number(timeoutS, 4),
    memoBytes(order.memo ?? ""),
  );
}
