// @ts-check
/**
 * What went wrong, and what to do, in the holder's words; loaded when something does.
 *
 * @typedef {import("./wallet.js").Wallet} Wallet
 */

import { Unreachable } from "/static/phone/api.js";
import { StorageError } from "/static/phone/database.js";
import { t } from "/static/phone/words.js";
import { money, when } from "./frame.js";

/**
 * What went wrong, and what to do, in the holder's words.
 *
 * @param {any} error a Refusal, Unreachable, StorageError, CodeError, or a text
 * @param {Wallet} wallet
 * @returns {string}
 */
export function problemText(error, wallet) {
  if (typeof error === "string") return error;
  const facts = error.facts ?? {};
  switch (error instanceof Unreachable ? "unreachable" : error instanceof StorageError ? `storage_${error.code}` : error.code) {
    case "unreachable":
      return t("The server cannot be reached. Nothing was changed; try again when there is a network.");
    case "wrong_pin":
      return facts.attempts_left
        ? t("The PIN is not right. Attempts left: %(count)s.", { count: String(facts.attempts_left) })
        : t("The PIN is not right, and it is locked now for a while.");
    case "pin_locked":
      return facts.locked_until
        ? t("The PIN is locked until %(time)s after too many wrong attempts.", { time: when(fromNs(facts.locked_until)) })
        : error.title;
    case "insufficient_funds":
      return t("There is not enough money in your account. Nothing was paid.");
    case "limit_exceeded":
      return t("This is above the limit of your account; %(left)s is left. Nothing was paid.", {
        left: money(wallet, facts.left ?? 0),
      });
    case "account_frozen":
      return frozenText(facts, wallet);
    case "request_too_old":
      return t("The clock of this phone is wrong. Set date and time to automatic, then try again.");
    case "storage_unavailable":
    case "storage_full":
      return troubleText(`storage_${error.code}`);
    case "malformed":
      return t("What was typed is not in the form that is needed.");
    case "party_not_found":
      return t("Nobody has an account under this number, name or code.");
    case "too_many":
      return facts.retry_after_s
        ? t("Too many attempts. Try again in %(minutes)s min.", { minutes: String(Math.ceil(facts.retry_after_s / 60)) })
        : error.title;
    default:
      return error.title ?? t("Something went wrong here. Nothing was lost; try again.");
  }
}

/**
 * What stands in the way of everything, by the engine's code for it.
 *
 * @param {string} code `wallet.problem`
 * @returns {string}
 */
export function troubleText(code) {
  switch (code) {
    case "storage_unavailable":
      return t("This browser keeps nothing here: a private window, perhaps. Open the wallet in an ordinary window.");
    case "storage_full":
      return t("The storage of this phone is full. Make room, then try again.");
    case "unknown_device":
      return t("This phone was removed from the account. It can no longer pay; use another device, or get the account back.");
    case "party_closed":
      return t("This account was closed.");
    case "clock_wrong":
      return t("The clock of this phone is wrong. Set date and time to automatic.");
    case "other_scheme":
      return t("This server says that it is another scheme than yours. Nothing is sent to it. Ask before you go on.");
    case "policy_changed":
      return t("The scheme names other witnesses than this phone knows. It trusts those that it knows until you agree to the others.");
    default:
      return t("Something does not fit what was signed before. Keep your receipts, and show this to an auditor: %(code)s", { code });
  }
}

/** Why nothing leaves an account, and until when. @param {any} freeze @param {Wallet} wallet @returns {string} */
export function frozenText(freeze, wallet) {
  if (freeze.own) return t("You have locked this wallet. Nothing can be paid from it until you unlock it with your PIN.");
  const until = freeze.expires_at;
  const end = until ? when(typeof until === "number" ? fromNs(until) : until) : "";
  const { name = "Counterfoil" } = wallet.scheme ?? {};
  return end
    ? t("%(scheme)s has frozen this account until %(time)s: %(reason)s. Your money is safe.", { scheme: name, time: end, reason: freeze.reason })
    : t("%(scheme)s has frozen this account: %(reason)s. Your money is safe. Ask them about it.", { scheme: name, reason: freeze.reason });
}

/** @param {number} moment ns or ms @returns {number} ms */
const fromNs = (moment) => (moment > 1e15 ? moment / 1e6 : moment);
