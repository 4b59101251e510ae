// A histogram as SVG; that of an activation's inputs with the activation's curve, its flat and dead parts hatched.
import {counted, numberOf, shown, svg} from "./page.js";

const [WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM] = [460, 180, 8, 40, 20, 24];

/** @param {number} share */
export const percent = (share) => (Number.isFinite(share) ? `${shown(100 * share, 3)} %` : "–");

/** Return the tallest bar that is drawn whole: one that dwarfs all others is cut, and its share written above it. @param {number[]} counts */
function tallest(counts) {
  const [first, second] = [...counts].sort((a, b) => b - a);
  return second > 0 && first > 4 * second ? 1.5 * second : Math.max(1, first);
}
/**
 * Draw a histogram in place of what an element holds.
 * @param {HTMLElement} place
 * @param {any} found a distribution of the server
 * @param {{label: string, kind: string, curve?: any}} options `kind` names the color in the style sheet
 */
export function histogram(place, found, {label, kind, curve}) {
  const [low, high] = [numberOf(found.low), numberOf(found.high)];
  const [left, right] = curve ? [curve.z[0], curve.z[curve.z.length - 1]] : [low, high];
  const across = (/** @type {number} */ value) => LEFT + ((value - left) / (right - left)) * (WIDTH - LEFT - RIGHT);
  const floor = HEIGHT - BOTTOM;
  const top = tallest(found.counts);
  const bin = (high - low) / found.counts.length;
  const width = across(low + bin) - across(low);
  const parts = [];
  if (curve) {
    parts.push(svg("defs", {}, hatch("flat", 8, 45), hatch("dead", 4, 135)));
    for (const name of ["flat", "dead"])
      for (const [from, to] of curve[name])
        parts.push(svg("rect", {class: `hatched ${name}`, x: across(from), y: TOP, width: Math.max(1, across(to) - across(from)),
          height: floor - TOP, fill: `url(#hatch-${name})`, "data-from": from, "data-to": to}));
  }
  found.counts.forEach((/** @type {number} */ count, /** @type {number} */ at) => {
    const height = (Math.min(count, top) / top) * (floor - TOP);
    const [from, x] = [low + at * bin, across(low + at * bin)];
    parts.push(svg("rect", {class: `bar ${kind}`, x: x + width / 20, y: floor - height, width: 0.9 * width, height, "data-count": count},
      svg("title", {}, `${shown(from)} to ${shown(from + bin)}: ${counted(count, "value")}`)));
    if (count <= top) return;
    const middle = Math.min(WIDTH - RIGHT - 20, Math.max(LEFT + 28, x + width / 2));
    parts.push(svg("text", {class: "tick", x: middle, y: TOP - 6, "text-anchor": "middle"}, `${percent(count / found.counted)} ↑`));
  });
  if (curve) parts.push(...drawn(curve, across, floor));
  parts.push(svg("line", {class: "axis", x1: LEFT, x2: WIDTH - RIGHT, y1: floor, y2: floor}));
  for (const [value, anchor] of /** @type {[number, string][]} */ ([[left, "start"], [(left + right) / 2, "middle"], [right, "end"]]))
    parts.push(svg("text", {class: "tick", x: across(value), y: HEIGHT - 7, "text-anchor": anchor}, shown(value, 3)));
  place.replaceChildren(svg("svg", {viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", "aria-label": label, class: "histogram"}, ...parts));
}
/** @param {string} name @param {number} gap @param {number} angle */
function hatch(name, gap, angle) {
  return svg("pattern", {id: `hatch-${name}`, width: gap, height: gap, patternUnits: "userSpaceOnUse", patternTransform: `rotate(${angle})`},
    svg("line", {class: `hatch ${name}`, x1: 0, x2: 0, y1: 0, y2: gap}));
}
/**
 * Return the curve of a function over the bars, with its own scale on the right.
 * @param {any} curve @param {(z: number) => number} across @param {number} floor
 */
function drawn(curve, across, floor) {
  const ys = curve.y.map(numberOf);
  const finite = ys.filter(Number.isFinite);
  if (!finite.length) return [];
  const [low, high] = [Math.min(...finite), Math.max(...finite)];
  const up = (/** @type {number} */ y) => floor - ((y - low) / (high - low || 1)) * (floor - TOP);
  let [path, pen] = ["", "M"];
  ys.forEach((/** @type {number} */ y, /** @type {number} */ at) => {
    path += Number.isFinite(y) ? `${pen}${across(curve.z[at]).toFixed(1)} ${up(y).toFixed(1)}` : "";
    pen = Number.isFinite(y) ? "L" : "M";
  });
  const tick = (/** @type {number} */ y) => svg("text", {class: "tick curve", x: WIDTH - RIGHT + 4, y: up(y) + 4}, shown(y, 2));
  return [svg("path", {class: "curve", d: path, fill: "none"}), tick(low), tick(high)];
}
