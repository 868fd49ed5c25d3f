// @ts-check
/** Before a payment: whom an address means, what it costs, and requests. */

import { base64url, fromBase64url, newId } from "/static/phone/bytes.js";
import { verify } from "/static/phone/ed25519.js";
import { minor, read } from "/static/phone/emv.js";
import { Unreachable } from "/static/phone/api.js";
import { encodeRequest } from "./statements.js";
import { refreshScheme } from "./sync.js";

/** @typedef {import("./wallet.js").Wallet} Wallet @typedef {import("./wallet.js").View} View */

const REQUEST_LIFETIME_S = 24 * 3600;

/** @param {Wallet} wallet @param {string} address @returns {Promise<View>} throws Refusal party_not_found, Unreachable */
export async function resolve(wallet, address) {
  try {
    const found = await wallet.call("POST", "/v1/resolve", { body: { address } });
    const contacts = wallet.contacts.map((each) => (each.account === found.account ? { ...each, kind: found.kind, name: found.name } : each));
    await wallet.remember({ contacts });
    return { ...found, address, offline: false };
  } catch (error) {
    const contact = wallet.contacts.find((each) => each.address === address || each.account === address);
    if (!(error instanceof Unreachable) || !contact) throw error;
    return { ...contact, handle: null, merchant_code: null, address, offline: true };
  }
}

/** @param {Wallet} wallet @param {import("/static/phone/emv.js").Code} code @returns {Promise<boolean>} */
export async function checkCode(wallet, { scheme, signature, signed }) {
  const { mark, operatorKey } = await wallet.terms();
  return scheme === mark && signature !== null && verify(fromBase64url(operatorKey), signature, signed);
}

/** The code that was read last: one screen after the other asks for it. @type {{text: string, said: Promise<View>}|null} */
let last = null;

/** @param {Wallet} wallet @param {string} text @returns {Promise<View>} */
export function readCode(wallet, text) {
  if (last?.text !== text) {
    const code = (last = { text, said: readAnew(wallet, text) });
    code.said.catch(() => last === code && (last = null));
  }
  return last.said;
}

/** @param {Wallet} wallet @param {string} text @returns {Promise<View>} */
async function readAnew(wallet, text) {
  const code = read(text);
  const { mark, currency } = await wallet.terms();
  if (code.kind === "foreign") return code;
  if (code.scheme !== mark) return { kind: "foreign", scheme: `Counterfoil ${code.scheme}`, name: code.name, amount: code.amount };
  const amount = code.amount === null ? null : minor(code.amount, currency.digits);
  return { ...code, amount, signed: code.signature !== null, confirmed: await checkCode(wallet, code) };
}

/**
 * @typedef {{account: string, amount: number, kind?: string, reference?: string|null, payeeKind?: string|null}} Wish
 *   payeeKind: where it is known already
 */

/** @param {Wallet} wallet @param {Wish} wish @returns {Promise<View>} */
export async function quote(wallet, wish) {
  const { account, amount, kind = "pay", reference = null } = wish;
  try {
    const found = await wallet.call("GET", "/v1/quote", { query: { payee: account, amount, kind, reference } });
    // An order names the rules that its fee follows from: those which the phone keeps.
    if (wallet.scheme && wallet.scheme.rulesHash !== found.rules_hash) await refreshScheme(wallet);
    return { ...found, offline: false };
  } catch (error) {
    if (!(error instanceof Unreachable) || !wallet.scheme) throw error;
    return { ...quoteByTariff(wallet, wish).quote, offline: true };
  }
}

/**
 * The quote that needs no server: an order names the rules that the kept tariff is part of, and costs what they say or is
 * refused. Null where the phone does not know which line of the tariff it comes under.
 *
 * @param {Wallet} wallet @param {Wish} wish @returns {View|null}
 */
export function price(wallet, wish) {
  if (!wallet.scheme) return null;
  const { quote, sure } = quoteByTariff(wallet, wish);
  return sure ? { ...quote, offline: wallet.offline } : null;
}

/** @param {Wallet} wallet @param {Wish} wish @returns {{quote: View, sure: boolean}} */
function quoteByTariff(wallet, { account, amount, kind = "pay", reference = null, payeeKind }) {
  const scheme = /** @type {import("./wallet.js").Scheme} */ (wallet.scheme);
  const contact = wallet.contacts.find((each) => each.account === account);
  const hold = wallet.holds.find((each) => each.id === reference);
  const payer = wallet.identity?.kind ?? "customer";
  const service = kind === "refund" ? "refund" : (hold?.service ?? serviceOf(payer, payeeKind ?? contact?.kind ?? null));
  // Whoever is not known yet may be a person or a shop: the dearer of the two is what the holder agrees to at most.
  const fees = (service ? [service] : ["transfer", "purchase"]).map((each) => feeOf(scheme.tariff, each, amount));
  const { fee, paidBy } = fees.reduce((a, b) => (b.paidBy === "payer" && b.fee > (a.paidBy === "payer" ? a.fee : 0) ? b : a));
  const onTop = paidBy === "payer";
  const quote = {
    payee: account, payee_name: contact?.name ?? "", service, amount, fee, fee_paid_by: paidBy, total: onTop ? amount + fee : amount,
    received: onTop ? amount : amount - fee, rules_hash: scheme.rulesHash,
  };
  return { quote, sure: service !== null };
}

/** @param {string} payer @param {string|null} payee @returns {string|null} line of the tariff. As payments/terms.py */
function serviceOf(payer, payee) {
  if (payee === null) return payer === "customer" ? null : "disbursement";
  if (payee === "merchant") return "purchase";
  if (payer === "agent" && payee === "customer") return "cash_in";
  if (payer === "customer" && payee === "agent") return "cash_out";
  if (payer === "customer") return "transfer";
  return payee === "customer" ? "disbursement" : "internal";
}

/**
 * As payments/fees.py: fractions of a minor unit are dropped.
 *
 * @param {View[]} tariff @param {string} service @param {number} amount
 * @returns {{fee: number, paidBy: "payer"|"payee"}}
 */
export function feeOf(tariff, service, amount) {
  const line = tariff.find((each) => each.service === service);
  if (!line) return { fee: 0, paidBy: "payer" };
  const terms = line.bands.find((/** @type {View} */ band) => amount <= band.up_to) ?? line;
  const rate = Number((BigInt(amount) * BigInt(terms.rate_basis_points)) / 10_000n);
  const charge = Math.min(Math.max(terms.flat + rate, line.minimum), line.maximum ?? Infinity);
  const fee = line.paid_by === "payee" ? Math.min(charge, amount) : charge;
  return fee ? { fee, paidBy: line.paid_by } : { fee: 0, paidBy: "payer" };
}

const PURPOSES = { pay: 0, cash_in: 1, hold: 2 };

/**
 * @param {Wallet} wallet
 * @param {{payer?: string|null, amount?: number|null, memo?: string, cashIn?: boolean, purpose?: keyof typeof PURPOSES, lifetimeS?: number}} wish
 * @returns {Promise<View>}
 */
export async function ask(wallet, { payer = null, amount = null, memo = "", cashIn = false, purpose, lifetimeS = REQUEST_LIFETIME_S }) {
  const { identity, api } = wallet;
  const scheme = await wallet.terms();
  if (!identity || !api.sign) throw new RangeError("there is no account on this phone");
  const form = encodeRequest({
    origin: scheme.origin, asset: scheme.currency.code, payee: identity.account, payer, amount: amount ?? 0, id: newId(api.now()),
    expiryMs: Math.floor(api.now() + lifetimeS * 1000), purpose: PURPOSES[purpose ?? (cashIn ? "cash_in" : "pay")], memo,
  });
  const body = { order: base64url(form), device: identity.device, signature: base64url(await api.sign.sign(form)) };
  const request = await again(() => wallet.call("POST", "/v1/requests", { body, sign: false }));
  await wallet.remember({ requests: [request, ...wallet.requests.filter(({ id }) => id !== request.id)] });
  return request;
}

/** @param {Wallet} wallet @param {string} id @param {"decline"|"cancel"} how @returns {Promise<View>} */
export async function endRequest(wallet, id, how) {
  const ended = await again(() => wallet.call("POST", `/v1/requests/${id}/${how}`));
  await wallet.remember({ requests: wallet.requests.map((request) => (request.id === id ? { ...request, ...ended } : request)) });
  return ended;
}

/** Asks once more where the answer was lost: what is asked has its own id. @template T @param {() => Promise<T>} act @returns {Promise<T>} */
export async function again(act) {
  try {
    return await act();
  } catch (error) {
    if (!(error instanceof Unreachable) || navigator.onLine === false) throw error;
    return act();
  }
}
