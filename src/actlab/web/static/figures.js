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
/**
 * Apply what the address of a page without a server presets for a figure; return what that page cannot show.
 * @param {any} facts @param {URLSearchParams} preset
 */
function refusedPreset(facts, preset) {
  const isFunction = facts.kind === "function";
  const was = isFunction ? facts.data.curves.map((/** @type {any} */ curve) => curve.label) : [];
  const refused = new Set();
  for (const [name, value] of preset) {
    const slider = isFunction && facts.data.sliders.find((/** @type {any} */ each) => each.name === name);
    if (slider) slider.value = Number(value);
    else if (isFunction && ["from", "to", "point"].includes(name)) facts.data[name] = Number(value);
    else if (isFunction && name === "show") facts.data.show = value.split(",");
    else if (name !== "f" || !was.includes(value)) refused.add(name);
  }
  return [...refused];
}
/** Mount one figure; an error is shown at its place. @param {HTMLElement} figure @param {any} facts @param {URLSearchParams} preset */
async function mounted(figure, facts, preset) {
  const refused = location.protocol === "file:" ? refusedPreset(facts, preset) : [];
  const stage = /** @type {HTMLElement} */ (figure.querySelector(".stage"));
  try {
    if (facts.error) throw new Error(facts.error);
    await MOUNTS[facts.kind](stage, facts.data, figure.dataset.state || "");
  } catch (error) {
    complain(/** @type {HTMLElement} */ (figure.querySelector(".error")), error);
  }
  if (refused.length) complain(/** @type {HTMLElement} */ (figure.querySelector(".error")),
    `The address presets ${refused.join(", ")}, which only the workbench can show (actlab serve); the figure is as the lesson has it.`);
  figure.dataset.mounted = "";
}
/** Mount all figures. */
export function mountAll() {
  const all = JSON.parse(byId("figures")?.textContent || "[]");
  document.querySelectorAll("[data-figure]").forEach((figure, at) => mounted(
    /** @type {HTMLElement} */ (figure), all[at], new URLSearchParams(new URLSearchParams(location.search).get(`figure${at + 1}`) || "")));
}
