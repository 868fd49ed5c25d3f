// @ts-check
/** Says over any screen that another sale than the one shown was paid. */

import { icon } from "/static/look/icons.js";
import { html } from "/static/phone/view.js";
import { formatMoney, t } from "/static/phone/words.js";
import { amountOf, stateOf } from "../sale.js";
import { saleName } from "./states.js";

/** @param {{till: import("../till.js").Till, sale: import("../sale.js").Sale|null}} props */
export function Toast({ till, sale }) {
  const amount = sale && formatMoney(amountOf(sale), till.shop?.currency ?? { digits: 0 });
  return html`<div class="toast-place" role="status">${sale && html`<a class="toast" href=${`#/sales/${sale.id}`}>${icon("done")}
    <span><strong>${saleName(sale)}: ${stateOf(sale) === "held" ? t("Held") : t("Paid")}</strong> <span class="amount">${amount}</span>
    ${sale.view?.payer_name && html` · <bdi>${sale.view.payer_name}</bdi>`}</span></a>`}</div>`;
}
