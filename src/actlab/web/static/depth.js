// The page Depth: the plane of scales, the maps V and C, and the layers of the network named on the command line.
import {byId, complain, el, fill, getJson, numberOf, oncePerFrame, shown, svg, whenStill} from "./page.js";
import {color, lines} from "./plot.js";

const address = new URLSearchParams(location.search);
const state = {formula: address.get("f") || "", sigma_w: Number(address.get("sigma_w") || NaN), sigma_b: Number(address.get("sigma_b") || NaN)};
/** @type {any} */ let network = {layers: []};
/** @type {any} */ let plane = null;
/** @type {any} */ let here = null;

const SIZE = {width: 560, height: 400, left: 48, bottom: 42, top: 8, right: 8};
/** The layers that apply the activation on the page. */
const mine = () => network.layers.filter((/** @type {any} */ each) => each.formula === state.formula);
const placed = () => mine().filter((/** @type {any} */ each) => each.sigma_w !== null);
/** What successive layers have. @param {string} of */
const pairs = (of) => mine().slice(1).map((/** @type {any} */ each, /** @type {number} */ at) => [mine()[at][of], each[of]])
  .filter((/** @type {any[]} */ pair) => pair.every((each) => each !== null));

/** Draw circles and the diagonal under a curve. @param {string} of */
const under = (of) => (/** @type {any} */ u) => {
  const {ctx} = u, most = Math.min(u.scales.x.max, u.scales.y.max);
  const at = (/** @type {number} */ x, /** @type {number} */ y) => [u.valToPos(x, "x", true), u.valToPos(y, "y", true)];
  ctx.save();
  Object.assign(ctx, {strokeStyle: color("quiet")}).setLineDash([4, 4]);
  ctx.beginPath(); ctx.moveTo(...at(0, 0)); ctx.lineTo(...at(most, most)); ctx.stroke();
  Object.assign(ctx, {strokeStyle: color("ink")}).setLineDash([]);
  for (const [x, y] of pairs(of)) { ctx.beginPath(); ctx.arc(...at(x, y), 4 * devicePixelRatio, 0, 7); ctx.stroke(); }
  ctx.restore();
};
const map = (/** @type {string} */ id, /** @type {string} */ of, /** @type {any} */ rest) => lines(byId(id),
  {series: [{label: `next ${of}`, color: "better"}], x: of, y: `next ${of}`, under: under(of), label: `The next ${id} over the ${id}`, ...rest});
const variance = map("variance", "q", {});
const correlation = map("correlation", "c", {xlimits: [0, 1], ylimits: [0, 1]});

const x = (/** @type {number} */ value) => SIZE.left + value / plane.most_b * (SIZE.width - SIZE.left - SIZE.right);
const y = (/** @type {number} */ value) => SIZE.height - SIZE.bottom - value / plane.most_w * (SIZE.height - SIZE.top - SIZE.bottom);
const ticks = (/** @type {number} */ most) => [0, 1, 2, 3, 4].map((part) => part * most / 4);

function drawPlane() {
  SIZE.width = Math.max(300, byId("plane").clientWidth);
  const width = x(plane.sigma_b[1]) - x(plane.sigma_b[0]), height = y(plane.sigma_w[0]) - y(plane.sigma_w[1]);
  const cells = plane.cells.map((/** @type {any} */ each) => svg("rect", {class: each.region, "fill-opacity": each.strength, width, height,
    x: x(each.sigma_b) - width / 2, y: y(each.sigma_w) - height / 2}));
  const named = plane.labels.map((/** @type {any} */ each) => svg("text", {x: x(each.sigma_b), y: y(each.sigma_w), class: "region"}, each.text));
  const edge = plane.edge.map((/** @type {any} */ run) => svg("polyline", {class: run.stable ? "edge" : "edge unstable",
    points: run.points.map((/** @type {number[]} */ [b, w]) => `${x(b)},${y(w)}`).join(" ")}));
  const [end] = plane.edge;
  if (end) edge.push(svg("circle", {class: `start ${end.stable ? "edge" : "edge unstable"}`, cx: x(end.points[0][0]), cy: y(end.points[0][1]), r: 4}));
  const [middle, bottom] = [y(plane.most_w / 2), SIZE.height - SIZE.bottom];
  const axes = [
    ...ticks(plane.most_b).map((each) => svg("text", {x: x(each), y: bottom + 18, class: "middle"}, shown(each, 3))),
    ...ticks(plane.most_w).map((each) => svg("text", {x: SIZE.left - 6, y: y(each) + 4, class: "end"}, shown(each, 3))),
    svg("text", {x: x(plane.most_b / 2), y: bottom + 36, class: "middle"}, "σ_b, of the biases"),
    svg("text", {x: 12, y: middle, transform: `rotate(-90 12 ${middle})`, class: "middle"}, "σ_w, of the weights"),
  ];
  const layers = placed().map((/** @type {any} */ each) =>
    svg("circle", {class: "layer-point", cx: x(each.sigma_b), cy: y(each.sigma_w), r: 5}, svg("title", {}, each.name)));
  const mark = svg("path", {class: "here", d: `M${x(state.sigma_b)} ${y(state.sigma_w) - 8}l7 8l-7 8l-7 -8z`});
  const label = `Plane of scales for ${state.formula}; you are at σ_w ${shown(state.sigma_w, 3)}, σ_b ${shown(state.sigma_b, 3)}`;
  const frame = {viewBox: `0 0 ${SIZE.width} ${SIZE.height}`, role: "img", "aria-label": label};
  fill(byId("plane"), svg("svg", frame, cells, named, edge, layers, mark, axes));
  byId("edge").textContent = plane.said;
}
function drawHere() {
  byId("said").textContent = here.said;
  const scale = (/** @type {any} */ point) => (point === null ? "–" : point.stable ? `${shown(point.layers, 3)} layers` : "∞: it is not stable");
  const facts = [["variance q*", shown(here.variance?.at)], ["V′(q*)", shown(here.variance?.slope)], ["χ₁", shown(here.chi)],
    ["correlation c*", shown(here.correlation?.at)], ["depth scale ξ_q", scale(here.variance)], ["depth scale ξ_c", scale(here.correlation)]];
  fill(byId("facts"), facts.flatMap(([name, value]) => [el("dt", {}, name), el("dd", {}, value)]));
  variance.draw(here.q, [here.next_q.map(numberOf)]);
  correlation.draw(here.c, [here.next_c.map(numberOf)]);
  Object.assign(byId("plane"), {drawn: {plane, here, ...state}}); // for tests
}

const asked = () => `f=${encodeURIComponent(state.formula)}`;
let asking = 0;
const ask = whenStill(async () => {
  const turn = ++asking;
  try {
    const found = await getJson(`/api/depth/here?${asked()}&sigma_w=${state.sigma_w}&sigma_b=${state.sigma_b}`);
    if (turn !== asking) return;
    here = found;
    drawHere();
    complain(byId("unknown"));
  } catch (error) { complain(byId("unknown"), error); }
  history.replaceState(null, "", `?${asked()}&sigma_w=${state.sigma_w}&sigma_b=${state.sigma_b}`);
}, 80);
const moved = oncePerFrame(() => { if (plane) drawPlane(); });

function setSliders() {
  for (const name of /** @type {("sigma_w" | "sigma_b")[]} */ (["sigma_w", "sigma_b"])) {
    const slider = byId(name), most = name === "sigma_w" ? plane.most_w : plane.most_b;
    slider.max = String(most);
    slider.value = String(state[name]);
    byId(`${name}-value`).textContent = shown(state[name], 3);
    slider.oninput = () => { state[name] = Number(slider.value); byId(`${name}-value`).textContent = shown(state[name], 3); moved(); ask(); };
  }
}
async function show() {
  const [first] = placed();
  if (Number.isNaN(state.sigma_w)) state.sigma_w = first ? Number(first.sigma_w.toFixed(3)) : 1.5;
  if (Number.isNaN(state.sigma_b)) state.sigma_b = first ? Number(first.sigma_b.toFixed(3)) : 0.1;
  const most = (/** @type {"sigma_w" | "sigma_b"} */ of, /** @type {number} */ least) =>
    Math.ceil(Math.max(least, state[of], ...placed().map((/** @type {any} */ each) => 1.1 * each[of])));
  const [most_w, most_b] = [most("sigma_w", 3), most("sigma_b", 1)];
  try {
    plane = {most_w, most_b, ...await getJson(`/api/depth/plane?${asked()}&most_w=${most_w}&most_b=${most_b}`)};
    complain(byId("wrong"));
    setSliders();
    drawPlane();
    ask();
  } catch (error) { complain(byId("wrong"), error); }
  byId("formula").setAttribute("aria-invalid", String(!byId("wrong").hidden));
}

byId("ask").onsubmit = (/** @type {Event} */ event) => { event.preventDefault(); state.formula = byId("formula").value.trim(); void show(); };

/** Return a row of the table; its button goes to the layer. @param {any} each */
function row(each) {
  const go = () => {
    Object.assign(state, {formula: each.formula, sigma_w: each.sigma_w, sigma_b: each.sigma_b});
    byId("formula").value = each.formula;
    void show();
  };
  const numbers = ["sigma_w", "sigma_b", "q", "predicted_q", "errors_apart", "c", "predicted_c"].map((key) => el("td", {class: "number"}, shown(each[key], 3)));
  const button = el("button", {class: "plain", "data-test": "layer", disabled: !each.formula || each.sigma_w === null, onclick: go}, each.name);
  return el("tr", {}, el("td", {}, button), el("td", {}, each.activation), numbers, el("td", {}, each.note));
}

try {
  network = await getJson("/api/depth/network");
  fill(byId("rows"), network.layers.map(row));
  byId("name").textContent = network.name;
  byId("about").textContent = `Measured on ${network.examples} examples, beside what theory predicts from the weights. Choose a layer to go there.`;
} catch (error) { complain(byId("unfollowed"), error); byId("about").textContent = "The rest of the page works without a network."; }
state.formula ||= network.layers.find((/** @type {any} */ each) => each.formula)?.formula || "tanh";
byId("formula").value = state.formula;
void show();
