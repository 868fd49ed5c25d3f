/**
 * Whether a receipt is the one that a code in a text message was told for: the code follows from the entry and from a proof that
 * only the operator had (docs/reference/log.md, "Receipt code"). As payments/receipt_codes.py; the two are tested against each other.
 *
 * @typedef {import("./verify.js").Report} Report
 * @typedef {import("./verify.js").Step} Step
 */

const ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";
const ROUNDS = 1_024;
const VALUE_BITS = 55n;

/**
 * The code of a payment for one of its accounts.
 *
 * @param {string} proof 64 hexadecimal digits
 * @param {string} payment 32 hexadecimal digits
 * @param {string} account 32 hexadecimal digits
 */
export async function codeOf(proof, payment, account) {
  const subtle = globalThis.crypto.subtle;
  const key = await subtle.importKey("raw", bytes(proof), "PBKDF2", false, ["deriveBits"]);
  const salt = bytes(payment + account);
  const hashed = new Uint8Array(await subtle.deriveBits({ name: "PBKDF2", hash: "SHA-256", salt, iterations: ROUNDS }, key, 256));
  const value = hashed.subarray(0, 7).reduce((sum, byte) => sum * 256n + BigInt(byte), 0n) >> (56n - VALUE_BITS);
  let [code, check] = ["", 0];
  for (let shift = VALUE_BITS - 5n; shift >= 0n; shift -= 5n) {
    const digit = Number((value >> shift) & 31n);
    code += ALPHABET[digit];
    check = doubled(check ^ digit);
  }
  return code + ALPHABET[check];
}

/**
 * The step after those of `check`: whether the entry that was proven is the one of this code.
 *
 * @param {Report} report a proven one
 * @param {string} code its twelve characters
 * @param {string} proof what the server gave for it
 * @returns {Promise<Step>}
 */
export async function checkCode(report, code, proof) {
  /** @param {"proven"|"refuted"} state @param {string} code @returns {Step} */
  const step = (state, code) => ({ name: "code", state, code, facts: {} });
  const { payment, account } = report.view ?? {};
  const known = /^[0-9a-f]{64}$/.test(proof) && payment !== undefined && account !== undefined;
  return known && (await codeOf(proof, payment, account)) === code ? step("proven", "code.proven") : step("refuted", "code.other");
}

/** Times x in GF(32), x^5 + x^2 + 1. @param {number} element */
const doubled = (element) => (element << 1) ^ (element & 16 ? 0b100101 : 0);

/** @param {string} hex */
const bytes = (hex) => Uint8Array.from(hex.match(/../g) ?? [], (pair) => parseInt(pair, 16));
