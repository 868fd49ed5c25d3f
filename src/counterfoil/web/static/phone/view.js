// @ts-check
/** How screens are made: preact's elements, written as htm templates. */

import htm from "/static/vendor/htm.mjs";
import { h } from "/static/vendor/preact.mjs";

export { h, render, Component } from "/static/vendor/preact.mjs";

/** A template as a tree: html`<p class="row">${name}</p>`. */
export const html = htm.bind(h);
