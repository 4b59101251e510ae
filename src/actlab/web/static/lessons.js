// The lessons: answers that are explained when chosen, progress kept in this browser, figures.
import {byId} from "./page.js";
import {mountAll} from "./figures.js";

const KEY = "actlab-lessons";

/** The chosen answer of each choice, by lesson. @returns {Record<string, Record<string, string>>} */
function progress() {
  try {
    return JSON.parse(localStorage.getItem(KEY) || "{}");
  } catch {
    return {};
  }
}
/** @param {string} lesson @param {string} choice @param {string} answer */
function remember(lesson, choice, answer) {
  const all = progress();
  all[lesson] = {...all[lesson], [choice]: answer};
  try {
    localStorage.setItem(KEY, JSON.stringify(all));
  } catch { /* a browser that stores nothing: the lesson works all the same */ }
}
function showProgress() {
  const all = progress();
  for (const lesson of document.querySelectorAll("[data-lesson]")) {
    const place = lesson.querySelector("[data-progress]");
    const answers = all[lesson.getAttribute("data-lesson") || ""] || {};
    const right = (lesson.getAttribute("data-right") || "").split(" ");
    const answered = right.filter((_, at) => answers[at + 1] !== undefined).length;
    const good = right.filter((best, at) => answers[at + 1] === best).length;
    const far = answered < right.length ? `${answered} of ${right.length} answered` : `done, ${good} of ${right.length} right`;
    if (place) place.textContent = answered ? `– ${far}` : "";
  }
}
/** Show the explanation of the chosen answer. @param {Element} choice @param {string} answer */
function explain(choice, answer) {
  choice.querySelectorAll(".why").forEach((why, at) => { /** @type {HTMLElement} */ (why).hidden = String(at) !== answer; });
}

for (const choice of document.querySelectorAll("[data-choice]")) {
  const lesson = choice.closest("[data-lesson]")?.getAttribute("data-lesson") || "";
  const number = choice.getAttribute("data-choice") || "";
  const chosen = progress()[lesson]?.[number];
  for (const radio of choice.querySelectorAll("input")) {
    radio.checked = radio.value === chosen;
    radio.addEventListener("change", () => {
      remember(lesson, number, radio.value);
      explain(choice, radio.value);
      showProgress();
    });
  }
  if (chosen !== undefined) explain(choice, chosen);
}

byId("forget")?.addEventListener("click", () => {
  localStorage.removeItem(KEY);
  showProgress();
});
addEventListener("storage", showProgress);
addEventListener("pageshow", showProgress);
showProgress();
mountAll();
