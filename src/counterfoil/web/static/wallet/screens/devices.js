// @ts-check
/** The phones that may pay from this account; a new one by its code; a recovery that somebody asked for. */

import { icon } from "/static/look/icons.js";
import { Component, html } from "/static/phone/view.js";
import { t } from "/static/phone/words.js";
import { Form, Screen, go, when } from "../frame.js";
import { problemText } from "../problems.js";

const LABEL_SHOWN = 60;

/** @extends {Component<import("../frame.js").ScreenProps, {devices: any[]|null, problem: string, told: string}>} */
export default class Devices extends Component {
  /** @type {any} */
  state = { devices: null, problem: "", told: "" };

  componentDidMount() {
    void this.load();
  }

  async load() {
    try {
      this.setState({ devices: await this.props.wallet.devices() });
    } catch (error) {
      this.setState({ problem: problemText(error, this.props.wallet) });
    }
  }

  render() {
    const { wallet, query } = this.props;
    const { devices, problem, told } = this.state;
    const add = query.get("add");
    if (add) return html`<${Approve} wallet=${wallet} text=${add} />`;
    const recovery = wallet.account?.recovery?.state === "waiting" ? wallet.account.recovery : null;
    return html`<${Screen} wallet=${wallet} title=${t("Devices")}>
      ${recovery
        ? html`<div class="notice notice-bad"><strong>${t("Somebody asked for a new key to your account")}</strong>
          <p>${t("If it was not you, stop it before %(time)s.", { time: when(recovery.effective_at) })}</p>
          <${Form} wallet=${wallet} look="button-danger button-wide" label=${t("That was not me: stop it")} act=${async () => {
            await wallet.cancelRecovery(recovery.id);
            this.setState({ told: t("It was stopped. Your number may be in other hands: change your PIN.") });
          }} /></div>`
        : null}
      <p role="status">${told}</p>
      ${problem ? html`<div class="notice notice-wait" role="alert">${problem}</div>` : null}
      <ul class="list">${(devices ?? []).filter((/** @type {any} */ each) => each.state !== "revoked").map((/** @type {any} */ each) => html`<li>
        <div class="row">${icon("device")}
          <span class="row-title"><bdi>${each.label}</bdi> ${each.id === wallet.identity?.device ? html`<strong class="good">${t("this one")}</strong>` : null}</span>
          <span class="row-note">${t("since %(time)s", { time: when(each.created_at, "day") })}</span>
          ${each.id === wallet.identity?.device ? null : html`<span class="row-end"><details class="remove"><summary>${t("Take away")}</summary>
            <${Form} wallet=${wallet} look="button-danger" label=${t("Remove for good")} act=${async () => { await wallet.revokeDevice(each.id); await this.load(); }} /></details></span>`}
        </div></li>`)}</ul>
      <h2>${t("Another phone")}</h2>
      <p>${t("Open the wallet on the other phone, choose “I have it on another phone”, and scan the code that it shows.")}</p>
      <p><a class="button button-wide" href="#/scan">${icon("scan")}${t("Scan its code")}</a></p>
    </${Screen}>`;
  }
}

/**
 * What a new phone says of itself, before it is let in.
 *
 * @extends {Component<{wallet: import("../wallet.js").Wallet, text: string}, {label: string|null, problem: string}>}
 */
class Approve extends Component {
  /** @type {any} */
  state = { label: null, problem: "" };
  ended = new AbortController();

  componentDidMount() {
    void this.read();
  }

  componentWillUnmount() {
    this.ended.abort();
  }

  async read() {
    const { wallet, text } = this.props;
    try {
      this.setState({ label: (await wallet.readDevice(text)).label.slice(0, LABEL_SHOWN) });
    } catch (error) {
      this.setState({ problem: error instanceof RangeError ? t("This code is damaged, or not from a wallet. Scan it again.") : problemText(error, wallet) });
    }
  }

  render() {
    const { wallet, text } = this.props;
    const { label, problem } = this.state;
    if (label === null) {
      return html`<${Screen} wallet=${wallet} title=${t("Another phone")}><div class="empty">${icon(problem ? "alert" : "wait")}
        <p role="alert">${problem || t("One moment …")}</p></div></${Screen}>`;
    }
    return html`<${Screen} wallet=${wallet} title=${t("Another phone")} key="asked">
      <section class="stub"><p class="soft">${t("This phone asks to pay from your account")}</p><p class="payee"><bdi>${label}</bdi></p></section>
      <div class="notice notice-wait"><strong>${t("Only if it is in your own hand")}</strong>
        <p>${t("Whoever holds it can spend your money. Nobody from %(scheme)s ever asks you to do this.", { scheme: wallet.scheme?.name ?? "Counterfoil" })}</p></div>
      <div class="low"><${Form} wallet=${wallet} label=${t("It is mine: let it pay")} act=${async () => {
        await wallet.approveDevice(text, undefined, this.ended.signal);
        go("/devices", { replace: true });
      }} />
      <a class="button button-quiet button-wide" href="#/">${t("No")}</a></div>
    </${Screen}>`;
  }
}
