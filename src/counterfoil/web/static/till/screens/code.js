// @ts-check
/** A QR code on the screen, drawn when the module that draws it has come. */

import { Component, html } from "/static/phone/view.js";
import { t } from "/static/phone/words.js";

/** @typedef {{text: string, label: string}} Props */

/** @extends {Component<Props, {svg: string, failed: boolean}>} */
export class Code extends Component {
  state = { svg: "", failed: false };
  drawn = "";

  componentDidMount() {
    void this.draw();
  }

  /** @param {Props} _props @param {{failed: boolean}} before what could not be drawn is tried again when something else changes */
  componentDidUpdate(_props, before) {
    if (before.failed === this.state.failed) void this.draw();
  }

  async draw() {
    const { text, label } = this.props;
    if (text === this.drawn) return;
    this.drawn = text;
    try {
      const { draw } = await import("/static/phone/qr.js");
      const svg = await draw(text, { label });
      if (this.drawn === text) this.setState({ svg, failed: false });
    } catch {
      this.drawn = "";
      this.setState({ svg: "", failed: true });
    }
  }

  /** @param {Props} props @param {{svg: string, failed: boolean}} state */
  render({ text }, { svg, failed }) {
    if (failed) return html`<p class="notice notice-bad">${t("The code cannot be drawn.")}</p>`;
    return html`<div class="qr till-qr" data-code=${text} dangerouslySetInnerHTML=${{ __html: svg }}></div>`;
  }
}
