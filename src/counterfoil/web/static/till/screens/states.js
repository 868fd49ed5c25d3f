// @ts-check
/** What a sale's states are called, and which sign and colour they have. */

import { formatMoment, t } from "/static/phone/words.js";
import { madeAt, stateOf } from "../sale.js";

/** @param {import("../sale.js").State} state @returns {string} */
export function stateName(state) {
  return {
    open: () => t("waiting"),
    kept: () => t("not sent yet"),
    withdrawn: () => t("being cancelled"),
    refused: () => t("not accepted"),
    paid: () => t("paid"),
    held: () => t("held"),
    captured: () => t("taken"),
    released: () => t("returned"),
    cancelled: () => t("cancelled"),
    expired: () => t("expired"),
    refunded_part: () => t("partly refunded"),
    refunded: () => t("refunded"),
  }[state]();
}

/** @type {Record<import("../sale.js").State, [sign: string, tone: string]>} */
export const FACES = {
  open: ["wait", "wait"], kept: ["offline", "wait"], withdrawn: ["wait", "soft"], refused: ["refused", "bad"],
  paid: ["done", "good"], held: ["lock", "wait"], captured: ["done", "good"], released: ["refund", "soft"],
  cancelled: ["refused", "soft"], expired: ["refused", "soft"], refunded_part: ["refund", "good"], refunded: ["refund", "soft"],
};

/** "No. 12"; a sale that the server has not numbered is called by its time. @param {import("../sale.js").Sale} sale */
export const saleName = (sale) =>
  sale.view ? t("No. %(number)s", { number: sale.view.number }) : formatMoment(madeAt(sale), "time");

/** @param {import("../sale.js").Sale} sale */
export const faceOf = (sale) => FACES[stateOf(sale)];
