// @ts-check
/**
 * Cards that pay from the account: locked with one touch, opened again, taken away for good; and one that was just tapped, added. Its link
 * says what the card said behind the #. That stands above the list until it is answered, so that neither a refusal nor a lost network
 * makes the holder tap again.
 *
 * @typedef {{id: string, label: string, state: "active"|"locked", added_at: string, used_at: string}} Card
 */

import { icon } from "/static/look/icons.js";
import { html } from "/static/phone/view.js";
import { t } from "/static/phone/words.js";
import { Form, Screen, money, when } from "../frame.js";
import { KnownList, send } from "./known.js";

const PATH = "/v1/cards";

/** What a card said, as far as it has the form of it; else null. @param {URLSearchParams} query */
function tapIn(query) {
  const [e, c] = [query.get("e") ?? "", query.get("c") ?? ""];
  return /^[0-9a-f]{32}$/i.test(e) && /^[0-9a-f]{16}$/i.test(c) ? { e, c } : null;
}

/** Its `known` is {cards: Card[]}; `tap`: of the card that is to be added. */
export default class Cards extends KnownList {
  path = PATH;
  name = "cards";
  kinds = /^card_/;
  /** @type {any} */
  state = { known: null, problem: "", told: "", tap: tapIn(this.props.query) };

  /** The question about the tapped card is answered: a reload does not ask it again. @param {string} told */
  answered(told) {
    history.replaceState(history.state, "", "#/cards");
    this.setState({ tap: null, told });
  }

  add = async () => {
    try {
      const { label } = await send(this.props.wallet, "POST", PATH, this.state.tap);
      this.answered(t("Card %(card)s belongs to your account.", { card: label }));
    } catch (/** @type {any} */ error) {
      if (error.code === "card_unknown") throw t("This is no card of %(scheme)s. If it is one, tap it once more.", { scheme: this.props.wallet.scheme?.name ?? "Counterfoil" });
      if (error.code === "already_taken") throw t("This card belongs to somebody, or was taken away for good. Nobody else can add it.");
      throw error;
    }
    await this.load();
  };

  /** @param {string} method @param {string} path @param {string} told */
  async act(method, path, told) {
    try {
      await send(this.props.wallet, method, `${PATH}/${path}`);
      this.setState({ told });
    } finally {
      await this.load();
    }
  }

  render() {
    const { wallet } = this.props;
    const { known, problem, told, tap } = this.state;
    const cards = /** @type {Card[]} */ (known?.cards ?? []);
    return html`<${Screen} wallet=${wallet} title=${t("Cards")}>
      ${tap ? this.asking() : null}
      <p role="status" class="good">${told ? html`${icon("check")} ${told}` : ""}</p>
      ${problem ? html`<div class="notice notice-wait" role="alert">${problem}</div>` : null}
      ${known
        ? cards.length
          ? html`<ul class="list">${cards.map((card) => html`<li key=${card.id}>${this.card(card)}</li>`)}</ul>`
          : tap ? null : html`<p class="soft">${t("No card pays from your account. Hold a card to the back of this phone: a page opens that adds it.")}</p>`
        : problem ? null : html`<p class="empty" aria-busy="true">${t("One moment …")}</p>`}
      ${this.pin()}
    </${Screen}>`;
  }

  asking() {
    const { wallet } = this.props;
    return html`<section class="stub"><h2>${t("Add this card to your account?")}</h2>
      <p>${t("It then pays from your account, with your PIN. Add only a card that was given to you.")}</p>
      <${Form} wallet=${wallet} label=${t("Add the card")} act=${this.add} />
      <p><button type="button" class="button button-quiet button-wide" onClick=${() => this.answered("")}>${t("Not now")}</button></p>
    </section>`;
  }

  /** @param {Card} card */
  card({ id, label, state, used_at }) {
    const { wallet } = this.props;
    const card = label;
    const isLocked = state === "locked";
    const tapped = t("Last tapped %(time)s", { time: when(used_at) });
    return html`<div class="row">${icon(isLocked ? "lock" : "card", isLocked ? "bad" : "")}
        <span class="row-title">${t("Card %(card)s", { card })}</span>
        <span class="row-note">${isLocked ? html`<strong class="bad">${t("Locked: it pays nothing")}</strong>` : t("Pays with the PIN")}<br />${tapped}</span></div>
      ${isLocked
        ? html`<${Form} key="unlock" wallet=${wallet} look="button-quiet button-wide" label=${t("Unlock card %(card)s", { card })} act=${() => this.act("POST", `${id}/unlock`, t("Card %(card)s pays again.", { card }))} />`
        : html`<${Form} key="lock" wallet=${wallet} look="button-danger button-wide" label=${t("Lock card %(card)s", { card })} act=${() => this.act("POST", `${id}/lock`, t("Card %(card)s is locked. Nothing can be paid with it now.", { card }))} />`}
      <details><summary>${t("Take it away for good")}</summary>
        <p>${t("Card %(card)s then never pays again, and neither you nor anybody else can add it. To stop it for a while, lock it.", { card })}</p>
        <${Form} wallet=${wallet} look="button-danger button-wide" label=${t("Take card %(card)s away for good", { card })} act=${() => this.act("DELETE", id, t("Card %(card)s was taken away for good.", { card }))} /></details>`;
  }

  /** What a card needs to pay, and the way there where the holder has not allowed it. */
  pin() {
    const { wallet } = this.props;
    const { account } = wallet;
    if (!account) return null;
    return account.pin_per_day
      ? html`<p class="small soft">${t("Paying by card needs your PIN. You allow it %(amount)s a day.", { amount: money(wallet, account.pin_per_day) })}</p>`
      : html`<div class="notice notice-wait"><p>${t("Paying by card needs your PIN, and you have not allowed payments by PIN. Until then a card pays nothing.")}</p>
        <p><a class="button button-quiet button-wide" href="#/security/pin">${t("Allow payments by PIN")}</a></p></div>`;
  }
}
