// Accept or reject the name of a photo, or type another: kept by the service in the photo's sidecar.

import { choice, isolated, json, make, named, show } from "./calls.js";
import { offered } from "./options.js";

const at = (id) => document.getElementById(id);
let typing = null, waiting = 0;

export function startCorrections() {
  at("name-close").addEventListener("click", () => at("name-dialog").close());
  at("name-input").addEventListener("input", suggest);
  at("name-form").addEventListener("submit", async (event) => {
    event.preventDefault();
    const { photo, redraw } = typing, name = at("name-input").value.trim();
    if (!name) return;
    try {
      await put(photo, { verdict: "accept", name, instead_of: photo.label_id || null }, redraw);
      at("name-dialog").close();
    } catch (error) {
      show(at("name-error"), error.message);
    }
  });
}

const said = (photo, id) => photo.corrections.find((one) => one.id === id)?.verdict;
const others = (photo) => photo.corrections.filter((one) => one.verdict === "accepted" && one.id !== photo.label_id);

/** The names of a photo: what a person accepted, else its label. */
export function names(photo) {
  const more = others(photo).map((one) => named("b", {}, one.name));
  if (!photo.label) return more.length ? more : [make("b", {}, "")];
  const verdict = said(photo, photo.label_id);
  if (verdict === "rejected") return [...more, named("s", { title: "rejected" }, photo.label)];
  return verdict !== "accepted" && more.length ? more : [...more, named("b", {}, photo.label)];
}

/** Buttons for a photo; none if the service keeps no corrections. redraw: shows the photo again. */
export function controls(photo, redraw) {
  if (!offered.corrections) return "";
  const verdict = said(photo, photo.label_id), of = `${photo.label}, ${photo.name}`;
  const button = (text, kind, key, pressed, label) => make("button", { type: "button", class: kind, "data-key": key,
    "aria-keyshortcuts": key, "aria-pressed": pressed, "aria-label": label, tabindex: -1,
    onclick: () => correct(photo, key, redraw) }, text);
  return make("div", { class: "correct", role: "group", "aria-label": `Correct ${photo.name}` },
    photo.label ? button("Accept", "accept", "a", String(verdict === "accepted"), `Accept ${of}`) : "",
    photo.label ? button("Reject", "reject", "r", String(verdict === "rejected"), `Reject ${of}`) : "",
    button("Other …", "other", "t", null, `Type another name for ${photo.name}`),
    ...others(photo).map((one) => make("button", { type: "button", "aria-pressed": "true", tabindex: -1,
      "aria-label": `Take back ${one.name}, ${photo.name}`, onclick: () => change(photo, "undo", one, redraw) }, "✓ ", named("span", {}, one.name))));
}

/** What a key does: a accepts, r rejects, each a second time takes it back; t asks for another name. */
export function correct(photo, key, redraw) {
  if (!offered.corrections) return;
  if (key === "t") {
    typing = { photo, redraw };
    at("name-input").value = "";
    show(at("name-error"));
    at("name-dialog").showModal();
    return;
  }
  const verdict = { a: "accept", r: "reject" }[key], done = { a: "accepted", r: "rejected" }[key];
  if (!photo.label) return;
  change(photo, said(photo, photo.label_id) === done ? "undo" : verdict, { id: photo.label_id, name: photo.label }, redraw);
}

async function change(photo, verdict, label, redraw) {
  const problem = at(at("photo-dialog").open ? "photo-error" : "correct-error");
  try {
    await put(photo, { verdict, name: label.id }, redraw);
  } catch (error) {
    show(problem, error.message.includes(photo.name) ? error.message : `${photo.name}: ${error.message}`);
  }
}

/** Changes of one photo are sent one after the other. */
function put(photo, asked, redraw) {
  const send = async () => {
    for (const id of ["photo-error", "correct-error"]) show(at(id));
    const body = JSON.stringify({ photo: photo.photo, index: choice.index || null, ...asked });
    const answer = await json("/v1/corrections", { method: "PUT", body, headers: { "content-type": "application/json" } });
    photo.corrections = answer.corrections;
    const what = asked.verdict === "undo" ? "Taken back" : asked.verdict === "accept" ? "Accepted" : "Rejected";
    const one = answer.corrections.find(({ id }) => id === asked.name) ?? (asked.verdict === "accept" && answer.corrections.findLast(({ verdict }) => verdict === "accepted"));
    at("correct-status").textContent = `${what}${one ? ` “${isolated(one.name)}”` : ""}: ${photo.name}. ${answer.notes.join(" ")}`.trim();
    redraw();
  };
  photo.last = (photo.last ?? Promise.resolve()).catch(() => {}).then(send);
  return photo.last;
}

function suggest() {
  clearTimeout(waiting);
  waiting = setTimeout(async () => {
    const text = at("name-input").value.trim();
    if (text.length < 2) return;
    const { found } = await json(`/v1/labels?${new URLSearchParams({ q: text, top: 8 })}`).catch(() => ({ found: [] }));
    at("name-list").replaceChildren(...[...new Set(found.map((one) => one.name))].map((one) => make("option", { value: one })));
  }, 150);
}
