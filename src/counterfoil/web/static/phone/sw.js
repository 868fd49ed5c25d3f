// @ts-check
/// <reference lib="webworker" />
/**
 * The service worker of wallet and till: keeps one version of the app, whole, and starts it without a network.
 *
 * The server puts in front which app this is, and every file of it with its hash. All files of one version are kept or none:
 * a file whose hash is another belongs to another version, and this one is then not installed. What the app asks of the
 * server (/v1, /log) never passes through here. A new version waits until the old one's last page has gone or is asleep.
 *
 * It is also what the browser wakes when there is news: it shows so much, in the holder's language, and says to the server that it did.
 */

/** @typedef {{app: string, version: string, shell: string, files: Record<string, string>, news?: Record<string, string>}} Told `news`: by language */

const worker = /** @type {ServiceWorkerGlobalScope & {counterfoil: Told}} */ (/** @type {unknown} */ (self));
const { app, version, shell, files, news } = worker.counterfoil;
const PREFIX = `counterfoil-${app}-`;
const NAME = PREFIX + version;
const AT_ONCE = 4;
const PAST = ["/v1/*", "/log/*"];

worker.addEventListener("install", (event) => {
  // Where the browser can be told so, what never passes through here does not even wake this worker.
  const { addRoutes } = /** @type {any} */ (event);
  if (addRoutes) event.waitUntil(addRoutes.call(event, PAST.map((pathname) => ({ condition: { urlPattern: { pathname } }, source: "network" }))));
  event.waitUntil(install());
});
worker.addEventListener("activate", (event) => event.waitUntil(activate()));
worker.addEventListener("fetch", (event) => {
  const address = new URL(event.request.url);
  if (event.request.method !== "GET" || address.origin !== worker.location.origin) return;
  const isShell = event.request.mode === "navigate" && address.pathname === `/${app}/`;
  const path = isShell ? shell : address.pathname;
  if (path in files) event.respondWith(kept(path, event.request));
});
worker.addEventListener("message", (event) => {
  if (event.data?.type === "activate") event.waitUntil(takeOver(Boolean(event.data.alone)));
});
worker.addEventListener("push", (event) => event.waitUntil(tell(event.data?.text() ?? "")));
worker.addEventListener("notificationclick", (event) => {
  event.notification.close();
  event.waitUntil(open());
});

/** Shows that there is news, and says so: until then the server thinks of an SMS. @param {string} id of the message, which is all that it says */
async function tell(id) {
  if (!news) return;
  const liked = [await chosen().catch(() => ""), ...navigator.languages].map((tag) => tag.split("-")[0]);
  const lang = liked.find((tag) => tag in news) ?? Object.keys(news)[0];
  const look = { lang, tag: "news", renotify: true, icon: "/static/icons/mark-192.png", badge: "/static/icons/mark-192.png" };
  await worker.registration.showNotification(news[lang], look);
  const headers = { "Content-Type": "application/json" };
  await fetch("/v1/push/acks", { method: "POST", headers, body: JSON.stringify({ id }), credentials: "omit", keepalive: true }).catch(() => {});
}

/** @returns {Promise<string>} the language that the holder has chosen in the app; "" for none */
function chosen() {
  return new Promise((resolve, reject) => {
    const request = indexedDB.open("counterfoil");
    request.onupgradeneeded = () => request.transaction?.abort(); // no wallet yet: nothing of ours is to be made here
    request.onerror = () => reject(request.error);
    request.onsuccess = () => {
      const database = request.result;
      try {
        const asked = database.transaction("self").objectStore("self").get("settings");
        asked.onsuccess = () => resolve(asked.result?.language ?? "");
        asked.onerror = () => reject(asked.error);
      } catch (error) {
        reject(error);
      }
      database.close(); // once the transaction is over
    };
  });
}

async function open() {
  const clients = await worker.clients.matchAll({ includeUncontrolled: true, type: "window" });
  const page = clients.find((client) => new URL(client.url).pathname === `/${app}/`);
  await (page ? page.focus() : worker.clients.openWindow(`/${app}/`));
}

/** @param {boolean} alone only when no other page would notice: it still loads modules of the old version */
async function takeOver(alone) {
  const clients = await worker.clients.matchAll({ includeUncontrolled: true, type: "window" });
  const pages = clients.filter((client) => new URL(client.url).pathname === `/${app}/`);
  if (!alone || pages.length <= 1) await worker.skipWaiting();
}

/** Fetches every file of this version, a few at a time, taking from the version before what has not changed. */
async function install() {
  const cache = await caches.open(NAME);
  const waiting = Object.keys(files);
  const fetchSome = async () => {
    for (let path = waiting.shift(); path !== undefined; path = waiting.shift()) {
      const answer = (await unchanged(path)) ?? (await fetched(path));
      await cache.put(path, answer);
    }
  };
  try {
    await Promise.all(Array.from({ length: AT_ONCE }, fetchSome));
  } catch (error) {
    waiting.length = 0;
    await caches.delete(NAME);
    throw error;
  }
}

/** @param {string} path @returns {Promise<Response|undefined>} the file as a version before has it, if that is the same */
async function unchanged(path) {
  const answer = await caches.match(path);
  return answer && (await hash(answer.clone())) === files[path] ? answer : undefined;
}

/** @param {string} path @returns {Promise<Response>} */
async function fetched(path) {
  // The page has most of them already: the browser asks whether they are still the same, and need not load them again.
  const answer = await fetch(path, { cache: "no-cache", credentials: "omit" });
  if (!answer.ok || (await hash(answer.clone())) !== files[path]) throw new Error(`${path} is of another version`);
  return answer;
}

/** @param {Response} answer @returns {Promise<string>} first 12 bytes of SHA-256 in base64url */
async function hash(answer) {
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", await answer.arrayBuffer())).subarray(0, 12);
  return btoa(String.fromCharCode(...digest)).replace(/\+/g, "-").replace(/\//g, "_");
}

async function activate() {
  const names = (await caches.keys()).filter((name) => name.startsWith(PREFIX) && name !== NAME);
  await Promise.all(names.map((name) => caches.delete(name)));
  await worker.clients.claim();
}

/** @param {string} path @param {Request} request @returns {Promise<Response>} */
async function kept(path, request) {
  const answer = await caches.open(NAME).then((cache) => cache.match(path));
  // The browser has cleared its cache: the network, while there is one.
  return answer ?? fetch(request);
}
