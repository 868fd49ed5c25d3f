// @ts-check
/** A clerk's PIN: on the keypad, or on the keyboard of the desk. */

import { icon } from "/static/look/icons.js";
import { Component, html } from "/static/phone/view.js";
import { t } from "/static/phone/words.js";

const SIZE_MAX = 12;
export const SIZE_MIN = 4;

/** @typedef {{label: string, busy: boolean, error: string, onPin: (pin: string) => void}} Props */

/** Gives the PIN to `onPin`, and forgets it. @extends {Component<Props, {pin: string}>} */
export class Pin extends Component {
  state = { pin: "" };

  componentDidMount() {
    this.box?.focus();
  }

  /** @param {string} key */
  press(key) {
    const pin = key === "back" ? this.state.pin.slice(0, -1) : this.state.pin + key;
    if (pin.length <= SIZE_MAX) this.setState({ pin });
  }

  /** @param {Event} event */
  send(event) {
    event.preventDefault();
    const { pin } = this.state;
    if (pin.length < SIZE_MIN || this.props.busy) return;
    this.setState({ pin: "" });
    this.props.onPin(pin);
  }

  /** @param {Props} props @param {{pin: string}} state */
  render({ label, busy, error }, { pin }) {
    return html`<form class="pin" onSubmit=${(/** @type {Event} */ event) => this.send(event)}>
      <div class="field">
        <label for="pin">${label}</label>
        <input id="pin" class="code" type="password" autofocus inputmode="none" autocomplete="off" maxlength=${SIZE_MAX} value=${pin}
          aria-invalid=${error ? "true" : "false"} aria-describedby="pin-error"
          ref=${(/** @type {any} */ found) => { this.box = found; }}
          onInput=${(/** @type {any} */ event) => this.setState({ pin: event.target.value.replace(/\D/g, "") })} />
        <p id="pin-error" class="error" role="alert">${error}</p>
      </div>
      <${Keypad} onKey=${(/** @type {string} */ key) => this.press(key)}
        corner=${html`<button type="submit" class="key-ok" disabled=${busy || pin.length < SIZE_MIN}>${icon("check")}
          <span class="visually-hidden">${t("Done")}</span></button>`} />
    </form>`;
  }
}

/**
 * Digits in the order of a telephone, with something in the lower left corner; the lower right one takes back.
 * @param {{onKey: (key: string) => void, corner: any}} props
 */
export function Keypad({ onKey, corner }) {
  const key = (/** @type {string} */ digit) => html`<button type="button" onPointerDown=${keepFocus} onClick=${() => onKey(digit)}>${digit}</button>`;
  return html`<div class="keypad" role="group" aria-label=${t("Keypad")}>
    ${["1", "2", "3", "4", "5", "6", "7", "8", "9"].map(key)}
    <button type="button" aria-label=${t("Delete the last digit")} onPointerDown=${keepFocus} onClick=${() => onKey("back")}>${icon("erase")}</button>
    ${key("0")}${corner}
  </div>`;
}

/** A pointer leaves the focus where it is, so that the keyboard goes on there. @param {Event} event */
export const keepFocus = (event) => event.preventDefault();
