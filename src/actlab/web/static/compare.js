// The comparisons of the store, and the form that plans or starts one.
import {watchNow} from "./compare_now.js";
import {byId, complain, counted, el, fill, getJson, postJson, whenStill} from "./page.js";

/** @type {string[]} */
const arms = [];

/** @param {any} run */
function row(run) {
  const title = String(run.number).startsWith("S") ? `${counted(run.studies.length, "task")}: ${run.name}` : run.name;
  const begun = new Date(run.created).toLocaleString(undefined, {dateStyle: "medium", timeStyle: "short"});
  const planned = run.planned === null ? "" : ` of ${Math.max(run.planned, run.done)}`;
  const isOpen = run.state === "unfinished" && run.planned;
  return el("li", {"data-test": "run"},
    el("div", {class: "controls"}, el("a", {href: `/compare?study=${run.number}`}, `${title} (run ${run.number})`),
      el("span", {class: `badge ${run.state === "decided" ? "equivalent" : "undecided"}`}, run.state)),
    el("p", {class: "quiet fine"}, `Begun ${begun}; ${planned ? run.done + planned + " training runs" : counted(run.done, "training run")}.`),
    isOpen ? el("progress", {max: Math.max(run.planned, run.done), value: run.done, "aria-label": `Training runs of run ${run.number}`}) : null,
    run.verdict ? el("p", {}, run.verdict) : null);
}
async function refresh() {
  try {
    const {runs, error, store} = await getJson("/api/compare");
    complain(byId("unread"), error);
    const empty = `There is nothing in ${store} yet. Start a comparison with the form; what actlab compare and actlab advise store is listed too.`;
    byId("about").textContent = runs.length ? `${runs.length} in ${store}, the newest first.` : error ? "" : empty;
    fill(byId("runs"), ...runs.map(row));
  } catch (problem) { complain(byId("unread"), problem); }
}
function showArms() {
  byId("none").hidden = arms.length > 0;
  fill(byId("arms"), ...arms.map((arm, at) => el("li", {class: "chip"}, el("code", {}, arm),
    el("button", {type: "button", "aria-label": `Remove ${arm}`, onclick: () => { arms.splice(at, 1); showArms(); byId("arm").focus(); }}, "×"))));
}
/** Say what is wrong with a formula; the answer is whether nothing is. @param {string} name */
async function check(name) {
  const box = byId(name), text = box.value.trim();
  /** @type {any} */
  let error = "";
  if (text) error = await getJson("/api/compare/check?f=" + encodeURIComponent(text)).then((answer) => answer.error, (problem) => problem);
  if (box.value.trim() !== text) return false;
  complain(byId(`${name}-error`), error);
  box.setAttribute("aria-invalid", error ? "true" : "false");
  return !error;
}
async function add() {
  const text = byId("arm").value.trim();
  if (!text) return true;
  if (!(await check("arm"))) { byId("arm").focus(); return false; }
  if (!arms.includes(text)) arms.push(text);
  byId("arm").value = "";
  showArms();
  return true;
}
/** The boxes of further tasks. @returns {HTMLInputElement[]} */
const boxes = () => [...byId("more").querySelectorAll("input")];
const further = () => boxes().filter((box) => box.checked && !box.disabled).map((box) => box.value);

/** Fill in the form as it was sent. @param {any} form */
function restore(form) {
  byId("task").value = form.task;
  for (const box of boxes()) box.checked = form.more.includes(box.value);
  byId("several").open = form.more.length > 0;
  arms.splice(0, arms.length, ...form.activations);
  byId("against").value = form.against;
  for (const name of ["seeds", "budget", "epochs", "jobs"]) byId(name).value = form[name] ?? "";
  about();
  showArms();
}
/** @param {SubmitEvent} event */
async function submit(event) {
  event.preventDefault();
  const plan = /** @type {any} */ (event.submitter)?.value !== "start";
  complain(byId("form-error"));
  if (!(await add()) || !(await check("against"))) return;
  const number = (/** @type {string} */ name) => byId(name).validity.badInput ? "not a number" : byId(name).value;
  try {
    const numbers = Object.fromEntries(["seeds", "budget", "epochs", "jobs"].map((name) => [name, number(name)]));
    await postJson("/api/compare", {plan, task: byId("task").value, more: further(), activations: arms, against: byId("against").value, ...numbers});
    byId("now").scrollIntoView({block: "nearest"});
  } catch (problem) { complain(byId("form-error"), problem); }
}
/** @param {any} now */
function busy(now) {
  const isBusy = now.state === "running" || now.state === "stopping";
  byId("plan").disabled = byId("start").disabled = isBusy;
}

for (const name of ["arm", "against"]) byId(name).addEventListener("input", whenStill(() => check(name), 200));
byId("arm").addEventListener("keydown", (/** @type {KeyboardEvent} */ event) => {
  if (event.key !== "Enter" || !byId("arm").value.trim()) return;
  event.preventDefault();
  add();
});
byId("add").addEventListener("click", add);
byId("form").addEventListener("submit", submit);
function about() {
  byId("task-about").textContent = byId("task").selectedOptions[0]?.dataset.about || "";
  for (const box of boxes()) box.disabled = box.value === byId("task").value;
}
byId("task").addEventListener("change", about);
about();
showArms();
let isTouched = false;
byId("form").addEventListener("input", () => { isTouched = true; });
watchNow(byId("now"), (now, isNew) => {
  busy(now);
  if (now.form && !isTouched && !arms.length) restore(now.form);
  isTouched = true;
  if (isNew) refresh();
});
refresh();
