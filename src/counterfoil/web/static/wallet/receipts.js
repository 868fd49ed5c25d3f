// @ts-check
/**
 * Receipts on the phone: the operator's word at once, the log's proof when the witnesses have cosigned, and the check of both.
 *
 * Nothing here trusts the server: its word is verified with the key that the wallet has known from the first day, the proof
 * with the policy that it has kept. Where the two contradict each other, or heads of the log do, that is an alarm that stays.
 *
 * @typedef {import("./wallet.js").Wallet} Wallet
 * @typedef {import("./wallet.js").View} View
 * @typedef {import("/static/proof/verify.js").Report} Report
 * @typedef {{outcome: Report["outcome"], code: string, at: number}} Verdict `code`: of the step that failed, or "proven"
 * @typedef {{receipt: View|null, proof: string|null, qr: string|null, state: "waiting"|"logged"|"witnessed", verdict: Verdict|null,
 *            acknowledged: boolean, late: boolean, at: number}} Kept `late`: the log should have had it long ago
 */

import { base64, fromBase64url, hex, joined, sha256, utf8 } from "/static/phone/bytes.js";
import { Refusal, Unreachable } from "/static/phone/api.js";
import { Finding, STEPS, check, readPolicy } from "/static/proof/verify.js";
import { checkReceipt as checkWord } from "./acknowledgement.js";
import { see } from "./heads.js";
import { calm } from "./sync.js";

const FETCHED_MAX = 20;
const PAUSES_MS = [4_000, 4_000, 8_000, 15_000, 30_000, 60_000];
const LATE_MARGIN_MS = 60_000;

/** @type {WeakMap<Wallet, {timer: ReturnType<typeof setTimeout>|undefined, tries: number}>} */
const waiting = new WeakMap();

/** @param {Wallet} wallet @param {string} payment @returns {Promise<Kept>} what is kept, however little; throws nothing but StorageError */
async function kept(wallet, payment) {
  const found = await wallet.database.get("receipts", payment);
  return { receipt: null, proof: null, qr: null, state: "waiting", verdict: null, acknowledged: false, late: false, at: 0, ...found };
}

/** @param {Wallet} wallet @param {string} payment @returns {Promise<Kept & {acknowledgement: View|null}>} throws what the server says when nothing is kept */
export async function receipt(wallet, payment) {
  let found = await kept(wallet, payment);
  if (!found.receipt || !found.proof) {
    try {
      found = await fetchReceipt(wallet, payment);
    } catch (error) {
      if (!found.receipt || !(error instanceof Unreachable || error instanceof Refusal)) throw error;
    }
  }
  return { ...found, acknowledgement: found.receipt?.acknowledgement ?? null };
}

/**
 * Fetches what is missing of a receipt, checks it, and keeps it.
 *
 * @param {Wallet} wallet
 * @param {string} payment
 * @returns {Promise<Kept>} throws Refusal, Unreachable
 */
export async function fetchReceipt(wallet, payment) {
  const before = await kept(wallet, payment);
  let found = { ...before };
  if (!found.receipt) found = { ...found, receipt: await wallet.call("GET", `/v1/payments/${payment}`) };
  const word = await wordOf(wallet, payment, found);
  if (!word && !found.acknowledged) await wallet.alarm("acknowledgement_wrong", { payment });
  found.acknowledged = word !== null;
  if (!found.proof) {
    const { state, proof, qr } = await wallet.call("GET", `/v1/payments/${payment}/proof`);
    const dueMs = word ? Number(word.completedAt / 1_000_000n) + word.delayMaxS * 1000 : Infinity;
    found = { ...found, state, late: state === "waiting" && wallet.api.now() > dueMs + LATE_MARGIN_MS };
    if (proof) {
      const { report, fits } = await examine(wallet, payment, proof, found.receipt);
      const failed = report.steps.find((step) => step.state !== "proven");
      found.verdict = { outcome: fits ? report.outcome : "refuted", code: failed?.code ?? (fits ? "proven" : "receipt.contradicts"), at: wallet.api.now() };
      // What proves nothing is fetched again.
      if (report.outcome === "proven") Object.assign(found, { proof, qr });
    }
  }
  // Nothing new: most rounds, while the witnesses are at it. Another tab may have been quicker.
  if (JSON.stringify(found) === JSON.stringify(before)) return kept(wallet, payment);
  found.at = wallet.api.now();
  const { receipt: view, ...rest } = found;
  await wallet.transact(["receipts"], (use) => {
    const request = use("receipts").get(payment);
    request.onsuccess = () => {
      const there = request.result;
      // Another tab may have been quicker: a proof that is kept stays.
      const proven = there?.proof && !found.proof ? { proof: there.proof, qr: there.qr, state: there.state, verdict: there.verdict } : {};
      Object.assign(found, proven);
      use("receipts").put({ ...there, ...rest, ...proven, receipt: view }, payment);
    };
  });
  wallet.tell();
  return found;
}

/** The operator's word in a kept receipt of this payment, verified. @param {Wallet} wallet @param {string} payment @param {{receipt: View|null}} found */
async function wordOf(wallet, payment, { receipt: view }) {
  if (view?.id !== payment) return null;
  const { origin, operatorKey } = await wallet.terms();
  return checkWord(view, { origin, operatorKey, account: wallet.identity?.account ?? "" }, null);
}

/** The policy that this wallet trusts; without one, the operator's key alone. @param {Wallet} wallet @returns {Promise<string>} */
async function policyOf(wallet) {
  const { origin, operatorKey, policy } = await wallet.terms();
  if (policy) return policy;
  const key = joined(Uint8Array.of(1), fromBase64url(operatorKey));
  const id = hex((await sha256(joined(utf8(`${origin}\n`), key))).subarray(0, 4));
  return `log ${origin}+${id}+${base64(key)}\nquorum none\n`;
}

/**
 * Checks a proof by itself, against the pinned key, against the operator's word, and against the head seen before.
 *
 * @param {Wallet} wallet @param {string} payment @param {string} proof @param {View|null} view
 * @returns {Promise<{report: Report, fits: boolean}>} fits: it says of this payment what the operator has signed
 */
async function examine(wallet, payment, proof, view) {
  const policy = await policyOf(wallet);
  const report = await check(proof, policy);
  if (report.outcome !== "proven") return { report, fits: false };
  const fits = (await names(wallet, policy)) && (await agrees(wallet, payment, report, view));
  if (!fits) await wallet.alarm("receipt_contradicts", { payment });
  else if (report.checkpoint) await see(wallet, report.checkpoint);
  return { report, fits };
}

/** @param {Wallet} wallet @param {string} payment @param {Report} report @param {View|null} view */
async function agrees(wallet, payment, report, view) {
  const said = /** @type {Record<string, any>} */ (report.view);
  const plain = (/** @type {string} */ id) => id.replace(/-/g, "");
  if (said.payment !== plain(payment) || said.account !== plain(wallet.identity?.account ?? "")) return false;
  const word = view && (await wordOf(wallet, payment, { receipt: view }));
  if (!word) return true; // nothing to contradict it: the alarm about the word is another one
  return said.order_hash === word.orderHash && said.balance === word.balance && said.time === word.completedAt && said.amount === word.amount;
}

/**
 * Runs the whole check now, on this phone, from what is kept; what is missing is fetched first where there is a network.
 *
 * @param {Wallet} wallet
 * @param {string} payment
 * @returns {Promise<Report>} with two more steps: "acknowledgement" (the operator's word says the same) and "head" (the log
 *   has only grown since this phone saw it first). Without a proof: outcome "unreadable", first step "receipt.not_yet".
 */
export async function checkReceipt(wallet, payment) {
  const found = await receipt(wallet, payment);
  /** @type {(name: string, state: string, code: string) => any} */
  const step = (name, state, code) => ({ name, state, code, facts: {} });
  const said = found.acknowledgement && (await wordOf(wallet, payment, found)) ? "proven" : "refuted";
  if (!found.proof) {
    const skipped = STEPS.map((name) => step(name, name === "receipt" ? "unreadable" : "skipped", name === "receipt" ? "receipt.not_yet" : "skipped"));
    return /** @type {any} */ ({
      outcome: "unreadable", steps: [...skipped, step("acknowledgement", said, `acknowledgement.${said}`)], fields: null, index: null,
      checkpoint: null, cosigned: [], leaf: null, view: null,
    });
  }
  const { report, fits } = await examine(wallet, payment, found.proof, found.receipt);
  const proven = report.outcome === "proven";
  const forked = wallet.alarms.some(({ code }) => code === "log_forked");
  const word = !proven ? step("acknowledgement", "skipped", "skipped") : step("acknowledgement", fits ? said : "refuted", fits ? `acknowledgement.${said}` : "acknowledgement.contradicts");
  const head = !proven ? step("head", "skipped", "skipped") : step("head", forked ? "refuted" : "proven", forked ? "head.forked" : "head.proven");
  const outcome = proven && (word.state === "refuted" || forked) ? "refuted" : report.outcome;
  return { ...report, outcome, steps: [...report.steps, word, head] };
}

/** @param {Wallet} wallet @param {string} payment @returns {Promise<File|null>} */
export async function receiptFile(wallet, payment) {
  const { proof } = await receipt(wallet, payment);
  return proof ? new File([proof], `${payment.replace(/-/g, "")}.tlog-proof`, { type: "text/plain" }) : null;
}

/**
 * Fetches what is missing of the newest payments' receipts, one after another, and comes back while the witnesses are at it.
 *
 * @param {Wallet} wallet
 */
export async function fetchProofs(wallet) {
  const state = waiting.get(wallet) ?? { timer: undefined, tries: 0 };
  waiting.set(wallet, state);
  clearTimeout(state.timer);
  const payments = [...new Set(wallet.entries.slice(0, 50).map(({ payment }) => payment).filter(Boolean))].slice(0, FETCHED_MAX);
  let missing = false;
  for (const payment of payments) {
    await calm(wallet);
    const found = await kept(wallet, payment);
    if (found.proof || found.verdict?.outcome === "refuted") continue;
    try {
      missing ||= !(await fetchReceipt(wallet, payment)).proof;
    } catch (error) {
      if (error instanceof Unreachable || !(error instanceof Refusal)) throw error;
    }
  }
  if (!missing) {
    state.tries = 0;
    return;
  }
  const pause = PAUSES_MS[Math.min(state.tries++, PAUSES_MS.length - 1)];
  state.timer = setTimeout(() => {
    if (document.visibilityState === "visible" && !wallet.stopped?.signal.aborted) fetchProofs(wallet).catch(() => {});
  }, pause);
}

/**
 * @typedef {{names: string[], keys: string[], needed: number|null, of: number, rule: string}} Trusted  witnesses, `name key` of
 *   each, and how many of how many must confirm: null where groups within groups say it; `rule` is the same for the same demand
 */

/** @param {string} policy @returns {Promise<Trusted>} */
async function trusted(policy) {
  const { witnesses, groups, quorum } = await readPolicy(policy);
  const group = groups.get(quorum);
  const plain = group?.members.every((member) => witnesses.has(member));
  const needed = quorum === "none" ? 0 : witnesses.has(quorum) ? 1 : group && plain ? group.threshold : null;
  const all = [...witnesses.values()];
  const keys = all.map(({ name, key }) => `${name} ${hex(key)}`);
  return { names: all.map(({ name }) => name), keys, needed, of: group?.members.length ?? 1, rule: JSON.stringify([quorum, [...groups]]) };
}

/**
 * @param {Wallet} wallet
 * @returns {Promise<{policy: string, before: Trusted, after: Trusted}>} policy: the text that the scheme publishes now. Throws
 *   Refusal, Unreachable; Finding for what is no policy of the log that this wallet knows
 */
export async function newPolicy(wallet) {
  const policy = await wallet.call("GET", "/log/policy", { sign: false, accept: "text/plain" });
  if (!(await names(wallet, policy))) throw new Finding("unreadable", "policy.other_log");
  return { policy, before: await trusted(await policyOf(wallet)), after: await trusted(policy) };
}

/** Whether a policy names the log with the key that this wallet has known from the first day. @param {Wallet} wallet @param {string} policy */
async function names(wallet, policy) {
  const { origin, operatorKey } = await wallet.terms();
  const { logs } = await readPolicy(policy);
  return logs.some(({ name, key }) => name === origin && hex(key) === hex(fromBase64url(operatorKey)));
}

/** @param {Wallet} wallet @param {string} policy exactly what the holder was asked about */
export async function acceptPolicy(wallet, policy) {
  if (!(await names(wallet, policy))) throw new Finding("unreadable", "policy.other_log");
  await wallet.remember({ scheme: { ...(await wallet.terms()), policy } });
  await wallet.database.delete("alarms", "policy_changed ");
  await wallet.reload();
  wallet.tell();
}
