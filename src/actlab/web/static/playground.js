// The page Playground: the address is the state; every change restarts the training from step 0.
import {Refused, byId, complain, counted, el, fill, getJson, shown, whenStill} from "./page.js";
import {drawAnswer, drawUnit, legend, lossPlot, sentence, trouble} from "./playground_pictures.js";
import {layersOf, session, setLayers} from "./playground_session.js";

const NEW = {width: "8", normalization: "none", initialization: "default", activation: "tanh"};
let state = new URLSearchParams(location.search);
/** @type {any} */ let choices = null;
/** @type {any} */ let points = null;
/** @type {any} */ let latest = null;
/** @type {HTMLElement[]} */ let cards = [];
/** @type {(() => void)[]} */ let checks = [];
const chart = lossPlot(byId("losses"), 180);
const settings = /** @type {any[]} */ ([...document.querySelectorAll("[data-setting]")]);
const server = session({
  query: () => state.toString(),
  begun(found, isCurrent) {
    points = found.points;
    if (isCurrent) keepAddress(found.state); // else something was changed meanwhile, and a restart follows
    byId("legend").textContent = legend(points, state.get("data") === "table");
  },
  drawn: draw,
  refused(error) {
    complain(byId("error"), error);
    if (error) checks.forEach((check) => check());
  },
});
const restart = whenStill(server.start, 200);

/** Put the state into the address. @param {string} [query] */
function keepAddress(query = state.toString()) {
  state = new URLSearchParams(query);
  history.replaceState(null, "", "/playground?" + query);
}
function changed() {
  keepAddress();
  showSettings();
  restart();
}
/** @param {Partial<typeof NEW>} change @param {number} at */
function changeLayer(change, at) {
  setLayers(state, layersOf(state).map((each, place) => (place === at ? {...each, ...change} : each)));
  changed();
}
/** Return the layers with what is being typed, which may not have been checked yet. */
const typedLayers = () => layersOf(state).map((each, at) =>
  ({...each, activation: /** @type {any} */ (cards[at].querySelector("input[list]")).value.trim() || each.activation}));

/** Replace all layers and their cards. @param {ReturnType<typeof layersOf>} layers */
function changeLayers(layers) {
  setLayers(state, layers);
  showLayers();
  changed();
}
/** @param {any} frame */
function draw(frame) {
  latest = frame;
  complain(byId("error"), trouble(frame));
  if (!points || frame.error) return;
  byId("play").textContent = frame.playing ? "Pause" : "Train";
  byId("play").disabled = frame.diverged;
  byId("status").textContent = sentence(frame);
  drawAnswer(byId("surface"), frame, points);
  chart.draw(frame);
  fill(byId("layer-table"), ...frame.layers.map(row));
  frame.layers.forEach(drawUnits);
  const steps = String(Math.max(100, Math.min(frame.step, 100000)));
  byId("program").href = "/api/playground/program?" + new URLSearchParams({state: state.toString(), steps});
  Object.assign(byId("surface"), {drawn: frame}); // for tests
}
/** @param {any} layer @param {number} at */
function row(layer, at) {
  const bar = el("span", {class: "bar-part", "aria-hidden": "true"});
  bar.style.width = `${60 * layer.dead_share}px`;
  const dead = el("td", {}, bar, `${shown(100 * layer.dead_share, 3)} %`);
  return el("tr", {}, el("th", {scope: "row"}, String(at + 1)), dead, el("td", {class: "number"}, shown(layer.gradient, 3)));
}
/** @param {any} layer @param {number} at */
function drawUnits(layer, at) {
  const place = cards[at]?.querySelector(".units");
  if (!place) return;
  while (place.children.length > layer.units.length) place.lastChild?.remove();
  while (place.children.length < layer.units.length) place.append(el("canvas", {class: "unit", role: "img", "data-test": "unit"}));
  layer.units.forEach((/** @type {string} */ unit, /** @type {number} */ number) => {
    const canvas = /** @type {HTMLCanvasElement} */ (place.children[number]);
    drawUnit(canvas, unit);
    canvas.title = `Layer ${at + 1}, unit ${number + 1}: outputs of at most ${shown(layer.sizes[number], 3)} in size`;
    canvas.setAttribute("aria-label", canvas.title);
  });
  const more = Number(layersOf(state)[at]?.width) - layer.units.length;
  /** @type {any} */ (cards[at].querySelector(".more")).textContent = more > 0 ? `and ${more} more` : "";
}
/**
 * Check a formula as one types; a correct one is accepted.
 * @param {HTMLInputElement} input @param {HTMLElement} error @param {(text: string) => void} accept
 */
function formulaBox(input, error, accept) {
  let turn = 0;
  const check = async () => {
    const mine = ++turn, text = input.value.trim();
    try {
      await getJson("/api/playground/activation?f=" + encodeURIComponent(text));
      if (mine !== turn) return;
      complain(error);
      input.setAttribute("aria-invalid", "false");
      accept(text);
    } catch (problem) {
      if (mine !== turn) return;
      complain(error, problem);
      input.setAttribute("aria-invalid", "true");
    }
  };
  input.addEventListener("input", whenStill(check, 200));
  return check;
}
/** @param {typeof NEW} layer @param {number} at */
function card(layer, at) {
  const name = `Layer ${at + 1}`;
  const select = (/** @type {"normalization" | "initialization"} */ key, /** @type {string} */ label, /** @type {string[]} */ options) =>
    el("label", {class: "field"}, label, el("select", {
      "data-test": `${key}-${at + 1}`, onchange: (/** @type {any} */ event) => changeLayer({[key]: event.target.value}, at),
    }, options.map((each) => el("option", {selected: each === layer[key]}, each))));
  const error = el("p", {class: "error", id: `activation-error-${at + 1}`, "data-test": `activation-error-${at + 1}`, hidden: true});
  const activation = el("input", {
    value: layer.activation, list: "activations", autocomplete: "off", spellcheck: "false", "data-test": `activation-${at + 1}`, "aria-describedby": error.id,
  });
  checks.push(formulaBox(activation, error, (text) => {
    if (activation.isConnected && text !== layersOf(state)[at]?.activation) changeLayer({activation: text}, at);
  }));
  const width = el("input", {
    type: "number", min: 1, max: choices.most_units, value: layer.width, "data-test": `width-${at + 1}`, oninput: () => changeLayer({width: width.value}, at),
  });
  const remove = el("button", {type: "button", "aria-label": `Remove layer ${at + 1}`, "data-test": `remove-${at + 1}`, onclick: () => {
    changeLayers(typedLayers().filter((_, place) => place !== at));
    byId("add").focus();
  }}, "Remove");
  return el("div", {class: "layer", role: "group", "aria-label": name, "data-test": `layer-${at + 1}`},
    el("h3", {}, name), el("label", {class: "field"}, "Units", width), el("label", {class: "field"}, "Activation", activation), error,
    select("normalization", "Normalization", choices.normalizations), select("initialization", "Initialization", choices.initializations),
    el("div", {class: "units"}), el("p", {class: "quiet fine more"}), remove);
}
function showLayers() {
  checks = [checkF];
  cards = layersOf(state).map(card);
  fill(byId("layers"), cards);
  byId("network-note").textContent = cards.length
    ? "Each picture is what a unit answers over the plane; scale: its own largest output. Type a name or a formula, such as x*sigmoid(1.7*x)."
    : "Without a hidden layer the network is linear.";
  byId("add").disabled = cards.length >= choices.most_layers;
}
/** Show the state in the controls, but for the one that is being typed in. */
function showSettings() {
  for (const input of settings) if (input !== document.activeElement || input.tagName === "SELECT") input.value = state.get(input.dataset.setting) ?? "";
  byId("pace").value = state.get("pace") || "0";
  const data = state.get("data");
  byId("f-field").hidden = data !== "function";
  byId("table").hidden = data !== "table";
  document.querySelectorAll('[data-setting="noise"]').forEach((input) => { /** @type {any} */ (input.parentElement).hidden = data === "table"; });
}
/** Offer the columns of a table; choose some if none is chosen. @param {any} table */
function offer(table) {
  for (const [name, columns] of [["x1", table.numeric], ["x2", table.numeric], ["y", table.targets]]) {
    fill(settings.find((input) => input.dataset.setting === name), columns.map((/** @type {string} */ column) => el("option", {value: column}, column)));
  }
  byId("file-note").textContent = `${table.name}: ${counted(table.rows, "row")}, ${counted(table.numeric.length, "column")} of numbers.`;
  if (state.get("table") === table.digest) return;
  const [x1, x2] = table.numeric, y = table.targets.filter((/** @type {string} */ each) => each !== x1 && each !== x2).pop();
  for (const [name, value] of Object.entries({data: "table", table: table.digest, x1, x2, y})) state.set(name, value);
  changed();
}
async function upload() {
  const [file] = byId("file").files;
  if (!file) return;
  try {
    const answer = await fetch("/api/playground/table?name=" + encodeURIComponent(file.name), {method: "POST", body: file});
    const found = await answer.json();
    if (!answer.ok) throw new Refused(found.error);
    choices.table = found;
    complain(byId("file-error"));
    offer(found);
  } catch (error) {
    complain(byId("file-error"), error);
  }
}

const checkF = formulaBox(byId("f"), byId("f-error"), (text) => {
  if (state.get("data") !== "function" || state.get("f") === text) return;
  state.set("f", text);
  changed();
});
/** @param {any} event */
function settingChanged(event) {
  const {value, dataset} = event.target;
  if (dataset.setting === "data" && value === "table" && !state.get("table")) {
    byId("table").hidden = false;
    if (choices.table) offer(choices.table);
    return;
  }
  state.set(dataset.setting, value);
  if (dataset.setting === "data" && value === "function" && !state.get("f")) state.set("f", byId("f").value = "sin(x)");
  changed();
}
/** Play or pause, and remember it. */
function toggle() {
  const isPlaying = latest?.playing;
  if (isPlaying) state.set("paused", "1");
  else state.delete("paused");
  keepAddress();
  server.order(isPlaying ? "pause" : "play");
}
async function begin() {
  choices = await getJson("/api/playground/choices?table=" + encodeURIComponent(state.get("table") || ""));
  const full = new URLSearchParams(choices.state);
  for (const name of new Set(full.keys())) if (!state.has(name)) full.getAll(name).forEach((value) => state.append(name, value));
  fill(byId("activations"), choices.activations.map((/** @type {string} */ each) => el("option", {value: each})));
  byId("f").value = state.get("f") || "sin(x)";
  if (choices.table && state.get("table") === choices.table.digest) offer(choices.table);
  showLayers();
  showSettings();
  await server.start();
}

settings.forEach((input) => input.addEventListener("input", settingChanged));
byId("file").addEventListener("change", upload);
byId("add").addEventListener("click", () => {
  const layers = typedLayers();
  changeLayers([...layers, {...(layers[layers.length - 1] || NEW)}]);
});
byId("play").addEventListener("click", toggle);
for (const [name, steps] of Object.entries({step: 1, steps: 100})) byId(name).addEventListener("click", () => server.order("step", {steps}));
byId("reset").addEventListener("click", () => server.order("reset"));
byId("pace").addEventListener("change", () => {
  state.set("pace", byId("pace").value);
  keepAddress();
  server.order("pace", {pace: Number(byId("pace").value)});
});
new ResizeObserver(() => latest && draw(latest)).observe(byId("surface"));
matchMedia("screen and (prefers-color-scheme: dark)").addEventListener("change", () => latest && draw(latest));
begin().catch((error) => complain(byId("error"), error));
