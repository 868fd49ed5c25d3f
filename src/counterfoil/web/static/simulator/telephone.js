// @ts-check
/** The page of one telephone, or of two beside each other where the screen is wide: whose they are, and a computer's keyboard. */

import { Handset } from "./handset.js";

const given = JSON.parse(document.getElementById("words")?.textContent ?? "{}");
const handsets = [...document.querySelectorAll(".set")].map((set) => new Handset(/** @type {HTMLElement} */ (set), given));
/** The one that a computer's keyboard writes on: that which was touched last. @type {Handset|undefined} */
let held = handsets[0];

/** @param {Handset|undefined} handset */
function hold(handset) {
  held = handset;
  for (const each of handsets) each.isHeld = each === held;
}

/** Two telephones have two numbers: neither offers the other's. */
function part() {
  for (const each of handsets) each.without(handsets.filter((other) => other !== each && other.isSeen).map((other) => other.whose.value));
}

for (const handset of handsets) {
  for (const event of ["focusin", "pointerdown"]) handset.set.addEventListener(event, () => hold(handset));
  handset.whose.addEventListener("change", part);
}

document.addEventListener("keydown", (event) => {
  const target = /** @type {Element} */ (event.target);
  if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
  if (!target.matches(".typed") && target.closest("a, select, input, summary")) return;
  if (!held?.isSeen) hold(handsets[0]);
  held?.typed(event);
});

addEventListener("pagehide", () => {
  for (const handset of handsets) handset.hangUp();
});
addEventListener("resize", part);

hold(handsets[0]);
for (const handset of handsets) handset.start();
part();
