// @ts-check
/**
 * Merchant-presented QR codes, read strictly and written. Pure. As counterfoil.acceptance.emv, which draws them; byte-exact examples
 * for both in docs/reference/qr.md. Source: EMVCo QR Code Specification for Payment Systems, Merchant-Presented Mode 1.1.
 *
 * @typedef {{tag: string, value: string, nested: [string, string][]}} Item
 * @typedef {object} Code a code of a Counterfoil scheme
 * @property {"counterfoil"} kind
 * @property {boolean} dynamic for one request
 * @property {string} scheme mark of its origin: compare it with `wallet.scheme.mark`
 * @property {string} account id of who is paid
 * @property {string|null} address
 * @property {string} name
 * @property {string|null} amount in major units, with a dot; null: the payer decides. See `minor`
 * @property {string} currency ISO 4217 numeric
 * @property {string} country
 * @property {string} category
 * @property {string} city
 * @property {string|null} request id that a payment names
 * @property {boolean} hold
 * @property {string} memo
 * @property {Uint8Array|null} signature
 * @property {Uint8Array} signed what the operator signs, domain included
 * @property {boolean} amountSigned whether amount and request are part of it
 * @typedef {{kind: "foreign", scheme: string, name: string, amount: string|null, currency: string, country: string}} Foreign
 */

import { base64url, fromBase64url, idBytes, idText, joined, utf8 } from "./bytes.js";

const GUID = "org.counterfoil.pay";
const SIGNATURE_GUID = "CF1";
const DOMAIN = "counterfoil/qr/v1";
const CODE_SIZE_MAX = 512;
const VALUE_SIZE_MAX = 99;
const NAME_SIZE_MAX = 25;
const CITY_SIZE_MAX = 15;
const MEMO_SIZE_MAX = 25;
const HOLD = "hold";
/** Controls, and what turns the direction of a text around: a name must look like what it is. */
const UNSEEN = /[\x00-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069]/;

/** What is wrong with a code. `field`: "qr.54", "qr.62.05". */
export class CodeError extends Error {
  /** @param {"not_a_code"|"checksum"|"field"} code @param {string} field @param {string} rule */
  constructor(code, field, rule) {
    super(`${field}: ${rule}`);
    this.name = "CodeError";
    this.code = code;
    this.field = field;
    this.rule = rule;
  }
}

/** @param {string} path @param {string} rule */
const wrong = (path, rule) => new CodeError("field", path ? `qr.${path}` : "qr", rule);

/** @param {string} text @returns {string} CRC-16/CCITT-FALSE of its UTF-8, four capital hexadecimal digits */
export function checksum(text) {
  let crc = 0xffff;
  for (const byte of utf8(text)) {
    crc ^= byte << 8;
    for (let bit = 0; bit < 8; bit++) crc = crc & 0x8000 ? ((crc << 1) ^ 0x1021) & 0xffff : (crc << 1) & 0xffff;
  }
  return crc.toString(16).toUpperCase().padStart(4, "0");
}

// Reading

/** @param {string} text @returns {Code|Foreign} throws CodeError. The signature is not checked here, nor whose scheme it is */
export function read(text) {
  const items = parse(text);
  const ours = items.filter((item) => item.tag >= "26" && item.tag <= "51" && inner(item, "00") === GUID);
  if (!ours.length) return foreign(items);
  if (ours.length > 1) throw wrong(ours[1].tag, "is a second account of a Counterfoil scheme");
  return own(text, items, ours[0]);
}

/** @param {Item|undefined} item @param {string} tag */
const inner = (item, tag) => item?.nested.find(([name]) => name === tag)?.[1];

/** @param {string} text @returns {Item[]} */
function parse(text) {
  if (!text.startsWith("000201")) throw new CodeError("not_a_code", "qr", "must begin with 000201");
  if ([...text].length > CODE_SIZE_MAX) throw wrong("", `must be at most ${CODE_SIZE_MAX} characters`);
  for (const character of text) {
    const point = /** @type {number} */ (character.codePointAt(0));
    if (point > 0xffff || (point >= 0xd800 && point <= 0xdfff)) throw wrong("", "must not contain characters beyond U+FFFF");
    if (UNSEEN.test(character)) throw wrong("", `must not contain U+${point.toString(16).toUpperCase().padStart(4, "0")}`);
  }
  if (/^6304[0-9A-Fa-f]{4}$/.test(text.slice(-8)) && checksum(text.slice(0, -4)) !== text.slice(-4).toUpperCase()) {
    throw new CodeError("checksum", "qr.63", "is not the checksum of what stands before it");
  }
  const items = objects(text, "").map(([tag, value]) => ({ tag, value, nested: nested(tag, value) }));
  const last = items[items.length - 1];
  if (last.tag !== "63") throw wrong("63", "must be the last object");
  if (!/^[0-9A-Fa-f]{4}$/.test(last.value)) throw wrong("63", "must be four hexadecimal digits");
  checkCommon(items);
  return items;
}

/** @param {string} text @param {string} path @returns {[string, string][]} */
function objects(text, path) {
  /** @type {Map<string, string>} */
  const found = new Map();
  for (let at = 0; at < text.length; ) {
    const [tag, size] = [text.slice(at, at + 2), text.slice(at + 2, at + 4)];
    if (!/^[0-9]{2}$/.test(tag)) throw wrong(path, `must have a tag of two digits at character ${at + 1}`);
    const here = path ? `${path}.${tag}` : tag;
    if (!/^[0-9]{2}$/.test(size)) throw wrong(here, "must have a length of two digits");
    const value = text.slice(at + 4, at + 4 + Number(size));
    if (!Number(size)) throw wrong(here, "must not be empty");
    if (value.length < Number(size)) throw wrong(here, `ends after ${value.length} of ${Number(size)} characters`);
    if (found.has(tag)) throw wrong(here, "must not stand twice");
    found.set(tag, value);
    at += 4 + Number(size);
  }
  return [...found];
}

/** @param {string} tag @param {string} value @returns {[string, string][]} */
const nested = (tag, value) =>
  (tag >= "26" && tag <= "51") || tag === "62" || tag === "64" || tag >= "80" ? objects(value, tag) : [];

/** @type {Record<string, [RegExp, string]>} */
const RULES = {
  "00": [/^01$/, "must be 01"],
  "01": [/^(11|12)$/, "must be 11 or 12"],
  "52": [/^[0-9]{4}$/, "must be four digits"],
  "53": [/^[0-9]{3}$/, "must be three digits"],
  "54": [/^(?=.{1,13}$)[0-9]+(\.[0-9]*)?$/, "must be a number of at most 13 characters, with a dot"],
  "55": [/^0[123]$/, "must be 01, 02 or 03"],
  "58": [/^[A-Z]{2}$/, "must be two capital letters"],
  "59": [/^.{1,25}$/, "must be 1 to 25 characters"],
  "60": [/^.{1,15}$/, "must be 1 to 15 characters"],
  "61": [/^.{1,10}$/, "must be 1 to 10 characters"],
};
const ORDER = ["00", "01", "52", "53", "54", "55", "58", "59", "60", "61"];

/** @param {Item[]} items */
function checkCommon(items) {
  const byTag = new Map(items.map((item) => [item.tag, item]));
  for (const tag of ORDER) {
    const item = byTag.get(tag);
    if (item && !RULES[tag][0].test(item.value)) throw wrong(tag, RULES[tag][1]);
  }
  for (const tag of ["52", "53", "58", "59", "60"]) if (!byTag.has(tag)) throw wrong(tag, "is missing");
  if (!items.some(({ tag }) => tag >= "02" && tag <= "51")) throw wrong("26", "is missing: no account is named in 02 to 51");
  for (const { tag, nested: parts } of items) {
    if (((tag >= "26" && tag <= "51") || tag >= "80") && parts[0][0] !== "00") {
      throw wrong(`${tag}.00`, "must be the first object of its template");
    }
  }
  const language = byTag.get("64");
  for (const tag of ["00", "01"]) if (language && inner(language, tag) === undefined) throw wrong(`64.${tag}`, "is missing");
}

/** @param {string} text @param {Item[]} items @param {Item} account @returns {Code} */
function own(text, items, account) {
  const byTag = new Map(items.map((item) => [item.tag, item]));
  const value = (/** @type {string} */ tag) => byTag.get(tag)?.value;
  for (const tag of ["01", "02"]) if (inner(account, tag) === undefined) throw wrong(`${account.tag}.${tag}`, "is missing");
  const scheme = inner(account, "01") ?? "";
  bytesOf(scheme, 6, `${account.tag}.01`);
  let signature = null;
  let signed = text.slice(0, -8);
  /** @type {string[]} */
  let behind = [];
  const seal = byTag.get("80");
  if (seal && inner(seal, "00") === SIGNATURE_GUID) {
    signature = bytesOf(inner(seal, "01") ?? "", 64, "80.01");
    const at = items.indexOf(seal);
    signed = items.slice(0, at).map(object).join("");
    behind = items.slice(at + 1).map(({ tag }) => tag);
    const strange = behind.find((tag) => !["54", "62", "63"].includes(tag));
    if (strange) throw wrong(strange, "must not stand behind 80");
  }
  const amount = value("54") ?? null;
  if (amount !== null && !/^(0|[1-9][0-9]*)(\.[0-9]{1,4})?$/.test(amount)) throw wrong("54", "must be a plain number");
  const more = byTag.get("62");
  const label = inner(more, "05");
  const request = label === undefined ? null : idOf(label, "62.05");
  if (value("01") === "12" && request === null) throw wrong("62.05", "is missing: a code for one request names it");
  const purpose = inner(more, "08") ?? "";
  const hold = request !== null && purpose === HOLD;
  return {
    kind: "counterfoil", dynamic: request !== null, scheme, account: idOf(inner(account, "02") ?? "", `${account.tag}.02`),
    address: inner(account, "03") ?? null, name: inner(byTag.get("64"), "01") ?? value("59") ?? "", amount, currency: value("53") ?? "",
    country: value("58") ?? "", category: value("52") ?? "", city: value("60") ?? "", request, hold, memo: hold ? "" : purpose, signature,
    signed: joined(utf8(DOMAIN), utf8(signed)), amountSigned: signature !== null && !behind.includes("54") && !behind.includes("62"),
  };
}

/** @param {{tag: string, value: string}} item */
const object = ({ tag, value }) => `${tag}${String(value.length).padStart(2, "0")}${value}`;

/** @type {[string, string][]} */
const SCHEMES = [
  ["br.gov.bcb.pix", "PIX"], ["hk.com.hkicl", "FPS"], ["sg.paynow", "PayNow"], ["id.co.qris.www", "QRIS"], ["com.p2pqrpay", "QR Ph"],
  ["a000000677010111", "PromptPay"], ["a000000677010112", "PromptPay"], ["a000000727", "VietQR"], ["a000000615", "DuitNow"],
  ["a000000524", "Bharat QR"],
];
/** @type {[string, string, string][]} */
const CARDS = [
  ["02", "03", "Visa"], ["04", "05", "Mastercard"], ["09", "10", "Discover"], ["11", "12", "American Express"], ["13", "14", "JCB"],
  ["15", "16", "UnionPay"],
];

/** @param {Item[]} items @returns {Foreign} */
function foreign(items) {
  const values = new Map(items.map(({ tag, value }) => [tag, value]));
  const identifiers = items.filter(({ tag }) => tag >= "26" && tag <= "51").map((item) => inner(item, "00") ?? "");
  const bakong = items.some((item) => (item.tag === "29" || item.tag === "30") && (inner(item, "00") ?? "").includes("@"));
  const currency = values.get("53") ?? "";
  let scheme;
  if (bakong && values.get("58") === "KH") {
    if (currency !== "116" && currency !== "840") throw wrong("53", "must be 116 or 840 in a KHQR code");
    scheme = "KHQR";
  } else {
    const known = identifiers.flatMap((guid) => SCHEMES.filter(([start]) => guid.toLowerCase().startsWith(start)).map(([, name]) => name));
    const cards = CARDS.filter(([a, b]) => values.has(a) || values.has(b)).map(([, , name]) => name);
    scheme = [...known, ...cards, ...identifiers, "?"][0];
  }
  return { kind: "foreign", scheme, name: values.get("59") ?? "", amount: values.get("54") ?? null, currency, country: values.get("58") ?? "" };
}

/** @param {string} text @param {string} path @returns {string} */
function idOf(text, path) {
  const data = bytesOf(text, 16, path);
  if (data.every((byte) => byte === 0) || data.every((byte) => byte === 255)) throw wrong(path, "must be an id other than zero");
  return idText(data);
}

/** @param {string} text @param {number} size @param {string} path */
function bytesOf(text, size, path) {
  try {
    if (/^[A-Za-z0-9_-]+$/.test(text)) {
      const data = fromBase64url(text);
      if (data.length === size) return data;
    }
  } catch {
    // Loose last bits, or a length that no bytes have.
  }
  throw wrong(path, `must be ${size} bytes in base64url`);
}

/** @param {string} amount of a code of ours @param {number} digits of the currency @returns {number} minor units; throws CodeError */
export function minor(amount, digits) {
  const found = (digits ? new RegExp(`^(0|[1-9][0-9]*)[.]([0-9]{${digits}})$`) : /^(0|[1-9][0-9]*)()$/).exec(amount);
  const value = found ? Number(found[1] + found[2]) : 0;
  if (!(value > 0 && Number.isSafeInteger(value))) throw wrong("54", `must be an amount above zero with ${digits} decimal places`);
  return value;
}

/** @param {number} amount minor units @param {number} digits @returns {string} as tag 54 has it */
export function major(amount, digits) {
  const text = String(amount).padStart(digits + 1, "0");
  return digits ? `${text.slice(0, -digits)}.${text.slice(-digits)}` : text;
}

// Writing

/**
 * A holder's own code, without the operator's signature.
 *
 * @param {{scheme: string, account: string, address?: string|null, name: string, amount?: number|null, digits: number, currency: string,
 *          country: string, language?: string, city?: string, memo?: string, request?: string|null, hold?: boolean}} code
 *   scheme: `wallet.scheme.mark`; amount: minor units; currency: ISO 4217 numeric, `wallet.scheme.currency.numeric`
 * @returns {string} throws CodeError for what does not fit
 */
export function write(code) {
  const { scheme, account, address = null, amount = null, digits, currency, country, language = "en", memo = "", request = null, hold = false } = code;
  const name = short(code.name, NAME_SIZE_MAX);
  const plain = plainName(code.name, address);
  /** @type {[string, string][]} */
  const parts = [["00", "01"], ["01", request ? "12" : "11"]];
  /** @type {[string, string][]} */
  const who = [["00", GUID], ["01", scheme], ["02", base64url(idBytes(account))]];
  if (address) who.push(["03", address]);
  parts.push(["26", join(who, "26")], ["52", "0000"], ["53", currency]);
  if (amount !== null) parts.push(["54", major(amount, digits)]);
  parts.push(["58", country], ["59", plain], ["60", short(code.city ?? "", CITY_SIZE_MAX) || "-"]);
  const more = additional(request, hold, memo);
  if (more) parts.push(["62", more]);
  if (name !== plain) parts.push(["64", join([["00", language.slice(0, 2).toUpperCase()], ["01", name]], "64")]);
  return checked(join(parts, ""));
}

/**
 * A fixed code with an amount and the request that a payment will name: needs neither key nor network.
 *
 * @param {string} text @param {{amount: number, digits: number, request: string, hold?: boolean}} wish amount: minor units
 * @returns {string} throws CodeError
 */
export function complete(text, { amount, digits, request, hold = false }) {
  const code = read(text);
  if (code.kind === "foreign" || code.dynamic || code.amount !== null || code.memo) {
    throw wrong("62", "must not stand in the code yet, nor 54");
  }
  return checked(text.slice(0, -8) + join([["54", major(amount, digits)], ["62", additional(request, hold, "")]], ""));
}

/** @param {[string, string][]} parts @param {string} path */
function join(parts, path) {
  for (const [tag, value] of parts) {
    if (!value || value.length > VALUE_SIZE_MAX) throw wrong(path ? `${path}.${tag}` : tag, `must be 1 to ${VALUE_SIZE_MAX} characters`);
  }
  return parts.map(([tag, value]) => object({ tag, value })).join("");
}

/** @param {string} text whoever writes hears at once what a reader would refuse */
function checked(text) {
  const whole = `${text}6304`;
  const code = whole + checksum(whole);
  read(code);
  return code;
}

/** @param {string|null} request @param {boolean} hold @param {string} memo */
function additional(request, hold, memo) {
  const said = short(memo, MEMO_SIZE_MAX);
  const purpose = hold ? HOLD : request && said === HOLD ? "" : said;
  /** @type {[string, string][]} */
  const parts = [];
  if (request) parts.push(["05", base64url(idBytes(request))]);
  if (purpose) parts.push(["08", purpose]);
  return join(parts, "62");
}

/** The name in ASCII: accents dropped; for other scripts the address. @param {string} name @param {string|null} address */
function plainName(name, address) {
  const folded = name.normalize("NFKD");
  const kept = [...folded].filter((character) => character >= " " && character <= "~").join("");
  const letters = (/** @type {string} */ text) => [...text].filter((character) => /[\p{L}\p{N}]/u.test(character)).length;
  const readable = 2 * letters(kept) >= letters(folded) && kept.trim();
  return short(readable ? kept : (address ?? ""), NAME_SIZE_MAX) || "-";
}

/** @param {string} text @param {number} size as much as fits, without what a code cannot carry */
function short(text, size) {
  const plain = [...text].filter((character) => character.length === 1 && !UNSEEN.test(character)).join("");
  return plain.trim().slice(0, size).trim();
}

// Links

/**
 * A payment link: https://HOST/pay/ADDRESS?amount=12.50&memo=...&request=UUID.
 *
 * @param {string} url
 * @returns {{host: string, address: string, amount: string|null, memo: string, request: string|null}|null} null for any other address
 */
export function readLink(url) {
  let address;
  try {
    address = new URL(url);
  } catch {
    return null;
  }
  const found = /^\/pay\/([^/]+)$/.exec(address.pathname);
  if (!/^https?:$/.test(address.protocol) || !found) return null;
  const query = address.searchParams;
  const request = query.get("request");
  return {
    host: address.host,
    address: decodeURIComponent(found[1]),
    amount: query.get("amount"),
    memo: query.get("memo") ?? "",
    request: request && /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/.test(request) ? request : null,
  };
}
