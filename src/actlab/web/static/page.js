// What all pages share: elements, requests, numbers, errors.

/** Return the element with this id. @param {string} id @returns {any} */
export const byId = (id) => document.getElementById(id);

/**
 * Make an element: `el("p", {class: "quiet", onclick: f}, "text", child)`.
 * @param {string} name @param {Record<string, any>} [attributes] @param {...any} children @returns {any}
 */
export function el(name, attributes = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (value === undefined || value === null || value === false) continue;
    if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
    else element.setAttribute(key, value === true ? "" : String(value));
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return element;
}
/** Make an element of a drawing; the same arguments. @param {string} name @param {Record<string, any>} attributes @param {...any} children @returns {any} */
export function svg(name, attributes, ...children) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
    else element.setAttribute(key, String(value));
  }
  element.append(...children.flat());
  return element;
}
/** Replace the children of an element. @param {Element} parent @param {...any} children */
export const fill = (parent, ...children) => parent.replaceChildren(...children.flat().filter((child) => child != null));

/** An answer of the server that says what to change. */
export class Refused extends Error {}

/** @param {string} address @param {RequestInit} [options] @returns {Promise<any>} */
async function asked(address, options) {
  let answer;
  try {
    answer = await fetch(address, options);
  } catch (error) {
    if (error instanceof DOMException && error.name === "AbortError") throw error;
    serverIsGone(true);
    throw new Refused("The server does not answer. Start it again with: actlab serve");
  }
  serverIsGone(false);
  const text = await answer.text();
  const isJson = (answer.headers.get("content-type") || "").includes("json");
  const value = isJson ? JSON.parse(text) : text;
  if (!answer.ok) throw new Refused(isJson ? value.error : `The server answered ${answer.status}.`);
  return value;
}
/** @param {string} address @param {AbortSignal} [signal] */
export const getJson = (address, signal) => asked(address, {signal});

/** @param {string} address @param {any} [value] */
export const postJson = (address, value = {}) =>
  asked(address, {method: "POST", headers: {"content-type": "application/json"}, body: JSON.stringify(value)});

/** Show or hide the banner that the server has gone. @param {boolean} isGone */
export function serverIsGone(isGone) {
  const banner = byId("gone");
  if (banner) banner.hidden = !isGone;
}
/** Show an error beside what caused it; an empty sentence clears it. @param {HTMLElement} place @param {any} [error] */
export function complain(place, error) {
  place.textContent = error ? (error instanceof Error ? error.message : String(error)) : "";
  place.hidden = !error;
}
/** Return a number of an answer: "inf" and "-inf" are infinite, null is NaN. @param {any} value @returns {number} */
export function numberOf(value) {
  if (value === null || value === undefined) return NaN;
  if (value === "inf") return Infinity;
  return value === "-inf" ? -Infinity : Number(value);
}
/** Return a number as text, with a minus sign and at most `digits` significant digits. @param {any} value @param {number} [digits] */
export function shown(value, digits = 4) {
  const number = numberOf(value);
  if (Number.isNaN(number)) return "–";
  if (!Number.isFinite(number)) return number > 0 ? "∞" : "−∞";
  const size = Math.abs(number);
  const text = size !== 0 && (size < 1e-4 || size >= 1e6)
    ? number.toExponential(digits - 1).replace(/\.?0+e/, "e")
    : String(Number(number.toPrecision(digits)));
  return text.replace("e+", "e").replaceAll("-", "−");
}
/** Return a number with its noun: `1 step`, `3 steps`. @param {number} count @param {string} one @param {string} [more] */
export const counted = (count, one, more = one + "s") => `${count.toLocaleString("en")} ${count === 1 ? one : more}`;

/** Call a function at most once a frame, with the latest arguments. @param {(...args: any[]) => void} action */
export function oncePerFrame(action) {
  /** @type {any[] | null} */
  let waiting = null;
  return (/** @type {any[]} */ ...args) => {
    if (waiting === null) requestAnimationFrame(() => { const latest = waiting; waiting = null; action(...(latest || [])); });
    waiting = args;
  };
}
/** Call a function when nothing has changed for a while. @param {(...args: any[]) => void} action @param {number} milliseconds */
export function whenStill(action, milliseconds) {
  let timer = 0;
  return (/** @type {any[]} */ ...args) => {
    clearTimeout(timer);
    timer = setTimeout(() => action(...args), milliseconds);
  };
}
/** Return a button that copies a text. @param {() => string} text */
export function copyButton(text) {
  const button = el("button", {type: "button", onclick: async () => {
    await navigator.clipboard.writeText(text());
    button.textContent = "Copied";
    setTimeout(() => { button.textContent = "Copy"; }, 1500);
  }}, "Copy");
  return button;
}
