// @ts-check
/** Pay or set aside: whom, how much, what it costs, consent. What is consented to is kept before anything is sent. */

import { icon } from "/static/look/icons.js";
import { Unreachable } from "/static/phone/api.js";
import { Component, html } from "/static/phone/view.js";
import { formatMoment, t } from "/static/phone/words.js";
import { Field, Form, Screen, go, money } from "../frame.js";
import { problemText } from "../problems.js";
import { AmountPad, Consent, Costs, Find, untilReached } from "./parts.js";

const HOLD_S = 24 * 3600;
const CASH_S = 3600;
const SOON_MS = 400;
/** How long the holder goes first: until an answer that comes at once is on the screen. */
const HURRY_MS = 2_000;
/** By then the question is drawn, also by a slow phone. */
const DRAWN_MS = 100;

/**
 * @typedef {{payee: import("./parts.js").Payee|null, claimed: string, confirmed: boolean, amount: number|null, fixed: boolean,
 *   memo: string, reference: string|null, hold: boolean, quote: any, problem: string, unreached: boolean, step: "reading"|"whom"|"amount"|"consent"}} State
 */

/** The question for the code that was scanned last, until it is asked. @type {{code: string, given: Partial<State>, price: any}|null} */
let scanned = null;

/**
 * Works out what a code asks for while the camera's picture still stands, so that the next picture is the question. What cannot
 * be asked at once, or is wrong, is left to the screen.
 *
 * @param {string} code @param {import("../wallet.js").Wallet} wallet
 */
export async function workOut(code, wallet) {
  const given = await fromCode(code, wallet);
  const price = given.amount ? await priceOf(given, wallet) : null;
  scanned = price ? { code, given, price } : null;
}

/** What was worked out for `code`, once. @param {string|null} code @returns {Partial<State>} */
function takeOver(code) {
  const found = scanned;
  scanned = null;
  return found && found.code === code ? { ...found.given, quote: found.price, step: "consent" } : {};
}

/** @extends {Component<import("../frame.js").ScreenProps, State>} */
export default class Pay extends Component {
  /** @type {any} */
  state = {
    payee: null, claimed: "", confirmed: false, amount: null, fixed: false, memo: "", reference: null, hold: false, quote: null,
    problem: "", unreached: false, step: this.props.query.get("code") ? "reading" : "whom", ...takeOver(this.props.query.get("code")),
  };

  /** Nothing that is on the screen changes any more. */
  agreed = false;

  /** What is asked for is being worked out. @type {ReturnType<typeof untilReached>|undefined} */
  reading = undefined;

  componentDidMount() {
    const { step, quote } = this.state;
    if (step === "consent") this.confirm(quote);
    else this.reading = untilReached(() => this.begin(), (error) => this.fail(error));
  }

  componentWillUnmount() {
    this.reading?.stop();
  }

  async begin() {
    const { wallet, query } = this.props;
    const given = query.get("code") ? await fromCode(query.get("code") ?? "", wallet) : await fromQuery(query, wallet);
    if (!given) return;
    if (given.payee && given.amount) await this.consent(given.amount, given);
    else this.setState({ ...given, step: given.payee ? "amount" : "whom", problem: "" });
  }

  /** @param {any} error */
  fail(error) {
    this.setState({ problem: codeProblem(error) ?? problemText(error, this.props.wallet), unreached: error instanceof Unreachable });
  }

  /**
   * Asks for consent: at once where the operator has signed the name and the phone knows the price, and then the server is
   * asked behind it, whose word counts.
   *
   * @param {number} amount @param {Partial<State>} [given] what is known beyond the state
   */
  async consent(amount, given = {}) {
    const { wallet } = this.props;
    const now = { ...this.state, ...given, amount };
    const price = await priceOf(now, wallet);
    const quote = price ?? (await wallet.quote(wishOf(now)));
    const name = (price ? "" : quote.payee_name) || now.payee.name;
    const asked = { amount, quote, step: "consent", confirmed: now.confirmed || !quote.offline, payee: { ...now.payee, name }, problem: "" };
    this.setState(/** @type {any} */ ({ ...given, ...asked }), () => {
      /** @type {HTMLElement|null} */ (document.querySelector(".bar h1"))?.focus();
      if (price) this.confirm(price);
    });
  }

  /** Once it is drawn, takes over what the server says instead of `price`, as long as that is what the holder sees. @param {any} price */
  confirm(price) {
    const { wallet } = this.props;
    const shown = () => this.state.quote === price && this.state.step === "consent" && !this.agreed;
    const ask = async () => {
      try {
        const quote = await wallet.quote(wishOf(this.state));
        if (shown()) this.setState({ quote, payee: { ...this.state.payee, name: quote.payee_name || this.state.payee.name } });
      } catch (error) {
        if (shown()) this.setState({ problem: problemText(error, wallet) });
      }
    };
    requestAnimationFrame(() => setTimeout(() => void ask(), DRAWN_MS));
  }

  agree = async () => {
    const { wallet } = this.props;
    const { payee, amount, quote, hold, memo, reference } = this.state;
    const cash = payee.kind === "agent";
    this.agreed = true;
    wallet.calmAt = performance.now() + HURRY_MS;
    const kept = await wallet.keep({
      kind: hold ? "hold" : "pay",
      payee: { account: payee.account, name: payee.name, address: payee.address },
      amount,
      maxFee: quote.fee,
      reference,
      memo,
      ...(hold ? { timeoutS: cash ? CASH_S : HOLD_S } : {}),
    }).catch((error) => {
      this.agreed = false;
      throw error;
    });
    soon(wallet, kept.id, () => go(`/out/${kept.id}`, { replace: true }));
  };

  render() {
    const { wallet } = this.props;
    const { step, problem, unreached } = this.state;
    const title = t.short("Pay");
    if (problem) {
      return html`<${Screen} wallet=${wallet} title=${title}><div class="empty">${icon("alert")}<p role="alert">${problem}</p>
        <p>${unreached
          ? html`<button type="button" class="button" onClick=${() => this.reading?.again()}>${t("Try again")}</button>`
          : html`<a class="button" href="#/scan">${t("Scan again")}</a>`}</p></div></${Screen}>`;
    }
    return html`<${Screen} wallet=${wallet} title=${title} key=${step === "reading" ? "consent" : step}>
      ${step === "reading" ? html`<p aria-busy="true" />` : step === "whom" ? this.whom() : step === "amount" ? this.amount() : this.last()}
    </${Screen}>`;
  }

  whom() {
    const { wallet, query } = this.props;
    const cash = query.get("cash") === "out";
    return html`
      ${cash ? html`<p>${t("Choose the agent in front of you. You get the cash from them; they take the money when they hand it over.")}</p>` : null}
      <p><a class="button button-quiet button-wide" href="#/scan">${icon("scan")}${t("Scan a code")}</a></p>
      <${Find} wallet=${wallet} label=${t("Whom do you pay?")} kind=${cash ? "agent" : undefined} onFound=${(/** @type {any} */ payee) => {
        if (cash && payee.kind && payee.kind !== "agent") this.setState({ problem: t("%(name)s is no agent.", { name: payee.name }) });
        else this.setState({ payee, confirmed: true, step: "amount", hold: cash || (this.state.hold && true) });
      }} />`;
  }

  amount() {
    const { wallet } = this.props;
    const { payee, amount, memo } = this.state;
    return html`<${Form} wallet=${wallet} label=${t("Go on")} disabled=${!amount} act=${async (/** @type {any} */ values) => {
      this.setState({ memo: values.memo.trim() });
      await this.consent(/** @type {number} */ (this.state.amount));
    }}>
      <p class="to">${t("To %(name)s", { name: payee.name })}</p>
      <${AmountPad} wallet=${wallet} amount=${amount} label=${t("Amount")} onAmount=${(/** @type {any} */ now) => this.setState({ amount: now })} />
      <${Field} label=${t("Note (both of you see it)")} name="memo" input=${{ maxlength: 80, defaultValue: memo }} />
    </${Form}>`;
  }

  last() {
    const { wallet } = this.props;
    const { payee, claimed, confirmed, amount, quote, memo, hold, fixed } = this.state;
    const account = wallet.account;
    const short = account && account.available < quote.total;
    const label = hold ? t("Set aside %(amount)s", { amount: money(wallet, amount) }) : t("Pay %(amount)s", { amount: money(wallet, amount) });
    const until = hold ? Date.now() + (payee.kind === "agent" ? CASH_S : HOLD_S) * 1000 : 0;
    return html`
      <section class="stub">
        <p class="soft">${hold ? t("Kept for") : t("You pay")}</p>
        <p class="payee"><bdi>${payee.name}</bdi></p>
        <span class="amount amount-large">${money(wallet, amount)}</span>
        ${memo ? html`<p><bdi>${memo}</bdi></p>` : null}
        <hr class="tear" />
        <${Costs} wallet=${wallet} amount=${amount} quote=${quote} />
        ${hold ? html`<p class="small soft">${t("They may take it until %(time)s; then it is yours again.", { time: formatMoment(until, "both") })}</p>` : null}
      </section>
      ${claimed && claimed !== payee.name
        ? html`<div class="notice notice-bad"><strong>${t("The names differ")}</strong>
          <p>${t("The code says %(claimed)s, the account belongs to %(name)s. Ask before you pay.", { claimed, name: payee.name })}</p></div>`
        : null}
      ${confirmed
        ? null
        : html`<div class="notice notice-wait"><strong>${t("Name not confirmed")}</strong>
          <p>${t("There is no network to look it up. Pay only if you know the person who showed you this code.")}</p></div>`}
      ${quote.offline
        ? html`<div class="notice">${t("No network: the order is kept on this phone and sent as soon as there is one. Until then nothing is paid.")}</div>`
        : null}
      ${short ? html`<div class="notice notice-wait">${t("There is probably not enough money in your account.")}</div>` : null}
      <div class="low">
        <${Consent} label=${label} slide=${hold ? t("Slide to set aside") : t("Slide to pay")} act=${this.agree}
          problem=${(/** @type {unknown} */ error) => problemText(error, wallet)} />
        ${fixed ? null : html`<p class="center"><button type="button" class="link" onClick=${() => this.setState({ step: "amount" })}>${t("Change the amount")}</button></p>`}
      </div>`;
  }
}

/** @param {any} given */
const wishOf = ({ payee, amount, hold, reference }) => ({
  account: payee.account, amount, kind: hold ? "hold" : "pay", reference, payeeKind: payee.kind,
});

/** What it costs, where the phone knows without asking. @param {any} given @param {import("../wallet.js").Wallet} wallet */
const priceOf = async (given, wallet) => (given.confirmed && given.payee.name ? wallet.price(wishOf(given)) : null);

/**
 * Goes on when it is known what became of an order that has left, but soon: most answers come before "being sent" could be
 * read. It goes on in the moment of the news, so that both are drawn at once.
 *
 * @param {import("../wallet.js").Wallet} wallet @param {string} id @param {() => void} goOn
 */
function soon(wallet, id, goOn) {
  const ended = new AbortController();
  const end = () => {
    if (ended.signal.aborted) return;
    ended.abort();
    goOn();
  };
  const look = () => wallet.outgoing.find((each) => each.id === id)?.state === "sending" || end();
  wallet.addEventListener("change", look, { signal: ended.signal });
  setTimeout(end, SOON_MS);
  look();
}

/** What a scanned code asks for. @param {string} text @param {import("../wallet.js").Wallet} wallet @returns {Promise<any>} */
async function fromCode(text, wallet) {
  const code = await wallet.readCode(text);
  if (code.kind === "foreign") throw t("This code belongs to another payment scheme. It cannot be paid from here.");
  if (code.signed && !code.confirmed) throw t("The signature in this code is wrong. Somebody may have changed it: do not pay.");
  return {
    payee: { account: code.account, name: code.name, address: code.address, kind: code.confirmed ? kindOf(code) : null },
    claimed: code.confirmed ? "" : code.name,
    confirmed: code.confirmed,
    amount: code.amount,
    fixed: code.amount !== null,
    reference: code.request,
    hold: code.hold,
    memo: code.memo ?? "",
  };
}

/** Whose code a signed one is, where its address tells. Agents have merchant codes, too; but for a hold they are refused. @param {any} code */
const kindOf = ({ address, hold }) => (/^[0-9]{7}$/.test(address ?? "") && !hold ? "merchant" : null);

/** What a link, a contact or a request asks for. @param {URLSearchParams} query @param {import("../wallet.js").Wallet} wallet @returns {Promise<any>} */
async function fromQuery(query, wallet) {
  const digits = wallet.scheme?.currency.digits ?? 2;
  const amount = query.get("amount") ? parsePlain(query.get("amount") ?? "", digits) : null;
  const hold = query.get("hold") === "1";
  const memo = (query.get("memo") ?? "").slice(0, 256);
  const asked = wallet.requests.find(({ id }) => id === query.get("request"));
  if (asked) {
    const payee = { account: asked.payee, name: asked.payee_name };
    const purposeHold = asked.purpose === 2 || asked.purpose === "hold";
    return { payee, amount: asked.amount ?? amount, fixed: asked.amount !== null, memo: asked.memo, reference: asked.id, hold: purposeHold, confirmed: true };
  }
  if (query.get("account")) {
    const known = wallet.contacts.find(({ account }) => account === query.get("account"));
    const payee = { account: query.get("account"), name: known?.name ?? query.get("name") ?? "", kind: known?.kind };
    return { payee, amount, fixed: false, memo, hold, confirmed: Boolean(known) };
  }
  if (!query.get("to")) return { hold, amount, memo };
  const found = await wallet.resolve(query.get("to") ?? "");
  const payee = { ...found, address: query.get("to") };
  return { payee, amount, fixed: amount !== null, memo, reference: query.get("request"), hold, confirmed: true };
}

/** Major units as links have them, with a point in every language. @param {string} text @param {number} digits */
function parsePlain(text, digits) {
  const found = /^(\d{1,12})(?:\.(\d*))?$/.exec(text);
  if (!found || (found[2] ?? "").length > digits) return null;
  return Number(found[1] + (found[2] ?? "").padEnd(digits, "0")) || null;
}

/** @param {any} error @returns {string|null} */
export function codeProblem(error) {
  switch (error?.code) {
    case "not_a_code":
      return t("This is not a payment code.");
    case "checksum":
      return t("This code is damaged: its checksum does not fit. Scan it again, or ask for another one.");
    case "field":
      return t("This code cannot be read: something in it is not as it must be. Ask for another one.");
    default:
      return null;
  }
}
