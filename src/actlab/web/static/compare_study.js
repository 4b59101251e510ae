// One comparison: its pictures, its buttons, and what runs of it.
import {continuation, watchNow} from "./compare_now.js";
import {drawCost, drawDifferences, drawLearning, looksOf} from "./compare_pictures.js";
import {byId, copyButton, el, fill, getJson} from "./page.js";

const study = byId("study"), run = study?.dataset.run, number = Number(study?.dataset.study);

for (const place of document.querySelectorAll("[data-continue]")) {
  const {continue: text, seeds} = /** @type {any} */ (place).dataset;
  fill(place, continuation(number, text, seeds ? Number(seeds) : null));
}
for (const code of document.querySelectorAll("[data-copy]")) code.after(copyButton(() => code.textContent || ""));

if (byId("pictures")) {
  const {facts} = await getJson("/api/compare/" + encodeURIComponent(run));
  byId("pictures").append(drawDifferences(facts), drawCost(facts));
  const looks = looksOf(facts);
  for (const head of document.querySelectorAll('[data-test="arms"] th[scope=row]')) {
    const swatch = el("span", {class: "swatch", "aria-hidden": "true"});
    swatch.style.color = `var(--${looks.get(head.getAttribute("title") || "")?.color})`;
    /** @type {HTMLElement} */ (head).style.whiteSpace = "nowrap";
    head.prepend(swatch, "\u00a0");
  }
  byId("learning").append(drawLearning(facts));
}

let state = "";
if (study) watchNow(byId("now"), (now) => {
  if (now.run !== run && now.study !== number) return;
  const isRunning = now.state === "running" || now.state === "stopping";
  if (byId("unfinished")) byId("unfinished").hidden = isRunning || now.state === "stopped";
  for (const button of document.querySelectorAll("[data-continue] button")) /** @type {any} */ (button).disabled = isRunning;
  if (state === "running" && now.state === "finished") location.reload();
  state = now.state;
}, run);
