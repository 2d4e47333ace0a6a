// The page that finds indexed photos by words or by a photo: chips for senses and kinds, and a large view.

import { sentence, shownAnswer, SURE } from "./answer.js";
import { count, json, make, show } from "./calls.js";
import { take } from "./label.js";
import { large, small } from "./photos.js";

const LIKE = ["very like", "quite like", "somewhat like", "hardly like"];
const RULE = "Very like: a probability of 50 % or more; quite like: 10 % or more; somewhat like: 1 % or more.";
const RULE_LIKE = "Very like: a cosine between the photos of 0.6 or more; quite like: 0.4 or more; somewhat like: 0.25 or more.";
const at = (id) => document.getElementById(id);
let order = [];  // of the senses as first shown: a click does not move them
let found = null, shown = [], opened = -1, opening = null;

export function startSearch() {
  at("search-form").addEventListener("submit", (event) => { event.preventDefault(); search({ q: at("query").value.trim() }); });
  at("cut").addEventListener("change", list);
  at("photo-close").addEventListener("click", () => at("photo-dialog").close());
  at("photo-like").addEventListener("click", () => {
    at("photo-dialog").close();
    at("query").value = "";
    search({ like: shown[opened].photo }).then(() => at("hits").querySelector("button")?.focus());
  });
  at("photo-name").addEventListener("click", async () => {
    const file = await large(shown[opened]).catch(() => null);
    at("photo-dialog").close();
    if (file) { location.hash = "#label"; take(file); }
  });
  at("photo-dialog").addEventListener("close", () => { opening?.abort(); at("hits").children[opened]?.querySelector("button").focus(); });
  at("photo-dialog").addEventListener("keydown", (event) => {
    const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (step && shown[opened + step]) open(opened + step);
  });
}

async function search(wanted) {
  show(at("search-error"));
  at("search-status").textContent = "Searching …";
  try {
    found = await json(`/v1/search?${new URLSearchParams({ ...wanted, top: 100, reject: 0 })}`);
    at("found").hidden = false;
    const chosen = at("meaning").contains(document.activeElement);
    at("meaning").replaceChildren(...meaning());
    if (chosen) (at("meaning").querySelector("[aria-pressed=true]") ?? at("query")).focus();
    const told = found.notes.filter((note) => !found.taken || !note.startsWith(`${found.query}:`)); // the chips say so
    at("search-notes").replaceChildren(...told.map((note) => make("li", {}, note)));
    at("search-rule").textContent = found.query ? RULE : RULE_LIKE;
    list();
  } catch (error) {
    found = null;
    at("found").hidden = true;
    at("hits").replaceChildren();
    at("search-notes").replaceChildren();
    show(at("search-error"), error.message);
  }
}

/** The query, its other senses, and the kinds of it that were found. */
function meaning() {
  const { query, taken, others, kinds, gloss } = found;
  const parts = gloss ? [make("p", {}, make("b", {}, query), ` ${sentence(gloss)}`)] : [];
  const senses = taken ? [taken, ...others] : [];
  if (senses.length !== order.length || senses.some(({ id }) => !order.includes(id))) order = senses.map(({ id }) => id);
  senses.sort((one, other) => order.indexOf(one.id) - order.indexOf(other.id));
  if (others.length) parts.push(chips("Meaning", senses.map((sense) => chip(sense, short(sense, query), sense === taken, query))));
  if (kinds.length) parts.push(chips("Kinds found", kinds.map((kind) => chip(kind, `${kind.name} ${count(kind.photos)}`, false, kind.name))));
  return parts;
}

function chips(title, list) {
  return make("div", { class: "chips", role: "group", "aria-label": title }, make("span", { class: "soft small" }, title), ...list);
}

function chip(sense, text, chosen, query) {
  return make("button", { type: "button", class: "chip", title: sentence(sense.gloss), "aria-pressed": String(chosen),
    onclick: () => { at("query").value = query; search({ q: query, sense: sense.id }); } }, text);
}

/** A sense in a word or two: its own name if it differs from the query, else what it is a kind of. */
function short(sense, query) {
  return sense.name.toLowerCase() === query.toLowerCase() ? sense.kind || sense.name : sense.name;
}

function list() {
  if (!found) return;
  const least = LIKE.indexOf(at("cut").value), every = found.hits.length;
  shown = found.hits.filter((hit) => LIKE.indexOf(hit.likeness) <= least);
  const of = `${count(found.photos)} photo${found.photos === 1 ? "" : "s"}`;
  const what = found.query ? `“${found.query}”` : found.label;
  const cut = `${["", "at least "][Math.min(least, 1)]}${at("cut").value} ${what}`;
  const more = shown.length === every && every < found.photos - (found.query ? 0 : 1) ? " or more" : "";
  at("search-status").textContent = !shown.length ? `None of ${of} is ${cut}.`
    : least === 3 ? `${more ? `The best ${count(every)} of ${of}` : of} for ${what}, best first.`
      : `${count(shown.length)}${more} of ${of} ${shown.length === 1 ? "is" : "are"} ${cut}.`;
  at("hits").replaceChildren(...shown.map(tile));
  if (!shown.length && every) {
    at("hits").append(make("li", { class: "all" }, make("button", { type: "button", class: "button",
      onclick: () => { at("cut").value = "hardly like"; list(); } }, "Show the nearest anyway")));
  }
}

function tile(hit, place) {
  return make("li", {}, make("button", { type: "button", class: "tile", onclick: () => open(place) }, make("figure", {}, small(hit),
    make("figcaption", {}, make("b", {}, hit.label), make("span", { class: "likeness soft" }, hit.likeness),
      make("span", { class: "file soft" }, hit.name)))));
}

async function open(place) {
  const hit = shown[place], dialog = at("photo-dialog");
  opened = place;
  opening?.abort();
  const mine = opening = new AbortController();
  at("photo-title").textContent = hit.path;
  at("photo-answer").replaceChildren();
  at("photo-status").textContent = "Opening the photo …";
  at("photo-large").hidden = true;
  at("photo-large").alt = `The photo ${hit.name}`;
  if (!dialog.open) dialog.showModal();
  try {
    const file = await large(hit, mine.signal);
    const image = at("photo-large");
    image.onload = () => URL.revokeObjectURL(image.src);
    image.src = URL.createObjectURL(file);
    image.hidden = false;
    const body = new FormData();
    body.append("file", file);
    const query = new URLSearchParams({ top: 5, explain: true, sure: SURE });
    const answer = await json(`/v1/label?${query}`, { method: "POST", body, signal: mine.signal });
    at("photo-answer").replaceChildren(...shownAnswer(answer.answers[0], "h3", null));
    at("photo-status").textContent = "";
  } catch (error) {
    if (error.name !== "AbortError") at("photo-status").textContent = error.message;
  }
}
