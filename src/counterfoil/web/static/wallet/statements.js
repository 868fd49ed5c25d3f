// @ts-check
/** What a phone signs besides orders: about keys, and requests to pay. Sources: parties/statements.py, payments/forms.py. */

import { idBytes, joined, number, utf8 } from "/static/phone/bytes.js";
import { memoBytes, sized } from "./orders.js";

/** @typedef {import("/static/phone/bytes.js").Bytes} Bytes @typedef {{device: string, algorithm: string, publicKey: Uint8Array}} NewKey */

/** @param {NewKey} key */
const keyPart = ({ device, algorithm, publicKey }) =>
  joined(idBytes(device), sized(algorithm), number(publicKey.length, 2), publicKey);

/** For the first device of a new customer. @param {{origin: string, number: string} & NewKey} what number: E.164 @returns {Bytes} */
export const enrol = ({ origin, number: phone, ...key }) => joined(utf8("counterfoil/enrol/v1"), sized(origin), sized(phone), keyPart(key));

/** For a further device: signed by it, and by one that the party has. @param {{origin: string, party: string} & NewKey} what @returns {Bytes} */
export const addDevice = ({ origin, party, ...key }) => joined(utf8("counterfoil/add-device/v1"), sized(origin), idBytes(party), keyPart(key));

/** To take a device away for good. @param {{origin: string, party: string, device: string}} what @returns {Bytes} */
export const revokeDevice = ({ origin, party, device }) =>
  joined(utf8("counterfoil/revoke-device/v1"), sized(origin), idBytes(party), idBytes(device));

/** For the new device of somebody who has lost theirs. @param {{origin: string, number: string} & NewKey} what @returns {Bytes} */
export const recover = ({ origin, number: phone, ...key }) => joined(utf8("counterfoil/recover/v1"), sized(origin), sized(phone), keyPart(key));

/** To say: that was not me. @param {{origin: string, party: string, recovery: string}} what @returns {Bytes} */
export const cancelRecovery = ({ origin, party, recovery }) =>
  joined(utf8("counterfoil/cancel-recovery/v1"), sized(origin), idBytes(party), idBytes(recovery));

/** What may be paid by PIN a day; 0 ends it. @param {{origin: string, account: string, amount: number, madeAtMs: number}} what @returns {Bytes} */
export const allowPin = ({ origin, account, amount, madeAtMs }) =>
  joined(utf8("counterfoil/allow-pin/v1"), sized(origin), idBytes(account), number(amount, 8), number(madeAtMs, 8));

/**
 * That a payment by PIN reached the account. `orderHash` 32 bytes; `completedAt` ledger time, ns.
 *
 * @param {{origin: string, account: string, payment: string, orderHash: Uint8Array, amount: bigint, completedAt: bigint}} what
 * @returns {Bytes}
 */
export const countersign = ({ origin, account, payment, orderHash, amount, completedAt }) =>
  joined(
    utf8("counterfoil/countersign/v1"), sized(origin), idBytes(account), idBytes(payment), orderHash, number(amount, 8),
    number(completedAt, 8),
  );

/**
 * A request to pay. `payer` null: anyone; `amount` 0: the payer decides; `purpose` 0 pay, 1 cash in, 2 hold.
 *
 * @param {{origin: string, asset: string, payee: string, payer: string|null, amount: number|bigint, id: string, expiryMs: number,
 *          purpose: number, memo: string}} form
 * @returns {Bytes}
 */
export const encodeRequest = (form) =>
  joined(
    utf8("counterfoil/request-to-pay/v1"), sized(form.origin), sized(form.asset), idBytes(form.payee), idBytes(form.payer),
    number(form.amount, 8), idBytes(form.id), number(form.expiryMs, 8), number(form.purpose, 1), memoBytes(form.memo),
  );

/**
 * @param {{origin: string, asset: string, payer: string, id: string, count: number, total: number|bigint, maxFee: number|bigint,
 *          expiryMs: number, linesHash: Uint8Array, memo: string}} form
 * @returns {Bytes}
 */
export const encodeBatch = (form) =>
  joined(
    utf8("counterfoil/batch/v1"), sized(form.origin), sized(form.asset), idBytes(form.payer), idBytes(form.id), number(form.count, 4),
    number(form.total, 8), number(form.maxFee, 8), number(form.expiryMs, 8), form.linesHash, memoBytes(form.memo),
  );

/**
 * `every`: 1 day, 2 week, 3 month; `countMax` 0: until cancelled.
 *
 * @param {{origin: string, asset: string, payer: string, payee: string, amount: number|bigint, maxFee: number|bigint, id: string,
 *          firstAtMs: number, every: number, countMax: number, memo: string}} form
 * @returns {Bytes}
 */
export const encodeStandingOrder = (form) =>
  joined(
    utf8("counterfoil/standing-order/v1"), sized(form.origin), sized(form.asset), idBytes(form.payer), idBytes(form.payee),
    number(form.amount, 8), number(form.maxFee, 8), idBytes(form.id), number(form.firstAtMs, 8), number(form.every, 1),
    number(form.countMax, 4), memoBytes(form.memo),
  );
