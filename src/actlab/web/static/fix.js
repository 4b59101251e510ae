// A repair: how far it is, before and after side by side, what was tried, and the diff to copy.
import {duration} from "./compare_now.js";
import {listen} from "./live.js";
import {byId, complain, copyButton, el, fill, numberOf, postJson, shown} from "./page.js";
import {lines} from "./plot.js";

/** @type {{remove: () => void} | null} */
let chart = null;
let state = "";

/** @param {string} address @param {any} [values] */
async function ask(address, values) {
  complain(byId("form-error"));
  try { await postJson(address, values); } catch (error) { complain(byId("form-error"), error); }
}

byId("form").addEventListener("submit", (/** @type {Event} */ event) => {
  event.preventDefault();
  ask("/api/fix", {budget: byId("budget").value});
});
byId("stop").addEventListener("click", () => ask("/api/fix/stop"));

listen("fix", (now) => {
  if (!now) return;
  const isRunning = now.state === "running" || now.state === "stopping";
  byId("start").disabled = isRunning;
  byId("stop").hidden = !isRunning;
  byId("stop").disabled = now.state === "stopping";
  byId("running").hidden = !isRunning;
  if (isRunning) progress(now);
  if (now.state === state) return;
  state = now.state;
  chart?.remove();
  chart = null;
  fill(byId("result"));
  if (isRunning || now.sentence) complain(byId("form-error"), isRunning ? "" : now.sentence);  // not what was typed wrongly meanwhile
  if (now.answer) show(now.answer, now.command, now.state === "stopped");
});
/** @param {any} now */
function progress(now) {
  const bar = byId("bar");
  if (now.planned) { bar.max = now.planned; bar.value = now.done; }
  const unit = now.seconds_left === null ? "training runs" : "seconds";
  const far = now.planned ? `${now.done} of ${now.planned} ${unit}: ${now.label}` : "Looking for what is wrong";
  byId("said").textContent = now.state === "stopping" ? "Stopping …" : `${far} (${duration(now.seconds)} so far).`;
}
/** @param {any} answer @param {string} command @param {boolean} isStopped */
function show(answer, command, isStopped) {
  const tone = ["repaired", "nothing to repair"].includes(answer.verdict) ? "better" : "undecided";
  const verdict = isStopped ? `Stopped early: ${answer.verdict}` : answer.verdict[0].toUpperCase() + answer.verdict.slice(1);
  const kept = answer.kept.map((/** @type {string} */ name) => el("li", {}, name));
  const box = el("div"), byHand = answer.lines.join("\n"), way = answer.larger_is_better ? "more" : "less";
  fill(byId("result"),
    el("section", {class: `card verdict ${tone}`, "data-test": "verdict"}, el("h2", {}, "Verdict"),
      el("p", {class: "said"}, `${verdict}, after ${answer.runs} training runs.`),
      kept.length ? [el("p", {}, "Kept:"), el("ul", {"data-test": "kept"}, kept)] : null,
      answer.best.length && !kept.length ? el("p", {}, `Most promising, but not proved: ${answer.best.join(" + ")}.`) : null),
    el("div", {class: "sides"}, side("Before", answer.before, answer.metric), side("After", answer.after, answer.metric)),
    answer.before.curve.length ? el("section", {class: "card", "data-test": "curves"}, el("h2", {}, "While they learn"),
      el("p", {class: "quiet fine"}, `Validation ${answer.metric} after each epoch, mean over the seeds; ${way} is better.`), box) : null,
    answer.diff ? diff(answer.diff) : null,
    byHand ? el("section", {class: "card", "data-test": "lines"}, el("h2", {}, "To write by hand"),
      el("div", {class: "controls"}, copyButton(() => byHand)), el("pre", {tabindex: 0}, byHand)) : null,
    answer.tried.length ? tried(answer) : null,
    rest(answer, command));
  if (answer.before.curve.length) chart = drawn(box, answer);
}
/** @param {string} title @param {any} at @param {string} metric */
function side(title, at, metric) {
  const alarms = at.findings.filter((/** @type {any} */ each) => each.severity !== "information");
  const line = (/** @type {any} */ site) => (site?.file ? `${site.file.split("/").pop()}:${site.line}` : "");
  const place = (/** @type {any} */ each) => [each.id, each.site?.path, line(each.site)].filter(Boolean).join(", ");
  const others = at.findings.length - alarms.length;
  const number = at.metric === null ? "Not trained." : `Validation ${metric} ${shown(at.metric)}${at.seeds > 1 ? `, mean of ${at.seeds} seeds` : ""}.`;
  return el("section", {class: "card", "data-test": title.toLowerCase()}, el("h2", {}, title), el("p", {class: "said"}, number),
    alarms.map((/** @type {any} */ each) => el("div", {class: `finding ${each.severity}`},
      el("h3", {}, `${each.severity === "error" ? "Error" : "Warning"}: ${each.title} `, el("small", {}, place(each))), el("p", {}, each.message))),
    alarms.length ? null : el("p", {}, "No error or warning."),
    others ? el("p", {class: "quiet fine"}, `${others} more for information.`) : null);
}
/** @param {HTMLElement} box @param {any} answer */
function drawn(box, answer) {
  const both = [answer.before.curve, answer.after.curve].map((curve) => curve.map(numberOf));
  const epochs = Array.from({length: Math.max(...both.map((curve) => curve.length))}, (_, at) => at + 1);
  const points = epochs.length < 3;
  const plot = lines(box, {x: "epoch", y: answer.metric, whole: true, label: `Validation ${answer.metric} before and after, by epoch`, series: [
    {label: "before", color: "worse", dash: [8, 4], points}, {label: "after", color: "better", points}]});
  plot.draw(epochs, both.map((curve) => epochs.map((_, at) => curve[at] ?? null)));
  return plot;
}
/** @param {string} text */
function diff(text) {
  const kind = (/** @type {string} */ line) => (/^(diff|---|[+]{3}|@@) /.test(line) ? "head" : {"+": "added", "-": "removed"}[line[0]]);
  const rows = text.replace(/\n$/, "").split("\n").map((line) => el("span", {class: kind(line)}, line));
  return el("section", {class: "card", "data-test": "diff"}, el("h2", {}, "The change as a diff"),
    el("p", {class: "quiet fine"}, "Save it as fix.diff and run: git apply fix.diff"),
    el("div", {class: "controls"}, copyButton(() => text)), el("pre", {class: "diff", tabindex: 0, "aria-label": "Diff"}, rows));
}
/** @param {any} answer */
function tried(answer) {
  const rows = answer.tried.map((/** @type {any} */ each) => {
    const gap = each.difference, isInterval = gap && gap.p !== null;
    const interval = isInterval ? `${shown(gap.low ?? "-inf", 3)} … ${shown(gap.high ?? "inf", 3)}` : gap ? "one seed" : "";
    return el("tr", {}, el("th", {scope: "row"}, each.remedy), el("td", {}, each.finding),
      el("td", {}, el("span", {class: `badge ${each.kept ? "better" : "undecided"}`}, each.kept ? "✓ kept" : "not kept")),
      el("td", {class: "number"}, gap ? shown(gap.mean, 3) : ""), el("td", {class: "number"}, interval),
      el("td", {class: "number"}, isInterval ? shown(gap.p, 3) : ""), el("td", {}, each.reason));
  });
  const heads = ["change", "finding", "", "difference", "interval", "p (Holm)", "why"].map(
    (name, at) => el("th", {scope: "col", class: at > 2 && at < 6 ? "number" : null}, name));
  return el("section", {class: "card", "data-test": "tried"}, el("h2", {}, "What was tried"),
    el("p", {class: "quiet fine"}, `Differences in validation ${answer.metric} from the unrepaired training; positive is better.`),
    el("div", {class: "scroll", tabindex: 0, role: "region", "aria-label": "What was tried"}, el("table", {},
      el("thead", {}, el("tr", {}, heads)), el("tbody", {}, rows))));
}
/** @param {any} answer @param {string} command */
function rest(answer, command) {
  const refused = answer.refused.map((/** @type {any} */ each) => `${each.remedy} does not apply: ${each.reason}`);
  const waiting = answer.not_tried.map((/** @type {string} */ each) => `Not tried, as the budget was spent: ${each}.`);
  return el("section", {class: "card", "data-test": "rest"}, el("h2", {}, "Notes"),
    el("ul", {}, [...answer.notes, ...waiting, ...refused].map((text) => el("li", {}, text))),
    el("p", {class: "fine"}, "In a terminal:"), el("div", {class: "controls"}, el("code", {"data-test": "command"}, command), copyButton(() => command)));
}
