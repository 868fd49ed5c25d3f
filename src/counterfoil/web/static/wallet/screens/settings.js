// @ts-check
/** Settings: language, look and sound at once; the rest on pages of their own. */

import { icon } from "/static/look/icons.js";
import { Component, html } from "/static/phone/view.js";
import { language, languages, t } from "/static/phone/words.js";
import { Field, Form, Screen } from "../frame.js";
import { problemText } from "../problems.js";
import { save } from "./parts.js";

/** @extends {Component<import("../frame.js").ScreenProps, {told: string, busy: boolean, push: boolean|null, pushTold: string}>} */
export default class Settings extends Component {
  /** `push`: whether this phone is woken; null where it cannot be. */
  state = { told: "", busy: false, push: /** @type {boolean|null} */ (null), pushTold: "" };

  async componentDidMount() {
    const { wallet } = this.props;
    const { isOffered, isOn, renew } = await import("../push.js");
    if (!wallet.identity || !(await isOffered(wallet))) return;
    this.setState({ push: isOn(wallet) });
    await renew(wallet);
  }

  /** @param {Event} event */
  push = async (event) => {
    const { wallet } = this.props;
    const wanted = /** @type {HTMLInputElement} */ (event.currentTarget).checked;
    this.setState({ busy: true, push: wanted, pushTold: "" });
    const { NotAllowed, isOn, turnOff, turnOn } = await import("../push.js");
    let pushTold = "";
    try {
      await (wanted ? turnOn : turnOff)(wallet);
    } catch (error) {
      pushTold = error instanceof NotAllowed ? t("This browser does not allow it. Look at its settings for this page.") : problemText(error, wallet);
    }
    this.setState({ busy: false, push: isOn(wallet), pushTold });
  };

  export = async () => {
    const { wallet } = this.props;
    this.setState({ busy: true, told: t("One moment …") });
    try {
      const blob = await wallet.exportAll((/** @type {any} */ done) => this.setState({ told: t("Collected: %(percent)s %%", { percent: String(Math.round(done * 100)) }) }));
      save(blob, `counterfoil-${new Date().toISOString().slice(0, 10)}.json`);
      this.setState({ busy: false, told: t("Everything was saved in one file, with the receipts.") });
    } catch (error) {
      this.setState({ busy: false, told: problemText(error, wallet) });
    }
  };

  render() {
    const { wallet } = this.props;
    const { told, busy, push, pushTold } = this.state;
    const { settings, account } = wallet;
    const themes = /** @type {["auto"|"light"|"dark", string][]} */ ([["auto", t("As the phone")], ["light", t("Light")], ["dark", t("Dark")]]);
    const pages = [
      ["security", "lock", t("PIN, limits and lock"), t("Lock the wallet at once, set limits of your own")],
      ["security/watchers", "person", t("Watchers"), t("Who is told of all that happens to your account")],
      ["cards", "card", t("Cards"), t("Lock a lost card, open it again, take it away")],
      ["devices", "device", t("Devices"), t("Add another phone, remove a lost one")],
      ...(account && account.kind !== "customer" ? [["tills", "shop", t("Tills and poster"), t("Tills, clerks, pay-out")]] : []),
      ["notices", "bell", t("Notices"), t("What happened to your account")],
      ["about", "eye", t("About"), t("The scheme, its keys and its log")],
    ];
    return html`<${Screen} wallet=${wallet} root title=${t.short("Settings")}>
      <section class="stub"><p class="payee"><bdi>${account?.name ?? wallet.identity?.name}</bdi></p>
        <p class="soft">${[wallet.identity?.number, account?.handle ? `@${account.handle}` : "", account?.merchant_code].filter(Boolean).join(" · ")}</p></section>
      <ul class="list">${pages.map(([path, sign, title, note]) => html`<li><a class="row" href=${`#/${path}`}>${icon(sign)}
        <span class="row-title">${title}</span><span class="row-note">${note}</span><span class="row-end">${icon("next", "soft")}</span></a></li>`)}</ul>
      <h2 id="s-language">${t("Language")}</h2>
      <ul class="chips" aria-labelledby="s-language">${languages.map(({ code, name }) => html`<li><button type="button" class="chip" lang=${code}
        aria-pressed=${code === language() ? "true" : "false"} onClick=${() => wallet.setLanguage(code).catch((error) => this.setState({ told: problemText(error, wallet) }))}>${name}</button></li>`)}</ul>
      <h2 id="s-theme">${t("Look")}</h2>
      <ul class="chips" aria-labelledby="s-theme">${themes.map(([name, label]) => html`<li><button type="button" class="chip"
        aria-pressed=${(settings.theme ?? "auto") === name ? "true" : "false"} onClick=${() => wallet.setTheme(name)}>${label}</button></li>`)}</ul>
      <label class="choice"><input type="checkbox" checked=${settings.sound !== false} onChange=${(/** @type {any} */ event) => wallet.set({ sound: event.currentTarget.checked })} />
        ${t("Sound and vibration when money comes in")}</label>
      ${push === null ? null : html`<label class="choice"><input type="checkbox" name="push" checked=${push} disabled=${busy} onChange=${this.push} />
        ${t("Tell me when money comes in")}</label>
        <p class="small soft" role="status">${pushTold || t("Also while the wallet is closed. Only that there is news, never how much or from whom.")}</p>`}
      ${account && !account.handle ? html`<details><summary>${t("Choose a @name")}</summary>
        <${Form} wallet=${wallet} label=${t("Take this name")} look="button-quiet button-wide" act=${(/** @type {any} */ { handle }) => wallet.setHandle(handle)}>
          <${Field} label=${t("A name for others to pay you by")} name="handle" hint=${t("Chosen once. Letters, digits and _")} input=${{ maxlength: 32, autocapitalize: "off", spellcheck: false }} />
        </${Form}></details>` : null}
      <h2>${t("Your data")}</h2>
      <button type="button" class="button button-quiet button-wide" disabled=${busy} onClick=${this.export}>${icon("download")}${t("Save everything in a file")}</button>
      <p class="small soft" role="status">${told || t("Account, entries, messages, devices, and the receipts with their proofs.")}</p>
    </${Screen}>`;
  }
}
