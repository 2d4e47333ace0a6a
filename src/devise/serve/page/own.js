// Your own labels: a list stored by the service, and whether only these are candidates.

import { call, json, make, show } from "./calls.js";

const at = (id) => document.getElementById(id);
let name = async () => null, standing = () => "";

/** again: names the photo again and returns the answer. place: the rank of a label in an answer, as a clause. */
export function startOwn(again, place) {
  name = again;
  standing = place;
  at("own-form").addEventListener("submit", (event) => { event.preventDefault(); add(); });
  at("own-only").addEventListener("change", name);
  list().catch((error) => show(at("own-error"), error.message));
}

/** The typed labels: one name with its definition, or several names separated by commas. */
function typed() {
  const definition = at("own-definition").value.trim();
  const names = definition ? [at("own-name").value] : at("own-name").value.split(/[,;]/);
  return names.map((one) => ({ name: one.trim(), definition })).filter((one) => one.name);
}

async function add() {
  show(at("own-error"));
  const kept = [];
  try {
    for (const label of typed()) {
      const body = JSON.stringify(label);
      kept.push(await json("/v1/labels", { method: "PUT", body, headers: { "content-type": "application/json" } }));
    }
    at("own-form").reset();
  } catch (error) {
    show(at("own-error"), error.message);
  }
  at("own-name").focus();
  if (!kept.length) return;
  await list();
  const answer = await name();
  at("status").textContent = kept.map((one) => (one.id.startsWith("user:")
    ? `“${one.name}” is a candidate now${standing(answer, one.id)}. ${one.notes.join(" ")}`
    : `“${one.name}” is already a label of the model (${one.definition}). ${one.notes.join(" ")}`).trim()).join(" ");
}

async function list() {
  const { own } = await json("/v1/labels");
  at("own-list").replaceChildren(...own.map((one) => make("li", {},
    make("span", {}, make("b", {}, one.name), one.definition ? make("span", { class: "soft" }, ` ${one.definition}`) : ""),
    make("button", { type: "button", "aria-label": `Delete ${one.name}`, onclick: () => forget(one.name) }, "×"))));
  at("own-only").disabled = !own.length;
  if (!own.length) at("own-only").checked = false;
}

async function forget(label) {
  try {
    await call(`/v1/labels?${new URLSearchParams({ name: label })}`, { method: "DELETE" });
    await list();
    at("own-name").focus();
    await name();
  } catch (error) {
    show(at("own-error"), error.message);
  }
}
