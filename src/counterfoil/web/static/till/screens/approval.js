// @ts-check
/** A PIN for one thing: of the clerk at the till, or of a colleague who has the right. */

import { Component, html } from "/static/phone/view.js";
import { t } from "/static/phone/words.js";
import { aside } from "../device.js";
import { saying } from "./frame.js";
import { Pin } from "./pin.js";
import { Sheet } from "./sheet.js";

/**
 * @typedef {{till: import("../till.js").Till, right: string, title: string, onClose: () => void, onAllowed: (session:
 * string) => Promise<void>, children?: any}} Props
 */
/** @typedef {{clerk: string, busy: boolean, error: string}} State */

/** Gives `onAllowed` a session that lives as long as it runs. @extends {Component<Props, State>} */
export class Approval extends Component {
  /** @param {Props} props */
  constructor(props) {
    super(props);
    const able = this.able();
    const clerk = (able.find((each) => each.id === props.till.people.clerk?.id) ?? able[0])?.id ?? "";
    /** @type {State} */
    this.state = { clerk, busy: false, error: "" };
  }

  componentWillUnmount() {
    this.gone = true;
  }

  able() {
    return (this.props.till.shop?.clerks ?? []).filter((clerk) => clerk.rights.includes(this.props.right));
  }

  /** @param {string} pin */
  async allow(pin) {
    const { till, right, onAllowed } = this.props;
    this.setState({ busy: true, error: "" });
    try {
      const { session, rights } = await till.people.prove(this.state.clerk, pin);
      try {
        if (this.gone) return; // who has closed this wants it no more
        if (rights.includes(right)) await onAllowed(session);
        else this.setState({ busy: false, error: t("You have no right to do this.") });
      } finally {
        aside(till.people.end(session));
      }
    } catch (error) {
      this.setState({ busy: false, error: saying(error) });
    }
  }

  /** @param {Props} props @param {State} state */
  render({ till, title, onClose, children }, { clerk, busy, error }) {
    const able = this.able();
    if (!able.length) {
      return html`<${Sheet} title=${title} onClose=${onClose}><p>${t("No clerk of this shop has the right to do this.")}</p><//>`;
    }
    return html`<${Sheet} title=${title} onClose=${onClose}>
      ${children}
      ${!till.people.may(this.props.right) && html`<p class="notice notice-wait">${t("You have no right to do this. A colleague can allow it.")}</p>`}
      ${able.length > 1 && html`<div class="field"><label for="approver">${t("Who allows it?")}</label>
        <select id="approver" value=${clerk} onChange=${(/** @type {any} */ event) => this.setState({ clerk: event.target.value, error: "" })}>
          ${able.map((each) => html`<option key=${each.id} value=${each.id}>${each.name}</option>`)}</select></div>`}
      <${Pin} label=${t("PIN of %(name)s", { name: able.find((each) => each.id === clerk)?.name ?? "" })} busy=${busy} error=${error}
        onPin=${(/** @type {string} */ pin) => void this.allow(pin)} />
    <//>`;
  }
}
