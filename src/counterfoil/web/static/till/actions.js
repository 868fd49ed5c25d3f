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

/** The right that each needs. @type {Record<Kind, string>} */
export const RIGHT = { capture: "capture", release: "capture", refund: "refund" };
const PATH = { capture: "capture", release: "release", refund: "refunds" };

/** The till's unanswered actions. */
export class Actions {
  /** @param {Till} till */
  constructor(till) {
    this.till = till;
    /** @type {Action[]} */
    this.open = [];
  }

  async load() {
    this.open = await this.till.database.all("actions");
  }

  /** The action of a sale that is not answered yet. @param {string} sale @returns {Action|null} */
  of(sale) {
    return this.open.find((action) => action.sale === sale) ?? null;
  }

  /**
   * Does it. With an unanswered action of the same sale, that one is repeated instead: until it is answered, nothing else is
   * done to the sale.
   * @param {{sale: string, kind: Kind, amount: number, memo?: string}} what
   * @param {string} [session] of the clerk who allows it, when that is not the one at the till
   * @returns {Promise<void>} Throws Refusal (nothing was done) and Unreachable (it is not known: it is kept, and repeated).
   */
  async run({ sale, kind, amount, memo = "" }, session) {
    const action = this.of(sale) ?? { id: newId(this.till.api.now()), sale, kind, amount, memo, clerk: this.till.clerk?.id ?? "" };
    if (!this.of(sale)) {
      this.open.push(action);
      await this.till.database.put("actions", action.id, action);
    }
    await this.send(action, session);
  }

  /** @param {Action} action @param {string} [session] */
  async send(action, session) {
    const { id, sale, kind, amount, memo } = action;
    const body = kind === "release" ? { id } : kind === "refund" ? { id, amount, memo } : { id, amount };
    try {
      await this.till.call("POST", `/v1/till/sales/${sale}/${PATH[kind]}`, { body, clerk: session });
    } catch (error) {
      if (!(error instanceof Refusal) || error.retry === "same_id" || error.status === 401) {
        this.till.changed();
        throw error;
      }
      await this.settle(action);
      throw error;
    }
    await this.settle(action);
    await this.till.ask(sale).catch((error) => {
      if (!(error instanceof Unreachable)) throw error;
    });
  }

  /** @param {Action} action */
  async settle(action) {
    this.open = this.open.filter((each) => each.id !== action.id);
    await this.till.database.delete("actions", action.id);
    this.till.told();
  }

  /** Repeats what was not answered, as far as the clerk at the till may. */
  async resume() {
    for (const action of [...this.open]) {
      if (!this.till.may(RIGHT[action.kind])) continue;
      try {
        await this.send(action);
      } catch (error) {
        if (!(error instanceof Refusal)) throw error;
        await this.till.ask(action.sale);
      }
    }
  }
}
