// @ts-check
/** Before there is an account on this phone: what this is, in which language, and the three ways in. */

import { html } from "/static/phone/view.js";
import { language, languages, t } from "/static/phone/words.js";
import { Late, Screen, go } from "../frame.js";

/** @param {import("../frame.js").ScreenProps} props */
export default function Welcome({ wallet }) {
  return html`<${Screen} wallet=${wallet} home title=${(wallet.scheme ?? document.documentElement.dataset).name}>
    <nav aria-label=${t("Language")}><ul class="chips">${languages.map(
      ({ code, name }) => html`<li><button type="button" class="chip" lang=${code} aria-pressed=${code === language() ? "true" : "false"}
        onClick=${() => wallet.setLanguage(code).catch(console.warn)}>${name}</button></li>`,
    )}</ul></nav>
    <p class="welcome">${t("Money on your phone that you can check yourself")}</p>
    <hr class="tear" />
    <p class="soft">${t("The key is made on this phone and never leaves it. Every payment leaves you a receipt that nobody can change later.")}</p>
    ${wallet.problem ? html`<${Late} load=${async () => (await import("./alarms.js")).Alarms} wallet=${wallet} />` : null}
    <div class="low">
      <button type="button" class="button button-wide" onClick=${() => go(`/open?then=${encodeURIComponent(location.hash.slice(1))}`)}>${t("Open an account")}</button>
      <a class="button button-quiet button-wide" href="#/join/device">${t("I have it on another phone")}</a>
      <a class="button button-quiet button-wide" href="#/join/recover">${t("I have lost my phone")}</a>
      <p class="center"><a class="link" href="#/about">${t("Who runs this")}</a></p>
    </div>
  </${Screen}>`;
}
