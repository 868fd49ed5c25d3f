// @ts-check
/** The texts that a number was sent, newest first: asked for now and then while the page is seen. */

const INTERVAL_MS = 3_000;
/** A receipt's code in a text, which opens the receipt for whoever has a browser at hand. */
const CODE = /([0-9A-Z]{4}-[0-9A-Z]{4}-[0-9A-Z]{4})/;

/** @param {HTMLElement} list @param {{ no_texts: string }} words */
export function inbox(list, words) {
  let number = "";
  let newest = "";

  async function refresh() {
    if (!number || document.hidden) return;
    const asked = number;
    const answer = await fetch(`/simulator/texts?${new URLSearchParams({ number: asked })}`).catch(() => null);
    if (!answer?.ok || asked !== number) return;
    /** @type {{ id: string, text: string, at: string }[]} */
    const texts = (await answer.json()).texts;
    const found = `${asked} ${texts.map((each) => each.id).join(" ")}`;
    if (found === newest) return;
    newest = found;
    list.replaceChildren(...(texts.length ? texts.map(line) : [note(words.no_texts)]));
  }

  setInterval(() => void refresh(), INTERVAL_MS);

  return {
    /** Shows the texts of another number, or those that have come since. @param {string} whose */
    look(whose) {
      if (whose !== number) {
        newest = "";
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
