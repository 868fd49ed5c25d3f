// @ts-check
/** Scan: the camera, a picture of a code, or something typed. A code is shown nowhere before it was read and checked. */

import { icon } from "/static/look/icons.js";
import { scan } from "/static/phone/camera.js";
import { read } from "/static/phone/emv.js";
import { Component, html } from "/static/phone/view.js";
import { formatMoment, t } from "/static/phone/words.js";
import { Screen, go, ready } from "../frame.js";
import Pay, { codeProblem, workOut } from "./pay.js";

/** How long the holder goes first: until the question is on the screen. */
const HURRY_MS = 1_000;

/** @extends {Component<import("../frame.js").ScreenProps, {state: "starting"|"looking"|"off", problem: string}>} */
export default class Scan extends Component {
  /** @type {any} */
  state = { state: "starting", problem: "" };
  ended = new AbortController();
  /** @type {HTMLVideoElement|null} */
  video = null;
  /** The text that was refused last: it stays in front of the camera for a while. */
  seen = "";

  componentDidMount() {
    void this.look();
    void prepare(this.props.wallet).catch(() => {});
  }

  componentWillUnmount() {
    this.ended.abort();
  }

  async look() {
    try {
      const running = scan(/** @type {HTMLVideoElement} */ (this.video), { signal: this.ended.signal, onText: (/** @type {string} */ text) => this.take(text) });
      this.setState({ state: "looking" });
      await running;
    } catch (error) {
      if (this.ended.signal.aborted) return;
      const words = /** @type {Record<string, string>} */ ({
        refused: t("This browser may not use the camera. Allow it in the settings of the page, or use a picture or type the number."),
        absent: t("There is no camera here. Use a picture of the code, or type the number."),
        busy: t("Another app is using the camera. Close it, or use a picture of the code."),
      });
      this.setState({ state: "off", problem: words[/** @type {any} */ (error).code] ?? words.absent });
    }
  }

  /** @param {string} text @returns {Promise<boolean>} whether it was something for us */
  async take(text) {
    if (text.startsWith("CFD1:")) {
      this.ended.abort();
      go(`/devices?add=${encodeURIComponent(text)}`, { replace: true });
      return true;
    }
    const link = payLink(text);
    if (link) {
      this.ended.abort();
      go(link, { replace: true });
      return true;
    }
    try {
      read(text);
    } catch (error) {
      const problem = codeProblem(error);
      if (!problem) throw error;
      if (text !== this.seen || this.state.problem !== problem) this.setState({ problem });
      this.seen = text;
      return false;
    }
    performance.mark("code");
    this.props.wallet.calmAt = performance.now() + HURRY_MS;
    await workOut(text, this.props.wallet).catch(() => {}); // what is wrong is said on the next screen
    if (this.ended.signal.aborted) return true;
    this.ended.abort();
    go(`/pay?code=${encodeURIComponent(text)}`, { replace: true });
    return true;
  }

  /** @param {any} event */
  picture = async (event) => {
    const file = event.currentTarget.files?.[0];
    event.currentTarget.value = "";
    if (!file) return;
    const { readPicture } = await import("/static/phone/camera.js");
    const text = await readPicture(file).catch(() => null);
    if (text === null) this.setState({ problem: t("There is no code in this picture, or it is not sharp enough.") });
    else await this.take(text);
  };

  render() {
    const { wallet } = this.props;
    const { state, problem } = this.state;
    return html`<${Screen} wallet=${wallet} root title=${t.short("Scan")}>
      <div class="finder" hidden=${state === "off"}>
        <video ref=${(/** @type {any} */ video) => { this.video = video; }} muted playsinline aria-label=${t("What the camera sees")} />
      </div>
      <p role="status" class="center">${state === "off" ? "" : t("Hold the code in front of the camera.")}</p>
      <div role="alert">${problem ? html`<div class="notice notice-bad">${problem}</div>` : null}</div>
      <div class="low">
        <label class="button button-quiet button-wide file">${icon("picture")}${t("Picture of a code")}
          <input class="visually-hidden" type="file" accept="image/*" onChange=${this.picture} /></label>
        <a class="button button-quiet button-wide" href="#/pay">${icon("edit")}${t("Type a number or @name")}</a>
        <a class="button button-quiet button-wide" href="#/receive">${icon("receive")}${t("Show my code")}</a>
      </div>
    </${Screen}>`;
  }
}

/** What follows a code, so that nothing has to be loaded or made between the scan and "paid". @param {import("../wallet.js").Wallet} wallet */
async function prepare(wallet) {
  ready.set("pay", Pay);
  const [outcome, { checkCode }] = await Promise.all([import("./outcome.js"), import("../paying.js"), wallet.theOutbox()]);
  ready.set("out", outcome.default);
  formatMoment(Date.now(), "both");
  await checkCode(wallet, nobodys((await wallet.terms()).mark));
}

/** A code whose signature is nobody's: to check it makes the operator's key ready. @param {string} scheme @returns {any} */
const nobodys = (scheme) => ({ scheme, signature: new Uint8Array(64), signed: new Uint8Array(1) });

/** Where in the wallet a payment link of this server leads. @param {string} text */
function payLink(text) {
  if (!/^https?:\/\//.test(text)) return null;
  try {
    const url = new URL(text);
    const found = /^\/pay\/([^/]+)$/.exec(url.pathname);
    if (!found || url.origin !== location.origin) return null;
    url.searchParams.set("to", decodeURIComponent(found[1]));
    return `/pay?${url.searchParams}`;
  } catch {
    return null;
  }
}
