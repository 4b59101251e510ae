// One comparison: its pictures, its buttons, and what runs of it.
import {continuation, watchNow} from "./compare_now.js";
import {drawCost, drawDifferences, drawLearning} from "./compare_pictures.js";
import {byId, copyButton, fill, getJson} from "./page.js";

const study = byId("study"), run = study?.dataset.run;

for (const place of document.querySelectorAll("[data-continue]")) {
  const {continue: text, seeds} = /** @type {any} */ (place).dataset;
  fill(place, continuation(Number(run), text, seeds ? Number(seeds) : null));
}
for (const code of document.querySelectorAll("[data-copy]")) code.after(copyButton(() => code.textContent || ""));

if (byId("pictures")) {
  const {facts} = await getJson("/api/compare/" + encodeURIComponent(run));
  byId("pictures").append(drawDifferences(facts), drawCost(facts));
  byId("learning").append(drawLearning(facts));
}

let state = "";
if (study) watchNow(byId("now"), (now) => {
  if (now.study !== Number(run)) return;
  const isRunning = now.state === "running" || now.state === "stopping";
  if (byId("unfinished")) byId("unfinished").hidden = isRunning || now.state === "stopped";
  for (const button of document.querySelectorAll("[data-continue] button")) /** @type {any} */ (button).disabled = isRunning;
  if (state === "running" && now.state === "finished") location.reload();
  state = now.state;
}, Number(run));
