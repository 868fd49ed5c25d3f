// @ts-check
/** Who is there: a clerk picks the own name and enters the PIN. */

import { icon } from "/static/look/icons.js";
import { Component, html } from "/static/phone/view.js";
import { t } from "/static/phone/words.js";
import { aside } from "../device.js";
import { Network, saying } from "./frame.js";
import { Pin } from "./pin.js";

/** @typedef {{till: import("../till.js").Till}} Props */
/** @typedef {{chosen: string|null, busy: boolean, error: string}} State */

/** @extends {Component<Props, State>} */
export class People extends Component {
  state = { chosen: null, busy: false, error: "" };

  /** @param {string} pin */
  async enter(pin) {
    const { chosen } = this.state;
    if (!chosen) return;
    this.setState({ busy: true, error: "" });
    try {
      await this.props.till.people.signIn(chosen, pin);
    } catch (error) {
      this.setState({ busy: false, error: saying(error) });
    }
  }

  /** @param {Props} props @param {State} state */
  render({ till }, { chosen, busy, error }) {
    const clerk = till.shop?.clerks.find((each) => each.id === chosen);
    const leave = () => this.setState({ chosen: null, error: "" });
    return html`<div class="app till">
      <header class="bar">
        ${clerk && html`<button type="button" aria-label=${t("Back")} onClick=${leave}>${icon("back")}</button>`}
        <h1 tabindex="-1"><bdi>${till.shop?.merchant.name ?? t("Till")}</bdi></h1>
        <bdi class="soft small">${till.shop?.till.name}</bdi>
      </header>
      <${Network} till=${till} />
      <main id="main" class="people">
        ${clerk ? html`
          <${Pin} key=${clerk.id} label=${t("PIN of %(name)s", { name: clerk.name })} busy=${busy} error=${error}
            onPin=${(/** @type {string} */ pin) => void this.enter(pin)} />
          ${till.network.offline && html`<div class="notice notice-wait">
            <p>${t("Without a network no PIN can be checked. You can sell, and nothing else; the sales are sent when somebody signs in.")}</p>
            <button type="button" class="button button-quiet" onClick=${() => till.people.goOnOffline(clerk.id)}>${t("Sell without a network")}</button>
          </div>`}` : html`<${Names} till=${till} onPick=${(/** @type {string} */ id) => this.setState({ chosen: id, error: "" })} />`}
      </main>
    </div>`;
  }
}

/** @param {{till: import("../till.js").Till, onPick: (id: string) => void}} props */
function Names({ till, onPick }) {
  const clerks = till.shop?.clerks ?? [];
  if (!till.shop) {
    return html`<p class="empty" role="status">${till.network.offline ? t("The shop has not been read yet. It comes with the network.") : t("Reading the shop…")}</p>`;
  }
  if (!clerks.length) {
    return html`<div class="empty">${icon("person")}
      <p>${t("This shop has no clerks yet. The owner adds them in the wallet: Settings, Tills and poster.")}</p>
      <button type="button" class="button button-quiet" onClick=${() => aside(till.sync())}>${t.short("Look again")}</button></div>`;
  }
  return html`<h2>${t("Who is there?")}</h2>
    <ul class="list">${clerks.map((clerk) => html`<li key=${clerk.id}>
      <button type="button" class="row" onClick=${() => onPick(clerk.id)}>
        <span class="mark" aria-hidden="true">${[...clerk.name][0]}</span><bdi class="row-title">${clerk.name}</bdi>
        <span class="row-end">${icon("next")}</span></button></li>`)}</ul>`;
}
