// The page that finds photos of the index by words.

import { call, count, json, make, show } from "./calls.js";

const at = (id) => document.getElementById(id);
let pictures = [];

export function startSearch() {
  at("search-form").addEventListener("submit", (event) => { event.preventDefault(); search(); });
}

async function search() {
  const query = at("query").value.trim();
  show(at("search-error"));
  at("search-status").textContent = "Searching …";
  try {
    const found = await json(`/v1/search?${new URLSearchParams({ q: query, top: 48 })}`);
    pictures.forEach((url) => URL.revokeObjectURL(url));
    pictures = [];
    const told = !found.gloss || found.notes.some((note) => note.includes(found.gloss));
    const shown = found.hits.length < found.photos ? `The best ${found.hits.length} of ${count(found.photos)}` : count(found.photos);
    at("search-status").textContent =
      `${shown} photo${found.photos === 1 ? "" : "s"} for “${found.label}”${told ? "" : ` (${found.gloss})`}, best first.`;
    at("search-notes").replaceChildren(...found.notes.map((note) => make("li", {}, note)));
    at("hits").replaceChildren(...found.hits.map(hit));
  } catch (error) {
    at("search-status").textContent = "";
    at("search-notes").replaceChildren();
    at("hits").replaceChildren();
    show(at("search-error"), error.message);
  }
}

function hit(one) {
  const image = make("img", { alt: one.name, loading: "lazy", width: 160, height: 120 });
  call(one.thumbnail).then((answer) => answer.blob()).then((blob) => {
    image.src = URL.createObjectURL(blob);
    pictures.push(image.src);
  }).catch(() => { image.alt = `${one.name}: cannot be shown`; });
  return make("li", {}, make("figure", {}, image,
    make("figcaption", {}, make("span", {}, one.name), make("span", { class: "score" }, score(one.score)))));
}

/** Probabilities among all labels are small: four places, and never 0 for what is not. */
function score(value) {
  return Math.abs(value) >= 0.0001 || value === 0 ? value.toFixed(4) : "< 0.0001";
}
