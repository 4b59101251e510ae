// The page Function. Its address holds the formulas and what is drawn of them.
import {byId, complain, copyButton, el, fill, getJson, numberOf, postJson, shown, whenStill} from "./page.js";
import {mountFunction} from "./figure_function.js";
import {lines, look} from "./plot.js";

const MOST = 8;
/** Smaller errors are drawn at this height. */
const LEAST_ULP = 0.01;
const asked = (/** @type {string} */ path, /** @type {string} */ formula) => `${path}?f=${encodeURIComponent(formula)}`;

const address = new URLSearchParams(location.search);
/** What the address says. */
const state = {
  formulas: address.getAll("f").slice(0, MOST),
  show: (address.get("show") || "value,derivative").split(","),
  from: Number(address.get("from") ?? -6),
  to: Number(address.get("to") ?? 6),
  point: Number(address.get("point") ?? 1),
  /** @type {Record<string, number>} the values of moved sliders, by `formula: parameter` */
  values: {},
  selected: 0,
  language: "PyTorch",
};
if (!state.formulas.length) state.formulas = ["gelu", "relu"];
for (const [name, value] of address) if (name.includes(": ")) state.values[name] = Number(value);

/** The largest errors that were measured here, in ULP. @type {Map<string, any>} */
const measured = new Map();

/** @type {Map<string, Promise<{facts: any, details: any}>>} */
const known = new Map();

/** Return the facts of a formula. @param {string} formula */
function about(formula) {
  const answers = () => Promise.all([getJson(asked("/api/function", formula) + "&points=2"), getJson(asked("/api/function/details", formula))]);
  const found = known.get(formula) || answers().then(([facts, details]) => ({facts, details}));
  found.catch(() => known.delete(formula));
  known.set(formula, found);
  return found;
}
/** Return a formula with the values of its moved sliders. @param {string} formula */
function bound(formula) {
  const [base, ...assigned] = formula.split(";");
  const values = new Map(assigned.map((each) => /** @type {[string, string]} */ (each.split("=").map((part) => part.trim()))));
  for (const [key, value] of Object.entries(state.values)) {
    const name = key.slice(formula.length + 2);
    // the value of a gated unit is an input, not a parameter
    if (key === `${formula}: ${name}` && name !== "value") values.set(name, String(value));
  }
  return [base, ...[...values].map(([name, value]) => `${name}=${value}`)].join("; ");
}
function remember() {
  const query = new URLSearchParams();
  for (const formula of state.formulas) query.append("f", formula);
  if (state.show.join() !== "value,derivative") query.set("show", state.show.join());
  for (const [name, value] of /** @type {[string, number][]} */ ([["from", state.from], ["to", state.to], ["point", state.point]]))
    if (value !== ({from: -6, to: 6, point: 1})[name]) query.set(name, String(value));
  for (const [name, value] of Object.entries(state.values)) {
    if (state.formulas.includes(name.split(": ")[0])) query.set(name, String(value));
  }
  history.replaceState(null, "", "?" + query);
}
/** Return the limits of a slider. @param {any} param */
function range(param) {
  const reach = Math.max(2, 2 * Math.abs(param.value));
  let least = param.least ?? param.above ?? param.value - reach;
  let most = param.most ?? param.below ?? param.value + reach;
  least = Math.max(least, param.value - 10 * reach);
  most = Math.min(most, param.value + 10 * reach);
  if (param.above !== null && least === param.above) least += 0.01 * (most - least);
  if (param.below !== null && most === param.below) most -= 0.01 * (most - least);
  return {least, most};
}

let drawing = 0;

async function draw() {
  const mine = ++drawing;
  /** @type {any[]} */ const sliders = [];
  const curves = [], flat = [];
  for (const formula of state.formulas) {
    const {facts, details} = await about(formula);
    if (!facts.along) { flat.push(facts.name); continue; }
    const keyed = (/** @type {any} */ param) => ({...param, key: `${formula}: ${param.name}`, ...range(param)});
    const params = details.program.params.map(keyed);
    const label = params.length ? formula.split(";")[0] : formula;
    const keys = params.map((/** @type {any} */ each) => each.key);
    curves.push({label, program: asked("/api/function/program.js", formula), params: keys});
    for (const {key, value, least, most} of params) sliders.push({name: key, value: state.values[key] ?? value, least, most});
  }
  if (mine !== drawing) return;
  const place = el("div");
  fill(byId("curves"), place);
  complain(byId("undrawn"), flat.length ? `${flat.join(", ")}: acts along an axis, on all inputs together, and has no curve.` : "");
  if (curves.length) {
    await mountFunction(place, {
      curves, sliders, from: state.from, to: state.to, point: state.point, show: state.show, limits: null,
      changed: whenStill((values, point) => {
        const before = JSON.stringify(state.values);
        for (const slider of sliders) if (values[slider.name] !== slider.value) state.values[slider.name] = values[slider.name];
        state.point = point;
        remember();
        if (JSON.stringify(state.values) === before) return;
        cleared();
        tabulate();
        describe();
      }, 250),
    });
  }
}
/** @param {any} limits */
function interval(limits) {
  if (!limits) return "–";
  const [open, close] = [limits.lower_attained ? "[" : "(", limits.upper_attained ? "]" : ")"];
  return `${open}${shown(limits.lower)}, ${shown(limits.upper)}${close}`;
}
/** @param {any} line */
function asymptote(line) {
  const [slope, intercept] = [numberOf(line.slope), numberOf(line.intercept)];
  if (slope === 0) return shown(intercept);
  const rise = slope === 1 ? "x" : slope === -1 ? "−x" : `${shown(slope)} x`;
  return intercept === 0 ? rise : `${rise} ${intercept < 0 ? "−" : "+"} ${shown(Math.abs(intercept))}`;
}
/** Return what a function tends to on a side. @param {any} facts @param {"left" | "right"} side */
const tends = (facts, side) => (facts.asymptotes?.[side] ? asymptote(facts.asymptotes[side]) : shown(facts.limits?.[side]));
/** @param {any} value */
const yesNo = (value) => (value === null || value === undefined ? "unknown" : value ? "yes" : "no");
/** @param {any} facts @param {string} side @param {string} formula */
const ulps = (facts, side, formula) => {
  const found = facts.exactness.accurate?.float32?.[side]?.max_ulp;
  if (found !== undefined) return `${shown(found, 3)} ULP`;
  const now = measured.get(formula)?.[side];
  return now === undefined ? "not measured" : `${shown(now, 3)} ULP, measured now`;
};
/** Return the names in other frameworks, each framework once. @param {any} facts @returns {[string, string[]][]} */
const elsewhere = (facts) => /** @type {[string, string[]][]} */ (Object.entries(facts.elsewhere)).filter(([name]) => name !== "hf");

/** The rows of the table: a name, and what a function's facts say. @type {[string, (facts: any, formula: string) => any][]} */
const ROWS = [
  ["Range", (facts) => interval(facts.range)],
  ["Value at 0", (facts) => shown(facts.value_at_zero)],
  ["Derivative at 0", (facts) => shown(facts.derivative_at_zero)],
  ["Tends on the left to", (facts) => tends(facts, "left")],
  ["Tends on the right to", (facts) => tends(facts, "right")],
  ["Kinks at", (facts) => (facts.kinks.length ? facts.kinks.map((/** @type {any} */ kink) => shown(kink.at ?? kink)).join(", ") : "none")],
  ["Monotone", (facts) => (facts.monotone ? facts.direction || "yes" : yesNo(facts.monotone))],
  ["Symmetry", (facts) => (facts.odd ? "odd" : facts.even ? "even" : "none")],
  ["Largest |derivative|", (facts) => shown(facts.lipschitz)],
  ["Saturates", (facts) => (facts.saturates?.length ? facts.saturates.join(", ") : "no")],
  ["Gain, second moment", (facts) => shown(facts.gains.second_moment)],
  ["Gain, variance", (facts) => shown(facts.gains.variance)],
  ["Gain, backward", (facts) => shown(facts.gains.backward)],
  ["Largest error, value", (facts, formula) => ulps(facts, "forward", formula)],
  ["Largest error, derivative", (facts, formula) => ulps(facts, "backward", formula)],
  ["Same as", (facts) => facts.same_as || "–"],
  ["Also called", (facts) => facts.aliases.join(", ") || "–"],
  ["In other frameworks", (facts) => elsewhere(facts).map(([name, names]) => `${name}: ${names.join(", ")}`).join("; ") || "–"],
  ["Source", (facts) => facts.source || "–"],
];

async function tabulate() {
  const formulas = state.formulas.map(bound);
  const all = await Promise.all(formulas.map(about));
  const head = el("tr", {}, el("td"), ...formulas.map((formula) => el("th", {scope: "col"}, formula)));
  const rows = ROWS.map(([name, said]) => el("tr", {}, el("th", {scope: "row"}, name), ...all.map(({facts}, at) => el("td", {}, said(facts, formulas[at])))));
  fill(byId("facts"), el("caption", {}, "What follows from each formula."), el("thead", {}, head), el("tbody", {}, ...rows));
}
/** Say which formula is computed, if it is not the typed one. @param {any} facts */
function rewritten(facts) {
  const bare = (/** @type {string} */ text) => text.split(";")[0].replace(/[\s()]/g, "");
  if (facts.family !== "typed" || bare(facts.formula) === bare(facts.name)) return [];
  return [`It is computed as ${facts.formula}, which is the same function and keeps its digits.`];
}
/** Show the selected function's mathematics and code. */
async function describe() {
  const formula = bound(state.formulas[state.selected]);
  const {facts, details} = await about(formula);
  byId("selected").textContent = formula;
  byId("summary").textContent = [facts.summary, ...rewritten(facts)].join(" ");
  const shownAs = (/** @type {string} */ text) => new DOMParser().parseFromString(text, "text/html").body.firstElementChild;
  const name = facts.inputs.length > 1 ? "f(value, gate)" : "f(x)";
  fill(byId("mathematics"), el("p", {class: "quiet fine"}, `${name} =`), shownAs(details.mathematics),
    ...Object.entries(details.derivatives).flatMap(([input, text]) => [el("p", {class: "quiet fine"}, `df/d${input} =`), shownAs(text)]));
  fill(byId("languages"), ...Object.keys(details.code).map((language) => el("button", {
    type: "button", "aria-pressed": String(language === state.language), "data-test": `code-${language}`,
    onclick: () => { state.language = language; describe(); },
  }, language)));
  byId("code").textContent = details.code[state.language];
  fill(byId("copy"), copyButton(() => byId("code").textContent));
}
function chips() {
  fill(byId("chips"), ...state.formulas.map((formula, at) => {
    const swatch = el("span", {class: `swatch ${look(at).color}`, "aria-hidden": "true"});
    const chosen = () => { state.selected = at; chips(); describe(); };
    const select = el("button", {type: "button", "aria-pressed": String(at === state.selected), "data-test": "chip", onclick: chosen}, formula);
    const remove = el("button", {type: "button", "aria-label": `Remove ${formula}`, "data-test": "remove", onclick: () => {
      state.formulas.splice(at, 1);
      state.selected = 0;
      update();
    }}, "×");
    return el("li", {class: "chip"}, swatch, select, state.formulas.length > 1 ? remove : null);
  }));
}
function cleared() {
  for (const place of ["exactness", "cost", "measuring", "timing"]) fill(byId(place));
  complain(byId("unmeasured"));
  complain(byId("untimed"));
}
/** Show everything anew; formulas that cannot be read are taken off and said. */
async function update() {
  /** @type {any} */ let wrong = null;
  for (const formula of [...state.formulas]) {
    await about(formula).catch((error) => {
      wrong = error;
      state.formulas.splice(state.formulas.indexOf(formula), 1);
    });
  }
  complain(byId("wrong"), wrong);
  if (!state.formulas.length) return;
  state.selected = Math.min(state.selected, state.formulas.length - 1);
  remember();
  chips();
  cleared();
  await Promise.all([draw(), tabulate(), describe()]);
}

// the box is checked while one types
/** @type {AbortController | null} */ let checking = null;
const check = whenStill(async () => {
  checking?.abort();
  checking = new AbortController();
  const formula = byId("formula").value.trim();
  const said = (/** @type {any} */ error) => {
    complain(byId("wrong"), error);
    byId("formula").setAttribute("aria-invalid", error ? "true" : "false");
  };
  if (!formula) return said(null);
  try {
    await getJson(asked("/api/function", formula) + "&points=2", checking.signal);
    said(null);
  } catch (error) {
    if (!(error instanceof DOMException)) said(error);
  }
}, 250);
byId("formula").addEventListener("input", check);

byId("add").addEventListener("submit", async (/** @type {Event} */ event) => {
  event.preventDefault();
  const formula = byId("formula").value.trim();
  if (!formula) return;
  if (state.formulas.length >= MOST) return complain(byId("wrong"), `At most ${MOST} functions are drawn together; remove one first.`);
  try {
    await about(formula);
  } catch (error) {
    return complain(byId("wrong"), error);
  }
  if (!state.formulas.includes(formula)) state.formulas.push(formula);
  state.selected = state.formulas.indexOf(formula);
  byId("formula").value = "";
  update();
});

for (const box of document.getElementsByName("show")) {
  const input = /** @type {HTMLInputElement} */ (box);
  input.checked = state.show.includes(input.value);
  input.addEventListener("change", () => {
    const boxes = /** @type {HTMLInputElement[]} */ ([...document.getElementsByName("show")]);
    const chosen = boxes.filter((each) => each.checked).map((each) => each.value);
    if (!chosen.length) input.checked = true;
    else { state.show = chosen; remember(); draw(); }
  });
}
for (const name of /** @type {("from" | "to")[]} */ (["from", "to"])) {
  byId(name).value = state[name];
  byId(name).addEventListener("change", () => {
    const limits = {from: state.from, to: state.to, [name]: byId(name).valueAsNumber};
    if (!(limits.from < limits.to)) return complain(byId("undrawn"), "The first limit must be a number below the second.");
    Object.assign(state, limits);
    remember();
    draw();
  });
}
/**
 * Measure every function, one after another, and show each answer as it comes; functions that are chosen meanwhile end it.
 * @param {string} place where the answers go @param {string} status @param {string} wrong @param {string} doing
 * @param {(formula: string) => Promise<any>} ask @param {(found: any, formula: string) => any} shownAs
 */
async function ofAll(place, status, wrong, doing, ask, shownAs) {
  const mine = byId(place).appendChild(el("div")), formulas = state.formulas.map(bound);
  /** @type {string[]} */ const failed = [];
  fill(byId(place), mine);
  for (const formula of formulas) {
    byId(status).textContent = `${doing} ${formula} …`;
    const found = await ask(formula).catch((error) => { failed.push(`${formula}: ${error.message}`); });
    if (!mine.isConnected) return;
    if (found) mine.append(shownAs(found, formula));
    complain(byId(wrong), failed.join(" "));
  }
  byId(status).textContent = "";
}

const measure = () => ofAll("exactness", "measuring", "unmeasured", "Measuring", (formula) => getJson(asked("/api/function/exactness", formula)),
  (found, formula) => {
    const place = el("section", {"data-test": "exactness-of"}, el("h3", {}, formula));
    for (const part of [found.negative, found.positive]) {
      const named = (/** @type {any} */ row) => `${row.name}, ${row.direction === "forward" ? "value" : "derivative"}`;
      const series = part.rows.map((/** @type {any} */ row, /** @type {number} */ at) => ({label: named(row), ...look(at), points: true}));
      const sign = part.sign < 0 ? "−" : "+";
      const label = `Largest errors of ${formula} for inputs of sign ${sign}`;
      const chart = lines(place, {series, height: 200, log: true, x: `input ${sign}2^…`, y: "ULP", label});
      const height = (/** @type {any} */ ulp) => (ulp === null ? null : Math.max(LEAST_ULP, numberOf(ulp)));
      chart.draw(part.exponents, part.rows.map((/** @type {any} */ row) => row.ulp.map(height)));
    }
    const largest = (/** @type {string} */ side) => Math.max(...[found.negative, found.positive].flatMap((part) => part.rows)
      .filter((row) => row.name === "actlab" && row.direction === side).flatMap((row) => row.ulp).filter((ulp) => ulp !== null).map(numberOf));
    measured.set(formula, {forward: largest("forward"), backward: largest("backward")});
    tabulate();
    return place;
  });

const time = () => ofAll("cost", "timing", "untimed", "Timing", (formula) => postJson(asked("/api/function/cost", formula)), ({rows}, formula) => {
  const body = rows.map((/** @type {any} */ row) => el("tr", {},
    el("th", {scope: "row"}, row.contender === "eager" ? "PyTorch" : row.contender), el("td", {}, row.direction),
    el("td", {class: "number"}, shown(row.median_s / row.copy_s, 3)), el("td", {class: "number"}, `${shown(row.median_s * 1e6, 3)} µs`)));
  const head = ["by", "pass", "copies", "time"].map((name, at) => el("th", {scope: "col", class: at > 1 ? "number" : null}, name));
  return el("table", {}, el("caption", {}, formula), el("thead", {}, el("tr", {}, ...head)), el("tbody", {}, ...body));
});

byId("measure").addEventListener("click", measure);
byId("time").addEventListener("click", time);

update();
