// @ts-check
/** What must be said before anything else: what stands in the way, and what somebody may be doing to the account. */

import { html } from "/static/phone/view.js";
import { formatMoment, t } from "/static/phone/words.js";
import { ms } from "../frame.js";
import { frozenText, troubleText } from "../problems.js";

/** Where the holder can do something about it, and what. @param {string} code of `troubleText` */
function wayOut(code) {
  const ways = /** @type {Record<string, [string, string]>} */ ({
    policy_changed: ["#/about/witnesses", t("Look at it")],
    unknown_device: ["#/security/leave", t("Take the account off this phone")],
    party_closed: ["#/security/leave", t("Take the account off this phone")],
  });
  const [path, label] = ways[code] ?? [];
  return path ? html`<p><a class="button button-quiet" href=${path}>${label}</a></p>` : null;
}

/** @param {{wallet: import("../wallet.js").Wallet}} props */
export const Alarms = ({ wallet }) => {
  const { account } = wallet;
  const recovery = account?.recovery?.state === "waiting" ? account.recovery : null;
  const troubles = new Set([wallet.problem, ...wallet.alarms.map(({ code }) => code)].filter((code) => code !== null));
  return html`<div role="status">
    ${[...troubles].map((code) => html`<div class="notice notice-bad">${troubleText(code)}${wayOut(code)}</div>`)}
    ${recovery
      ? html`<div class="notice notice-bad"><strong>${t("Somebody asked for a new key to your account")}</strong>
        <p>${t("If it was not you, stop it before %(time)s.", { time: formatMoment(ms(recovery.effective_at), "both") })}</p>
        <p><a class="button button-danger" href="#/devices">${t("Look at it")}</a></p></div>`
      : null}
    ${(account?.freezes ?? []).map((/** @type {any} */ freeze) => html`<div class="notice notice-wait"><strong>${freeze.own ? t("Locked") : t("Frozen")}</strong>
      <p>${frozenText(freeze, wallet)}</p>
      ${freeze.own ? html`<p><a class="button button-quiet" href="#/security">${t("Unlock")}</a></p>` : null}</div>`)}
  </div>`;
};
