// The pictures of a comparison, drawn from the numbers that its report shows.
import {el, fill, numberOf, shown, svg} from "./page.js";
import {lines, look} from "./plot.js";

const ROW = 58, AXIS = 44, EDGE = 12;

/** @param {number} x1 @param {number} y1 @param {number} x2 @param {number} y2 @param {Record<string, any>} [more] */
const line = (x1, y1, x2, y2, more = {}) => svg("line", {x1, y1, x2, y2, stroke: "currentColor", ...more});

/** @param {number} x @param {number} y @param {string} content @param {Record<string, any>} [more] */
const text = (x, y, content, more = {}) => svg("text", {x, y, "text-anchor": "middle", ...more}, content);

const QUIET = {class: "axis"}, PALE = {stroke: "var(--lines)"}, START = {"text-anchor": "start"}, END = {"text-anchor": "end"};
const MARK = {stroke: "var(--paper)", "paint-order": "stroke", "stroke-width": 2};

/** Return a number with its sign. @param {number} value @param {number} places */
const signed = (value, places) => (value > 0 ? "+" : "") + value.toFixed(places).replace("-", "−");

/** @param {string} name @param {number} most */
const cut = (name, most) => (name.length > most ? name.slice(0, most - 1) + "…" : name);

/** Return round numbers between two ends. @param {number[]} limits @param {number} count */
function ticks([low, high], count) {
  const rough = (high - low) / count, power = 10 ** Math.floor(Math.log10(rough));
  const step = ([1, 2, 5, 10].find((each) => each * power >= rough) || 10) * power, first = Math.ceil(low / step);
  return Array.from({length: Math.floor(high / step) - first + 1}, (_, at) => Number(((first + at) * step).toPrecision(12)));
}
/** @param {number[]} limits @param {number} from @param {number} to */
const scale = ([low, high], from, to) => (/** @type {number} */ value) => from + ((value - low) / (high - low)) * (to - from);

/** Return a box that is drawn anew when its width changes. @param {(width: number) => any} draw */
function drawing(draw) {
  const box = el("div", {class: "drawing"});
  let width = 0;
  new ResizeObserver(() => { if (box.clientWidth && box.clientWidth !== width) fill(box, draw(width = box.clientWidth)); }).observe(box);
  return box;
}
/** @param {any} facts @param {string} name @param {...any} children */
const figure = (facts, name, ...children) => el("section", {class: "card", "data-test": name}, el("h2", {}, facts.title),
  facts.caption ? el("p", {class: "fine quiet"}, facts.caption) : null, children);

/** Return how each arm is drawn, in every picture alike. @param {any} all @returns {Map<string, {color: string, dash: any}>} */
export function looksOf(all) {
  const names = all.rows.map((/** @type {any} */ row) => row.full_name);
  // the control has the color of the text
  const lookOf = (/** @type {number} */ at) => (at ? look(at > 4 ? at : at - 1) : {color: "ink", dash: undefined});
  return new Map(names.map((/** @type {string} */ name, /** @type {number} */ at) => [name, lookOf(at)]));
}
/** @param {any} all @param {string} arm */
const colored = (all, arm) => ({color: `var(--${looksOf(all).get(arm)?.color})`});

/** Draw a row for each arm: the interval, the estimate, and a dot for each seed. @param {any} all */
export function drawDifferences(all) {
  const facts = all.differences, {metric, places, region, limits} = facts;
  const readout = el("p", {class: "fine", role: "status", "data-test": "readout"}, "Point at a dot for its seed, or use Tab and the arrow keys.");
  const say = (/** @type {any} */ event) => { readout.textContent = event.target.getAttribute("aria-label"); };
  /** @param {any} arm @param {number} top @param {number} width @param {(value: number) => number} x */
  const row = (arm, top, width, x) => {
    const inside = (/** @type {any} */ end) => Math.min(width - EDGE, Math.max(EDGE, x(numberOf(end))));
    const dots = arm.each.map((/** @type {number} */ value, /** @type {number} */ seed) => svg("circle", {
      cx: x(value), cy: top + 42 + 3 * (seed % 3), r: 4.5, fill: "currentColor", "fill-opacity": 0.55, tabindex: seed ? -1 : 0, role: "img",
      "data-test": "dot", "aria-label": `${arm.arm}, seed ${facts.seeds[seed]}: ${signed(value, places)} ${metric.unit}`, onfocus: say, onmouseenter: say}));
    const onkeydown = (/** @type {KeyboardEvent} */ event) => {
      const step = {ArrowRight: 1, ArrowLeft: -1}[event.key];
      if (step) event.preventDefault();
      if (step) dots[(dots.indexOf(event.target) + step + dots.length) % dots.length].focus();
    };
    const title = `${all.marks[arm.verdict]} ${arm.arm}: ${arm.verdict}`;
    const open = [[arm.low, "◀"], [arm.high, "▶"]].filter(([end]) => !Number.isFinite(numberOf(end)));
    return svg("g", {...colored(all, arm.arm), onkeydown, "data-test": "row"},
      text(EDGE, top + 15, cut(title, width / 7.5), {...MARK, ...START, "font-weight": 600}),
      line(inside(arm.low), top + 28, inside(arm.high), top + 28, {"stroke-width": 3, "data-test": "interval"}),
      open.map(([end, arrow]) => text(inside(end), top + 33, arrow)), text(x(arm.estimate), top + 33, all.marks[arm.verdict], MARK), dots);
  };
  const draw = (/** @type {number} */ width) => {
    const under = `difference from ${facts.control} (${metric.unit})`;
    const height = ROW * facts.arms.length, x = scale(limits, EDGE, width - EDGE), wide = x(region) - x(-region);
    return svg("svg", {width, height: height + AXIS, role: "group", "aria-label": facts.title},
      ticks(limits, width < 500 ? 4 : 8).map((tick) => [line(x(tick), 0, x(tick), height, PALE), text(x(tick), height + 17, shown(tick), QUIET)]).flat(),
      svg("rect", {class: "equivalent", x: x(-region), width: wide, y: 0, height, fill: "currentColor", "fill-opacity": 0.15, "data-test": "region"}),
      line(x(0), 0, x(0), height), facts.arms.map((/** @type {any} */ arm, /** @type {number} */ at) => row(arm, at * ROW, width, x)),
      text(width / 2, height + 37, under.length < width / 6.5 ? under : `difference (${metric.unit})`, QUIET));
  };
  return figure(facts, "differences", drawing(draw), readout, el("p", {class: "fine quiet"}, `Shaded: ${facts.legend.join("; ")}.`));
}
/** Draw a point for each arm that was timed, with error bars and its name. @param {any} all */
export function drawCost(all) {
  const facts = all.cost, {metric, places, axes} = facts, left = 50, height = 330, bottom = height - AXIS;
  if (!facts.arms.length) return figure(facts, "cost", el("p", {}, "No step was timed."));
  const draw = (/** @type {number} */ width) => {
    const isNarrow = width < 420, column = isNarrow ? 92 : 130, right = width - column;
    const x = scale(axes.x, left, right - 8), y = scale(axes.y, bottom, 8);
    const arms = [...facts.arms].sort((one, other) => y(one.test) - y(other.test));
    /** @type {number[]} */ const heights = [];
    for (const arm of arms) heights.push(Math.max(y(arm.test), (heights.at(-1) ?? -9) + 16));
    for (let at = heights.length - 1, most = bottom; at >= 0; at -= 1) most = (heights[at] = Math.min(heights[at], most)) - 16;
    const point = (/** @type {any} */ arm, /** @type {number} */ at) => {
      const [step, test] = [x(arm.relative_step), y(arm.test)], front = facts.front.includes(arm.arm) ? " †" : "";
      return svg("g", colored(all, arm.arm), line(step, test, right + 4, heights[at], PALE), line(x(arm.limits[0]), test, x(arm.limits[1]), test),
        line(step, y(arm.test - arm.spread), step, y(arm.test + arm.spread)), text(step, test + 5, all.marks[arm.verdict], {...MARK, "data-test": "point"}),
        text(right + 8, heights[at] + 4, cut(arm.arm, (column - 20) / 7.2) + front, START),
        svg("title", {}, `${arm.arm}: ${arm.test.toFixed(places)} ± ${arm.spread.toFixed(places)} ${metric.unit}, ${arm.step_time}`));
    };
    return svg("svg", {width, height, role: "img", "aria-label": facts.alt_text},
      ticks(axes.y, 6).map((tick) => [line(left, y(tick), right, y(tick), PALE), text(left - 5, y(tick) + 4, shown(tick), {...QUIET, ...END})]).flat(),
      ticks(axes.x, isNarrow ? 2 : 5).map((tick) => text(x(tick), bottom + 17, `${shown(tick)}×`, QUIET)), arms.map(point),
      text((left + right) / 2, bottom + 37, isNarrow ? "time of a step" : "time of a training step, relative to the control’s", QUIET));
  };
  const notes = ["† marks the arms that no other one beats in both.", ...facts.notes];
  return figure(facts, "cost", drawing(draw), ...notes.map((note) => el("p", {class: "fine quiet"}, note)));
}
/** Draw the median learning curve of every arm, or every seed of one. @param {any} all */
export function drawLearning(all) {
  const facts = all.learning, arms = facts.arms.filter((/** @type {any} */ arm) => arm.epochs.length), place = el("div");
  if (!arms.length) return figure(facts, "learning", el("p", {}, "No run completed its first epoch."));
  const epochs = arms[0].epochs, flat = facts.shows_baseline ? [{label: facts.baseline_name, color: "quiet", dash: [2, 4], width: 1}] : [];
  const looks = /** @type {Map<string, any>} */ (looksOf(all));
  /** @type {any} */ let chart = null;
  const show = () => {
    const one = arms[Number(choice.value) - 1];
    const ofSeed = (/** @type {number} */ seed) => ({label: `seed ${seed}`, ...looks.get(one.arm), dash: undefined, width: 1.3});
    const series = one ? facts.each[one.arm].map((/** @type {any} */ _, /** @type {number} */ at) => ofSeed(all.differences.seeds[at]))
      : arms.map((/** @type {any} */ arm) => ({label: arm.arm, ...looks.get(arm.arm)}));
    const curves = one ? facts.each[one.arm].map((/** @type {number[]} */ curve) => epochs.map((/** @type {number} */ epoch) => curve[epoch - 1] ?? null))
      : arms.map((/** @type {any} */ arm) => arm.median);
    chart?.remove();
    chart = lines(place, {series: [...series, ...flat], x: "epoch", whole: true, y: facts.metric.unit || facts.metric.name, height: 320,
      ylimits: one ? null : facts.limits, legend: !one, label: one ? `Learning curve of each seed of ${one.arm}` : facts.alt_texts.join(" ")});
    chart.draw(epochs, [...curves, ...flat.map(() => epochs.map(() => facts.baseline))]);
  };
  const options = arms.map((/** @type {any} */ arm, /** @type {number} */ at) => el("option", {value: at + 1}, `every seed of ${arm.arm}`));
  const choice = el("select", {"data-test": "curves", onchange: show}, el("option", {value: 0}, "the median of every activation"), options);
  requestAnimationFrame(show); // once it has a width
  return figure(facts, "learning", el("label", {class: "field"}, "Show", choice), place,
    el("details", {}, el("summary", {}, "In words"), el("ul", {}, facts.alt_texts.map((/** @type {string} */ words) => el("li", {}, words)))));
}
