// @ts-check
/** Come to an account that exists: as a further phone, or with a new key when the old phone is lost. */

import { icon } from "/static/look/icons.js";
import { Component, html } from "/static/phone/view.js";
import { t } from "/static/phone/words.js";
import { Field, Form, PinField, Screen, go, when } from "../frame.js";
import { problemText } from "../problems.js";
import { Code } from "./parts.js";

/** @param {import("../frame.js").ScreenProps} props */
export default function Join(props) {
  return props.parts[0] === "recover" ? html`<${Recover} ...${props} />` : html`<${Device} ...${props} />`;
}

/** @extends {Component<import("../frame.js").ScreenProps, {text: string, problem: string}>} */
class Device extends Component {
  state = { text: "", problem: "" };
  ended = new AbortController();

  componentDidMount() {
    if (this.props.wallet.identity) return go("/", { replace: true }); // a phone has one account
    void this.link();
  }

  componentWillUnmount() {
    this.ended.abort();
  }

  async link() {
    const { wallet } = this.props;
    try {
      const asked = await wallet.linkDevice();
      this.setState({ text: asked.text });
      await asked.wait(this.ended.signal);
      go("/", { replace: true });
    } catch (error) {
      if (!this.ended.signal.aborted) this.setState({ problem: problemText(error, wallet) });
    }
  }

  render() {
    const { wallet } = this.props;
    const { text, problem } = this.state;
    return html`<${Screen} wallet=${wallet} title=${t("A further phone")}>
      <ol class="numbered"><li>${t("On the phone that has the wallet: Settings, Devices, Scan its code.")}</li><li>${t("Scan this code with it, and agree there.")}</li></ol>
      ${problem ? html`<div class="notice notice-bad" role="alert">${problem}</div>` : null}
      ${text ? html`<${Code} text=${text} label=${t("Code of this phone, for the other one to scan")} />` : null}
      <p class="center soft" role="status">${problem ? "" : t("Waiting for the other phone …")}</p>
    </${Screen}>`;
  }
}

/** @extends {Component<import("../frame.js").ScreenProps, {number: string, shown: string|null, sent: boolean, waiting: any}>} */
class Recover extends Component {
  /** @type {any} */
  state = { number: "", shown: null, sent: false, waiting: this.props.wallet.recovery };

  componentDidMount() {
    this.leaveWhenBack();
  }

  componentDidUpdate() {
    this.leaveWhenBack();
  }

  /** The day has come, and the new key is in force. */
  leaveWhenBack() {
    if (this.props.wallet.identity) go("/", { replace: true });
  }

  render() {
    const { wallet, query } = this.props;
    const { number, shown, sent } = this.state;
    const waiting = wallet.recovery ?? this.state.waiting;
    const known = query.get("number") ?? "";
    if (waiting) {
      return html`<${Screen} wallet=${wallet} title=${t("Your account comes back")}>
        <div class="empty">${icon("wait")}
          <p><strong>${t("From %(time)s on, this phone can pay.", { time: when(waiting.effective_at) })}</strong></p>
          <p>${t("Until then all your devices are told, so that nobody can take your account behind your back. You need not do anything.")}</p></div>
      </${Screen}>`;
    }
    return html`<${Screen} wallet=${wallet} title=${known ? t("Your account on this phone") : t("I have lost my phone")} key=${sent ? "sent" : "number"}>
      ${sent
        ? html`<${Form} wallet=${wallet} label=${t("Ask for a new key")} act=${async (/** @type {any} */ { code, pin }) => {
          this.setState({ waiting: await wallet.recover({ number, code: code.trim(), pin }) });
        }}>
          ${shown ? html`<div class="notice">${t("In a sandbox nothing is sent. Your code:")} <strong class="amount">${shown}</strong></div>` : null}
          <${Field} label=${t("Code sent to %(number)s", { number })} name="code" input=${{ class: "code", inputmode: "numeric", autocomplete: "one-time-code", maxlength: 10 }} />
          <${PinField} hint=${t("The PIN that you chose when you opened the account.")} />
        </${Form}>`
        : html`${known ? html`<p><strong>${t("This number has an account already.")}</strong></p>` : null}
          <p>${t("You need your number and your PIN. The new key takes effect after a delay in which all your devices are told.")}</p>
          <${Form} wallet=${wallet} label=${t("Send me a code")} act=${async (/** @type {any} */ values) => {
            const sent = await wallet.sendCode(values.number, "recover");
            this.setState({ number: sent.number, shown: sent.code, sent: true });
          }}>
            <${Field} label=${t("Phone number")} name="number" input=${{ type: "tel", autocomplete: "tel", defaultValue: known }} />
          </${Form}>`}
    </${Screen}>`;
  }
}
