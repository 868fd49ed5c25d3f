// @ts-check
/** A text as a QR code, in black on white whatever the theme: scanners read nothing else well. */

import { renderSVG } from "/static/vendor/uqr.mjs";

/**
 * @param {string} text
 * @param {{label?: string}} [options] label: what a screen reader says of it
 * @returns {Promise<string>} SVG; RangeError for what fits in no code
 */
export async function draw(text, { label = "" } = {}) {
  const svg = renderSVG(text, { ecc: text.length > 200 ? "L" : "M", border: 4, whiteColor: "#fff", blackColor: "#000" });
  const title = label.replace(/[&<>"]/g, (mark) => `&#${mark.charCodeAt(0)};`);
  return svg.replace("<svg ", `<svg role="img" aria-label="${title}" `);
}
