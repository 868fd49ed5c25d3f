// @ts-check
/**
 * What screens of a list have in common: the last one that the server told is kept for when there is no network, a newer one is fetched
 * when something has happened to it elsewhere, and what is done to it may be sent twice.
 *
 * @typedef {import("../wallet.js").Wallet} Wallet
 */

import { Unreachable } from "/static/phone/api.js";
import { Component } from "/static/phone/view.js";
import { t } from "/static/phone/words.js";
import { again } from "../paying.js";
import { problemText } from "../problems.js";

/** Sends it once more where the answer was lost. @param {Wallet} wallet @param {string} method @param {string} path @param {any} [body] */
export async function send(wallet, method, path, body) {
  try {
    return await again(() => wallet.call(method, path, body ? { body } : {}));
  } catch (error) {
    if (error instanceof Unreachable) throw t("The server did not answer, so it is not known whether this was done. Try again: it is done only once.");
    throw error;
  }
}

/** @extends {Component<any, any>} */
export class KnownList extends Component {
  /** Where the server tells it. */
  path = "";
  /** As what the phone keeps it. */
  name = "";
  /** Kinds of notices after which it is another one. */
  kinds = /^$/;
  /** The newest of these notices when the list was asked for. */
  newest = "";
  /** Whether the server was not reached; it is asked again when it is, and not again and again where it refuses. */
  missed = false;
  /** @type {any} */
  state = { known: null, problem: "", told: "" };

  componentDidMount() {
    void this.load();
  }

  /** What others do, and a network that is back, shows without being asked for. */
  componentDidUpdate() {
    if (this.newest !== this.news() || (this.missed && !this.props.wallet.offline)) void this.load();
  }

  news() {
    return this.props.wallet.notices.find((/** @type {any} */ { kind }) => this.kinds.test(kind))?.id ?? "";
  }

  async load() {
    const wallet = /** @type {Wallet} */ (this.props.wallet);
    this.newest = this.news();
    this.missed = false;
    if (!this.state.known) this.setState({ known: (await wallet.database.get("self", this.name).catch(() => null)) ?? null });
    try {
      const known = await wallet.call("GET", this.path);
      await wallet.transact(["self"], (use) => use("self").put(known, this.name)).catch(() => {});
      this.setState({ known, problem: "" });
    } catch (error) {
      this.missed = error instanceof Unreachable;
      this.setState({ problem: this.missed ? t("No network: this is what the phone knew last.") : problemText(error, wallet) });
    }
  }

  /** Each screen has its own. @returns {any} */
  render() {
    return null;
  }
}
