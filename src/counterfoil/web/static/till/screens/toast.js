// @ts-check
/** Says over any screen that other sales than the one shown were paid. */

import { icon } from "/static/look/icons.js";
import { html } from "/static/phone/view.js";
import { formatMoney, t } from "/static/phone/words.js";
import { amountOf, stateOf } from "../sale.js";
import { saleName } from "./states.js";

/** @param {{till: import("../till.js").Till, sales: import("../sale.js").Sale[]}} props */
export function Toast({ till, sales }) {
  const amount = (/** @type {import("../sale.js").Sale} */ sale) => formatMoney(amountOf(sale), till.shop?.currency ?? { digits: 0 });
  return html`<div class="toast-place" role="status">${sales.map((sale) => html`<a key=${sale.id} class="toast" href=${`#/sales/${sale.id}`}>${icon("done")}
    <span><strong>${saleName(sale)}: ${stateOf(sale) === "held" ? t("Held") : t("Paid")}</strong> <span class="amount">${amount(sale)}</span>
    ${sale.view?.payer_name && html` · <bdi>${sale.view.payer_name}</bdi>`}</span></a>`)}</div>`;
}
