// Computed lines, with one choice that switches between settings.
import {el} from "./page.js";
import {lines, look} from "./plot.js";

/** Mount a figure of lines. @param {HTMLElement} place @param {any} data */
export function mountLines(place, data) {
  const series = data.settings[0].series.map((/** @type {any} */ each, /** @type {number} */ at) => ({label: each.label, ...look(at), points: true}));
  const label = `${data.y} over ${data.x}: ${series.map((/** @type {any} */ each) => each.label).join(", ")}`;
  const chart = lines(place, {series, x: data.x, y: data.y, log: data.log, height: 280, label});
  const draw = (/** @type {number} */ at) => {
    const {x, series: found} = data.settings[at];
    const ys = found.map((/** @type {any} */ each) => each.y);
    chart.draw(x, ys);
    Object.assign(place, {drawn: {x, ys}}); // for tests
  };
  if (data.settings.length > 1) {
    const select = el("select", {"data-test": "setting", onchange: () => draw(select.selectedIndex)},
      data.settings.map((/** @type {any} */ each, /** @type {number} */ at) => el("option", {selected: at === data.first}, each.label)));
    place.prepend(el("label", {class: "field setting"}, data.choice, select));
  }
  draw(data.first);
}
