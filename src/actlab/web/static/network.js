// The page My network: the activations of a network in training, and a close look at one of them.
import {histogram, percent} from "./histogram.js";
import {listen} from "./live.js";
import {byId, complain, counted, el, fill, getJson, numberOf, oncePerFrame, postJson, shown, whenStill} from "./page.js";
import {color, lines} from "./plot.js";

const LOOK_MILLISECONDS = 150;

/** @type {any} */ let network = null;
/** @type {any} */ let status = {};
/** @type {any} */ let look = null;
let selected = Number(new URLSearchParams(location.search).get("site")) || 0;
/** The measured step to look at; null for the latest. @type {number | null} */
let wanted = null;
let lastSites = "";
/** What could not be replaced, and why. @type {Map<number, string>} */
const refused = new Map();
const trains = Boolean(byId("play"));

// requests: one at a time of each kind, and the latest wish is always met
/** @param {() => Promise<void>} action @param {number} pause */
function oneAtATime(action, pause) {
  let [busy, again] = [false, false];
  return async function run() {
    if (busy) { again = true; return; }
    busy = true;
    try {
      await action();
    } catch (error) {
      complain(byId("failure"), error);
    }
    setTimeout(() => { busy = false; if (again) { again = false; run(); } }, pause);
  };
}

const refreshNetwork = oneAtATime(async () => {
  show(await getJson("/api/network"));
}, 50);

const refreshLook = oneAtATime(async () => {
  const answer = await getJson(`/api/network/look?site=${selected}&step=${wanted ?? ""}`);
  look = answer;
  drawLook();
}, LOOK_MILLISECONDS);

/** @param {string} action @param {any} values @param {HTMLElement} place where an error is shown */
async function command(action, values, place) {
  try {
    complain(place);
    show(await postJson("/api/network/do", {action, ...values}));
    if (["reset", "load", "step", "swap", "undo", "undo-all"].includes(action)) follow();
    return true;
  } catch (error) {
    complain(place, error);
    refreshNetwork();
    return false;
  }
}
/** Show what the server answered about the network. @param {any} answer */
function show(answer) {
  network = answer;
  const isOld = answer.status.version < status.version; // the feed was faster than this answer
  if (isOld) refreshNetwork();
  else drawStatus(answer.status);
  const count = network.sites.length;
  if (count && selected >= count) selected = 0;
  if (network.name) byId("about").textContent = `${[network.name, network.where].filter(Boolean).join(", ")}: ${counted(count, "activation")}.`;
  else if (status.phase === "failed") byId("about").textContent = "There is no network to show.";
  drawSites();
  drawFindings();
  refreshLook();
}
/** @param {any} value */
function drawStatus(value) {
  status = value;
  const isFailed = value.phase === "failed" || value.phase === "diverged";
  complain(byId("failure"), value.error || value.untrained);
  const loss = value.loss === null || value.loss === undefined ? "" : `, loss ${shown(value.loss)}`;
  const speed = value.per_second ? `, ${shown(value.per_second, 3)} steps per second` : "";
  const words = /** @type {Record<string, string>} */ ({loading: "Loading", failed: "Stopped by an error", diverged: "Diverged",
    live: value.step === null ? "Waiting for the first measured step of the training loop" : "A training loop elsewhere"});
  const word = words[value.phase] || (value.playing ? "Training" : "Paused");
  const every = value.every === 1 ? "step" : `${value.every} steps`;
  const step = value.step === null ? "" : value.phase === "live" ? `, step ${value.step}, measured every ${every}` : `, ${counted(value.step, "step")} done`;
  const isEmpty = !network?.sites.length && (["loading", "failed"].includes(value.phase) || (value.phase === "live" && value.step === null));
  for (const place of document.querySelectorAll("[data-shown]")) /** @type {HTMLElement} */ (place).hidden = isEmpty;
  byId("status").textContent = `${word}${step}${loss}${speed}.`;
  if (!trains) return;
  const canTrain = value.phase === "ready" && !value.untrained;
  byId("play").textContent = value.playing ? "Pause" : "Play";
  byId("play").disabled = byId("step").disabled = !canTrain;
  byId("reset").disabled = value.phase === "loading" || (isFailed && !network?.sites.length);
  byId("rate").disabled = value.rate === null;
  if (document.activeElement !== byId("rate") && value.rate !== null) byId("rate").value = String(Number(value.rate.toPrecision(4)));
}

// the table of activations
function drawSites() {
  const now = JSON.stringify([network.sites, [...refused]]);
  if (now !== lastSites) {
    const hadFocus = byId("sites").contains(document.activeElement);
    lastSites = now;
    fill(byId("sites"), network.sites.map(row));
    if (hadFocus) chosenButton()?.focus();
    fill(byId("unseen"), network.unseen.map((/** @type {string} */ text) => el("p", {}, `Not inspected: ${text}.`)));
  }
  mark();
}
/** @param {any} site @param {number} at */
function row(site, at) {
  const notes = [site.was ? `instead of ${site.was}` : "", site.note, site.calls > 1 ? `applied ${site.calls} times` : "",
    refused.get(at) || ""].filter(Boolean);
  const choose = el("button", {type: "button", class: "plain", "data-test": `site-${at}`, "aria-pressed": "false"}, site.activation);
  const item = el("tr", {onclick: () => select(at, true)},
    el("td", {class: "number"}, String(at + 1)),
    el("td", {}, choose, notes.map((text) => el("div", {class: "fine quiet"}, text))),
    el("td", {}, site.name, el("div", {class: "fine quiet"}, site.spelling)),
    el("td", {class: "mono"}, site.line || "–"),
    el("td", {}, site.group),
    el("td", {class: "number"}, "–"),
    el("td", {class: "number"}, "–"));
  return item;
}

const chosenButton = () => byId("sites").children[selected]?.querySelector("button");

function mark() {
  [...byId("sites").children].forEach((item, at) => {
    item.classList.toggle("selected", at === selected);
    item.querySelector("button")?.setAttribute("aria-pressed", String(at === selected));
    const cells = item.querySelectorAll("td");
    cells[5].textContent = percent(numberOf(look?.depth?.dead[at]));
    cells[6].textContent = percent(numberOf(look?.depth?.saturated[at]));
  });
  const site = network?.sites[selected];
  if (!trains) return;
  byId("undo").disabled = !site?.was;
  byId("undo-all").disabled = !network?.sites.some((/** @type {any} */ each) => each.was);
}
/** @param {number} at @param {boolean} [isAsked] whether a person chose it */
function select(at, isAsked = false) {
  if (selected !== at && trains) complain(byId("swap-error"), refused.get(at));
  selected = at;
  const address = new URL(location.href);
  address.searchParams.set("site", String(at));
  history.replaceState(null, "", address);
  mark();
  refreshLook();
  // on a narrow screen the close look lies below everything else
  if (isAsked && innerWidth < 1000) byId("look-title").scrollIntoView();
}

byId("sites").addEventListener("keydown", (/** @type {KeyboardEvent} */ event) => {
  const by = event.key === "ArrowDown" ? 1 : event.key === "ArrowUp" ? -1 : 0;
  if (!by || !network?.sites[selected + by]) return;
  event.preventDefault();
  select(selected + by);
  chosenButton()?.focus();
});
/** @param {number} at */
function visit(at) {
  select(at);
  byId("look-title").scrollIntoView({block: "nearest"});
}

// findings
function drawFindings() {
  const found = network.findings.map((/** @type {any} */ each) => el("article", {class: `finding ${each.severity}`, "data-test": `finding-${each.id}`},
    el("h3", {}, `${each.title || each.id} `, el("span", {class: "badge"}, each.severity)),
    el("p", {class: "quiet"}, each.site === null ? each.place : el("button", {type: "button", class: "plain", onclick: () => visit(each.site)}, each.place)),
    el("p", {}, each.text),
    each.fixes.map((/** @type {string} */ fix) => el("p", {}, `Fix: ${fix}`)),
    el("p", {class: "fine quiet"}, each.id)));
  fill(byId("findings"), found.length ? found : el("p", {class: "quiet"}, `Nothing was found at ${counted(network.sites.length, "activation")} so far.`));
}

// the close look
const whole = (/** @type {any} */ found) =>
  `${found.counted < found.values ? found.counted.toLocaleString("en") + " of " : ""}${counted(found.values, "value")}`;

/** @param {string} id @param {any} found @param {string} what @param {string} kind @param {string} missing @param {any} [curve] */
function distribution(id, found, what, kind, missing, curve) {
  if (!found) {
    byId(`${id}-caption`).textContent = `${what}: ${missing}`;
    fill(byId(id));
    return;
  }
  const lost = found.lost ? ` ${counted(found.lost, "value is", "values are")} NaN or infinite.` : "";
  const text = `${what}: mean ${shown(found.mean)}, root mean square ${shown(found.rms)}, ${whole(found)}.${lost}`;
  byId(`${id}-caption`).textContent = text;
  histogram(byId(id), found, {label: text, kind, curve});
}

const drawLook = oncePerFrame(() => {
  if (!look || !network) return;
  drawScrubber();
  drawCharts();
  mark();
  const site = network.sites[selected];
  const close = look.site;
  if (!site || !close) return;
  byId("look-title").textContent = `${selected + 1}. ${site.activation} at ${site.name}`;
  const [dead, saturated] = [numberOf(look.depth.dead[selected]), numberOf(look.depth.saturated[selected])];
  const units = Number.isNaN(dead) ? "" : `${percent(dead)} of the units are dead and ${percent(saturated)} saturated in this step. `;
  const flat = Number.isNaN(numberOf(close.flat)) ? "It acts along an axis, so it has no curve of one input."
    : `${percent(numberOf(close.flat))} of its inputs lie where the derivative is at most 5 % of its largest (hatched wide), ` +
      `${percent(numberOf(close.dead))} where it is at most 0.1 % (hatched close).`;
  byId("look-about").textContent = `Step ${look.step}, input ${site.shape}. ${units}${flat}`;
  const input = close.gated ? "the gate’s input z" : "z";
  const under = close.curve ? `, under the curve of ${close.function}` : "";
  distribution("z", close.z, `Receives: ${input}${under}`, "better", "its input could not be read.", close.curve);
  distribution("y", close.y, "Gives: y", "equivalent", "its output could not be read.");
  distribution("gradient", close.gradient, "Gets back: dL/dy", "derivative", "no gradient came back in this step.");
});

// the scrubber
function drawScrubber() {
  const steps = look.steps;
  const scrubber = byId("scrubber");
  scrubber.max = String(Math.max(0, steps.length - 1));
  scrubber.disabled = steps.length < 2;
  if (look.step === null) return;
  if (wanted === null || document.activeElement !== scrubber) scrubber.value = String(steps.indexOf(look.step));
  byId("shown-step").textContent = `step ${look.step}`;
  scrubber.setAttribute("aria-valuetext", `step ${look.step} of ${steps[steps.length - 1]}`);
  byId("latest").setAttribute("aria-pressed", String(wanted === null));
}

byId("scrubber").addEventListener("input", () => {
  wanted = look?.steps[Number(byId("scrubber").value)] ?? null;
  refreshLook();
});
function follow() {
  wanted = null;
  refreshLook();
}

byId("latest").addEventListener("click", follow);

// lines
/** Draw a line where the step of the scrubber is. @param {any} u */
function atStep(u) {
  if (!look || look.step === null) return;
  const x = u.valToPos(look.step, "x", true);
  u.ctx.save();
  u.ctx.strokeStyle = color("quiet");
  u.ctx.setLineDash([4, 4]);
  u.ctx.beginPath();
  u.ctx.moveTo(x, u.bbox.top);
  u.ctx.lineTo(x, u.bbox.top + u.bbox.height);
  u.ctx.stroke();
  u.ctx.restore();
}

const sizes = [{label: "signal", color: "better", points: true}, {label: "gradient", color: "derivative", dash: [8, 4], points: true}];
const shares = [{label: "dead", color: "worse", points: true}, {label: "saturated", color: "minor", dash: [8, 4], points: true}];
const charts = {
  depth: lines(byId("depth"), {series: sizes, x: "activation", y: "root mean square", log: true, whole: true, height: 230,
    label: "Signal and gradient over the depth"}),
  shares: lines(byId("depth-shares"), {series: shares, x: "activation", y: "% of units", ylimits: [0, 100], whole: true, height: 200,
    label: "Dead and saturated units over the depth"}),
  losses: lines(byId("losses"), {series: [{label: "loss", color: "ink"}], x: "step", height: 220, under: atStep, label: "Loss over the steps"}),
  points: lines(byId("points"), {series: [...shares, {label: "outputs 0", color: "equivalent", dash: [2, 3]}].map((each) => ({...each, points: false})),
    x: "step", y: "%", ylimits: [0, 100], height: 220, under: atStep, label: "Shares of the chosen activation over the steps"}),
  sizes: lines(byId("sizes"), {series: sizes.map((each) => ({...each, points: false})), x: "step", y: "root mean square", log: true, height: 220, under: atStep,
    label: "Signal and gradient of the chosen activation over the steps"}),
};

const finite = (/** @type {any[]} */ values) => values.map((value) => { const number = numberOf(value); return Number.isFinite(number) ? number : null; });
const positive = (/** @type {any[]} */ values) => finite(values).map((value) => (value !== null && value > 0 ? value : null));
const hundredfold = (/** @type {any[]} */ values) => finite(values).map((value) => (value === null ? null : 100 * value));

function drawCharts() {
  const {depth, points, steps, losses} = look;
  if (!depth) return;
  const numbers = depth.signal.map((/** @type {any} */ _, /** @type {number} */ at) => at + 1);
  drawIfAny(charts.depth, numbers, [positive(depth.signal), positive(depth.gradient)]);
  drawIfAny(charts.shares, numbers, [hundredfold(depth.dead), hundredfold(depth.saturated)]);
  byId("over-steps").hidden = steps.length < 2;
  if (steps.length < 2) return;
  drawIfAny(charts.losses, steps, [finite(losses)]);
  drawIfAny(charts.points, steps, [hundredfold(points.dead), hundredfold(points.saturated), hundredfold(points.zero)]);
  drawIfAny(charts.sizes, steps, [positive(points.signal), positive(points.gradient)]);
}
/** Draw what has numbers; an empty logarithmic scale has no ticks to draw. @param {any} chart @param {number[]} x @param {(number | null)[][]} ys */
function drawIfAny(chart, x, ys) {
  const isEmpty = ys.every((each) => each.every((value) => value === null));
  /** @type {HTMLElement} */ (chart.element.closest("figure")).hidden = isEmpty;
  if (!isEmpty) chart.draw(x, ys);
}

// commands
if (trains) {
  const errors = byId("training-error");
  byId("play").addEventListener("click", () => command(status.playing ? "pause" : "play", {}, errors));
  for (const name of ["step", "reset", "load"])
    byId(name).addEventListener("click", () => { refused.clear(); command(name, {}, errors); });
  byId("rate").addEventListener("change", async () => {
    const isGood = await command("rate", {rate: byId("rate").value}, errors);
    byId("rate").setAttribute("aria-invalid", String(!isGood));
  });
  byId("swap").addEventListener("submit", async (/** @type {Event} */ event) => {
    event.preventDefault();
    const at = selected;
    refused.delete(at);
    if (!(await command("swap", {site: at, formula: byId("formula").value}, byId("swap-error")))) {
      const why = byId("swap-error").textContent;
      if (why.includes(" stays: ")) refused.set(at, why);
      if (network) drawSites();
    }
  });
  byId("swap-all").addEventListener("click", async () => {
    const group = network?.sites[selected]?.group;
    const formula = byId("formula").value;
    for (const [at, site] of [...(network?.sites || [])].entries()) {
      if (site.group === group && !(await command("swap", {site: at, formula}, byId("swap-error")))) return;
    }
  });
  byId("undo").addEventListener("click", () => command("undo", {site: selected}, byId("swap-error")));
  byId("undo-all").addEventListener("click", () => { refused.clear(); command("undo-all", {}, byId("swap-error")); });
  const checked = whenStill(async (/** @type {string} */ text) => {
    try {
      if (text) await getJson("/api/function?f=" + encodeURIComponent(text));
      if (text === byId("formula").value.trim()) complain(byId("swap-error"));
    } catch (error) {
      if (text === byId("formula").value.trim()) complain(byId("swap-error"), error);
    }
  }, 350);
  byId("formula").addEventListener("input", () => checked(byId("formula").value.trim()));
}

let lastStep = -2;

/** @param {any} value the state of the training, or null if the server was started again */
function heard(value) {
  if (value === null) { status = {}; refreshNetwork(); return; }
  const isNew = value.version !== network?.status?.version;
  drawStatus(value);
  if (isNew) refreshNetwork();
  else if (wanted === null && value.step !== lastStep) refreshLook();
  lastStep = value.step;
}

try {
  const first = await getJson("/api/network");
  show(first);
  listen(first.feed, heard);
} catch (error) {
  complain(byId("failure"), error);
}
