// The search over the catalog.
import {byId} from "./page.js";

const entries = [...document.querySelectorAll(".entries li")].map((item) => (
  {item: /** @type {HTMLElement} */ (item), words: item.getAttribute("data-words") || ""}
));

function search() {
  const wanted = byId("search").value.toLowerCase().split(/\s+/).filter(Boolean);
  let count = 0;
  for (const {item, words} of entries) {
    item.hidden = !wanted.every((/** @type {string} */ word) => words.includes(word));
    count += item.hidden ? 0 : 1;
  }
  byId("count").textContent = wanted.length ? `${count} of ${entries.length}` : "";
}

byId("search").addEventListener("input", search);
byId("search").addEventListener("keydown", (/** @type {KeyboardEvent} */ event) => {
  if (event.key !== "Enter") return;
  const first = entries.find(({item}) => !item.hidden);
  const link = first?.item.querySelector("a");
  location.href = link ? link.href : "/function?f=" + encodeURIComponent(byId("search").value);
});
search();
