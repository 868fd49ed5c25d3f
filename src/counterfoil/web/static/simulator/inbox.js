// @ts-check
/** The texts that a number was sent, newest first: asked for now and then while the page is seen. */

const INTERVAL_MS = 3_000;
/** A receipt's code in a text, which opens the receipt for whoever has a browser at hand. */
const CODE = /([0-9A-Z]{4}-[0-9A-Z]{4}-[0-9A-Z]{4})/;

/**
 * @param {HTMLElement} list
 * @param {{ no_texts: string }} words
 * @param {(text: string) => void} told hears the newest of the texts that come while one looks; not those that were there.
 */
export function inbox(list, words, told) {
  let number = "";
  /** Ids of the texts that are shown; null until the number's own were asked for. @type {Set<string>|null} */
  let known = null;

  async function refresh() {
    if (!number || document.hidden || list.offsetParent === null) return;
    const asked = number;
    const answer = await fetch(`/simulator/texts?${new URLSearchParams({ number: asked })}`).catch(() => null);
    if (!answer?.ok || asked !== number) return;
    /** @type {{ id: string, text: string, at: string }[]} */
    const texts = (await answer.json()).texts;
    if (asked !== number) return;
    if (known === null) {
      known = new Set(texts.map((each) => each.id));
      list.replaceChildren(...(texts.length ? texts.map(line) : [note(words.no_texts)]));
      list.setAttribute("aria-live", "polite"); // only what comes from now on is read aloud
      return;
    }
    const fresh = texts.filter((each) => !known?.has(each.id));
    if (!fresh[0]) return;
    for (const each of fresh) known.add(each.id);
    list.querySelector(".soft")?.remove();
    list.prepend(...fresh.map(line));
    while (list.childElementCount > Math.max(texts.length, fresh.length)) list.lastElementChild?.remove();
    told(fresh[0].text);
  }

  setInterval(() => void refresh(), INTERVAL_MS);

  return {
    /** Shows the texts of another number, or those that have come since. @param {string} whose */
    look(whose) {
      if (whose !== number) {
        known = null;
        list.setAttribute("aria-live", "off");
        list.replaceChildren(note(words.no_texts));
      }
      number = whose;
      void refresh();
    },
  };
}

/** @param {{ text: string, at: string }} each */
function line(each) {
  const item = document.createElement("li");
  const time = document.createElement("time");
  const text = document.createElement("p");
  time.dateTime = each.at;
  time.textContent = new Intl.DateTimeFormat(document.documentElement.lang, { timeStyle: "medium", hourCycle: "h23" }).format(new Date(each.at));
  text.append(...each.text.split(CODE).map((part) => (CODE.test(part) ? receipt(part) : part)));
  item.append(time, text);
  return item;
}

/** @param {string} code */
function receipt(code) {
  const link = document.createElement("a");
  link.href = `/r/${code}`;
  link.target = "_blank"; // the telephone stays as it is
  link.textContent = code;
  return link;
}

/** @param {string} text */
function note(text) {
  const item = document.createElement("li");
  item.className = "soft";
  item.textContent = text;
  return item;
}
