// @ts-check
/** One conversation, with what was paid between the two where it happened; or what the scheme writes, which reads no answers. */

import { icon } from "/static/look/icons.js";
import { Component, html } from "/static/phone/view.js";
import { formatMoment, t } from "/static/phone/words.js";
import { Screen, money, ms, say, when } from "../frame.js";
import { problemText } from "../problems.js";
import { Flag, Report } from "./report.js";

/**
 * `messages`: the newest; `older`: what was loaded before them, and `next` how it goes on. `reporting`: the id of the message that is
 * being reported; `reported`: of those that were.
 *
 * @extends {Component<import("../frame.js").ScreenProps, {messages: any[], older: any[], next: string|null, name: string, blocked: boolean,
 *   scheme: boolean, text: string, busy: boolean, problem: string, loaded: boolean, reporting: string, reported: string[]}>}
 */
export default class Thread extends Component {
  /** @type {any} */
  state = { messages: [], older: [], next: null, name: "", blocked: false, scheme: false, text: "", busy: false, problem: "", loaded: false, reporting: "", reported: [] };
  account = this.props.parts[0];

  componentDidMount() {
    this.props.wallet.addEventListener("change", this.changed);
    void this.load();
  }

  componentWillUnmount() {
    this.props.wallet.removeEventListener("change", this.changed);
  }

  /** What was said last, as the list of conversations has it. */
  last = "";

  changed = () => {
    const last = JSON.stringify(this.thread()?.last ?? null);
    if (last === this.last) return;
    this.last = last;
    void this.load();
  };

  load = async () => {
    try {
      const { messages, name, blocked, scheme, next } = await this.props.wallet.thread(this.account);
      const { messages: before, older } = this.state;
      const grown = messages[0]?.id !== before[0]?.id;
      // What new messages have pushed out of the newest joins those that were loaded before them.
      const rest = older.length ? { older: once([...before, ...older]) } : { next };
      this.setState({ messages, name, blocked, scheme, loaded: true, ...rest }, () => grown && document.querySelector(".talk-end")?.scrollIntoView({ block: "end" }));
    } catch (error) {
      this.setState({ loaded: true, problem: problemText(error, this.props.wallet) });
    }
  };

  loadOlder = async () => {
    const { wallet } = this.props;
    this.setState({ busy: true, problem: "" });
    try {
      const { messages, next } = await wallet.thread(this.account, this.state.next);
      this.setState({ busy: false, next, older: [...this.state.older, ...messages] });
    } catch (error) {
      this.setState({ busy: false, problem: problemText(error, wallet) });
    }
  };

  /** @param {SubmitEvent} event */
  send = async (event) => {
    event.preventDefault();
    const { wallet } = this.props;
    const text = this.state.text.trim();
    if (!text || this.state.busy) return;
    this.setState({ busy: true, problem: "" });
    try {
      await wallet.send(this.account, text);
      this.setState({ busy: false, text: "" });
      await this.load();
    } catch (error) {
      this.setState({ busy: false, problem: problemText(error, wallet) });
    }
  };

  block = async () => {
    const { wallet } = this.props;
    try {
      await wallet.block(this.account, !this.state.blocked);
      await Promise.all([this.load(), wallet.refresh()]);
    } catch (error) {
      this.setState({ problem: problemText(error, wallet) });
    }
  };

  /** @param {string} id of a message that the staff has now */
  done(id) {
    this.setState({ reporting: "", reported: [...this.state.reported, id] });
    say(t("Reported. The scheme’s staff will look at it."));
  }

  thread() {
    return this.props.wallet.threads.find(({ account }) => account === this.account);
  }

  render() {
    const { wallet, query } = this.props;
    const { messages, older, next, text, busy, problem, loaded, blocked, reporting, reported } = this.state;
    const scheme = this.state.scheme || Boolean(this.thread()?.scheme);
    const me = wallet.identity?.account;
    const paid = wallet.entries.filter((entry) => entry.counterparty === this.account && entry.payment);
    const name = this.state.name || this.thread()?.name || query.get("name") || paid[0]?.counterparty_name || t("Messages");
    const lines = [
      ...once([...older, ...messages]).map((each) => ({ at: ms(each.at), message: each, entry: null })),
      ...paid.map((entry) => ({ at: ms(entry.at), message: null, entry })),
    ].sort((a, b) => a.at - b.at);
    let day = "";
    return html`<${Screen} wallet=${wallet} title=${name}
        end=${scheme ? null : html`<a href=${`#/pay?account=${this.account}&name=${encodeURIComponent(name)}`} aria-label=${t("Pay %(name)s", { name })}>${icon("pay")}</a>`}>
      ${next ? html`<button type="button" class="button button-quiet button-wide" disabled=${busy} onClick=${this.loadOlder}>${t("Load older ones")}</button>` : null}
      <ol class="talk" aria-label=${t("Conversation")}>
        ${lines.map(({ at, message, entry }) => {
          const today = formatMoment(at, "day");
          const head = today === day ? null : html`<li class="talk-day">${today}</li>`;
          day = today;
          if (entry) {
            const amount = entry.change || entry.set_aside;
            return html`${head}<li class=${`talk-money ${entry.change > 0 ? "theirs" : "mine"}`}><a href=${`#/payment/${entry.payment}`}>
              <span><span class="amount">${money(wallet, Math.abs(amount))}</span> · ${entry.change > 0 ? t("Received") : entry.change ? t("Paid") : t("Set aside")}</span>
              ${entry.memo ? html`<span class="row-note"><bdi>${entry.memo}</bdi></span>` : null}</a></li>`;
          }
          const mine = message.from === me;
          return html`${head}<li class=${mine ? "mine" : "theirs"}><span class="visually-hidden">${mine ? t("You") : name}: </span>
            <bdi>${message.text}</bdi> <time class="row-note">${when(at, "time")}${mine && message.read ? ` · ${t("read")}` : ""}</time>
            ${mine || scheme || reported.includes(message.id) ? null : html`<${Flag} open=${reporting === message.id}
              onClick=${() => this.setState({ reporting: reporting === message.id ? "" : message.id })} />`}</li>
            ${reported.includes(message.id) ? html`<li class="talk-report"><p class="small soft">${t("Reported. The scheme’s staff will look at it.")}</p></li>` : null}
            ${reporting === message.id ? html`<li class="talk-report"><${Report} wallet=${wallet} message=${message.id}
              onDone=${() => this.done(message.id)} /></li>` : null}`;
        })}
      </ol>
      ${loaded && !lines.length ? html`<div class="empty">${icon("messages")}<p>${t("Nothing was said yet.")}</p></div>` : null}
      <span class="talk-end" />
      ${reporting ? null : html`<div class="low talk-form">
        <div role="alert">${problem ? html`<div class="notice notice-bad">${problem}</div>` : null}</div>
        ${scheme
          ? html`<div class="notice">${blocked ? t("Muted: you are only told of what is about security.") : t("The scheme writes here. It reads no answers.")}</div>`
          : blocked
          ? html`<div class="notice">${t("Blocked: neither of you can write to the other.")}</div>`
          : html`<form class="write" onSubmit=${this.send}>
            <textarea name="text" rows="1" maxlength="1000" aria-label=${t("Message")} value=${text}
              onInput=${(/** @type {any} */ event) => this.setState({ text: event.currentTarget.value })} />
            <button class="button" disabled=${busy || !text.trim()} aria-label=${t("Send")}>${icon("send")}</button></form>`}
        ${loaded
          ? html`<p class="center"><button type="button" class="link small" onClick=${this.block}>${scheme
              ? blocked ? t("No longer mute") : t("Mute")
              : blocked ? t("Allow messages again") : t("Block messages")}</button></p>`
          : null}
      </div>`}
    </${Screen}>`;
  }
}

/** Each message once, as it was seen last. @param {any[]} messages @returns {any[]} */
const once = (messages) => [...new Map(messages.map((each) => [each.id, each])).values()];
