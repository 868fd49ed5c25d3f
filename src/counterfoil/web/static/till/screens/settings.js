// @ts-check
/** How this till speaks, looks and sounds, and how it leaves the shop. */

import { icon } from "/static/look/icons.js";
import { paid } from "/static/phone/tone.js";
import { Component, html } from "/static/phone/view.js";
import { language, languages, n, t } from "/static/phone/words.js";
import { aside } from "../device.js";
import { unpair } from "../pairing.js";
import { LOCK_MINUTES } from "../till.js";
import { Frame } from "./frame.js";
import { Sheet } from "./sheet.js";

/** @typedef {import("./frame.js").Given & {speak: (code: string) => Promise<void>}} Props */

/** @extends {Component<Props, {leaving: boolean}>} */
export class Settings extends Component {
  state = { leaving: false };

  /** @param {boolean} sound */
  sound(sound) {
    aside(this.props.till.set({ sound }));
    if (sound) paid();
  }

  /** @param {Props} props @param {{leaving: boolean}} state */
  render({ till, route, speak }, { leaving }) {
    const { settings, shop } = till;
    const unsent = till.sales.unsent().length;
    const close = () => this.setState({ leaving: false });
    return html`<${Frame} till=${till} route=${route} title=${t("Settings")}>
      <div class="field"><label for="language">${t("Language")}</label>
        <select id="language" value=${language()} onChange=${(/** @type {any} */ event) => void speak(event.target.value)}>
          ${languages.map(({ code, name }) => html`<option key=${code} value=${code} lang=${code}>${name}</option>`)}</select></div>
      <div class="field"><label for="theme">${t("Appearance")}</label>
        <select id="theme" value=${settings.theme} onChange=${(/** @type {any} */ event) => aside(till.set({ theme: event.target.value }))}>
          <option value="auto">${t("As the device")}</option><option value="light">${t("Light")}</option><option value="dark">${t("Dark")}</option>
        </select></div>
      <div class="field"><label for="lock">${t("Lock when nobody touches the till")}</label>
        <select id="lock" value=${String(settings.lockMinutes)} onChange=${(/** @type {any} */ event) => aside(till.set({ lockMinutes: Number(event.target.value) }))}>
          ${LOCK_MINUTES.map((minutes) => html`<option key=${minutes} value=${String(minutes)}>
            ${n("after %(count)s minute", "after %(count)s minutes", minutes)}</option>`)}</select></div>
      <label class="choice"><input type="checkbox" checked=${settings.sound}
        onChange=${(/** @type {any} */ event) => this.sound(event.target.checked)} />${t("Sound when a sale is paid")}</label>
      <h2>${t("This till")}</h2>
      <dl class="facts"><dt>${t("Shop")}</dt><dd><bdi>${shop?.merchant.name}</bdi></dd><dt>${t("Till")}</dt><dd><bdi>${shop?.till.name}</bdi></dd>
        <dt>${t("Device")}</dt><dd><bdi>${till.pairing?.label}</bdi></dd><dt>${t("Scheme")}</dt><dd><bdi>${shop?.scheme.name}</bdi></dd></dl>
      <button type="button" class="button button-danger button-wide" onClick=${() => this.setState({ leaving: true })}>${icon("remove")}${t.short("Unpair")}</button>
      ${leaving && html`<${Sheet} title=${t("Unpair this till?")} onClose=${close}>
        <p>${t("Everything of this shop goes from this device. To sell again, the owner has to give a new code.")}</p>
        ${unsent > 0 && html`<p class="notice notice-bad">${n("%(count)s sale was not sent yet and would be lost on this till.",
          "%(count)s sales were not sent yet and would be lost on this till.", unsent)}</p>`}
        <button type="button" class="button button-danger button-wide" onClick=${() => aside(unpair(till))}>${t.short("Unpair")}</button>
        <button type="button" class="button button-quiet button-wide" onClick=${close}>${t.short("Not yet")}</button>
      <//>`}
    <//>`;
  }
}
