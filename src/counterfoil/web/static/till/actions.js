// @ts-check
/**
 * What is asked of a sale after it was paid: capture, release, refund. Kept before it is sent, and repeated with the same id
 * until the server has answered, so that a lost answer can never pay out twice.
 *
 * @typedef {"capture"|"release"|"refund"} Kind
 * @typedef {object} Action
 * @property {string} id
 * @property {string} sale
 * @property {Kind} kind
 * @property {number} amount minor units; 0 for a release
 * @property {string} memo
 * @property {string} clerk who answers for it
 * @typedef {import("./till.js").Till} Till
 */

import { Refusal, Unreachable } from "/static/phone/api.js";
import { newId } from "/static/phone/bytes.js";
import { isLater } from "./network.js";

/** The right that each needs. @type {Record<Kind, string>} */
export const RIGHT = { capture: "capture", release: "capture", refund: "refund" };
const PATH = { capture: "capture", release: "release", refund: "refunds" };

/** The action of a sale that is not answered yet. @param {Till} till @param {string} sale @returns {Action|null} */
export const unansweredOf = (till, sale) => till.unanswered.find((action) => action.sale === sale) ?? null;

/**
 * Does it. With an unanswered action of the same sale, that one is repeated instead: until it is answered, nothing else is
 * done to the sale.
 * @param {Till} till
 * @param {{sale: string, kind: Kind, amount: number, memo?: string}} what
 * @param {string} [session] of the clerk who allows it, when that is not the one at the till
 * @returns {Promise<void>} Throws StorageError and Refusal (nothing was done) and Unreachable (it is not known: it is kept,
 * and repeated).
 */
export async function run(till, { sale, kind, amount, memo = "" }, session) {
  const pending = unansweredOf(till, sale);
  const action = pending ?? { id: newId(till.network.now()), sale, kind, amount, memo, clerk: till.people.clerk?.id ?? "" };
  if (!pending) {
    till.unanswered = [...till.unanswered, action];
    try {
      await till.device.put("actions", action.id, action);
    } catch (error) {
      remove(till, action);
      throw error;
    }
  }
  await send(till, action, session);
}

/** Repeats what was not answered, as far as the clerk at the till may. @param {Till} till */
export async function resume(till) {
  for (const action of till.unanswered) {
    if (!till.people.may(RIGHT[action.kind])) continue;
    try {
      await send(till, action);
    } catch (error) {
      if (!(error instanceof Refusal) || isLater(error)) throw error;
      await till.sales.ask(action.sale);
    }
  }
}

/** @param {Till} till @param {Action} action @param {string} [session] */
async function send(till, action, session) {
  const { id, sale, kind, amount, memo } = action;
  const body = kind === "release" ? { id } : kind === "refund" ? { id, amount, memo } : { id, amount };
  try {
    await till.network.call("POST", `/v1/till/sales/${sale}/${PATH[kind]}`, { body, clerk: session });
  } catch (error) {
    if (isLater(error) || !(error instanceof Refusal)) till.changed();
    else await settle(till, action);
    throw error;
  }
  await settle(till, action);
  try {
    await till.sales.ask(sale);
  } catch (error) {
    if (!(error instanceof Unreachable || error instanceof Refusal)) throw error; // it was done, whatever comes now
  }
}

/** It is answered. @param {Till} till @param {Action} action */
async function settle(till, action) {
  remove(till, action);
  await till.device.delete("actions", action.id);
  till.told();
}

/** @param {Till} till @param {Action} action */
function remove(till, { id }) {
  till.unanswered = till.unanswered.filter((each) => each.id !== id);
  till.changed();
}
