// @ts-check
/** Scan: the camera, a picture of a code, or something typed. A code is shown nowhere before it was read and checked. */

import { icon } from "/static/look/icons.js";
import { scan } from "/static/phone/camera.js";
import { read } from "/static/phone/emv.js";
import { Component, html } from "/static/phone/view.js";
import { t } from "/static/phone/words.js";
import { Screen, go } from "../frame.js";
import { codeProblem, workOut } from "./pay.js";

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
    // What follows a code, so that nothing has to be loaded between the scan and "paid".
    void Promise.all([import("../paying.js"), import("../outbox.js"), import("./outcome.js")]).catch(() => {});
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
