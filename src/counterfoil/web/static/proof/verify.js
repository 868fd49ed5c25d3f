/**
 * The receipt check, in the holder's own browser: policy, signed note, opening, inclusion, chain. No network; no library but
 * for Ed25519 where the browser has none, which `prepare` fetches ahead.
 *
 *     const report = await check(receipt, policyText);      // receipt: file text, or the text of its QR code
 *     report.outcome                                        // "proven" | "refuted" | "unreadable" | "unsupported"
 *     report.steps                                          // what was shown, in order, each with its facts
 *     report.fields                                         // what the log says, and nothing that was not proven; null unless proven
 *
 * It has no words of its own: a finding is a code with facts, and the page says it in the reader's language.
 * Sources: docs/reference/log.md; C2SP signed-note, tlog-checkpoint, tlog-cosignature, tlog-policy, tlog-proof; RFC 6962; RFC 9285.
 *
 * @typedef {"receipt"|"policy"|"log"|"witnesses"|"opening"|"inclusion"|"content"|"chain"|"code"} StepName
 * @typedef {"proven"|"refuted"|"unreadable"|"unsupported"} Outcome
 * @typedef {{name: StepName, state: "proven"|"refuted"|"unreadable"|"unsupported"|"skipped", code: string, facts: Record<string, string>}} Step
 * @typedef {{name: string, kind: "amount"|"signed"|"moment"|"count"|"id"|"hash"|"text"|"choice", value: string}} Field
 * @typedef {{name: string, keyId: string, algorithm: number, key: Uint8Array, url: string}} VerifierKey
 * @typedef {{logs: VerifierKey[], witnesses: Map<string, VerifierKey>, groups: Map<string, {threshold: number, members: string[]}>,
 *            members: Set<string>, quorum: string}} Policy
 * @typedef {{name: string, keyId: string, signature: Uint8Array}} Signature
 * @typedef {{text: string, signatures: Signature[]}} Note
 * @typedef {{origin: string, size: bigint, root: Uint8Array}} Checkpoint
 * @typedef {{type: number, role: number, salt: Uint8Array, sibling: Uint8Array, uncle: Uint8Array, payload: Uint8Array}} Opening
 * @typedef {{opening: Opening, index: bigint, hashes: Uint8Array[], note: Note, checkpoint: Checkpoint}} Receipt
 * @typedef {{outcome: Outcome, steps: Step[], fields: Field[]|null, index: bigint|null, checkpoint: Checkpoint|null,
 *            cosigned: {name: string, time: bigint}[], leaf: Uint8Array|null, view: Record<string, any>|null}} Report
 */

import { verify } from "/static/phone/ed25519.js";
import { readView } from "./views.js";

export { prepare } from "/static/phone/ed25519.js";
export const RECEIPT_SIZE_MAX = 65_536;
const POLICY_SIZE_MAX = 65_536;
const SIGNATURES_MAX = 100;
const HASHES_MAX = 64;
const U64_MAX = 2n ** 64n - 1n;
const LOG_KEY = 0x01;
const COSIGNATURE_KEY = 0x04;
const DIGEST = 32;
const OPENING_SIZE_MIN = 2 + 3 * DIGEST;
const HEADER = "c2sp.org/tlog-proof@v1";
const QR_PREFIX = "CF1:";
const BASE45 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ $%*+-./:";

/** @type {StepName[]} */
export const STEPS = ["receipt", "policy", "log", "witnesses", "opening", "inclusion", "content"];

/** What a step found wrong. `outcome`: refuted (well-formed and false), unreadable (not in the form) or unsupported (by the browser). */
export class Finding extends Error {
  /**
   * @param {Outcome} outcome
   * @param {string} code
   * @param {Record<string, string>} facts
   */
  constructor(outcome, code, facts = {}) {
    super(code);
    this.outcome = outcome;
    this.code = code;
    this.facts = facts;
  }
}

/**
 * Checks a receipt against a policy, step by step; the first step that fails ends it.
 *
 * @param {string} text the receipt's file (`c2sp.org/tlog-proof@v1`) or QR text (`CF1:...`)
 * @param {string} policyText a C2SP tlog-policy
 * @returns {Promise<Report>}
 */
export async function check(text, policyText) {
  /** @type {Report} */
  const report = { outcome: "proven", steps: [], fields: null, index: null, checkpoint: null, cosigned: [], leaf: null, view: null };
  // Each is there before a later step asks for it: the first step that fails ends the check.
  const missing = /** @type {unknown} */ (undefined);
  let policy = /** @type {Policy} */ (missing);
  let receipt = /** @type {Receipt} */ (missing);
  let leaf = /** @type {Uint8Array} */ (missing);
  /** @type {{name: string, time: bigint}[]} */ let cosigned = [];
  let content = /** @type {{view: Record<string, any>, fields: Field[]}} */ (missing);
  /** @type {Record<string, () => Promise<Record<string, string>>>} */
  const work = {
    // The names in a packed receipt come from the policy, so both are read before anything is said of either.
    receipt: async () => {
      try {
        policy = await readPolicy(policyText);
      } catch (finding) {
        if (text.startsWith(QR_PREFIX) || !(finding instanceof Finding)) throw finding;
      }
      receipt = text.startsWith(QR_PREFIX) ? unpack(fromBase45(text.slice(QR_PREFIX.length)), policy) : readReceipt(text);
      return { index: String(receipt.index), size: String(receipt.checkpoint.size) };
    },
    policy: async () => {
      policy = await readPolicy(policyText);
      return { witnesses: String(policy.witnesses.size), logs: policy.logs.map((key) => key.name).join(", ") };
    },
    log: async () => {
      await checkLog(receipt, policy);
      return { origin: receipt.checkpoint.origin, size: String(receipt.checkpoint.size) };
    },
    witnesses: async () => {
      cosigned = await checkWitnesses(receipt.note, policy);
      const times = cosigned.map(({ time }) => time);
      const newest = times.length ? times.reduce((a, b) => (a > b ? a : b)) : 0n;
      return { count: String(cosigned.length), names: cosigned.map(({ name }) => name).join(", "), newest: String(newest) };
    },
    opening: async () => {
      leaf = await leafHash(receipt.opening);
      return { leaf: hex(leaf) };
    },
    inclusion: async () => {
      await checkInclusion(receipt, leaf);
      return { index: String(receipt.index), size: String(receipt.checkpoint.size) };
    },
    content: async () => {
      content = readView(receipt.opening.type, receipt.opening.role, receipt.opening.payload);
      return {};
    },
  };
  for (const name of STEPS) {
    try {
      if (report.outcome !== "proven") throw null;
      report.steps.push({ name, state: "proven", code: `${name}.proven`, facts: await work[name]() });
    } catch (error) {
      if (error === null) {
        report.steps.push({ name, state: "skipped", code: "skipped", facts: {} });
      } else if (error instanceof Finding) {
        report.outcome = error.outcome;
        report.steps.push({ name, state: /** @type {any} */ (error.outcome), code: error.code, facts: error.facts });
      } else {
        throw error;
      }
    }
  }
  if (report.outcome !== "proven") return report;
  return Object.assign(report, {
    fields: content.fields, view: content.view, index: receipt.index, checkpoint: receipt.checkpoint, cosigned, leaf,
  });
}

/**
 * Whether a proven receipt follows directly on the proven receipt before it in the same account's chain.
 *
 * @param {Report} before
 * @param {Report} report
 * @returns {Step}
 */
export function checkChain(before, report) {
  const [a, b] = [before.view, report.view];
  /** @param {"proven"|"refuted"|"unreadable"} state @param {string} code @param {Record<string, string>} facts @returns {Step} */
  const step = (state, code, facts = {}) => ({ name: "chain", state, code, facts });
  if (before.outcome !== "proven" || report.outcome !== "proven" || !a || !b) return step("unreadable", "chain.not_proven");
  if (before.checkpoint?.origin !== report.checkpoint?.origin) return step("unreadable", "chain.other_log");
  if (a.seq === undefined || b.seq === undefined) return step("unreadable", "chain.no_sequence");
  if (a.account !== b.account) return step("unreadable", "chain.other_account");
  if (b.seq <= a.seq) return step("unreadable", "chain.order", { before: String(a.seq), seq: String(b.seq) });
  if (b.seq > a.seq + 1n) return step("unreadable", "chain.gap", { missing: String(/** @type {bigint} */ (b.seq) - a.seq - 1n) });
  if (b.prev !== hex(/** @type {Uint8Array} */ (before.leaf))) return step("refuted", "chain.fork", { seq: String(b.seq) });
  if (a.balance === undefined || b.balance === undefined) return step("proven", "chain.sequence", { seq: String(b.seq) });
  const amount = /** @type {bigint} */ (b.amount);
  const moved = b.event === 0 || b.event === 2 ? (b.direction ? amount : -amount) + b.fee : 0n;
  if (b.balance !== a.balance + moved) {
    return step("refuted", "chain.balance", { expected: String(a.balance + moved), balance: String(b.balance) });
  }
  return step("proven", "chain.proven", { seq: String(b.seq), before: String(a.balance), balance: String(b.balance) });
}

// The receipt

/** @param {string} text @returns {Receipt} */
export function readReceipt(text) {
  if (text.length > RECEIPT_SIZE_MAX) throw new Finding("unreadable", "receipt.long");
  const end = text.indexOf("\n\n");
  const lines = end < 0 ? [] : text.slice(0, end).split("\n");
  if (lines.shift() !== HEADER) throw new Finding("unreadable", "receipt.header");
  const extra = /^extra (.+)$/.exec(lines.shift() ?? "");
  if (!extra) throw new Finding("unreadable", "receipt.no_opening");
  const index = /^index (0|[1-9][0-9]{0,19})$/.exec(lines.shift() ?? "");
  if (!index || BigInt(index[1]) > U64_MAX) throw new Finding("unreadable", "receipt.index");
  const hashes = lines.map((line) => fromBase64(line, "receipt.hash"));
  return whole(readOpening(fromBase64(extra[1], "receipt.opening")), BigInt(index[1]), hashes, readNote(text.slice(end + 2)));
}

/**
 * The receipt in a QR code. Signers are named by the policy: a signature of nobody in it cannot be named, and is left out.
 *
 * @param {Uint8Array} data
 * @param {Policy} policy
 * @returns {Receipt}
 */
export function unpack(data, policy) {
  let at = 0;
  /** @param {number} size */
  const take = (size) => {
    if (at + size > data.length) throw new Finding("unreadable", "receipt.packed");
    at += size;
    return data.subarray(at - size, at);
  };
  const number = (/** @type {number} */ size) => take(size).reduce((value, byte) => value * 256n + BigInt(byte), 0n);
  if (number(1) !== 1n) throw new Finding("unreadable", "receipt.packed");
  const opening = readOpening(take(Number(number(2))));
  const [index, size, root] = [number(8), number(8), take(DIGEST)];
  const hashes = Array.from({ length: Number(number(1)) }, () => take(DIGEST));
  const origin = utf8(take(Number(number(2))));
  const logLine = { keyId: hex(take(4)), signature: take(64) };
  const others = Array.from({ length: Number(number(1)) }, () => ({ keyId: hex(take(4)), signature: take(8 + 64) }));
  if (at !== data.length) throw new Finding("unreadable", "receipt.packed");
  const text = `${origin}\n${size}\n${toBase64(root)}\n`;
  if (!/^[^\s\x00-\x1f+]+$/.test(origin)) throw new Finding("unreadable", "receipt.checkpoint");
  /** @type {Signature[]} */
  const signatures = [{ name: origin, ...logLine }];
  for (const line of others) {
    for (const key of policy.witnesses.values()) if (key.keyId === line.keyId) signatures.push({ name: key.name, ...line });
  }
  return whole(opening, index, hashes, { text, signatures });
}

/** @param {Opening} opening @param {bigint} index @param {Uint8Array[]} hashes @param {Note} note @returns {Receipt} */
function whole(opening, index, hashes, note) {
  if (hashes.length > HASHES_MAX || hashes.some((hash) => hash.length !== DIGEST)) throw new Finding("unreadable", "receipt.hash");
  return { opening, index, hashes, note, checkpoint: readCheckpoint(note.text) };
}

/** @param {Uint8Array} data @returns {Opening} */
function readOpening(data) {
  if (data.length < OPENING_SIZE_MIN || data[1] < 1 || data[1] > 4) throw new Finding("unreadable", "receipt.opening");
  const part = (/** @type {number} */ n) => data.subarray(2 + n * DIGEST, 2 + (n + 1) * DIGEST);
  return { type: data[0], role: data[1], salt: part(0), sibling: part(1), uncle: part(2), payload: data.subarray(OPENING_SIZE_MIN) };
}

// Signed notes and checkpoints

/** @param {string} data @returns {Note} */
export function readNote(data) {
  const wrong = () => new Finding("unreadable", "receipt.note");
  const split = data.lastIndexOf("\n\n");
  if (split < 0 || !data.endsWith("\n") || /[\x00-\x09\x0b-\x1f\ufffd]/.test(data)) throw wrong();
  const lines = data.slice(split + 2, -1).split("\n");
  if (lines.length > SIGNATURES_MAX) throw wrong();
  const signatures = lines.map((line) => {
    const parts = /^\u2014 ([^\s\x85+]+) (\S+)$/.exec(line);
    if (!parts) throw wrong();
    const bytes = fromBase64(parts[2], "receipt.note");
    if (bytes.length < 5) throw wrong();
    return { name: parts[1], keyId: hex(bytes.subarray(0, 4)), signature: bytes.subarray(4) };
  });
  return { text: data.slice(0, split + 1), signatures };
}

/** @param {string} text @returns {Checkpoint} */
export function readCheckpoint(text) {
  const lines = /^([^\n]+)\n(0|[1-9][0-9]{0,19})\n([^\n]+)\n$/.exec(text);
  if (!lines || BigInt(lines[2]) > U64_MAX) throw new Finding("unreadable", "receipt.checkpoint");
  const root = fromBase64(lines[3], "receipt.checkpoint");
  if (root.length !== DIGEST) throw new Finding("unreadable", "receipt.checkpoint");
  return { origin: lines[1], size: BigInt(lines[2]), root };
}

/** @param {Receipt} receipt @param {Policy} policy */
async function checkLog({ note, checkpoint }, policy) {
  const origin = checkpoint.origin;
  const keys = policy.logs.filter((key) => key.name === origin);
  if (!keys.length) throw new Finding("refuted", "log.unknown", { origin });
  let signed = false;
  for (const { name, keyId, signature } of note.signatures) {
    const key = keys.find((known) => known.name === name && known.keyId === keyId);
    if (!key) continue;
    if (!(await verifies(key.key, signature, encode(note.text)))) throw new Finding("refuted", "log.signature", { origin });
    signed = true;
  }
  if (!signed) throw new Finding("refuted", "log.unsigned", { origin });
}

/**
 * Who of the policy cosigned and when (seconds since 1970), at least its quorum. The meaning of a cosignature: "at that time
 * this was the largest tree I had seen, and it continues all that I had seen before".
 *
 * @param {Note} note
 * @param {Policy} policy
 */
async function checkWitnesses(note, policy) {
  /** @type {Map<string, bigint>} */
  const times = new Map();
  for (const { name, keyId, signature } of note.signatures) {
    const witness = [...policy.witnesses].find(([, key]) => key.name === name && key.keyId === keyId);
    if (!witness) continue;
    const time = signature.length === 72 ? new DataView(signature.buffer, signature.byteOffset).getBigUint64(0) : 0n;
    const message = encode(`cosignature/v1\ntime ${time}\n${note.text}`);
    if (signature.length !== 72 || time >> 63n || !(await verifies(witness[1].key, signature.subarray(8), message))) {
      throw new Finding("refuted", "witnesses.signature", { name });
    }
    if (!times.has(witness[0])) times.set(witness[0], time);
  }
  if (!reached(policy.quorum, policy, new Set(times.keys()))) {
    const group = policy.groups.get(policy.quorum);
    throw new Finding("refuted", "witnesses.few", { count: String(times.size), needed: String(group ? group.threshold : 1) });
  }
  return [...times].map(([witness, time]) => ({ name: /** @type {VerifierKey} */ (policy.witnesses.get(witness)).name, time }));
}

/** @param {string} name @param {Policy} policy @param {Set<string>} cosigned @returns {boolean} */
export function reached(name, policy, cosigned) {
  if (name === "none") return true;
  const group = policy.groups.get(name);
  return group ? group.members.filter((member) => reached(member, policy, cosigned)).length >= group.threshold : cosigned.has(name);
}

// Policy

/** @param {string} text @returns {Promise<Policy>} */
export async function readPolicy(text) {
  /** @type {Policy} */
  const policy = { logs: [], witnesses: new Map(), groups: new Map(), members: new Set(), quorum: "" };
  if (text.length > POLICY_SIZE_MAX || /[\x00-\x08\x0b-\x1f\x7f]/.test(text)) throw new Finding("unreadable", "policy.form");
  for (const [number, line] of text.split("\n").entries()) {
    const words = line.split(/[ \t]+/).filter(Boolean);
    if (!words.length || words[0].startsWith("#")) continue;
    if (!(await readPolicyLine(policy, words))) throw new Finding("unreadable", "policy.line", { line: String(number + 1) });
  }
  if (!policy.quorum) throw new Finding("unreadable", "policy.no_quorum");
  return policy;
}

/** @param {Policy} policy @param {string[]} words @returns {Promise<boolean>} whether the line is in the form */
async function readPolicyLine(policy, [keyword, ...words]) {
  const isNew = (/** @type {string} */ name) => !["none", "all", "any"].includes(name) && !policy.witnesses.has(name) && !policy.groups.has(name);
  if (keyword === "log" && (words.length === 1 || words.length === 2)) {
    const key = await readKey(words[0], LOG_KEY, words[1] ?? "");
    if (!key || policy.logs.some((other) => isSame(other, key))) return false;
    policy.logs.push(key);
    return true;
  }
  if (keyword === "witness" && (words.length === 2 || words.length === 3)) {
    const key = await readKey(words[1], COSIGNATURE_KEY, words[2] ?? "");
    if (!key || !isNew(words[0]) || [...policy.witnesses.values()].some((other) => isSame(other, key))) return false;
    policy.witnesses.set(words[0], key);
    return true;
  }
  if (keyword === "group" && words.length >= 3) {
    const [name, count, ...members] = words;
    const known = (/** @type {string} */ member) => policy.witnesses.has(member) || policy.groups.has(member);
    const taken = (/** @type {string} */ member) => !known(member) || policy.members.has(member);
    if (!isNew(name) || members.some(taken) || new Set(members).size !== members.length) return false;
    const numbers = { any: 1, all: members.length };
    const threshold = count === "any" || count === "all" ? numbers[count] : /^[1-9][0-9]{0,3}$/.test(count) ? Number(count) : 0;
    if (threshold < 1 || threshold > members.length) return false;
    members.forEach((member) => policy.members.add(member));
    policy.groups.set(name, { threshold, members });
    return true;
  }
  if (keyword === "quorum" && words.length === 1 && !policy.quorum && (words[0] === "none" || policy.witnesses.has(words[0]) || policy.groups.has(words[0]))) {
    policy.quorum = words[0];
    return true;
  }
  return false;
}

/** @param {VerifierKey} a @param {VerifierKey} b @returns {boolean} whether they are one key, or cannot be told apart in a note */
const isSame = (a, b) => hex(a.key) === hex(b.key) || (a.name === b.name && a.keyId === b.keyId);

/** @param {string} text a vkey @param {number} algorithm @param {string} url @returns {Promise<VerifierKey|null>} null when it is not one */
export async function readKey(text, algorithm, url = "") {
  const parts = /^([^\s\x85+]+)\+([0-9a-f]{8})\+([A-Za-z0-9+/]+=*)$/.exec(text);
  if (!parts) return null;
  let data;
  try {
    data = fromBase64(parts[3], "policy.line");
  } catch {
    return null;
  }
  const key = data.subarray(1);
  const keyId = hex((await sha256(encode(`${parts[1]}\n`), data)).subarray(0, 4));
  if (data[0] !== algorithm || data.length !== 33 || keyId !== parts[2] || isSmall(key)) return null;
  return { name: parts[1], keyId, algorithm, key, url };
}

// Hashes and the tree

/** @param {Opening} opening @returns {Promise<Uint8Array>} hash of the log entry that this opens. Source: docs/reference/log.md */
export async function leafHash({ type, role, salt, sibling, uncle, payload }) {
  const view = await sha256(encode("counterfoil/view/v1"), Uint8Array.of(role), salt, payload);
  const own = await sha256(Uint8Array.of(0), view);
  const inner = role % 2 ? await nodeHash(own, sibling) : await nodeHash(sibling, own);
  const commitment = role <= 2 ? await nodeHash(inner, uncle) : await nodeHash(uncle, inner);
  return sha256(Uint8Array.of(0, 1, type), commitment);
}

/** @param {Receipt} receipt @param {Uint8Array} leaf */
async function checkInclusion({ index, hashes, checkpoint }, leaf) {
  const facts = { index: String(index), size: String(checkpoint.size) };
  if (index >= checkpoint.size) throw new Finding("refuted", "inclusion.beyond", facts);
  const root = await rootFrom(index, checkpoint.size, leaf, hashes);
  if (root === null || hex(root) !== hex(checkpoint.root)) throw new Finding("refuted", "inclusion.root", facts);
}

/**
 * The root that an inclusion proof leads to; null when the proof has too few or too many hashes. Source: RFC 9162 §2.1.3.2.
 *
 * @param {bigint} index
 * @param {bigint} size
 * @param {Uint8Array} leaf
 * @param {Uint8Array[]} proof
 */
export async function rootFrom(index, size, leaf, proof) {
  if (index >= size) return null;
  let [node, last, hash] = [index, size - 1n, leaf];
  for (const sibling of proof) {
    if (last === 0n) return null;
    if (node & 1n || node === last) {
      hash = await nodeHash(sibling, hash);
      while (!(node & 1n) && node !== 0n) [node, last] = [node >> 1n, last >> 1n];
    } else {
      hash = await nodeHash(hash, sibling);
    }
    [node, last] = [node >> 1n, last >> 1n];
  }
  return last === 0n ? hash : null;
}

/** @param {Uint8Array} left @param {Uint8Array} right */
const nodeHash = (left, right) => sha256(Uint8Array.of(1), left, right);

/** @param {...Uint8Array} parts @returns {Promise<Uint8Array>} */
async function sha256(...parts) {
  const data = new Uint8Array(parts.reduce((size, part) => size + part.length, 0));
  let at = 0;
  for (const part of parts) {
    data.set(part, at);
    at += part.length;
  }
  return new Uint8Array(await subtle().digest("SHA-256", data));
}

/** @returns {SubtleCrypto} */
function subtle() {
  if (!globalThis.crypto?.subtle) throw new Finding("unsupported", "unsupported");
  return globalThis.crypto.subtle;
}

/**
 * Whether `signature` is by `key`. Keys of small order sign anything, and are refused here as in every other place.
 *
 * @param {Uint8Array} key
 * @param {Uint8Array} signature
 * @param {Uint8Array} message
 */
export async function verifies(key, signature, message) {
  if (signature.length !== 64 || isSmall(key) || isSmall(signature.subarray(0, 32))) return false;
  subtle();
  try {
    return await verify(key, signature, message);
  } catch {
    throw new Finding("unsupported", "unsupported"); // it has no Ed25519, and what stands in for it could not be fetched
  }
}

/** Encodings (y, without the sign bit) of the points of small order. Source: libsodium, ge25519_has_small_order. */
const SMALL = new Set([
  "0000000000000000000000000000000000000000000000000000000000000000",
  "0100000000000000000000000000000000000000000000000000000000000000",
  "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
  "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
  "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
  "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
  "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
]);

/** @param {Uint8Array} point */
function isSmall(point) {
  const y = point.slice();
  y[31] &= 0x7f;
  return SMALL.has(hex(y));
}

// Texts and bytes, one way each

/** @param {string} text */
const encode = (text) => new TextEncoder().encode(text);

/** @param {Uint8Array} data @returns {string} */
export function utf8(data) {
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(data);
  } catch {
    throw new Finding("unreadable", "receipt.utf8");
  }
}

/** @param {Uint8Array} data */
export const hex = (data) => Array.from(data, (byte) => byte.toString(16).padStart(2, "0")).join("");

/** @param {Uint8Array} data */
const toBase64 = (data) => btoa(String.fromCharCode(...data));

/** @param {string} text standard base64, padded, no loose bits @param {string} code of the finding @returns {Uint8Array} */
export function fromBase64(text, code) {
  try {
    const data = Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
    if (toBase64(data) === text) return data;
  } catch {
    // falls through
  }
  throw new Finding("unreadable", code);
}

/** @param {string} text @returns {Uint8Array} Source: RFC 9285 */
export function fromBase45(text) {
  if (text.length > RECEIPT_SIZE_MAX) throw new Finding("unreadable", "receipt.long");
  /** @type {number[]} */
  const bytes = [];
  for (let at = 0; at < text.length; at += 3) {
    const digits = [...text.slice(at, at + 3)].map((character) => BASE45.indexOf(character));
    const value = digits.reduce((sum, digit, place) => sum + digit * 45 ** place, 0);
    const wide = digits.length === 3;
    if (digits.length === 1 || digits.includes(-1) || value > (wide ? 0xffff : 0xff)) throw new Finding("unreadable", "receipt.packed");
    if (wide) bytes.push(value >> 8);
    bytes.push(value & 0xff);
  }
  return Uint8Array.from(bytes);
}
