// The page that finds indexed photos by words or by a photo: chips for senses and kinds, and a large view.

import { sentence, shownAnswer, SURE } from "./answer.js";
import { count, isolated, json, make, named, show } from "./calls.js";
import { controls, correct, names, startCorrections } from "./correct.js";
import { take } from "./label.js";
import { offered, ready } from "./options.js";
import { large, small } from "./photos.js";

const LIKE = ["very like", "quite like", "somewhat like", "hardly like"];
const RULE = "Very like: a probability of 50 % or more; quite like: 10 % or more; somewhat like: 1 % or more.";
const RULE_LIKE = "Very like: a cosine between the photos of 0.6 or more; quite like: 0.4 or more; somewhat like: 0.25 or more.";
const at = (id) => document.getElementById(id);
let order = [];  // of the senses as first shown: a click does not move them
let found = null, shown = [], opened = -1, opening = null, turn = 0;
const FILTERS = ["since", "until", "in", "rating"];  // parameters, and the ids of their fields
const PAGE = 60;  // photos of the index shown at once

export function startSearch() {
  startCorrections();
  at("search-form").addEventListener("submit", (event) => { event.preventDefault(); ask(); });
  for (const field of FILTERS) at(field).addEventListener("change", ask);
  at("filters-clear").addEventListener("click", () => {
    for (const field of FILTERS) at(field).value = "";
    ask();
  });
  at("more").addEventListener("click", () => browse(shown.length));
  document.addEventListener("index", ask);
  document.addEventListener("language", translate);
  at("cut").addEventListener("change", list);
  at("photo-close").addEventListener("click", () => at("photo-dialog").close());
  at("photo-like").addEventListener("click", () => {
    at("photo-dialog").close();
    at("query").value = "";
    search({ like: shown[opened].photo }, {}).then(() => at("hits").querySelector("button")?.focus());
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

/** The photos of the index, before anything was searched for. */
export function showSearch() {
  ready.then(() => { if (!turn && offered.indexes.length && !at("page-search").hidden) browse(); });
}

function ask() {
  const q = at("query").value.trim();
  return q || !offered.indexes.length ? search({ q }) : browse();
}

/** Ask again in another language; a word is replaced by its name there. */
async function translate() {
  if (!turn) return;
  if (found?.taken) {
    const { found: [label] } = await json(`/v1/labels?${new URLSearchParams({ q: found.taken.id, top: 1 })}`).catch(() => ({ found: [] }));
    if (label) {
      at("query").value = label.name.replace(/ \(en\)$/, "");
      search({ q: at("query").value, sense: label.id });
      return;
    }
  }
  ask();
}

function filters() {
  const asked = Object.fromEntries(FILTERS.map((name) => [name, at(name).value.trim()]).filter(([, value]) => value));
  at("filters-clear").hidden = !Object.keys(asked).length;
  return asked;
}

/** The photos of the index that pass the filters, in the order of their paths. first: how many are shown already. */
async function browse(first = 0) {
  const mine = turn += 1, only = filters();
  show(at("search-error"));
  if (!first) at("search-status").textContent = "Loading the photos …";
  try {
    const { photos, total, notes } = await json(`/v1/photos?${new URLSearchParams({ ...only, first, top: PAGE })}`);
    if (mine !== turn) return;
    found = null;
    shown = first ? [...shown, ...photos] : photos;
    at("found").hidden = false;
    at("cut-field").hidden = true;
    at("meaning").replaceChildren();
    at("search-notes").replaceChildren(...notes.map((note) => make("li", {}, note)));
    at("search-rule").textContent = "";
    const passing = Object.keys(only).length ? (total === 1 ? " passes the filters" : " pass the filters") : "";
    at("search-status").textContent = `${count(total)} photo${total === 1 ? "" : "s"}${passing}.`;
    const tiles = photos.map((photo, place) => tile(photo, first + place));
    if (first) at("hits").append(...tiles); else at("hits").replaceChildren(...tiles);
    at("more").hidden = shown.length >= total;
    if (first) tiles[0]?.querySelector(".tile").focus();
  } catch (error) {
    if (mine === turn) fail(error);
  }
}

function fail(error) {
  found = null;
  shown = [];
  at("found").hidden = true;
  at("hits").replaceChildren();
  at("search-notes").replaceChildren();
  show(at("search-error"), error.message);
}

async function search(wanted, only = filters()) {
  const mine = turn += 1;
  show(at("search-error"));
  at("search-status").textContent = "Searching …";
  try {
    const answer = await json(`/v1/search?${new URLSearchParams({ ...wanted, ...only, top: 100, reject: 0 })}`);
    if (mine !== turn) return;
    found = answer;
    at("found").hidden = false;
    at("cut-field").hidden = false;
    at("more").hidden = true;
    const chosen = at("meaning").contains(document.activeElement);
    at("meaning").replaceChildren(...meaning());
    if (chosen) (at("meaning").querySelector("[aria-pressed=true]") ?? at("query")).focus();
    const notes = found.notes.filter((note) => !found.taken || !note.startsWith(`${found.query}:`)); // the chips say so
    at("search-notes").replaceChildren(...notes.map((note) => make("li", {}, note)));
    at("search-rule").textContent = found.query ? RULE : RULE_LIKE;
    list();
  } catch (error) {
    if (mine === turn) fail(error);
  }
}

/** The query, its other senses, and the kinds of it that were found. */
function meaning() {
  const { query, taken, others, kinds, gloss } = found;
  const parts = gloss ? [make("p", {}, named("b", {}, query), ` ${sentence(gloss)}`)] : [];
  const senses = taken ? [taken, ...others] : [];
  if (senses.length !== order.length || senses.some(({ id }) => !order.includes(id))) order = senses.map(({ id }) => id);
  senses.sort((one, other) => order.indexOf(one.id) - order.indexOf(other.id));
  if (others.length) parts.push(chips("Meaning", senses.map((sense) => chip(sense, short(sense, query), sense === taken, query))));
  if (kinds.length) parts.push(chips("Kinds found", kinds.map((kind) => chip(kind, kind.name, false, kind.name, ` ${count(kind.photos)}`))));
  return parts;
}

function chips(title, list) {
  return make("div", { class: "chips", role: "group", "aria-label": title }, make("span", { class: "soft small" }, title), ...list);
}

function chip(sense, text, chosen, query, more = "") {
  return make("button", { type: "button", class: "chip", title: sentence(sense.gloss), "aria-pressed": String(chosen),
    onclick: () => { at("query").value = query; search({ q: query, sense: sense.id }); } }, named("span", {}, text), more);
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
  const what = found.query ? `“${isolated(found.query)}”` : found.label;
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

/** A photo with its name; the first one is a stop of the Tab key, and the arrow keys lead to the others. */
function tile(hit, place) {
  const item = make("li", {}, make("button", { type: "button", class: "tile", tabindex: place ? -1 : 0, onclick: () => open(place) },
    make("figure", {}, small(hit), make("figcaption", {}, ...caption(hit)))), controls(hit, () => hit.redraw()));
  hit.redraw = () => {
    const mine = item.contains(document.activeElement), key = mine && document.activeElement.dataset.key;
    item.querySelector("figcaption").replaceChildren(...caption(hit));
    item.querySelector(".correct")?.replaceWith(controls(hit, hit.redraw));
    if (mine) (item.querySelector(key ? `[data-key=${key}]` : ".tile") ?? item.querySelector(".tile")).focus();
    if (at("photo-dialog").open && shown[opened] === hit) openControls(hit);
  };
  return item;
}

function openControls(hit) {
  const key = document.activeElement?.closest("#photo-correct") && document.activeElement.dataset.key;
  at("photo-correct").replaceChildren(controls(hit, hit.redraw));
  at("photo-correct").querySelectorAll("button").forEach((one) => { one.tabIndex = 0; });
  if (key) at("photo-correct").querySelector(`[data-key=${key}]`)?.focus();
}

function caption(hit) {
  return [...names(hit), hit.likeness ? make("span", { class: "likeness soft" }, hit.likeness) : "",
    make("span", { class: "file soft" }, hit.name)].filter(Boolean);
}

/** What a key does with a photo: that of an item of the list, or the open one. Whether it did. */
export function key(name, item) {
  const photo = item ? shown[[...at("hits").children].indexOf(item)] : at("photo-dialog").open && shown[opened];
  if (!photo || !offered.corrections) return false;
  correct(photo, name, photo.redraw);
  return true;
}

async function open(place) {
  const hit = shown[place], dialog = at("photo-dialog");
  opened = place;
  opening?.abort();
  const mine = opening = new AbortController();
  at("photo-title").textContent = hit.path;
  at("photo-answer").replaceChildren();
  openControls(hit);
  show(at("photo-error"));
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
