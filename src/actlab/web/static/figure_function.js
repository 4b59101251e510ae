// Curves of activations with their derivatives, sliders for their parameters, and a point to move.
import {el, fill, oncePerFrame, shown} from "./page.js";
import {color, lines, look} from "./plot.js";

const POINTS = 601;

/** What can be drawn, in the order of a program's outputs. */
const ORDERS = ["value", "derivative", "second derivative"];
/** How each order of a curve is drawn. */
const DASHES = [undefined, [6, 5], [2, 4]];

/** Return a labeled slider. @param {string} name @param {{value: number, least: number, most: number}} range @param {(value: number) => void} moved */
function slider(name, range, moved) {
  const number = el("output", {}, shown(range.value, 3));
  const step = (range.most - range.least) / 400;
  const input = el("input", {type: "range", min: range.least, max: range.most, step, "data-test": `slider-${name}`, oninput: () => {
    number.textContent = shown(input.value, 3);
    moved(Number(input.value));
  }});
  input.value = String(range.value);
  return el("label", {class: "slider"}, name, input, number);
}
/** Return a table of each curve's value and derivative. @param {any[]} curves @param {number[][]} readings */
function table(curves, readings) {
  const head = ["activation", "value", "derivative"].map((name, at) => el("th", {scope: "col", class: at ? "number" : undefined}, name));
  const rows = curves.map((curve, at) => {
    const swatch = el("span", {class: "swatch", "aria-hidden": "true"});
    swatch.style.borderTopColor = color(look(at).color);
    const cells = readings[at].slice(0, 2).map((number) => el("td", {class: "number"}, shown(number)));
    return el("tr", {}, el("th", {scope: "row"}, swatch, " ", curve.label), ...cells);
  });
  return el("table", {class: "reading-table"}, el("thead", {}, el("tr", {}, ...head)), el("tbody", {}, ...rows));
}
/** Mount a function figure. @param {HTMLElement} place @param {any} data */
export async function mountFunction(place, data) {
  const modules = await Promise.all(data.curves.map((/** @type {any} */ curve) => import(curve.program)));
  /** @type {Record<string, number>} */
  const values = Object.fromEntries(data.sliders.map((/** @type {any} */ each) => [each.name, each.value]));
  let point = Math.min(data.to, Math.max(data.from, data.point));
  /** @param {number} at @param {number} x @returns {number[]} */
  const computed = (at, x) => modules[at].f(x, ...data.curves[at].params.map((/** @type {string} */ name) => values[name]));
  const x = Array.from({length: POINTS}, (_, k) => data.from + (data.to - data.from) * k / (POINTS - 1));
  const shows = ORDERS.map((name, order) => ({name, order})).filter(({name}) => data.show.includes(name));
  const series = data.curves.flatMap((/** @type {any} */ curve, /** @type {number} */ at) => shows.map(({name, order}) => ({
    label: order ? `${curve.label}, ${name}` : curve.label, color: data.curves.length === 1 ? ["better", "derivative", "equivalent"][order] : look(at).color,
    dash: DASHES[order], width: order ? 1.5 : 2.5,
  })));
  const reading = el("div", {class: "scroll", role: "status", "data-test": "reading"});
  const marked = (/** @type {any} */ u) => {
    const at = u.valToPos(point, "x", true);
    u.ctx.save();
    u.ctx.strokeStyle = color("undecided");
    u.ctx.beginPath(); u.ctx.moveTo(at, u.bbox.top); u.ctx.lineTo(at, u.bbox.top + u.bbox.height); u.ctx.stroke();
    data.curves.forEach((/** @type {any} */ _, /** @type {number} */ curve) => shows.forEach(({order}, k) => {
      const y = u.valToPos(computed(curve, point)[order], "y", true);
      if (!(y >= u.bbox.top && y <= u.bbox.top + u.bbox.height)) return;
      u.ctx.fillStyle = color(series[curve * shows.length + k].color);
      u.ctx.beginPath(); u.ctx.arc(at, y, 5 * devicePixelRatio, 0, 7); u.ctx.fill();
    }));
    u.ctx.restore();
  };
  const names = data.curves.map((/** @type {any} */ curve) => curve.label).join(", ");
  const label = `${names}: ${data.show.join(" and ")} from x = ${shown(data.from)} to ${shown(data.to)}`;
  const chart = lines(place, {series, x: "x", height: 260, legend: false, ylimits: data.limits, under: marked, label});
  const moved = () => fill(reading, table(data.curves, data.curves.map((/** @type {any} */ _, /** @type {number} */ at) => computed(at, point))));
  const drawn = () => {
    const all = data.curves.map((/** @type {any} */ _, /** @type {number} */ at) => x.map((each) => computed(at, each)));
    const ys = all.flatMap((/** @type {number[][]} */ curve) => shows.map(({order}) => curve.map((each) => each[order])));
    chart.draw(x, ys);
    moved();
    Object.assign(place, {drawn: {x, ys}}); // for tests
    data.changed?.(values, point);
  };
  const redraw = oncePerFrame(drawn);
  const sliders = data.sliders.map((/** @type {any} */ each) => slider(each.name, each, (value) => { values[each.name] = value; redraw(); }));
  const toPoint = (/** @type {number} */ value) => { point = value; moved(); chart.redraw(); data.changed?.(values, point); };
  const atPoint = slider("x", {value: point, least: data.from, most: data.to}, oncePerFrame(toPoint));
  place.append(el("div", {class: "sliders"}, atPoint, ...sliders), reading);
  drawn();
}
