// The page that names a photo: one answer first; a click compares the methods.

import { guess, legend, said, shownAnswer, SURE, sureness } from "./answer.js";
import { chosen, dropped, nameAll, startBatch } from "./batch.js";
import { count, json, make, percent, show } from "./calls.js";
import { offered } from "./options.js";
import { startOwn } from "./own.js";
import { startSamples } from "./photos.js";

const METHODS = [
  ["devise", "DeViSE", "The labels nearest to the picture, mapped into the label space"],
  ["conse", "ConSE", "The labels nearest to the average of the classifier's top classes"],
  ["softmax", "Softmax", "The classifier alone, which knows only its trained labels"],
  ["fused", "Fused", "All methods combined. This is the answer above"],
];
const MAIN = "fused";
const TOP = 7;
const at = (id) => document.getElementById(id);

export const photo = { file: null, url: "" };
let asked = null, branch = { id: "", name: "" };

export function startLabel() {
  for (const id of ["file", "folder"]) {
    at(id).addEventListener("change", (event) => { takeAll(chosen([...event.target.files])); event.target.value = ""; });
  }
  at("folder-button").hidden = !("webkitdirectory" in HTMLInputElement.prototype);
  const drop = at("drop");
  for (const name of ["dragenter", "dragover"]) {
    drop.addEventListener(name, (event) => { event.preventDefault(); drop.classList.add("over"); });
  }
  drop.addEventListener("dragleave", () => drop.classList.remove("over"));
  drop.addEventListener("drop", (event) => {
    event.preventDefault();
    drop.classList.remove("over");
    dropped(event.dataTransfer).then(takeAll);
  });
  document.addEventListener("paste", (event) => {
    const file = [...(event.clipboardData?.files ?? [])].find((one) => one.type.startsWith("image/"));
    if (file) { location.hash = "#label"; take(file); }
  });
  at("options").addEventListener("submit", (event) => { event.preventDefault(); name(); });
  at("options").addEventListener("reset", () => setTimeout(name));
  at("candidates").addEventListener("change", name);
  at("regions").addEventListener("change", name);
  at("under").addEventListener("input", suggest);
  at("compare").addEventListener("toggle", () => { if (at("compare").open && !at("columns").children.length) name(); });
  at("whole").addEventListener("click", () => only({ id: "", name: "" }));
  startBatch(() => question([MAIN]), (file) => { take(file); at("drop").scrollIntoView({ block: "nearest" }); });
  startSamples(take, (error) => show(at("error"), error.message));
  startOwn(name, standing);
  startCamera();
  document.addEventListener("language", () => name());
}

/** One photo is named at once, many in a list; skipped: number of files that are not pictures by their names. */
function takeAll({ files, skipped }) {
  show(at("error"), files.length || !skipped ? "" : "None of these files is a picture: the names must end like a picture's, such as .jpg.");
  if (files.length === 1 && !skipped) take(files[0].file);
  else if (files.length) { forgetPhoto(); nameAll(files, skipped); }
}

function forgetPhoto() {
  asked?.abort();
  URL.revokeObjectURL(photo.url);
  Object.assign(photo, { file: null, url: "" });
  at("hello").hidden = true;
  at("preview").hidden = true;
  at("prompt").hidden = false;
  at("drop").classList.remove("full");
  at("status").textContent = "";
  empty();
}

export function take(file) {
  if (!file) return;
  URL.revokeObjectURL(photo.url);
  photo.file = file;
  at("hello").hidden = true;
  photo.url = URL.createObjectURL(file);
  const preview = at("preview");
  preview.alt = `The photo ${file.name}`;
  preview.onload = () => { preview.hidden = false; at("prompt").hidden = true; at("drop").classList.add("full"); };
  preview.onerror = () => { preview.hidden = true; at("prompt").hidden = false; at("drop").classList.remove("full"); };
  preview.src = photo.url;
  name();
}

/** The query for every photo, from the form. */
function question(methods) {
  const query = new URLSearchParams({ top: TOP, explain: true, standings: true, sure: SURE, candidates: competing() });
  methods.forEach((method) => query.append("method", method));
  const under = at("under").value.trim();
  if (under) query.set("under", under === branch.name ? branch.id : under);
  return query;
}

function competing() {
  return at("own-only").checked ? "typed" : at("candidates").value;
}

/** anyway: show names even if none of the labels is likely. */
async function name(anyway = false) {
  if (!photo.file) return null;
  asked?.abort();
  const mine = asked = new AbortController();
  const results = at("results");
  results.setAttribute("aria-busy", "true");
  show(at("error"));
  at("status").textContent = "Naming the photo …";
  const query = question(at("compare").open ? METHODS.map(([method]) => method) : [MAIN]);
  if (anyway === true) query.set("reject", 0);
  if (at("regions").checked) query.set("regions", true);
  const body = new FormData();
  body.append("file", photo.file);
  try {
    const wait = () => { at("status").textContent = "The service is busy; trying again …"; };
    const answer = await json(`/v1/label?${query}`, { method: "POST", body, signal: mine.signal }, wait);
    showAnswer(answer);
    return answer;
  } catch (error) {
    if (error.name === "AbortError") return null;
    empty();
    at("status").textContent = "";
    show(at("error"), error.code === "picture" ? `${photo.file.name}: ${error.message}` : error.message);
    return null;
  } finally {
    if (asked === mine) results.setAttribute("aria-busy", "false");
  }
}

function main(answer) {
  return answer.answers.find((one) => one.method === MAIN);
}

function showAnswer(answer) {
  const best = said(main(answer)), under = at("under").value.trim();
  at("answer").hidden = false;
  at("compare").hidden = !offered.trained;  // then there is one method
  at("answer-body").replaceChildren(...shownAnswer(main(answer), "h2", only, () => name(true)), ranks(main(answer)), parts(main(answer).regions));
  show(at("whole"), under && `Only kinds of ${under}: show all again`);
  at("columns").replaceChildren(...(answer.answers.length > 1 ? answer.answers.map(column) : []));
  at("compare-legend").replaceChildren(answer.answers.length > 1 ? legend(answer.answers.flatMap((one) => one.guesses)) : "");
  const notes = answer.notes.filter((note) => !note.startsWith("the softmax can name only trained labels"));  // its column says so
  at("notes").replaceChildren(...notes.map((note) => make("li", {}, note)));
  at("status").textContent =
    `${best ? `${best.name}. ${sureness(best.score)}, ${percent(best.score)}. ` : main(answer).rejected ? "None of these. " : ""}Answered in ${Math.round(1000 * answer.seconds)} ms.`;
}

/** The list of regions; their boxes are drawn over the photo. regions: null without the option. */
function parts(regions) {
  drawBoxes(regions);
  if (!regions) return "";
  if (!regions.found.length) return make("p", { class: "soft small" }, "No part of the photo has a sure name.");
  return make("ul", { class: "ranks", "aria-label": "Things in the photo" }, ...regions.found.map((one) =>
    make("li", {}, make("span", {}, one.name), make("span", { class: "score" }, percent(one.share)))));
}

function drawBoxes(regions) {
  const svg = at("boxes"), size = regions ? Math.max(regions.width, regions.height) / 20 : 0;
  const shape = (tag, attributes, text = "") => {
    const element = document.createElementNS(svg.namespaceURI, tag);
    for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
    element.textContent = text;
    return element;
  };
  svg.setAttribute("viewBox", `0 0 ${regions?.width ?? 1} ${regions?.height ?? 1}`);
  svg.replaceChildren(...(regions?.found ?? []).flatMap(({ name, x, y, width, height }) => [
    shape("rect", { x, y, width, height }),
    shape("text", { x: x + width / 2, y: y + height / 2, "font-size": size, "text-anchor": "middle" }, name)]));
}

function empty() {
  drawBoxes(null);
  at("answer").hidden = at("compare").hidden = true;
  at("notes").replaceChildren();
  at("columns").replaceChildren();
}

function column(answer) {
  const [, title, about] = METHODS.find(([method]) => method === answer.method);
  const id = `column-${answer.method}`;
  return make("section", { class: "column", "aria-labelledby": id, "data-method": answer.method },
    make("h3", { id }, title, answer.candidates ? make("span", { class: "soft small" }, `of ${count(answer.candidates)}`) : ""),
    make("p", { class: "about soft small" }, about),
    answer.problem || answer.rejected ? make("p", { class: "soft small" }, answer.problem ?? "None of these.") : make("ol", {}, ...answer.guesses.map(guess)));
}

/** Ask again with only the labels below a level; its id is sent, because its name may have other senses. */
function only(level) {
  branch = level;
  at("under").value = level.name;
  name();
}

function ranks(answer) {
  return !answer.standings.length ? "" : make("ul", { class: "ranks", "aria-label": "Ranks of your labels" }, ...answer.standings.map((one) =>
    make("li", {}, make("span", {}, one.name, " ", make("span", { class: "mark mine" }, "yours")),
      make("span", { class: "score" }, `rank ${count(one.rank)} of ${count(answer.candidates)}`))));
}

/** The rank of your own label, as a clause; nothing if there is no photo. */
function standing(answer, id) {
  const best = answer && main(answer), rank = best?.standings.find((one) => one.id === id)?.rank;
  return rank ? `: rank ${count(rank)} of ${count(best.candidates)}` : "";
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
      show(at("error"), "No camera is available. Choose a photo instead.");
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
