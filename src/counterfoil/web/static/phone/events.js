// @ts-check
/** What happens on the server, as it happens: server-sent events over a signed request. Source: WHATWG HTML, "Server-sent events". */

import { Refusal, Unreachable } from "./api.js";

const MEDIA_TYPE = "text/event-stream";

const PAUSE_MIN_MS = 1_000;
const PAUSE_MAX_MS = 60_000;
/** The server says something every 15 seconds; after three of them in silence the line is dead. */
const SILENCE_MS = 45_000;

/** @typedef {{type: string, id: string|null, data: any}} Event */

/**
 * Listens until `signal` ends it, and comes back after every break with what was missed. `onEvent` also hears
 * {type: "open"} each time the line is up: what has no id is not repeated, so look at it again then.
 *
 * @param {{api: import("./api.js").Api, onEvent: (event: Event) => void, signal: AbortSignal, path?: string, after?: string|null,
 *          always?: boolean}} options always: also while the page is not visible, as a till needs it
 * @returns {Promise<void>} kept when `signal` has ended it, or the server has refused for good
 */
export async function follow({ api, onEvent, signal, path = "/v1/events", after = null, always = false }) {
  let pause = PAUSE_MIN_MS;
  while (!signal.aborted) {
    if (!always && document.visibilityState === "hidden") {
      await visible(signal);
      continue;
    }
    const line = new AbortController();
    const end = () => line.abort();
    const hide = () => document.visibilityState === "hidden" && !always && line.abort();
    signal.addEventListener("abort", end);
    document.addEventListener("visibilitychange", hide);
    try {
      for await (const event of events(api, path, after, line)) {
        pause = PAUSE_MIN_MS;
        after = event.id ?? after;
        onEvent(event);
      }
    } catch (error) {
      if (error instanceof Refusal && error.retry === "never") return;
    } finally {
      signal.removeEventListener("abort", end);
      document.removeEventListener("visibilitychange", hide);
      line.abort();
    }
    await sleep(pause * (0.75 + Math.random() / 2), signal);
    pause = Math.min(pause * 2, PAUSE_MAX_MS);
  }
}

/**
 * @param {import("./api.js").Api} api @param {string} path @param {string|null} after @param {AbortController} line
 * @returns {AsyncGenerator<Event>}
 */
async function* events(api, path, after, line) {
  let timer = setTimeout(() => line.abort(), SILENCE_MS);
  try {
    const answer = await api.open("GET", path, { query: { after }, accept: MEDIA_TYPE, signal: line.signal });
    // A captive portal answers 200, too.
    if (!answer.headers.get("content-type")?.startsWith(MEDIA_TYPE)) throw new Unreachable("it answered with something else");
    const reader = /** @type {ReadableStream<Uint8Array>} */ (answer.body).getReader();
    yield { type: "open", id: null, data: null };
    const decoder = new TextDecoder();
    let text = "";
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      clearTimeout(timer);
      timer = setTimeout(() => line.abort(), SILENCE_MS);
      text += decoder.decode(value, { stream: true });
      const parts = text.split("\n\n");
      text = parts.pop() ?? "";
      for (const part of parts) {
        const event = read(part);
        if (event) yield event;
      }
    }
  } finally {
    clearTimeout(timer);
  }
}

/** @param {string} part lines of one event @returns {Event|null} null for a comment */
function read(part) {
  /** @type {Record<string, string>} */
  const fields = {};
  for (const line of part.split("\n")) {
    const [, name, value] = /^([a-z]+): ?(.*)$/.exec(line) ?? [];
    if (name) fields[name] = value;
  }
  return fields.data === undefined ? null : { type: fields.event ?? "message", id: fields.id ?? null, data: JSON.parse(fields.data) };
}

/** @param {number} ms @param {AbortSignal} signal @returns {Promise<void>} */
const sleep = (ms, signal) =>
  new Promise((resolve) => {
    const timer = setTimeout(over, ms);
    function over() {
      clearTimeout(timer);
      removeEventListener("online", over);
      signal.removeEventListener("abort", over);
      resolve();
    }
    addEventListener("online", over);
    signal.addEventListener("abort", over);
  });

/** @param {AbortSignal} signal @returns {Promise<void>} */
const visible = (signal) =>
  new Promise((resolve) => {
    const look = () => {
      if (document.visibilityState === "hidden" && !signal.aborted) return;
      document.removeEventListener("visibilitychange", look);
      signal.removeEventListener("abort", look);
      resolve();
    };
    document.addEventListener("visibilitychange", look);
    signal.addEventListener("abort", look);
  });
