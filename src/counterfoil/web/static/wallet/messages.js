// @ts-check
/** Messages with one other account: kept on the phone as they were last seen, sent with an id of their own. */

import { newId } from "/static/phone/bytes.js";
import { Unreachable } from "/static/phone/api.js";

/** @typedef {import("./wallet.js").Wallet} Wallet @typedef {import("./wallet.js").View} View */

const KEPT = 100;

/** @param {Wallet} wallet @param {string} account @param {string|null} cursor @returns {Promise<View>} {name, messages, blocked, scheme, next} */
export async function thread(wallet, account, cursor) {
  const known = wallet.threads.find((each) => each.account === account);
  try {
    const page = await wallet.call("GET", `/v1/threads/${account}`, { query: { limit: KEPT, cursor } });
    if (cursor) return page;
    const { messages } = page;
    await wallet.database.put("messages", account, messages);
    const mine = wallet.identity?.account;
    if (messages.some((/** @type {View} */ message) => message.from !== mine && !message.read)) {
      await wallet.call("POST", `/v1/threads/${account}/read`).catch(() => {});
      await wallet.remember({ threads: wallet.threads.map((each) => (each.account === account ? { ...each, unread: 0 } : each)) });
    }
    return page;
  } catch (error) {
    if (cursor || !(error instanceof Unreachable)) throw error;
    const messages = (await wallet.database.get("messages", account)) ?? [];
    return { account, name: known?.name ?? "", messages, blocked: known?.blocked ?? false, scheme: known?.scheme ?? false, next: null };
  }
}

/** What was not answered: the same text to the same account is sent with the same id again. @type {Map<string, string>} */
const unanswered = new Map();

/** @param {Wallet} wallet @param {string} account @param {string} text @returns {Promise<View>} */
export async function send(wallet, account, text) {
  const what = `${account} ${text}`;
  const id = unanswered.get(what) ?? newId(wallet.api.now());
  unanswered.set(what, id);
  try {
    const message = await wallet.call("POST", "/v1/messages", { body: { id, to: account, text } });
    unanswered.delete(what);
    const before = (await wallet.database.get("messages", account)) ?? [];
    await wallet.database.put("messages", account, [message, ...before.filter((/** @type {View} */ each) => each.id !== id)].slice(0, KEPT));
    void wallet.refresh();
    return message;
  } catch (error) {
    if (!(error instanceof Unreachable)) unanswered.delete(what);
    throw error;
  }
}
