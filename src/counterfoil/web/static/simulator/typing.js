// @ts-check
/**
 * What keys write on a telephone: digits, or letters by pressing a key again and again. Pure but for the moments it is told.
 *
 * @typedef {"digits"|"small"|"capital"} Mode
 */

/** Milliseconds within which the same key goes on to its next letter. */
export const AGAIN_MS = 900;
/** @type {Mode[]} */
export const MODES = ["digits", "small", "capital"];

/** @type {Record<string, string>} */
const LETTERS = {
  1: ".,?!'-@1",
  2: "abc2àâäç",
  3: "def3éèêë",
  4: "ghi4îï",
  5: "jkl5",
  6: "mno6ôöñ",
  7: "pqrs7ß",
  8: "tuv8ùûü",
  9: "wxyz9",
  0: " 0",
  "*": "*+",
  "#": "#",
};

export class Typing {
  constructor() {
    /** @type {Mode} */
    this.mode = "digits";
    this.last = "";
    this.at = 0;
    this.place = 0;
  }

  /** Digits, small letters, capitals, digits again. */
  turn() {
    this.mode = MODES[(MODES.indexOf(this.mode) + 1) % MODES.length] ?? "digits";
    this.rest();
  }

  /** The next press of a key begins a letter of its own. */
  rest() {
    this.last = "";
  }

  /**
   * `text` after a key was pressed at `now`, milliseconds.
   *
   * @param {string} text @param {string} key @param {number} now @returns {string}
   */
  press(text, key, now) {
    const letters = LETTERS[key];
    if (this.mode === "digits" || letters === undefined) return text + key;
    const again = key === this.last && now - this.at < AGAIN_MS && text !== "";
    this.place = again ? (this.place + 1) % letters.length : 0;
    this.last = key;
    this.at = now;
    const letter = letters.charAt(this.place);
    return (again ? text.slice(0, -1) : text) + (this.mode === "capital" ? letter.toUpperCase() : letter);
  }

  /**
   * `text` after a key was held: the digit itself among letters, a plus for 0 among digits. The press has been written before.
   *
   * @param {string} text @param {string} key @returns {string}
   */
  hold(text, key) {
    this.rest();
    if (this.mode !== "digits") return text.slice(0, -1) + key;
    return key === "0" ? `${text.slice(0, -1)}+` : text;
  }
}
