/**
 * The page of a receipt code: checks what the server gave for it, by verify.js and code.js, without asking it anything further.
 *
 * The code is the one in the address and on the page, for the visitor to compare with the text message: a server that gives
 * another's receipt for it is caught.
 */

import { checkCode } from "./code.js";
import { pageWords, show } from "./show.js";
import { check } from "./verify.js";

/** @template {HTMLElement} T @param {string} id @returns {T} */
const element = (id) => /** @type {T} */ (document.getElementById(id));

/** @type {{receipt: string, proof: string}[]} */
const receipts = pageWords.receipts;
const code = location.pathname.split("/").pop() ?? "";
element("code").textContent = code.replace(/(.{4})(?=.)/g, "$1-");

for (const { receipt, proof } of receipts) {
  const report = await check(receipt, pageWords.policy);
  if (report.outcome === "proven") {
    const step = await checkCode(report, code, proof);
    report.steps.push(step);
    if (step.state === "refuted") {
      report.outcome = "refuted";
      report.fields = null;
    }
  } else {
    report.steps.push({ name: "code", state: "skipped", code: "skipped", facts: {} });
  }
  show(report);
  element("said").hidden = report.outcome === "proven";
  if (report.outcome === "proven") break;
}
