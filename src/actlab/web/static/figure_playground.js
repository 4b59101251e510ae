// A playground in small, for lessons: the surface, the losses and a few controls; live, or a recording that is replayed.
import {complain, el, getJson, whenStill} from "./page.js";
import {drawAnswer, legend, lossPlot, sentence, trouble} from "./playground_pictures.js";
import {layersOf, session, setLayers} from "./playground_session.js";

const RATES = ["0.001", "0.003", "0.01", "0.03", "0.1", "0.3", "1", "3", "10"];

/** @param {string} key */
const ofLayers = (key) => ({
  get: (/** @type {URLSearchParams} */ params) => /** @type {any} */ (layersOf(params)[0])?.[key] || "",
  set: (/** @type {URLSearchParams} */ params, /** @type {string} */ value) => setLayers(params, layersOf(params).map((each) => ({...each, [key]: value}))),
});
/** @param {string} key */
const ofState = (key) => ({
  get: (/** @type {URLSearchParams} */ params) => params.get(key) || "",
  set: (/** @type {URLSearchParams} */ params, /** @type {string} */ value) => params.set(key, value),
});
/** What a figure can offer to change: the setting `controls` names them, separated by commas. */
const CONTROLS = {
  activation: {label: "Activation of all layers", ...ofLayers("activation"), known: (/** @type {any} */ choices) => choices.activations},
  initialization: {label: "Initialization", ...ofLayers("initialization"), options: (/** @type {any} */ choices) => choices.initializations},
  normalization: {label: "Normalization", ...ofLayers("normalization"), options: (/** @type {any} */ choices) => choices.normalizations},
  width: {label: "Units in a layer", ...ofLayers("width"), type: "number"},
  layers: {
    label: "Hidden layers", type: "number", get: (/** @type {URLSearchParams} */ params) => String(layersOf(params).length),
    set(/** @type {URLSearchParams} */ params, /** @type {string} */ value) {
      const layers = layersOf(params), last = layers[layers.length - 1] || {width: "8", normalization: "none", initialization: "default", activation: "tanh"};
      setLayers(params, Array.from({length: Math.max(0, Math.min(8, Number(value)))}, (_, at) => layers[at] || last));
    },
  },
  rate: {label: "Learning rate", ...ofState("rate"), options: () => RATES},
  data: {label: "Data", ...ofState("data"), options: (/** @type {any} */ choices) => choices.data.filter((/** @type {string} */ each) => each !== "table")},
  optimizer: {label: "Optimizer", ...ofState("optimizer"), options: (/** @type {any} */ choices) => choices.optimizers},
  noise: {label: "Noise", ...ofState("noise"), type: "number"},
};
/**
 * Mount a compact playground. The element's property `drawn` is the latest frame.
 * @param {HTMLElement} place @param {URLSearchParams} params the state, and `controls`
 * @param {{frames?: any[]}} [options] frames of `actlab.telemetry.playground.recorded`, to replay without a server
 */
export async function mount(place, params, {frames} = {}) {
  const state = new URLSearchParams(params);
  const wanted = (state.get("controls") ?? "activation,rate").split(",").filter((name) => name in CONTROLS);
  state.delete("controls");
  const canvas = /** @type {HTMLCanvasElement} */ (el("canvas", {class: "surface", role: "img", "data-test": "surface"}));
  const status = el("p", {class: "quiet fine", role: "status", "data-test": "status"});
  const error = el("p", {class: "error", role: "alert", hidden: true, "data-test": "error"});
  const losses = el("div", {class: "losses"});
  const play = el("button", {type: "button", class: "main", "data-test": "play", onclick: () => engine.toggle()}, "Train");
  const step = el("button", {type: "button", "data-test": "step", onclick: () => engine.step()}, "Step");
  const reset = el("button", {type: "button", "data-test": "reset", onclick: () => engine.reset()}, "Reset");
  const controls = el("div", {class: "controls"}, play, step, reset);
  const marks = el("p", {class: "quiet fine"});
  place.append(el("div", {class: "playground-figure"}, el("div", {}, canvas, marks), el("div", {class: "side"}, controls, error, status, losses)));
  const chart = lossPlot(losses, 190);
  /** @type {any} */ let points = null;
  /** @type {any} */ let latest = null;
  const draw = (/** @type {any} */ frame) => {
    latest = frame;
    complain(error, trouble(frame));
    if (!points || frame.error) return;
    drawAnswer(canvas, frame, points);
    marks.textContent = legend(points, state.get("data") === "table");
    chart.draw(frame);
    status.textContent = sentence(frame);
    play.textContent = frame.playing ? "Pause" : "Train";
    Object.assign(place, {drawn: frame});
  };
  const redraw = () => latest && draw(latest);
  new ResizeObserver(redraw).observe(canvas);
  matchMedia("screen and (prefers-color-scheme: dark)").addEventListener("change", redraw);
  const engine = frames ? replay(frames, state.get("paused") === "1", (frame) => draw(frame)) : live();
  if (frames) points = frames[0].points;
  engine.begin();

  function live() {
    const server = session({
      query: () => state.toString(), begun: (found) => { points = found.points; }, drawn: draw, refused: (problem) => complain(error, problem),
    });
    return {
      begin: async () => {
        const choices = await getJson("/api/playground/choices").catch((problem) => complain(error, problem));
        if (!choices) return;
        const full = new URLSearchParams(choices.state);
        for (const name of full.keys()) if (!state.has(name)) full.getAll(name).forEach((value) => state.append(name, value));
        const changed = whenStill(server.start, 200);
        for (const name of wanted) controls.append(control(/** @type {any} */ (CONTROLS)[name], name, state, choices, changed));
        await server.start();
      },
      toggle: () => server.order(latest?.playing ? "pause" : "play"),
      step: () => server.order("step"),
      reset: () => server.order("reset"),
    };
  }
}
/** Replay frames. @param {any[]} frames @param {boolean} isPaused @param {(frame: any) => void} draw */
function replay(frames, isPaused, draw) {
  let at = 0, timer = 0;
  const show = () => draw({...frames[at], playing: timer !== 0});
  const stop = () => { clearInterval(timer); timer = 0; };
  const next = () => {
    at = Math.min(at + 1, frames.length - 1);
    if (at === frames.length - 1) stop();
    show();
  };
  const play = () => {
    if (at === frames.length - 1) at = 0;
    timer = setInterval(next, 200);
    show();
  };
  return {
    begin: () => (isPaused || frames.length < 2 ? show() : play()),
    toggle: () => { if (timer) { stop(); show(); } else play(); },
    step: () => { stop(); next(); },
    reset: () => { stop(); at = 0; show(); },
  };
}
/**
 * Return a labeled control of the state.
 * @param {any} kind @param {string} name @param {URLSearchParams} state @param {any} choices @param {() => void} changed
 */
function control(kind, name, state, choices, changed) {
  const value = kind.get(state);
  const set = (/** @type {any} */ event) => { kind.set(state, event.target.value); changed(); };
  if (kind.options) {
    const options = kind.options(choices), all = options.includes(value) ? options : [...options, value];
    const entries = all.map((/** @type {string} */ each) => el("option", {selected: each === value}, each));
    return el("label", {class: "field"}, kind.label, el("select", {"data-test": name, onchange: set}, entries));
  }
  const list = kind.known ? `known-${Math.random().toString(36).slice(2)}` : undefined;
  const input = el("input", {"data-test": name, type: kind.type || "text", value, list, min: 0, step: "any", autocomplete: "off", oninput: set});
  const known = (list ? kind.known(choices) : []).map((/** @type {string} */ each) => el("option", {value: each}));
  return el("label", {class: "field"}, kind.label, input, list ? el("datalist", {id: list}, known) : null);
}
