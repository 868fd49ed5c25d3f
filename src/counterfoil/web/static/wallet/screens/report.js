// @ts-check
/** Reporting a message to the scheme's staff: the flag beside it, and the few questions that follow. */

import { newId } from "/static/phone/bytes.js";
import { html } from "/static/phone/view.js";
import { t } from "/static/phone/words.js";
import { Form } from "../frame.js";

/** @typedef {import("../wallet.js").Wallet} Wallet */

/** What was not answered: the same message is reported with the same id again. @type {Map<string, string>} */
const unanswered = new Map();

/** A flag beside a message. @param {{onClick: () => void, open: boolean}} props */
export const Flag = ({ onClick, open }) => html`<button type="button" class="talk-flag" aria-expanded=${String(open)} aria-label=${t("Report this message")} onClick=${onClick}>
  <svg class="icon" viewBox="0 0 24 24" aria-hidden="true" focusable="false"><path d="M6 21V4h11l-2 4 2 4H6" /></svg></button>`;

/**
 * Why, and a note; `onDone` once the staff has it.
 *
 * @param {{wallet: Wallet, message: string, onDone: () => void}} props
 */
export const Report = ({ wallet, message, onDone }) => {
  const reasons = [["fraud", t("Fraud: wants money, a PIN or a code")], ["threat", t("Threat or insult")], ["spam", t("Unwanted advertising")], ["other", t("Another reason")]];
  const act = async (/** @type {Record<string, string>} */ { reason, note }) => {
    if (!reason) throw t("Choose a reason.");
    const id = unanswered.get(message) ?? newId(wallet.api.now());
    unanswered.set(message, id);
    await wallet.call("POST", `/v1/messages/${message}/report`, { body: { id, reason, note } });
    unanswered.delete(message);
    onDone();
  };
  return html`<${Form} wallet=${wallet} label=${t("Send the report")} act=${act}>
    <fieldset class="reasons"><legend>${t("Why do you report this message?")}</legend>
      ${reasons.map(([value, label]) => html`<label><input type="radio" name="reason" value=${value} /> ${label}</label>`)}</fieldset>
    <div class="field"><label for="f-note">${t("More about it (optional)")}</label><textarea id="f-note" name="note" rows="2" maxlength="300" /></div>
    <p class="small soft">${t("The scheme’s staff gets a copy of this message. Its sender is not told who reported it.")}</p>
  </${Form}>`;
};
