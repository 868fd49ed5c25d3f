// @ts-check
/**
 * One sale as this till knows it: what the clerk made, and what the server has said of it. Pure.
 *
 * A sale is only ever "paid" when the server's view says so; what the till made itself is at most "kept".
 *
 * @typedef {import("./cart.js").Line} Line
 * @typedef {"open"|"paid"|"held"|"captured"|"released"|"cancelled"|"expired"|"refunded_part"|"refunded"} ServerState
 * @typedef {ServerState|"kept"|"withdrawn"|"refused"} State
 * @typedef {object} SaleView the server's word
 * @property {string} id
 * @property {number} number of the day
 * @property {Line[]} lines
 * @property {number} amount
 * @property {ServerState} state
 * @property {string|null} payment
 * @property {string|null} code text of the QR code
 * @property {string|null} link path of the page that pays it
 * @property {string} at
 * @property {string|null} paid_at
 * @property {string|null} expires_at
 * @property {string|null} payer_name
 * @property {number} refunded
 * @property {number} captured
 * @property {boolean} hold
 * @property {string|null} clerk id of who made it
 * @property {string|null} slip path of the slip's page
 * @property {{id: string, kind: string, amount: number, clerk: string|null, at: string}[]} actions what was done with it afterwards
 * @typedef {{id: string, lines: Line[], amount: number, hold: boolean, made_at: string, clerk?: string|null}} Made
 * @typedef {object} Sale
 * @property {string} id
 * @property {boolean} mine made on this till
 * @property {Made|null} made what was sent or will be; null for sales of other tills
 * @property {boolean} sent the server has it
 * @property {boolean} withdrawn the clerk cancelled it; the server may not have heard of it yet
 * @property {{code: string, title: string}|null} refusal why the server will not take it
 * @property {SaleView|null} view
 * @property {boolean} announced "paid" has been shown
 * @property {number} [skewMs] what the server's clock showed beyond the device's when it was made, as far as was known
 * @property {boolean} [tried] it was sent, or was made when the time was known: it stays as it is
 * @property {boolean} [late] its time was not one that the server takes, and was replaced
 */

/** @param {Sale} sale @returns {State} */
export function stateOf(sale) {
  if (sale.view) return sale.withdrawn && sale.view.state === "open" ? "withdrawn" : sale.view.state;
  if (sale.refusal) return "refused";
  return sale.withdrawn ? "withdrawn" : "kept";
}

/** Money has come, or is set aside for us. @param {State} state */
export const hasPaid = (state) => ["paid", "held", "captured", "refunded_part", "refunded"].includes(state);

/** Somebody may still pay it. @param {State} state */
export const isOpen = (state) => state === "open" || state === "kept";

/** @param {Sale} sale @returns {Line[]} */
export const linesOf = (sale) => sale.view?.lines ?? sale.made?.lines ?? [];

/** @param {Sale} sale minor units */
export const amountOf = (sale) => sale.view?.amount ?? sale.made?.amount ?? 0;

/** @param {Sale} sale whether the money is only set aside */
export const isHold = (sale) => sale.view?.hold ?? sale.made?.hold ?? false;

/** @param {Sale} sale milliseconds */
export const madeAt = (sale) => Date.parse(sale.made?.made_at ?? sale.view?.at ?? "") || 0;

/** What is left to refund, minor units. @param {Sale} sale */
export function refundable(sale) {
  const state = stateOf(sale);
  if (!sale.view || !["paid", "captured", "refunded_part"].includes(state)) return 0;
  return (sale.view.hold ? sale.view.captured : sale.view.amount) - sale.view.refunded;
}

/** A sale that was just rung up. @param {Made} made @returns {Sale} */
export function newSale(made) {
  return { id: made.id, mine: true, made, sent: false, withdrawn: false, refusal: null, view: null, announced: false };
}

/**
 * The sale after the server has spoken. An older word never replaces a newer one.
 * @param {Sale|undefined} sale
 * @param {SaleView} view
 * @returns {Sale}
 */
export function told(sale, view) {
  const known = sale ?? { ...newSale(/** @type {Made} */ ({ id: view.id })), mine: false, made: null, announced: true };
  const stale = known.view && isBefore(view, known.view);
  return { ...known, sent: true, refusal: null, view: stale ? known.view : view };
}

/**
 * How far a sale has come: answers can arrive late. A hold expires after it was held, a sale before.
 * @param {SaleView} view
 */
const progress = ({ state, payment }) => (state === "expired" && payment ? PROGRESS.released : PROGRESS[state]);

/**
 * Of two words in the same state, that one is older which knows of less.
 * @param {SaleView} view @param {SaleView} known
 */
const isBefore = (view, known) =>
  progress(view) - progress(known) < 0 || (progress(view) === progress(known) && view.refunded < known.refunded);

/**
 * The sale as it is sent, with its time set right when the device's clock was found to be wrong after it was made. The same
 * sale when there is nothing to set right, or when it was sent before: a repeat is the same.
 * @param {Sale} sale @param {number} skewMs what the server's clock shows beyond the device's
 */
export function inTime(sale, skewMs) {
  if (!sale.made || sale.tried) return sale;
  const made_at = new Date(Date.parse(sale.made.made_at) + skewMs - (sale.skewMs ?? 0)).toISOString();
  return { ...sale, skewMs, tried: true, made: { ...sale.made, made_at } };
}

/** @type {Record<ServerState, number>} */
const PROGRESS = {
  open: 0, expired: 1, cancelled: 1, held: 2, paid: 3, captured: 3, released: 3, refunded_part: 4, refunded: 5,
};

/**
 * Sales that answer a search by number, amount, payer, goods or the beginning of their id.
 * @param {Sale[]} sales @param {string} text @param {(amount: number) => string} money how amounts are shown
 */
export function search(sales, text, money) {
  const wanted = text.trim().toLocaleLowerCase();
  if (!wanted) return sales;
  return sales.filter((sale) =>
    String(sale.view?.number ?? "") === wanted.replace(/^#/, "") ||
    money(amountOf(sale)).toLocaleLowerCase().includes(wanted) ||
    (sale.view?.payer_name ?? "").toLocaleLowerCase().includes(wanted) ||
    (wanted.length >= 6 && sale.id.startsWith(wanted)) ||
    linesOf(sale).some((line) => line.name.toLocaleLowerCase().includes(wanted)));
}
