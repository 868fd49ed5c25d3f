// @ts-check
/** The operator's signed word about a payment, checked against the key that this wallet has known since its first day. */

import { base64url, fromBase64url, fromHex, hex, idBytes, joined, utf8 } from "/static/phone/bytes.js";
import { verify } from "/static/phone/ed25519.js";
import { sized } from "./orders.js";

/**
 * @typedef {{orderHash: string, amount: bigint, fee: bigint, balance: bigint, completedAt: bigint, delayMaxS: number}} Word
 *   orderHash in hexadecimal, completedAt in ns
 * @typedef {{origin: string, account: string, operatorKey: string}} Known the scheme and the account that this wallet is for
 */

const FIXED = 32 + 16 + 4 * 8 + 4;

/**
 * What the operator has signed, when it is about this account of this scheme; null when it is not its word.
 *
 * @param {{statement: string, signature: string}} acknowledgement base64url
 * @param {Known} known
 * @returns {Promise<Word|null>} Source: docs/reference/order.md
 */
export async function word(acknowledgement, { origin, account, operatorKey }) {
  let statement, signature, whose;
  try {
    statement = fromBase64url(acknowledgement.statement);
    signature = fromBase64url(acknowledgement.signature);
    whose = hex(idBytes(account));
  } catch {
    return null;
  }
  if (!(await verify(fromBase64url(operatorKey), signature, statement))) return null;
  const front = joined(utf8("counterfoil/ack/v1"), sized(origin));
  if (statement.length !== front.length + FIXED || hex(statement.subarray(0, front.length)) !== hex(front)) return null;
  const data = new DataView(statement.buffer, statement.byteOffset + front.length);
  const orderHash = hex(statement.subarray(front.length, front.length + 32));
  if (hex(statement.subarray(front.length + 32, front.length + 48)) !== whose) return null;
  const [amount, fee, balance, completedAt] = [48, 56, 64, 72].map((at) => data.getBigUint64(at));
  return { orderHash, amount, fee, balance, completedAt, delayMaxS: data.getUint32(80) };
}

/**
 * Whether a receipt says what the operator signed, and is about the order with this hash.
 *
 * @param {any} receipt as the API has it
 * @param {Known} known
 * @param {string|null} orderHash in hexadecimal; null: whichever it names
 * @returns {Promise<Word|null>} null when a single thing differs
 */
export async function checkReceipt(receipt, known, orderHash) {
  const said = receipt?.acknowledgement ? await word(receipt.acknowledgement, known) : null;
  if (!said || receipt.account !== known.account || receipt.order_hash !== base64url(fromHex(said.orderHash))) return null;
  if (orderHash !== null && said.orderHash !== orderHash) return null;
  // JSON has rounded what is beyond 2^53: the same number is rounded alike.
  const numbers = /** @type {const} */ (["amount", "fee", "balance"]).every((name) => receipt[name] === Number(said[name]));
  return numbers ? said : null;
}
