/**
 * What an opened log entry says to the holder: the payloads of docs/reference/log.md, read strictly to their last byte.
 *
 * @typedef {import("./verify.js").Field} Field
 */

import { Finding, hex, utf8 } from "./verify.js";

const TRANSFER = 1;
const ISSUE = 2;
const REDEEM = 3;
const KEY = 4;
const RULES = 5;
const FREEZE = 6;
const ACCOUNT = 10;
const KIND_OF_ENTRY = { 7: ISSUE, 8: REDEEM };
const AUDIT_ROLE = 3;
const PUBLIC_ROLE = 4;

/** Takes a payload apart, field by field. */
class Reader {
  /** @param {Uint8Array} data */
  constructor(data) {
    this.data = data;
    this.at = 0;
    /** @type {Field[]} */
    this.fields = [];
    /** @type {Record<string, any>} */
    this.view = {};
  }

  /** @param {number} size */
  take(size) {
    if (this.at + size > this.data.length) throw new Finding("unreadable", "content.form");
    this.at += size;
    return this.data.subarray(this.at - size, this.at);
  }

  /** @param {number} size */
  number(size) {
    return this.take(size).reduce((value, byte) => value * 256n + BigInt(byte), 0n);
  }

  /** @param {string} name @param {Field["kind"]} kind @param {string} value */
  show(name, kind, value) {
    this.fields.push({ name, kind, value });
  }

  /** @param {string} name @param {number} low @param {number} high a value of one byte that has a name */
  choice(name, low, high) {
    const value = Number(this.number(1));
    if (value < low || value > high) throw new Finding("unreadable", "content.form");
    this.view[name] = value;
    this.show(name, "choice", `${name}.${value}`);
    return value;
  }

  /** @param {string} name @param {number} size */
  id(name, size = 16) {
    const text = hex(this.take(size));
    this.view[name] = text;
    const kind = size === 16 ? "id" : "hash";
    this.show(name, kind, kind === "id" ? text.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, "$1-$2-$3-$4-$5") : text);
  }

  /** @param {string} name @param {Field["kind"]} kind @param {number} size */
  unsigned(name, kind, size = 8) {
    this.view[name] = this.number(size);
    this.show(name, kind, String(this.view[name]));
  }

  /** @param {string} name @param {Field["kind"]} kind */
  signed(name, kind) {
    this.view[name] = BigInt.asIntN(64, this.number(8));
    this.show(name, kind, String(this.view[name]));
  }

  /** Account, place in its chain and time, as entries that are no payments begin. */
  chain() {
    this.id("account");
    this.unsigned("seq", "count");
    this.id("prev", 32);
    this.unsigned("time", "moment");
  }

  sized() {
    return this.take(Number(this.number(2)));
  }

  end() {
    if (this.at !== this.data.length) throw new Finding("unreadable", "content.form");
    if (this.view.seq === 0n) throw new Finding("unreadable", "content.form");
    return { view: this.view, fields: this.fields };
  }
}

/**
 * @param {number} type of the entry
 * @param {number} role whose view of it: 1 payer or holder, 2 payee, 3 auditor, 4 public
 * @param {Uint8Array} payload
 * @returns {{view: Record<string, any>, fields: Field[]}}
 */
export function readView(type, role, payload) {
  const reader = new Reader(payload);
  reader.show("type", "choice", `type.${type}`);
  if (role === PUBLIC_ROLE && [ISSUE, REDEEM, RULES, FREEZE].includes(type) && payload.length) {
    reader.show("public", "text", utf8(reader.take(payload.length)));
  } else if (role <= 2 && [TRANSFER, ISSUE, REDEEM].includes(type)) {
    readTransfer(reader, type);
  } else if (role === 1 && type === KEY) {
    readKeyEvent(reader);
  } else if (role === 1 && type === FREEZE) {
    readFreeze(reader);
  } else if (role === 1 && type === ACCOUNT) {
    readAccount(reader);
  } else if (role === AUDIT_ROLE && payload.length) {
    reader.show("audit", "hash", hex(reader.take(payload.length)));
  } else {
    throw new Finding("unreadable", "content.kind", { type: String(type), role: String(role) });
  }
  return reader.end();
}

/** @param {Reader} reader @param {number} type */
function readTransfer(reader, type) {
  reader.choice("event", 0, 4);
  const kind = reader.choice("kind", 0, 8);
  if ((KIND_OF_ENTRY[/** @type {7|8} */ (kind)] ?? TRANSFER) !== type) throw new Finding("unreadable", "content.form");
  reader.choice("authorisation", 0, 6);
  reader.id("account");
  reader.choice("direction", 0, 1);
  reader.id("counterparty");
  reader.id("payment");
  reader.id("order_hash", 32);
  reader.unsigned("amount", "amount");
  reader.signed("fee", "signed");
  reader.signed("balance", "amount");
  reader.unsigned("held", "amount");
  reader.unsigned("time", "moment");
  reader.unsigned("seq", "count");
  reader.id("prev", 32);
}

/** @param {Reader} reader */
function readKeyEvent(reader) {
  reader.view.what = Number(reader.number(1));
  if (reader.view.what < 1 || reader.view.what > 3) throw new Finding("unreadable", "content.form");
  reader.show("what", "choice", `key.${reader.view.what}`);
  reader.chain();
  reader.id("device");
  reader.choice("algorithm", 1, 2);
  const key = hex(reader.sized());
  reader.show("public_key", "hash", key);
  reader.id("by");
  reader.choice("reason", 1, 5);
  for (let n = 0; n < 3; n++) reader.sized(); // statement, possession, consent: for the auditor
}

/** @param {Reader} reader */
function readFreeze(reader) {
  reader.view.what = Number(reader.number(1));
  if (reader.view.what < 1 || reader.view.what > 2) throw new Finding("unreadable", "content.form");
  reader.show("what", "choice", `freeze.${reader.view.what}`);
  reader.chain();
  reader.id("freeze");
  reader.choice("incoming", 0, 1);
  reader.unsigned("expires_at", "moment");
  reader.id("reason_hash", 32);
}

/** @param {Reader} reader */
function readAccount(reader) {
  reader.view.what = Number(reader.number(1));
  if (reader.view.what < 1 || reader.view.what > 3) throw new Finding("unreadable", "content.form");
  reader.show("what", "choice", `account.${reader.view.what}`);
  reader.chain();
  reader.unsigned("code", "count", 2);
  reader.unsigned("ledger", "count", 4);
  reader.unsigned("flags", "count", 2);
  reader.show("tier", "text", utf8(reader.take(reader.data.length - reader.at)));
}
