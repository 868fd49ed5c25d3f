// @ts-check
/** For merchants: tills and how they are paired, clerks and what they may do, the poster, and paying out. */

import { icon } from "/static/look/icons.js";
import { newId } from "/static/phone/bytes.js";
import { Component, html } from "/static/phone/view.js";
import { formatMoment, t } from "/static/phone/words.js";
import { Field, Form, PinField, Screen, ms } from "../frame.js";
import { problemText } from "../problems.js";
import { Clerk, RIGHTS, Rights, chosenRights } from "./clerk.js";
import { checkPin } from "./open.js";
import { Code } from "./parts.js";

/** @extends {Component<import("../frame.js").ScreenProps, {tills: any[], clerks: any[], pairing: any, clerk: any, problem: string, loaded: boolean}>} */
export default class Tills extends Component {
  /** @type {any} */
  state = { tills: [], clerks: [], pairing: null, clerk: null, problem: "", loaded: false };

  componentDidMount() {
    void this.load();
  }

  async load() {
    const { wallet } = this.props;
    try {
      const [{ tills }, { clerks }] = await Promise.all([wallet.api.call("GET", "/v1/tills"), wallet.api.call("GET", "/v1/clerks")]);
      this.setState({ tills, clerks, loaded: true, problem: "" });
    } catch (error) {
      this.setState({ loaded: true, problem: problemText(error, wallet) });
    }
  }

  render() {
    const { wallet } = this.props;
    const { tills, clerks, pairing, clerk, problem, loaded } = this.state;
    const { api } = wallet;
    const code = wallet.account?.merchant_code ?? "";
    if (pairing) {
      const link = new URL(pairing.link, location.origin).href;
      return html`<${Screen} wallet=${wallet} title=${pairing.name} key="pairing">
        <p>${t("On the till’s phone or tablet, scan this code or open the link, or type the pairing code.")}</p>
        <${Code} text=${link} label=${t("Link that pairs the till")} />
        <p class="center"><code class="amount-large">${pairing.pairing_code}</code></p>
        <p class="center soft">${t("until %(time)s", { time: formatMoment(ms(pairing.expires_at), "time") })}</p>
        <div class="low"><a class="button button-quiet button-wide" href=${link} target="_blank" rel="noopener">${t("Open the till here")}</a>
        <button type="button" class="button button-wide" onClick=${() => { this.setState({ pairing: null }); void this.load(); }}>${t("Done")}</button></div>
      </${Screen}>`;
    }
    if (clerk) {
      return html`<${Clerk} wallet=${wallet} clerk=${clerk} onDone=${(/** @type {boolean} */ changed) => {
        this.setState({ clerk: null });
        if (changed) void this.load();
      }} />`;
    }
    return html`<${Screen} wallet=${wallet} title=${t("Tills and poster")} key="tills">
      ${problem ? html`<div class="notice notice-wait" role="alert">${problem}</div>` : null}
      <h2>${t("Tills")}</h2>
      ${loaded && !tills.length ? html`<p class="soft">${t("None yet. A till is a phone or tablet that can sell and nothing else.")}</p>` : null}
      <ul class="list">${tills.map((/** @type {any} */ each) => html`<li><div class="row">${icon("shop")}<span class="row-title"><bdi>${each.name}</bdi></span>
        <span class="row-note">${each.paired_at ? t("paired") : t("not paired")}</span>
        <span class="row-end"><details class="remove"><summary>${t("Manage")}</summary>
          <${Form} wallet=${wallet} look="button-quiet" label=${t("Pair again")} act=${async () => {
            this.setState({ pairing: { ...each, ...(await api.call("POST", `/v1/tills/${each.id}/pair`)) } });
          }} />
          <${Form} wallet=${wallet} look="button-danger" label=${t("Remove for good")} act=${async () => { await api.call("DELETE", `/v1/tills/${each.id}`); await this.load(); }} /></details></span>
      </div></li>`)}</ul>
      <details><summary>${icon("plus")} ${t("A new till")}</summary>
        <${Form} wallet=${wallet} label=${t("Make it")} act=${async (/** @type {any} */ { till }) => {
          if (!till.trim()) throw t("Enter a name.");
          this.setState({ pairing: await api.call("POST", "/v1/tills", { body: { id: newId(Date.now()), name: till.trim() } }) });
        }}><${Field} label=${t("Name of the till")} name="till" hint=${t("Such as: Counter 1")} input=${{ maxlength: 40 }} /></${Form}></details>
      <h2>${t("Clerks")}</h2>
      ${loaded && !clerks.length ? html`<p class="soft">${t("None yet. Whoever sells signs in with a PIN of their own.")}</p>` : null}
      <ul class="list">${clerks.map((/** @type {any} */ each) => html`<li><button type="button" class="row" onClick=${() => this.setState({ clerk: each })}>
        ${icon("person")}<bdi class="row-title">${each.name}</bdi>
        <span class="row-note">${each.locked_until ? html`<span class="wait">${t("locked")}</span> · ` : null}${
          each.rights.map((/** @type {string} */ right) => RIGHTS()[right] ?? right).join(", ")}</span>
        <span class="row-end">${icon("next")}</span></button></li>`)}</ul>
      <details><summary>${icon("plus")} ${t("A new clerk")}</summary>
        <${Form} wallet=${wallet} label=${t("Add")} act=${async (/** @type {any} */ values) => {
          if (!values.clerk.trim()) throw t("Enter a name.");
          checkPin(values.pin);
          await api.call("POST", "/v1/clerks", { body: { id: newId(Date.now()), name: values.clerk.trim(), pin: values.pin, rights: chosenRights(values) } });
          await this.load();
        }}>
          <${Field} label=${t("Name")} name="clerk" input=${{ maxlength: 40 }} /><${PinField} fresh />
          <${Rights} given=${["sell"]} /></${Form}></details>
      <h2>${t("Poster")}</h2>
      <p>${t("A code to hang up: customers scan it and type the amount.")}</p>
      <p><a class="button button-quiet button-wide" href=${`/pay/${encodeURIComponent(code)}/poster`} target="_blank" rel="noopener">${icon("print")}${t("Open the poster")}</a></p>
      <h2>${t("Pay out")}</h2>
      <p>${t("Send the takings to your bank or an agent: they have a code like everybody else.")}</p>
      <p><a class="button button-quiet button-wide" href="#/pay">${icon("bank")}${t("Pay out")}</a></p>
    </${Screen}>`;
  }
}
