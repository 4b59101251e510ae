// Mounts every figure of a page: <figure data-figure="kind">, with its data in the element with the id "figures".
import {byId, complain} from "./page.js";
import {mountFunction} from "./figure_function.js";
import {mountLines} from "./figure_lines.js";

/** @type {Record<string, (place: HTMLElement, data: any, query: string) => any>} */
const MOUNTS = {
  function: mountFunction,
  lines: mountLines,
  playground: async (place, data, query) => (await import("./figure_playground.js")).mount(place, new URLSearchParams(query), data),
};

/** Mount one figure; an error is shown at its place. @param {HTMLElement} figure @param {any} facts */
async function mounted(figure, facts) {
  const stage = /** @type {HTMLElement} */ (figure.querySelector(".stage"));
  try {
    if (facts.error) throw new Error(facts.error);
    await MOUNTS[facts.kind](stage, facts.data, figure.dataset.state || "");
  } catch (error) {
    complain(/** @type {HTMLElement} */ (figure.querySelector(".error")), error);
  }
  figure.dataset.mounted = "";
}

/** Mount all figures. */
export function mountAll() {
  const all = JSON.parse(byId("figures")?.textContent || "[]");
  document.querySelectorAll("[data-figure]").forEach((figure, at) => mounted(/** @type {HTMLElement} */ (figure), all[at]));
}
