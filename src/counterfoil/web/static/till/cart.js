// @ts-check
/**
 * The sale that is being rung up: an amount as it is typed, and lines of goods. Pure: no storage, no network, no words.
 *
 * @typedef {{goods: string|null, name: string, price: number, quantity: number}} Line amounts in minor units
 * @typedef {{digits: number, code: string}} Currency
 */

export const LINES_MAX = 100;
export const QUANTITY_MAX = 999;
/**
 * Digits of whole units that can be typed: far above any price, and exact in JavaScript's numbers with the minor ones.
 */
const WHOLE_DIGITS_MAX = 9;
export const AMOUNT_MAX = 999_999_999_999;

/** What is being sold to the customer who stands at the counter. */
export class Cart {
  /** @param {Currency} currency */
  constructor(currency) {
    this.currency = currency;
    /** @type {Line[]} */
    this.lines = [];
    /** What was typed, with "." before the minor units: "12.5" */
    this.entry = "";
  }

  /** The typed amount, minor units; 0 when nothing was typed. */
  typed() {
    return minorUnits(this.entry, this.currency.digits);
  }

  /** What the customer would pay, the typed amount included, minor units. */
  total() {
    return this.lines.reduce((sum, line) => sum + line.price * line.quantity, 0) + this.typed();
  }

  /** How many pieces are in it. */
  pieces() {
    return this.lines.reduce((sum, line) => sum + line.quantity, 0);
  }

  /** @param {string} key "0".."9", "00", "." or "back"; a key that would make no amount does nothing */
  press(key) {
    if (key === "back") this.entry = this.entry.slice(0, -1);
    else this.entry = pressed(this.entry, key, this.currency.digits);
  }

  /** Makes the typed amount a line of its own. Nothing happens when it is 0 or the sale is full. */
  addTyped() {
    if (this.typed() > 0 && this.add({ goods: null, name: "", price: this.typed() })) this.entry = "";
  }

  /**
   * One more piece. The same goods at the same price share a line; a typed amount is always its own.
   * @param {{goods: string|null, name: string, price: number}} piece
   * @returns {boolean} false when the sale is full
   */
  add({ goods, name, price }) {
    const line = goods && this.lines.find((each) => each.goods === goods && each.price === price);
    if (this.total() + price > AMOUNT_MAX) return false;
    if (line) {
      if (line.quantity >= QUANTITY_MAX) return false;
      line.quantity += 1;
    } else {
      if (this.lines.length >= LINES_MAX - 1) return false; // one is left for the typed amount
      this.lines.push({ goods, name, price, quantity: 1 });
    }
    return true;
  }

  /** @param {number} index @param {{quantity?: number, price?: number}} change a quantity of 0 takes the line out */
  change(index, { quantity, price }) {
    const line = this.lines[index];
    if (!line) return;
    const changed = {
      ...line,
      quantity: Math.max(0, Math.min(quantity ?? line.quantity, QUANTITY_MAX)),
      price: price ?? line.price,
    };
    if (this.total() - line.price * line.quantity + changed.price * changed.quantity > AMOUNT_MAX) return;
    if (changed.quantity === 0) this.lines.splice(index, 1);
    else this.lines[index] = changed;
  }

  /** How many pieces of these goods are in it, at whatever price. @param {string} goods */
  quantityOf(goods) {
    return this.lines.filter((line) => line.goods === goods).reduce((sum, line) => sum + line.quantity, 0);
  }

  clear() {
    this.lines = [];
    this.entry = "";
  }

  /** The lines of the sale, the typed amount as the last. @returns {Line[]} */
  finished() {
    const typed = this.typed();
    return typed ? [...this.lines, { goods: null, name: "", price: typed, quantity: 1 }] : [...this.lines];
  }
}

/**
 * What stands in an amount's field after one more key.
 * @param {string} entry @param {string} key "0".."9", "00" or "." @param {number} digits of the minor unit
 */
export function pressed(entry, key, digits) {
  if (key === ".") return digits && !entry.includes(".") ? `${entry || "0"}.` : entry;
  const typed = entry === "0" ? key.replace(/^0+(?=.)/, "") : entry + key;
  const [whole, minor = ""] = typed.split(".");
  if (!entry && /^0+$/.test(key)) return "0";
  return whole.length <= WHOLE_DIGITS_MAX && minor.length <= digits ? typed : entry;
}

/** @param {string} entry as `pressed` makes it @param {number} digits */
export function minorUnits(entry, digits) {
  const [whole, minor = ""] = entry.split(".");
  return Number(whole || "0") * 10 ** digits + Number(minor.padEnd(digits, "0") || "0");
}
