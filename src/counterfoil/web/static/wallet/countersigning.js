// @ts-check
/**
 * A shop's phone countersigns what was paid to the shop by PIN: "this payment reached me", for the log.
 *
 * Nobody is asked: it agrees to nothing and moves nothing. It is signed when the operator's own word, by the key that this wallet
 * has known from the first day, says that the payment came to this account, and the list on this phone shows the same amount from the
 * same payer. It is made up for after days without a network; a repeat changes nothing.
 *
 * @typedef {import("./wallet.js").Wallet} Wallet
 * @typedef {import("./wallet.js").View} View
 * @typedef {import("./acknowledgement.js").Word} Word
 */

import { Refusal } from "/static/phone/api.js";
import { base64url, fromHex } from "/static/phone/bytes.js";
import { checkReceipt } from "./acknowledgement.js";
import { countersign as statementOf } from "./statements.js";
import { calm, entriesAt } from "./sync.js";

const PAGE = 50;
const PAGES_MAX = 20;
const PATH = "/v1/countersignatures";

/**
 * Countersigns all that waits for it, the newest first.
 *
 * @param {Wallet} wallet a shop's
 * @returns {Promise<void>} throws Unreachable; what is refused stays as it is until the next round
 */
export async function countersign(wallet) {
  try {
    for (let pages = 0; pages < PAGES_MAX; pages++) {
      await calm(wallet);
      /** @type {{receipts: View[]}} */
      const { receipts } = await wallet.call("GET", PATH);
      const countersignatures = [];
      for (const receipt of receipts) {
        const said = await wordOn(wallet, receipt);
        if (said) countersignatures.push(await signed(wallet, receipt, said));
      }
      if (countersignatures.length) await wallet.call("POST", PATH, { body: { countersignatures } });
      if (receipts.length < PAGE || !countersignatures.length) return;
    }
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
  }
}

/**
 * The operator's word on a payment to this account, if it is one, and nothing on this phone says otherwise; else null.
 *
 * @param {Wallet} wallet @param {View} receipt @returns {Promise<Word|null>}
 */
async function wordOn(wallet, receipt) {
  const { origin, operatorKey } = await wallet.terms();
  const account = wallet.identity?.account ?? "";
  const said = await checkReceipt(receipt, { origin, operatorKey, account }, null);
  if (!said) {
    await wallet.alarm("acknowledgement_wrong", { payment: receipt.id });
    return null;
  }
  if (receipt.payee !== account) return null;
  const came = (/** @type {View} */ { payment, change }) => payment === receipt.id && change > 0;
  const entry = wallet.entries.find(came) ?? (await entriesAt(wallet, receipt.completed_at)).find(came);
  if (!entry) return null;
  if (entry.change === receipt.amount && entry.counterparty === receipt.payer) return said;
  await wallet.alarm("receipt_contradicts", { payment: receipt.id });
  return null;
}

/** @param {Wallet} wallet @param {View} receipt @param {Word} said @returns {Promise<{statement: string, signature: string}>} */
async function signed(wallet, { id, payee }, { orderHash, amount, completedAt }) {
  const { origin } = await wallet.terms();
  const statement = statementOf({ origin, account: payee, payment: id, orderHash: fromHex(orderHash), amount, completedAt });
  const signer = /** @type {import("/static/phone/api.js").Signer} */ (wallet.api.sign);
  return { statement: base64url(statement), signature: base64url(await signer.sign(statement)) };
}
