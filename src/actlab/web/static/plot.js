// Lines by uPlot, in the colors of the style sheet.
import {el, shown} from "./page.js";

/** The names of colors for one curve after another; they differ in lightness too, and every other one is dashed. */
export const COLORS = ["better", "worse", "equivalent", "derivative", "ink", "minor"];

/** @param {string} name */
export const color = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim() || name;

/** Return what tells the n-th curve apart. @param {number} at */
export const look = (at) => ({color: COLORS[at % COLORS.length], dash: [undefined, [8, 4], [2, 3], [10, 3, 2, 3]][Math.floor(at / 2) % 4]});

/** Return the whole decades around positive values. @param {any} _ @param {number | null} least @param {number | null} most */
function decades(_, least, most) {
  if (least === null || most === null || !(least > 0)) return [1, 10];
  const first = Math.floor(Math.log10(least));
  return [10 ** first, 10 ** Math.max(Math.ceil(Math.log10(most)), first + 1)];
}
/** Return at most eight powers of 10 between two limits. @param {any} _ @param {number} __ @param {number} least @param {number} most */
function powers(_, __, least, most) {
  const [first, last] = [least, most].map((limit) => Math.round(Math.log10(limit)));
  const step = Math.ceil((last - first) / 7) || 1;
  return Array.from({length: Math.floor((last - first) / step) + 1}, (___, at) => 10 ** (first + at * step));
}

// Steps between marks of an axis of whole numbers.
const WHOLE = [1, 2, 5].flatMap((step) => [1, 10, 100, 1000, 1e4, 1e5].map((power) => step * power)).sort((one, other) => one - other);

/**
 * Draw lines; the answer has `draw(x, ys)` for new data and `remove()`.
 * @param {HTMLElement} place
 * @param {{series: {label: string, color: string, dash?: number[], width?: number, points?: boolean}[], height?: number, x?: string, y?: string,
 *   ylimits?: [number, number] | null, xlimits?: [number, number] | null, log?: boolean, whole?: boolean, legend?: boolean,
 *   under?: (u: any) => void, label?: string}} options
 */
export function lines(place, options) {
  const box = el("div", {class: "plot", role: "img", "aria-label": options.label || options.series.map((each) => each.label).join(", ")});
  place.append(box);
  /** @type {any} */ let chart = null;
  /** @type {any[]} */ let data = [[0, 1], ...options.series.map(() => [null, null])];
  const make = () => {
    chart?.destroy();
    const axis = (/** @type {string | undefined} */ label) => ({
      stroke: color("quiet"), grid: {stroke: color("lines"), width: 1}, ticks: {stroke: color("lines"), width: 1}, label, labelSize: 20, size: 44,
      font: "12px system-ui, sans-serif", labelFont: "12px system-ui, sans-serif",
      values: (/** @type {any} */ _, /** @type {any[]} */ ticks) => ticks.map((tick) => (tick === null ? "" : shown(tick, 3))),
    });
    chart = new (/** @type {any} */ (window).uPlot)({
      width: Math.max(120, box.clientWidth), height: options.height || 260, legend: {show: options.legend ?? true, live: true},
      cursor: {drag: {x: false, y: false}, y: false}, padding: [10, 12, 0, 0],
      scales: {
        x: {time: false, ...(options.xlimits ? {range: () => options.xlimits} : {})},
        y: {...(options.log ? {distr: 3, range: decades} : {}), ...(options.ylimits ? {range: () => options.ylimits} : {})},
      },
      axes: [
        {...axis(options.x), size: 36, incrs: options.whole ? WHOLE : undefined},
        {...axis(options.y), size: 56, ...(options.log ? {splits: powers} : {})},
      ],
      hooks: {drawClear: options.under ? [options.under] : []},
      series: [
        {label: options.x || "x", value: (/** @type {any} */ _, /** @type {any} */ value) => shown(value)},
        ...options.series.map((each) => ({
          label: each.label, stroke: () => color(each.color), dash: each.dash, width: each.width || 2,
          points: {show: each.points || false}, value: (/** @type {any} */ _, /** @type {any} */ value) => shown(value),
        })),
      ],
    }, data, box);
  };
  make();
  const resized = new ResizeObserver(() => chart.setSize({width: Math.max(120, box.clientWidth), height: options.height || 260}));
  resized.observe(box);
  const dark = matchMedia("screen and (prefers-color-scheme: dark)");
  dark.addEventListener("change", make);
  return {
    element: box,
    /** @param {ArrayLike<number>} x @param {ArrayLike<number | null>[]} ys values that cannot be drawn leave a gap */
    draw(x, ys) {
      const drawable = (/** @type {number | null} */ value) => value !== null && Number.isFinite(value) && !(options.log && value <= 0);
      data = [Array.from(x), ...ys.map((y) => Array.from(y, (value) => (drawable(value) ? value : null)))];
      chart.setData(data);
    },
    redraw: () => chart.redraw(),
    remove() {
      resized.disconnect();
      dark.removeEventListener("change", make);
      chart.destroy();
      box.remove();
    },
  };
}
