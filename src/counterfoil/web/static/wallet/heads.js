// @ts-check
/** The newest head of the log that this phone has seen proven: every other head must continue it, or be continued by it. */

import { base64url, fromBase64url, hex, joined, sha256 } from "/static/phone/bytes.js";
import { Refusal, Unreachable } from "/static/phone/api.js";
import { Finding, readCheckpoint, readNote } from "/static/proof/verify.js";

/** @typedef {import("./wallet.js").Wallet} Wallet @typedef {import("/static/phone/bytes.js").Bytes} Bytes */
/** @typedef {(begin: number, end: number) => Promise<Uint8Array>} Roots root of the entries from begin up to end */

const WIDTH = 256;
const HASH = 32;

/**
 * Remembers a head that a receipt has proven, once the log is shown to have grown from the one seen before.
 *
 * @param {Wallet} wallet
 * @param {{size: bigint, root: Uint8Array}} found
 * @returns {Promise<"seen"|"forked"|"unknown">} forked: an alarm that stays; unknown: the log's files could not be had
 */
export async function see(wallet, found) {
  const seen = (await wallet.database.get("self", "head")) ?? null; // another tab may have seen more
  const head = { size: found.size, root: base64url(found.root), at: wallet.api.now() };
  if (seen) {
    const before = { size: seen.size, root: fromBase64url(seen.root) };
    const [old, young] = before.size <= found.size ? [before, found] : [found, before];
    try {
      if (!(await continues(wallet, old, young))) {
        await wallet.alarm("log_forked", { size: String(found.size), seen: String(seen.size), root: head.root, seen_root: seen.root });
        return "forked";
      }
    } catch (error) {
      if (error instanceof Unreachable || error instanceof Refusal || error instanceof Finding) return "unknown";
      throw error;
    }
  }
  if (!seen || found.size > seen.size) await wallet.remember({ head });
  return "seen";
}

/** @param {Wallet} wallet @param {{size: bigint, root: Uint8Array}} old @param {{size: bigint, root: Uint8Array}} young */
async function continues(wallet, old, young) {
  if (old.size === young.size) return hex(old.root) === hex(young.root);
  const newest = await text(wallet, "checkpoint");
  const within = Math.max(Number(readCheckpoint(readNote(newest).text).size), Number(young.size));
  const proof = await consistencyProof(Number(old.size), Number(young.size), roots(wallet, within));
  return isConsistent(Number(old.size), Number(young.size), proof, old.root, young.root);
}

/** @param {Wallet} wallet @param {string} path @returns {Promise<string>} */
const text = (wallet, path) => wallet.call("GET", `/log/${path}`, { sign: false, accept: "text/plain" });

// The tree in static files. Source: C2SP tlog-tiles v1

/** @param {Wallet} wallet @param {number} within entries of the tree whose files are there @returns {Roots} */
function roots(wallet, within) {
  /** @type {Map<string, Promise<Uint8Array>>} */
  const tiles = new Map();
  /** @param {number} level @param {number} index */
  const tile = (level, index) => {
    const name = `${level}/${index}`;
    const known = tiles.get(name) ?? read(wallet, level, index, within);
    tiles.set(name, known);
    return known;
  };
  /** @type {Roots} */
  const root = async (begin, end) => {
    const size = end - begin;
    const half = split(size);
    if (half * 2 !== size && size > 1) return node(await root(begin, begin + half), await root(begin + half, end));
    const height = Math.round(Math.log2(size));
    const level = Math.floor(height / 8);
    const width = 2 ** (height - 8 * level);
    const first = (begin / size) * width;
    const data = await tile(level, Math.floor(first / WIDTH));
    const at = (first % WIDTH) * HASH;
    if (data.length < at + width * HASH) throw new Unreachable("a file of the log is cut short");
    return fold(data.subarray(at, at + width * HASH));
  };
  return root;
}

/** @param {Uint8Array} data hashes, a power of two of them @returns {Promise<Uint8Array>} */
async function fold(data) {
  let hashes = Array.from({ length: data.length / HASH }, (_, at) => data.subarray(at * HASH, (at + 1) * HASH));
  while (hashes.length > 1) {
    const pairs = Array.from({ length: hashes.length / 2 }, (_, at) => node(hashes[2 * at], hashes[2 * at + 1]));
    hashes = await Promise.all(pairs);
  }
  return hashes[0];
}

/** @param {Wallet} wallet @param {number} level @param {number} index @param {number} within @returns {Promise<Uint8Array>} */
async function read(wallet, level, index, within) {
  const width = Math.max(0, Math.min(WIDTH, Math.floor(within / WIDTH ** level) - index * WIDTH));
  let path = String(index % 1000).padStart(3, "0");
  for (let rest = Math.floor(index / 1000); rest; rest = Math.floor(rest / 1000)) path = `x${String(rest % 1000).padStart(3, "0")}/${path}`;
  const full = `/log/tile/${level}/${path}`;
  const options = { sign: false, accept: "application/octet-stream" };
  try {
    const blob = await wallet.call("GET", width < WIDTH ? `${full}.p/${width}` : full, options);
    return new Uint8Array(await blob.arrayBuffer());
  } catch (error) {
    if (!(error instanceof Refusal) || width === WIDTH) throw error;
    return new Uint8Array(await (await wallet.call("GET", full, options)).arrayBuffer()); // it has grown full meanwhile
  }
}

/** @param {Uint8Array} left @param {Uint8Array} right @returns {Promise<Uint8Array>} */
const node = (left, right) => sha256(joined(Uint8Array.of(1), left, right));

/** @param {number} size @returns {number} the largest power of two below it; 1 for 1 */
function split(size) {
  let half = 1;
  while (half * 2 < size) half *= 2;
  return half;
}

/** @param {number} old @param {number} young @param {Roots} root @returns {Promise<Uint8Array[]>} Source: RFC 6962 §2.1.2 */
export async function consistencyProof(old, young, root) {
  const proof = [];
  let [begin, end] = [0, young];
  while (old < end) {
    const middle = begin + split(end - begin);
    if (old <= middle) {
      proof.push(await root(middle, end));
      end = middle;
    } else {
      proof.push(await root(begin, middle));
      begin = middle;
    }
  }
  if (begin) proof.push(await root(begin, end));
  return proof.reverse();
}

/**
 * Whether `proof` shows that the tree of `young` entries only adds to the one of `old`. Source: RFC 9162 §2.1.4.2
 *
 * @param {number} old @param {number} young @param {Uint8Array[]} proof @param {Uint8Array} oldRoot @param {Uint8Array} youngRoot
 */
export async function isConsistent(old, young, proof, oldRoot, youngRoot) {
  if (old === 0) return proof.length === 0;
  if (old === young) return proof.length === 0 && hex(oldRoot) === hex(youngRoot);
  let [here, last] = [BigInt(old - 1), BigInt(young - 1)];
  while (here & 1n) [here, last] = [here >> 1n, last >> 1n];
  const nodes = [...proof];
  // A tree of a power of two is a subtree of the new one, and its root needs no repetition.
  const first = Number.isInteger(Math.log2(old)) ? oldRoot : nodes.shift();
  if (!first || !proof.length) return false;
  let [oldNode, youngNode] = [first, first];
  for (const sibling of nodes) {
    if (last === 0n) return false;
    if (here & 1n || here === last) {
      [oldNode, youngNode] = [await node(sibling, oldNode), await node(sibling, youngNode)];
      while (here && !(here & 1n)) [here, last] = [here >> 1n, last >> 1n];
    } else {
      youngNode = await node(youngNode, sibling);
    }
    [here, last] = [here >> 1n, last >> 1n];
  }
  return last === 0n && hex(oldNode) === hex(oldRoot) && hex(youngNode) === hex(youngRoot);
}
