// The comparison that runs now: how far it is, how it ended, and its buttons.
import {listen} from "./live.js";
import {complain, copyButton, counted, el, fill, postJson} from "./page.js";

/** Return a time in words. @param {number} seconds */
export function duration(seconds) {
  if (seconds < 60) return `${Math.max(1, Math.round(seconds))} s`;
  const minutes = Math.round(seconds / 60);
  return minutes < 60 ? `${minutes} min` : `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}
/** Return a button that starts something, and its error. @param {string} name @param {string} text @param {any} values */
function starter(name, text, values) {
  const error = el("p", {class: "error", role: "alert", hidden: true});
  const button = el("button", {type: "button", class: "main", "data-test": name, onclick: async () => {
    button.disabled = true;
    complain(error);
    try { await postJson("/api/compare", values); } catch (problem) { complain(error, problem); }
    button.disabled = false;
  }}, text);
  return el("div", {}, el("div", {class: "controls"}, button), error);
}
/** Return the button that continues a study. @param {number} study @param {string} text @param {number | null} [seeds] */
export const continuation = (study, text, seeds = null) => starter(seeds ? "add-seeds" : "continue", text, {study, seeds});

/**
 * Show what runs in a card, and keep it up to date.
 * @param {HTMLElement} place @param {(now: any, isNew: boolean) => void} change called at every change; `isNew` if the state is another
 * @param {string} [run] show this run only
 */
export function watchNow(place, change, run) {
  let key = "";
  /** @type {(now: any) => void} */
  let update = () => {};
  listen("compare", (now) => {
    if (!now) return;
    const next = [now.state, now.is_plan, now.run || now.study, now.task].join();
    const isNew = next !== key;
    key = next;
    if (isNew) {
      place.hidden = now.state === "idle" || (run !== undefined && now.run !== run && String(now.study) !== run);
      update = draw(place, now, run !== undefined);
    }
    update(now);
    change(now, isNew);
  });
}
/** @param {HTMLElement} place @param {any} now @param {boolean} isStudy @returns {(now: any) => void} */
function draw(place, now, isStudy) {
  place.setAttribute("data-state", now.state);
  const what = now.is_plan ? "Plan" : "Comparison";
  const arms = now.activations.length ? `: ${now.activations.join(", ")}` : "";
  const head = el("h2", {}, `${what} on ${now.task}${arms}`);
  const run = now.run || now.study;
  const link = run && !isStudy ? el("p", {}, el("a", {href: `/compare?study=${run}`, "data-test": "to-study"}, `Run ${run}`)) : null;
  if (now.state === "running" || now.state === "stopping") return drawRunning(place, head, link);
  const ended = {stopped: "Stopped", finished: now.is_plan ? "Planned" : "Finished", failed: "Failed"}[/** @type {string} */ (now.state)];
  const said = el("p", {class: now.state === "failed" ? "error" : "said", role: "status", "data-test": "said"}, now.sentence || ended || "");
  if (now.plan) {
    const rows = now.plan.rows.flatMap((/** @type {any} */ row) => [el("dt", {}, row.label), el("dd", {}, row.text)]);
    said.textContent = now.plan.verdict;
    const notes = now.plan.notes.map((/** @type {string} */ note) => el("p", {class: "quiet fine"}, note));
    const start = starter("start-planned", "Start this comparison", {planned: true});
    fill(place, head, said, el("dl", {class: "facts", "data-test": "planned"}, rows), notes, start);
  } else {
    const isOpen = now.state !== "finished" && !now.is_plan && now.study;
    const code = el("code", {"data-test": "command"}, now.command);
    const terminal = () => [el("p", {class: "fine"}, "Or in a terminal:"), el("div", {class: "controls"}, code, copyButton(() => now.command))];
    fill(place, head, said, link, isOpen ? [continuation(now.study, "Continue"), ...terminal()] : []);
  }
  return () => {};
}
/** @param {HTMLElement} place @param {any} head @param {any} link */
function drawRunning(place, head, link) {
  const bar = el("progress", {"aria-label": "Training runs done", "data-test": "bar"});
  const said = el("p", {"data-test": "said"});
  const doing = el("p", {class: "quiet fine", "data-test": "doing"});
  const error = el("p", {class: "error", role: "alert", hidden: true});
  const interrupt = () => postJson("/api/compare/stop").catch((problem) => complain(error, problem));
  const stop = el("button", {type: "button", "data-test": "stop", onclick: interrupt}, "Stop");
  fill(place, head, bar, said, doing, el("div", {class: "controls"}, stop), error, link);
  return (/** @type {any} */ now) => {
    const left = now.seconds_left === null ? "" : `, about ${duration(now.seconds_left)} left`;
    const runs = now.is_plan ? `A small pilot: ${Math.floor(now.far)}` : String(now.done);
    const far = now.planned ? `${runs} of ${counted(now.planned, "training run")}${left}` : now.is_plan ? "Training a small pilot" : "Preparing the task";
    said.textContent = now.state === "stopping" ? "Stopping …" : now.sentence || `${far} (${duration(now.seconds)} so far).`;
    doing.textContent = now.planned && !now.is_plan && now.label ? `${now.label[0].toUpperCase()}${now.label.slice(1)}.` : "";
    stop.disabled = now.state === "stopping";
    if (now.planned) { bar.max = now.planned; bar.value = now.far; }
  };
}
