// @ts-check
/** Conversations, newest first, and the beginning of a new one. */

import { icon } from "/static/look/icons.js";
import { Component, html } from "/static/phone/view.js";
import { n, t } from "/static/phone/words.js";
import { Mark, Screen, go, shortly } from "../frame.js";
import { Find } from "./parts.js";

/** @extends {Component<import("../frame.js").ScreenProps, {fresh: boolean}>} */
export default class Messages extends Component {
  state = { fresh: false };

  render() {
    const { wallet } = this.props;
    if (this.state.fresh) {
      return html`<${Screen} wallet=${wallet} title=${t("New message")} key="fresh">
        <${Find} wallet=${wallet} label=${t("To whom?")} onFound=${(/** @type {any} */ found) => go(`/thread/${found.account}?name=${encodeURIComponent(found.name)}`)} />
      </${Screen}>`;
    }
    const me = wallet.identity?.account;
    return html`<${Screen} wallet=${wallet} root title=${t.short("Messages")} key="all"
        end=${html`<button type="button" aria-label=${t("New message")} onClick=${() => this.setState({ fresh: true })}>${icon("edit")}</button>`}>
      ${wallet.threads.length
        ? html`<ul class="list">${wallet.threads.map((each) => html`<li><a class="row" href=${`#/thread/${each.account}`}>
            <${Mark} name=${each.name} /><span class="row-title"><bdi>${each.unread ? html`<strong>${each.name}</strong>` : each.name}</bdi></span>
            <span class="row-note one-line">${each.last ? html`${each.last.from === me ? `${t("You")}: ` : ""}<bdi>${each.last.text}</bdi>` : ""}</span>
            <span class="row-end"><span class="row-note">${each.last ? shortly(each.last.at) : ""}</span>
              ${each.unread ? html`<span class="count">${each.unread}<span class="visually-hidden"> ${n("%(count)s new message", "%(count)s new messages", each.unread)}</span></span>` : null}</span>
          </a></li>`)}</ul>`
        : html`<div class="empty">${icon("messages")}<p>${t("No messages yet. Write to somebody you pay, or to a shop.")}</p>
            <p><button class="button" onClick=${() => this.setState({ fresh: true })}>${t("Write")}</button></p></div>`}
    </${Screen}>`;
  }
}
