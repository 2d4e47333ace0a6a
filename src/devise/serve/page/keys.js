// Keys of the search page: through the grid of photos, to the search box, and what a photo is said to show.

import { key } from "./search.js";

const at = (id) => document.getElementById(id);
const STEPS = { ArrowLeft: -1, ArrowRight: 1, Home: -Infinity, End: Infinity };

export function startKeys() {
  at("keys-open").addEventListener("click", () => at("keys-dialog").showModal());
  at("keys-close").addEventListener("click", () => at("keys-dialog").close());
  at("hits").addEventListener("focusin", (event) => current(event.target.closest("li")));
  document.addEventListener("keydown", (event) => {
    if (at("page-search").hidden || event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return;
    if (event.target.closest?.("input, select, textarea, [contenteditable]")) return;
    if (pressed(event)) event.preventDefault();
  });
}

/** Only the photo in focus, and its buttons, are stops of the Tab key. */
function current(item) {
  for (const one of at("hits").querySelectorAll("[tabindex='0']")) one.tabIndex = -1;
  item?.querySelectorAll("button").forEach((one) => { one.tabIndex = 0; });
}

/** Whether the key meant something. */
function pressed({ key: name, target }) {
  const dialog = document.querySelector("dialog[open]");
  if (dialog && dialog !== at("photo-dialog")) return false;
  if (name === "?") { at("keys-dialog").showModal(); return true; }
  const item = dialog ? null : target.closest?.("#hits li");
  if (["a", "r", "t"].includes(name)) return key(name, dialog ? null : item);
  if (dialog) return false;
  if (name === "/") { at("query").focus(); at("query").select(); return true; }
  return move(name, item, target);
}

function move(name, item, target) {
  const items = [...at("hits").querySelectorAll("li:not(.all)")];
  if (!items.length || !(name in STEPS || name === "ArrowUp" || name === "ArrowDown")) return false;
  if (!item) {
    if (![document.body, at("main")].includes(target) || !name.startsWith("Arrow")) return false;
    items[0].querySelector(".tile").focus();
    return true;
  }
  const row = items.filter((one) => one.offsetTop === items[0].offsetTop).length, last = items.length - 1;
  const here = items.indexOf(item), rowOf = (place) => Math.floor(place / row);
  let next = Math.min(last, Math.max(0, here + (STEPS[name] ?? 0)));
  if (name === "ArrowUp" && here >= row) next = here - row;
  if (name === "ArrowDown" && rowOf(here) < rowOf(last)) next = Math.min(last, here + row);
  items[next].querySelector(".tile").focus();
  return true;
}
