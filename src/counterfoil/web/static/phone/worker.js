// @ts-check
/** Installs the service worker once the app has started, and lets a new version take over when it is told to or nobody is looking. */

/**
 * Call after the first screen is shown: what is kept for offline use is fetched behind it.
 *
 * @param {"wallet"|"till"} app
 * @param {{onWaiting?: (takeOver: () => void) => void}} [options] onWaiting: a newer version is kept whole; `takeOver` changes to
 *   it, and every page of the app reloads
 * @returns {Promise<boolean>} whether the app starts without a network from now on; false where the browser cannot do that
 */
export async function install(app, { onWaiting } = {}) {
  if (!("serviceWorker" in navigator)) return false;
  await idle();
  let had = Boolean(navigator.serviceWorker.controller);
  navigator.serviceWorker.addEventListener("controllerchange", () => {
    if (had) location.reload();
    had = true; // the first one keeps what this page has; any other has another version
  });
  let registration;
  try {
    registration = await navigator.serviceWorker.register(`/${app}/sw.js`, { scope: `/${app}/`, updateViaCache: "none" });
  } catch {
    return had;
  }
  const found = registration;
  const look = () => {
    const { waiting } = found;
    if (waiting && had) onWaiting?.(() => waiting.postMessage({ type: "activate" }));
  };
  look();
  found.addEventListener("updatefound", () => found.installing?.addEventListener("statechange", look));
  document.addEventListener("visibilitychange", () => {
    if (document.visibilityState === "hidden") found.waiting?.postMessage({ type: "activate", alone: true });
  });
  await navigator.serviceWorker.ready;
  return true;
}

/** @returns {Promise<void>} when the page has loaded and has nothing else to do */
async function idle() {
  if (document.readyState !== "complete") await new Promise((resolve) => addEventListener("load", resolve, { once: true }));
  await new Promise((resolve) => ("requestIdleCallback" in globalThis ? requestIdleCallback(resolve, { timeout: 5_000 }) : setTimeout(resolve, 1_000)));
}
