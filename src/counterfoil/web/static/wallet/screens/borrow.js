// @ts-check
/** A link of a sandbox that lends a key: one of the people of a town to look around with. */

import { icon } from "/static/look/icons.js";
import { Component, html } from "/static/phone/view.js";
import { t } from "/static/phone/words.js";
import { Screen, go } from "../frame.js";
import { problemText } from "../problems.js";

/** @extends {Component<import("../frame.js").ScreenProps, {problem: string}>} */
export default class Borrow extends Component {
  state = { problem: "" };

  componentDidMount() {
    const link = location.hash;
    if (!link.includes("?")) return go("/", { replace: true });
    // The key must stand neither in the address bar nor among the places that were visited.
    history.replaceState(history.state, "", "#/borrow");
    void this.take(link);
  }

  /** @param {string} link */
  async take(link) {
    const { wallet } = this.props;
    try {
      await wallet.importSandboxKey(link);
      if (location.hash === "#/borrow") go("/", { replace: true }); // unless its new holder has gone on already
    } catch (error) {
      this.setState({
        problem: error instanceof RangeError
          ? wallet.identity
            ? t("There is an account on this phone already. Open the link in a private window or in another browser.")
            : t("This link lends a key of a sandbox. It is not valid here.")
          : problemText(error, wallet),
      });
    }
  }

  render() {
    const { wallet } = this.props;
    const { problem } = this.state;
    return html`<${Screen} wallet=${wallet} home title=${wallet.scheme?.name ?? "Counterfoil"}>
      <div class="empty">${icon(problem ? "alert" : "wait")}<p role="alert">${problem || t("One moment …")}</p>
        ${problem ? html`<p><a class="button" href="#/">${t("Go on")}</a></p>` : null}</div>
    </${Screen}>`;
  }
}
