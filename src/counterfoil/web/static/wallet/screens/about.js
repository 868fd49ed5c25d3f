// @ts-check
/** Who runs this, by which keys and rules, and how far the public log is. */

import { html } from "/static/phone/view.js";
import { t } from "/static/phone/words.js";
import { Screen } from "../frame.js";
import { Witnesses } from "./witnesses.js";

/** @param {import("../frame.js").ScreenProps} props */
export default function About({ wallet, parts }) {
  const { scheme, head } = wallet;
  if (parts[0] === "witnesses") return html`<${Witnesses} wallet=${wallet} />`;
  return html`<${Screen} wallet=${wallet} title=${t("About")}>
    ${scheme
      ? html`<p class="payee">${scheme.name}</p>
        ${scheme.sandbox ? html`<div class="notice notice-wait">${t("A sandbox: no money here is real.")}</div>` : null}
        <dl class="facts facts-long">
          <dt>${t("Name in every order")}</dt><dd><code>${scheme.origin}</code></dd>
          <dt>${t("Currency")}</dt><dd>${scheme.currency.code}</dd>
          <dt>${t("Operator’s key")}</dt><dd><code>${scheme.operatorKey}</code></dd>
          <dt>${t("Fingerprint of the rules")}</dt><dd><code>${scheme.rulesHash}</code></dd>
          ${head
            ? html`<dt>${t("Entries of the log that this phone has seen")}</dt><dd class="amount">${String(head.size)}</dd>
              <dt>${t("Its fingerprint")}</dt><dd><code>${head.root}</code></dd>`
            : null}
          ${wallet.identity ? html`<dt>${t("This device")}</dt><dd><code>${wallet.identity.device}</code></dd><dt>${t("Your account")}</dt><dd><code>${wallet.identity.account}</code></dd>` : null}
        </dl>`
      : html`<p class="empty">${t("Nothing is known of the scheme before the first network.")}</p>`}
    <p>${t("Compare the key with what the operator has published elsewhere. This phone keeps it and checks every receipt against it.")}</p>
    <ul class="list">
      <li><a class="row" href="#/about/witnesses"><span class="row-title">${t("Witnesses that this phone trusts")}</span></a></li>
      <li><a class="row" href="/proof"><span class="row-title">${t("How the log stands")}</span></a></li>
      <li><a class="row" href="/v1/rules"><span class="row-title">${t("Rules and fees")}</span></a></li>
      <li><a class="row" href="/basic/"><span class="row-title">${t("The simple pages, for any phone")}</span></a></li>
    </ul>
  </${Screen}>`;
}
