// The page that names a photo: four methods side by side, labels of one's own among them.

import { call, count, json, make, percent, show } from "./calls.js";

const METHODS = [
  ["devise", "DeViSE", "The picture mapped among the words; the nearest labels"],
  ["conse", "ConSE", "The classifier's best classes averaged; the nearest labels"],
  ["softmax", "Softmax", "The classifier alone: only labels it was trained on"],
  ["fused", "Fused", "Both joined, and the classifier where it is sure"],
];
const TOP = 7;
const SURE = 0.7;
const at = (id) => document.getElementById(id);

export const photo = { file: null, url: "" };
let asked = null;

export function startLabel() {
  emptyColumns();
  at("file").addEventListener("change", (event) => take(event.target.files[0]));
  const drop = at("drop");
  for (const name of ["dragenter", "dragover"]) {
    drop.addEventListener(name, (event) => { event.preventDefault(); drop.classList.add("over"); });
  }
  drop.addEventListener("dragleave", () => drop.classList.remove("over"));
  drop.addEventListener("drop", (event) => {
    event.preventDefault();
    drop.classList.remove("over");
    take(event.dataTransfer.files[0]);
  });
  document.addEventListener("paste", (event) => {
    const file = [...(event.clipboardData?.files ?? [])].find((one) => one.type.startsWith("image/"));
    if (file) { location.hash = "#label"; take(file); }
  });
  at("options").addEventListener("submit", (event) => { event.preventDefault(); name(); });
  at("options").addEventListener("reset", () => setTimeout(name));
  at("candidates").addEventListener("change", name);
  at("under").addEventListener("input", suggest);
  at("own-form").addEventListener("submit", (event) => { event.preventDefault(); add(); });
  startCamera();
  listOwn().catch((error) => show(at("own-error"), error.message));
}

function take(file) {
  if (!file) return;
  URL.revokeObjectURL(photo.url);
  photo.file = file;
  photo.url = URL.createObjectURL(file);
  at("file").value = "";
  const preview = at("preview");
  preview.alt = `The photo ${file.name}`;
  preview.onload = () => { preview.hidden = false; at("prompt").hidden = true; at("drop").classList.add("full"); };
  preview.onerror = () => { preview.hidden = true; at("prompt").hidden = false; at("drop").classList.remove("full"); };
  preview.src = photo.url;
  name();
}

async function name() {
  if (!photo.file) return null;
  asked?.abort();
  const mine = asked = new AbortController();
  const results = at("results");
  results.setAttribute("aria-busy", "true");
  show(at("error"));
  at("status").textContent = "Looking at the photo …";
  const query = new URLSearchParams({ top: TOP, explain: true, standings: true, sure: SURE, candidates: at("candidates").value });
  METHODS.forEach(([method]) => query.append("method", method));
  if (at("under").value.trim()) query.set("under", at("under").value.trim());
  const body = new FormData();
  body.append("file", photo.file);
  try {
    const wait = () => { at("status").textContent = "The service is busy; trying again …"; };
    const answer = await json(`/v1/label?${query}`, { method: "POST", body, signal: mine.signal }, wait);
    showAnswer(answer);
    return answer;
  } catch (error) {
    if (error.name === "AbortError") return null;
    emptyColumns();
    at("status").textContent = "";
    show(at("error"), error.code === "picture" ? `${photo.file.name}: ${error.message}` : error.message);
    return null;
  } finally {
    if (asked === mine) results.setAttribute("aria-busy", "false");
  }
}

function showAnswer(answer) {
  at("columns").replaceChildren(...answer.answers.map(column));
  const told = answer.notes.filter((note) => !note.startsWith("the softmax can name trained labels only"));  // its column says so
  at("notes").replaceChildren(...told.map((note) => make("li", {}, note)));
  const best = answer.answers.at(-1).guesses[0] ?? answer.answers.find((one) => one.guesses.length)?.guesses[0];
  at("status").textContent =
    `${best ? `${best.name}, ${percent(best.score)}. ` : ""}Answered in ${Math.round(1000 * answer.seconds)} ms.`;
}

function column(answer) {
  const [, title, about] = METHODS.find(([method]) => method === answer.method);
  const id = `column-${answer.method}`;
  return make("section", { class: "card column", "aria-labelledby": id, "data-method": answer.method },
    make("h2", { id }, title, answer.candidates ? make("span", { class: "soft small" }, `of ${count(answer.candidates)}`) : ""),
    make("p", { class: "about soft small" }, about),
    answer.sure?.name ? trail(answer.sure) : "",
    answer.problem ? make("p", { class: "soft small" }, answer.problem) : make("ol", {}, ...answer.guesses.map(guess)),
    answer.standings.length ? ranks(answer) : "");
}

function guess(one) {
  const bar = make("span", { class: "bar" });
  bar.style.width = `${Math.max(0.5, 100 * one.score)}%`;
  const mark = one.own ? make("span", { class: "mark mine" }, "yours") : one.seen ? "" : make("span", { class: "mark" }, "unseen");
  return make("li", {}, make("details", {},
    make("summary", {},
      make("span", { class: "line" }, make("span", { class: "name" }, one.name, " ", mark), make("span", { class: "score" }, percent(one.score))),
      make("span", { class: "track", "aria-hidden": "true" }, bar),
      one.gloss ? make("span", { class: "gloss" }, one.gloss) : ""),
    make("div", { class: "more" },
      one.path.length ? path(one.path) : "",
      make("p", {}, make("span", { class: "soft" }, "Leans on: "),
        one.leans_on.map((lean) => `${lean.name} ${Math.round(100 * lean.share)} %`).join(", ") || "no trained label"),
      make("p", { class: "soft" }, `${one.id}; vector from its ${one.source}`))));
}

function trail(sure) {  // from wide to narrow; a name asks again, with only what is below it
  const end = sure.way.findIndex((level) => level.id === sure.name.id);
  const levels = sure.way.filter((level, at) => level.common && (at <= end || level.bits > sure.name.bits));
  return make("nav", { class: "trail small", "aria-label": "From wide to narrow" }, ...levels.map((level) =>
    make("button", { type: "button", title: `${percent(level.share)}. Only what is below ${level.name}`,
      "aria-current": level.id === sure.name.id ? "true" : null, onclick: () => only(level.name) },
      level.name, " ", make("span", { class: "soft" }, percent(level.share)))));
}

function only(wider) {
  at("under").value = wider;
  name();
}

function path(names) {
  return make("p", { class: "path" }, names.slice(0, -1).join(" › "), " › ", make("b", {}, names.at(-1)));
}

function ranks(answer) {
  return make("ul", { class: "ranks", "aria-label": "Where your labels come" }, ...answer.standings.map((one) =>
    make("li", {}, make("span", {}, one.name, " ", make("span", { class: "mark mine" }, "yours")),
      make("span", { class: "score" }, `number ${count(one.rank)}`))));
}

function emptyColumns() {
  at("notes").replaceChildren();
  at("columns").replaceChildren(...METHODS.map(([method, title, about]) =>
    make("section", { class: "card column", "data-method": method }, make("h2", {}, title),
      make("p", { class: "about soft small" }, about), make("p", { class: "placeholder small" }, "waiting for a photo"))));
}

async function add() {
  const label = { name: at("own-name").value.trim(), definition: at("own-definition").value.trim() };
  show(at("own-error"));
  try {
    const body = JSON.stringify(label);
    const kept = await json("/v1/labels", { method: "PUT", body, headers: { "content-type": "application/json" } });
    at("own-form").reset();
    at("own-name").focus();
    await listOwn();
    const answer = await name();
    const rank = answer?.answers.at(-1).standings.find((one) => one.id === kept.id)?.rank;
    const place = rank ? `: number ${count(rank)} of ${count(answer.answers.at(-1).candidates)}` : "";
    at("status").textContent = kept.id.startsWith("user:")
      ? `“${kept.name}” competes now${place}. ${kept.notes.join(" ")}`
      : `“${kept.name}” is a label of the model already (${kept.definition}). ${kept.notes.join(" ")}`;
  } catch (error) {
    show(at("own-error"), error.message);
  }
}

async function listOwn() {
  const { own } = await json("/v1/labels");
  at("own-list").replaceChildren(...own.map((one) => make("li", { title: one.definition || null }, one.name,
    make("button", { type: "button", "aria-label": `Delete ${one.name}`, onclick: () => forget(one.name) }, "×"))));
}

async function forget(label) {
  try {
    await call(`/v1/labels?${new URLSearchParams({ name: label })}`, { method: "DELETE" });
    await listOwn();
    at("own-name").focus();
    await name();
  } catch (error) {
    show(at("own-error"), error.message);
  }
}

let typing = 0;

function suggest() {
  clearTimeout(typing);
  typing = setTimeout(async () => {
    const text = at("under").value.trim();
    if (text.length < 2) return;
    const { found } = await json(`/v1/labels?${new URLSearchParams({ q: text, top: 8 })}`).catch(() => ({ found: [] }));
    const names = [...new Set(found.map((one) => one.name))];
    at("branches").replaceChildren(...names.map((one) => make("option", { value: one })));
  }, 150);
}

function startCamera() {
  const dialog = at("camera-dialog"), video = at("video");
  if (!navigator.mediaDevices?.getUserMedia) { at("camera").hidden = true; return; }
  const stop = () => video.srcObject?.getTracks().forEach((track) => track.stop());
  at("camera").addEventListener("click", async () => {
    show(at("error"));
    try {
      video.srcObject = await navigator.mediaDevices.getUserMedia({ video: { facingMode: "environment" } });
      dialog.showModal();
    } catch {
      show(at("error"), "No camera can be used here. Choose a photo instead.");
    }
  });
  dialog.addEventListener("close", stop);
  at("camera-close").addEventListener("click", () => dialog.close());
  at("shoot").addEventListener("click", () => {
    const canvas = make("canvas", { width: video.videoWidth, height: video.videoHeight });
    canvas.getContext("2d").drawImage(video, 0, 0);
    canvas.toBlob((blob) => take(new File([blob], "camera.jpg", { type: "image/jpeg" })), "image/jpeg", 0.92);
    dialog.close();
  });
}
