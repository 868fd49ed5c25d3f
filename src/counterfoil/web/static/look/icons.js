// @ts-check
/** Signs drawn with one stroke on a grid of 24; look.css gives stroke and size. A sign never stands for a word alone. */

import { html } from "/static/phone/view.js";

/** @type {Record<string, string>} */
export const PATHS = {
  home: "M4 11l8-7 8 7v9h-5v-6H9v6H4z",
  activity: "M5 4h14v16l-3-2-2 2-2-2-2 2-2-2-3 2zM9 9h6M9 13h6",
  messages: "M4 5h16v11H11l-4 4v-4H4z",
  settings: "M4 7h9M19 7h1M4 17h1M11 17h9M16 4.5v5M8 14.5v5M13 7a3 3 0 0 0 6 0 3 3 0 0 0-6 0M5 17a3 3 0 0 0 6 0 3 3 0 0 0-6 0",
  scan: "M4 9V4h5M15 4h5v5M20 15v5h-5M9 20H4v-5M4 12h16",
  pay: "M7 17L17 7M9 7h8v8",
  receive: "M17 7L7 17M15 17H7V9",
  ask: "M12 3a9 9 0 1 0 0 18 9 9 0 0 0 0-18M9.5 9.5a2.5 2.5 0 1 1 3.5 2.3c-.7.3-1 .9-1 1.7M12 17v.01",
  back: "M15 5l-7 7 7 7",
  next: "M9 5l7 7-7 7",
  close: "M6 6l12 12M18 6L6 18",
  check: "M5 12.5l5 5L19 7",
  done: "M12 3a9 9 0 1 0 0 18 9 9 0 0 0 0-18M8 12.5l3 3 5-6",
  wait: "M12 3a9 9 0 1 0 0 18 9 9 0 0 0 0-18M12 7v5l3 2",
  alert: "M12 4L2.5 20h19zM12 10v4M12 17v.01",
  refused: "M12 3a9 9 0 1 0 0 18 9 9 0 0 0 0-18M9 9l6 6M15 9l-6 6",
  eye: "M2 12s4-7 10-7 10 7 10 7-4 7-10 7S2 12 2 12M9 12a3 3 0 0 0 6 0 3 3 0 0 0-6 0",
  hidden: "M4 4l16 16M10 5.3A9 9 0 0 1 12 5c6 0 10 7 10 7a17 17 0 0 1-3 3.7M6 7.5A16 16 0 0 0 2 12s4 7 10 7a9 9 0 0 0 4-1",
  search: "M10.5 4a6.5 6.5 0 1 0 0 13 6.5 6.5 0 0 0 0-13M15.5 15.5L20 20",
  share: "M12 15V3M8 7l4-4 4 4M6 11H5v10h14V11h-1",
  person: "M12 4a4 4 0 1 0 0 8 4 4 0 0 0 0-8M4 21c0-4 3.5-6 8-6s8 2 8 6",
  shop: "M4 9l2-5h12l2 5M4 9v11h16V9M4 9a2.7 2.7 0 0 0 5.3 0 2.7 2.7 0 0 0 5.4 0A2.7 2.7 0 0 0 20 9M9 20v-5h6v5",
  bank: "M3 9l9-5 9 5zM5 9v9M10 9v9M14 9v9M19 9v9M3 20h18",
  card: "M3 6h18v12H3zM3 10h18",
  cash: "M3 6h18v12H3zM9.5 12a2.5 2.5 0 0 0 5 0 2.5 2.5 0 0 0-5 0M6 9v.01M18 15v.01",
  lock: "M6 11h12v10H6zM8 11V8a4 4 0 0 1 8 0v3M12 15v2",
  device: "M7 2h10v20H7zM11 19h2",
  erase: "M9 5h12v14H9l-6-7zM12 9l6 6M18 9l-6 6",
  plus: "M12 5v14M5 12h14",
  minus: "M5 12h14",
  camera: "M3 7h4l2-3h6l2 3h4v13H3zM8 13a4 4 0 0 0 8 0 4 4 0 0 0-8 0",
  picture: "M3 5h18v14H3zM3 16l5-5 5 5 3-3 5 5M15 9v.01",
  download: "M12 4v11M7 11l5 5 5-5M5 20h14",
  print: "M7 8V3h10v5M7 17H4V8h16v9h-3M7 14h10v7H7z",
  offline: "M4 4l16 16M2 9a15 15 0 0 1 4-2.5M10 5.2A15 15 0 0 1 22 9M5.5 13a10 10 0 0 1 3.5-2M15 11a10 10 0 0 1 3.5 2M12 19v.01M9 16.5a4 4 0 0 1 4-.8",
  send: "M4 12l16-8-5 16-4-6zM11 14l9-10",
  refund: "M9 5L4 10l5 5M4 10h10a6 6 0 0 1 0 12h-3",
  remove: "M5 7h14M9 7V4h6v3M7 7l1 14h8l1-14",
  edit: "M4 20l1-5L16 4l4 4L9 19zM14 6l4 4",
  bell: "M6 17V11a6 6 0 0 1 12 0v6l2 2H4zM10 22h4",
  basket: "M3 9h18l-2 11H5zM8 9l3-6M16 9l-3-6",
  day: "M4 6h16v15H4zM4 10h16M8 3v5M16 3v5",
};

/**
 * A sign, hidden from screen readers: the words beside it say what it means.
 *
 * @param {string} name one of PATHS
 * @param {string} [className] of the element, besides `icon`
 * @returns {any} an element
 */
export const icon = (name, className = "") =>
  html`<svg class=${`icon ${className}`} viewBox="0 0 24 24" aria-hidden="true" focusable="false"><path d=${PATHS[name]} /></svg>`;
