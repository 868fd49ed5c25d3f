// @ts-check
/** A question over the screen: a dialog that Escape closes and that gives the focus back. */

import { icon } from "/static/look/icons.js";
import { Component, html } from "/static/phone/view.js";
import { t } from "/static/phone/words.js";

/** @typedef {{title: string, onClose: () => void, children?: any}} Props */

/** @extends {Component<Props>} */
export class Sheet extends Component {
  /** @type {HTMLDialogElement|null} */
  dialog = null;

  componentDidMount() {
    this.before = document.activeElement;
    this.dialog?.showModal();
  }

  componentWillUnmount() {
    this.dialog?.close();
    if (this.before instanceof HTMLElement && this.before.isConnected) this.before.focus();
  }

  /** @param {Props} props */
  render({ title, onClose, children }) {
    return html`<dialog class="sheet" aria-labelledby="sheet-title" ref=${(/** @type {any} */ found) => { this.dialog = found; }}
      onCancel=${(/** @type {Event} */ event) => { event.preventDefault(); onClose(); }}>
      <div class="sheet-bar"><h2 id="sheet-title">${title}</h2>
        <button type="button" class="sheet-close" aria-label=${t("Close")} onClick=${onClose}>${icon("close")}</button></div>
      ${children}
    </dialog>`;
  }
}
