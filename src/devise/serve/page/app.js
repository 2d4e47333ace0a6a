// The three pages in one: the address chooses the page.

import { count, json } from "./calls.js";
import { startKeys } from "./keys.js";
import { startLabel } from "./label.js";
import { showMap, startMap } from "./map.js";
import { startOptions } from "./options.js";
import { showSearch, startSearch } from "./search.js";

const PAGES = ["label", "search", "space"];

function turn(focus) {
  const wanted = PAGES.find((page) => location.hash === `#${page}`) ?? "label";
  for (const page of PAGES) document.getElementById(`page-${page}`).hidden = page !== wanted;
  for (const link of document.querySelectorAll("nav a")) {
    if (link.hash === `#${wanted}`) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  if (focus) document.getElementById("main").focus({ preventScroll: true });
  if (wanted === "space") showMap();
  if (wanted === "search") showSearch();
}

startLabel();
startSearch();
startMap();
startKeys();
startOptions();
addEventListener("hashchange", () => { if (location.hash !== "#main") turn(true); });
turn(false);
json("/healthz").then((health) => {
  document.getElementById("facts").textContent = `${count(health.labels)} labels, ${health.model}`;
}).catch(() => {});
