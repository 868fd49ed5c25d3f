// @ts-check
/**
 * Watchers: who is told of all that happens to this account, and over whom the holder watches. Whatever is done here may be sent
 * twice and is done once: see web/api/watchers.py.
 *
 * @typedef {import("../wallet.js").Wallet} Wallet
 * @typedef {{id: string, holder: string, watcher: string, state: "asked"|"watching"|"ended", asked_at: string, until: string|null}} Watcher
 * @typedef {{watchers: Watcher[], watched: Watcher[], notice_s: number}} Known
 */

import { icon } from "/static/look/icons.js";
import { Component, html } from "/static/phone/view.js";
import { t } from "/static/phone/words.js";
import { Form, Mark, Screen, go, when } from "../frame.js";
import { KnownList, send } from "./known.js";
import { Find } from "./parts.js";

const PATH = "/v1/watchers";
const WATCHERS_MAX = 3;

/** Its `known` is a Known. */
export class Watchers extends KnownList {
  path = PATH;
  name = "watchers";
  kinds = /^watch(er)?_/;

  /** @param {Watcher} watcher @param {string} deed @param {string} told */
  async act({ id }, deed, told) {
    await send(this.props.wallet, "POST", `${PATH}/${id}/${deed}`);
    this.setState({ told });
    await this.load();
  }

  render() {
    const { wallet, parts } = this.props;
    const { known, problem, told } = this.state;
    if (parts[1] === "choose") return html`<${Choose} wallet=${wallet} />`;
    const watched = /** @type {Watcher[]} */ (known?.watched ?? []);
    const [asking, watching] = [true, false].map((asked) => watched.filter(({ state }) => (state === "asked") === asked));
    const mayChoose = wallet.identity?.kind === "customer";
    return html`<${Screen} wallet=${wallet} title=${t("Watchers")}>
      <p>${t("A watcher is told of all that happens to an account. Whoever has learnt its PIN can then not spend unseen.")}</p>
      <p role="status" class="good">${told ? html`${icon("check")} ${told}` : ""}</p>
      ${problem ? html`<div class="notice notice-wait" role="alert">${problem}</div>` : null}
      ${known
        ? html`${asking.length ? this.list(asking) : null}
          ${mayChoose ? this.mine(known) : null}
          <h2>${t("Over whom I watch")}</h2>
          ${watching.length ? this.list(watching) : html`<p class="soft">${t("You watch over nobody.")}</p>`}`
        : problem ? null : html`<p class="empty" aria-busy="true">${t("One moment …")}</p>`}
    </${Screen}>`;
  }

  /** Those over whom the holder watches, or who ask for it. @param {Watcher[]} watched */
  list(watched) {
    return html`<ul class="list">${watched.map((each) => html`<li key=${each.id}>${this.watched(each)}</li>`)}</ul>`;
  }

  /** @param {Known} known */
  mine({ watchers, notice_s }) {
    return html`<h2>${t("Who watches over me")}</h2>
      ${watchers.length
        ? html`<ul class="list">${watchers.map((each) => html`<li key=${each.id}>${this.watcher(each, Math.ceil(notice_s / 3600))}</li>`)}</ul>`
        : html`<p class="soft">${t("Nobody watches over your account.")}</p>`}
      ${watchers.length < WATCHERS_MAX
        ? html`<p><a class=${`button button-wide ${watchers.length ? "button-quiet" : ""}`} href="#/security/watchers/choose">${icon("plus")}${t("Choose a watcher")}</a></p>`
        : html`<p class="small soft">${t("An account has three watchers at most. Take one of them away first.")}</p>`}`;
  }

  /** @param {Watcher} watcher @param {number} hours */
  watcher(watcher, hours) {
    const { wallet } = this.props;
    const { watcher: name, state, until } = watcher;
    if (state === "asked") {
      return html`<${Who} name=${name} note=${t("Asked %(time)s, has not answered", { time: when(watcher.asked_at) })} />
        <details><summary>${t("No longer ask")}</summary>
          <${Form} wallet=${wallet} look="button-danger button-wide" label=${t("No longer ask %(name)s", { name })} act=${() => this.act(watcher, "take-away", t("%(name)s is no longer asked.", { name }))} /></details>`;
    }
    if (until) {
      return html`<${Who} name=${name} note=${t("Is told everything until %(time)s, then no more", { time: when(until) })} />
        <${Form} wallet=${wallet} look="button-quiet button-wide" label=${t("Keep %(name)s", { name })} act=${() => this.act(watcher, "keep", t("%(name)s goes on watching.", { name }))} />`;
    }
    return html`<${Who} name=${name} note=${t("Is told of all that happens")} />
      <details><summary>${t("Take them away")}</summary>
        <p>${t("%(name)s hears of it at once, and is told everything for %(hours)s more hours: a thief who has your PIN cannot blind them.", { name, hours: String(hours) })}</p>
        <${Form} wallet=${wallet} look="button-danger button-wide" label=${t("Take %(name)s away", { name })} act=${() => this.act(watcher, "take-away", t("%(name)s was taken away, and knows it.", { name }))} /></details>`;
  }

  /** @param {Watcher} watcher */
  watched(watcher) {
    const { wallet } = this.props;
    const { holder: name, state, until } = watcher;
    if (state === "asked") {
      return html`<${Who} name=${name} note=${t("Asks you to watch")} />
        <p>${t("You would be told when money moves in this account and how much, and when its PIN, number or devices change. Not with whom, and not the balance.")}</p>
        <div class="buttons"><${Form} wallet=${wallet} look="button-wide" label=${t("Agree")} act=${() => this.act(watcher, "accept", t("You watch over %(name)s from now on.", { name }))} />
        <${Form} wallet=${wallet} look="button-quiet button-wide" label=${t("Decline")} act=${() => this.act(watcher, "decline", t("Declined. %(name)s hears of it.", { name }))} /></div>`;
    }
    const note = until ? t("Has taken you away; you are told everything until %(time)s", { time: when(until) }) : t("You are told of all that happens");
    return html`<${Who} name=${name} note=${note} />
      <details><summary>${t("Stop watching")}</summary>
        <p>${t("You are told nothing more, and %(name)s hears of it.", { name })}</p>
        <${Form} wallet=${wallet} look="button-danger button-wide" label=${t("No longer watch over %(name)s", { name })} act=${() => this.act(watcher, "leave", t("You no longer watch over %(name)s.", { name }))} /></details>`;
  }
}

/** @param {{name: string, note: string}} props */
const Who = ({ name, note }) => html`<div class="row"><${Mark} name=${name} /><span class="row-title"><bdi>${name}</bdi></span><span class="row-note">${note}</span></div>`;

/** Whom to ask: found by number, @name or code, then shown by name before they are asked. @extends {Component<{wallet: Wallet}, {found: any}>} */
class Choose extends Component {
  state = { found: null };

  render() {
    const { wallet } = this.props;
    const found = /** @type {any} */ (this.state.found);
    if (!found) {
      return html`<${Screen} wallet=${wallet} title=${t("Choose a watcher")} key="whom">
        <p>${t("Somebody you trust: family, a union, a church. They need an account here.")}</p>
        <${Find} wallet=${wallet} label=${t("Who is to watch?")} onFound=${(/** @type {any} */ now) => this.setState({ found: now })} />
      </${Screen}>`;
    }
    const { name, account } = found;
    return html`<${Screen} wallet=${wallet} title=${t("Choose a watcher")} key="asked">
      <section class="stub"><p class="soft">${t("To watch over your account")}</p><p class="payee"><bdi>${name}</bdi></p></section>
      <p>${t("Once they agree, they are told when money moves in your account and how much, and when your PIN, number or devices change. Not with whom, and not your balance.")}</p>
      <p class="small soft">${t("They get each receipt’s code, which shows more to whoever looks it up. So ask only those to whom you would show your receipts.")}</p>
      <div class="low"><${Form} wallet=${wallet} label=${t("Ask %(name)s", { name })} act=${async () => {
        await send(wallet, "POST", PATH, { account });
        go("/security/watchers", { replace: true });
      }} />
      <button type="button" class="button button-quiet button-wide" onClick=${() => this.setState({ found: null })}>${t("Somebody else")}</button></div>
    </${Screen}>`;
  }
}
