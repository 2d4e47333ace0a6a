// Many photos at once: a list with progress, unreadable photos with reasons, and downloads.

import { said, sureness } from "./answer.js";
import { count, json, make, percent, show } from "./calls.js";
import { csv, jsonList, sidecars } from "./table.js";

const AT_ONCE = 3;  // requests; the service has its own queue, and says with 429 when to retry
const TRIES = 1000;  // requests to a busy service per photo
const PICTURE = /\.(apng|avif|bmp|dib|gif|hei[cf]|hif|j2k|jfif|jp2|jpe|jpe?g|p[bgnp]m|png|tiff?|webp)$/i;
const at = (id) => document.getElementById(id);
const counted = (photos) => `${count(photos)} photo${photos === 1 ? "" : "s"}`;
let photos = [], stopping = null, ask = () => new URLSearchParams(), open = () => {};

/** question: the query for each photo. look: shows one photo alone. */
export function startBatch(question, look) {
  ask = question;
  open = look;
  at("batch-go").addEventListener("click", () => (stopping ? stopping.abort() : run()));
  at("batch-again").addEventListener("click", () => { photos.forEach(reset); run(); });
  at("batch-csv").addEventListener("click", () => save("labels.csv", new Blob(["\ufeff", csv(done())], { type: "text/csv" })));
  at("batch-json").addEventListener("click", () => save("labels.json", new Blob([jsonList(done())], { type: "application/json" })));
  at("batch-zip").addEventListener("click", () => save("labels.zip", sidecars(done())));
}

/** Name all photos. files: each with its path. skipped: number of files that are not pictures by their names. */
export function nameAll(files, skipped) {
  stopping?.abort();
  photos.forEach((one) => URL.revokeObjectURL(one.url));
  photos = files.map(({ file, path }) => ({ file, path, url: URL.createObjectURL(file), answer: null, problem: "" }));
  at("batch-title").textContent = counted(photos.length);
  show(at("batch-skipped"), skipped && `${count(skipped)} other file${skipped === 1 ? " was" : "s were"} left out: not pictures by their names.`);
  at("batch-list").replaceChildren(...photos.map(row));
  at("batch").hidden = false;
  run();
}

/** Files of a drop or a folder, sorted by path, and the number of others. */
export async function dropped(transfer) {
  const entries = [...transfer.items].map((item) => item.webkitGetAsEntry?.()).filter(Boolean);  // before anything is awaited
  const loose = [...transfer.files];
  if (!entries.some((entry) => entry.isDirectory)) return chosen(loose);
  const found = [];
  for (const entry of entries) await walk(entry, found);
  return sorted(found);
}

export function chosen(files) {
  return sorted(files.map((file) => ({ file, path: file.webkitRelativePath || file.name })));
}

function sorted(found) {
  const seen = found.filter(({ path }) => !path.split("/").some((part) => part.startsWith(".")));
  const files = seen.filter(({ file, path }) => file && (PICTURE.test(path) || file.type.startsWith("image/")));
  files.sort((one, other) => (one.path < other.path ? -1 : Number(one.path > other.path)));
  return { files, skipped: seen.length - files.length };
}

async function walk(entry, found) {
  const path = entry.fullPath.replace(/^\//, "");
  if (entry.isFile) {
    const file = await new Promise((done) => { entry.file(done, () => done(null)); });
    found.push({ file, path });
    return;
  }
  const reader = entry.createReader();
  for (;;) { // a reader returns up to a hundred entries, and none at the end
    const some = await new Promise((done) => { reader.readEntries(done, () => done([])); });
    if (!some.length) return;
    for (const one of some) await walk(one, found);
  }
}

async function run() {
  const mine = stopping = new AbortController();
  let trouble = "";
  at("batch-go").textContent = "Stop";
  at("batch-status").textContent = `Naming ${counted(left().length)} …`;
  const waiting = left();
  const work = async () => {
    while (waiting.length && !mine.signal.aborted) {
      const one = waiting.shift();
      try {
        const body = new FormData();
        body.append("file", one.file);
        const wait = () => { at("batch-state").textContent = `${state()} The service is busy; naming continues in a moment.`; };
        const answer = await json(`/v1/label?${ask()}`, { method: "POST", body, signal: mine.signal }, wait, TRIES);
        [one.answer] = answer.answers;
      } catch (error) {
        if (error.name === "AbortError") return;
        if (error.code === "unreachable" || error.code === "closing") { trouble = error.message; mine.abort(); return; }
        one.problem = error.message;
      }
      if (mine.signal.aborted && stopping !== mine) return;
      tell(one);
    }
  };
  progress();
  await Promise.all(Array.from({ length: AT_ONCE }, work));
  if (stopping !== mine) return; // another list has started meanwhile
  stopping = null;
  progress();
  at("batch-status").textContent = trouble ? `${trouble} ${state()}` : `${left().length ? "Stopped. " : ""}${state()}`;
}

const left = () => photos.filter((one) => !one.answer && !one.problem);
const done = () => photos.filter((one) => one.answer || one.problem);

function state() {
  const bad = photos.filter((one) => one.problem).length;
  return `${count(done().length - bad)} of ${count(photos.length)} named${bad ? `, ${count(bad)} could not be read` : ""}.`;
}

function progress() {
  Object.assign(at("batch-progress"), { max: Math.max(1, photos.length), value: done().length });
  at("batch-state").textContent = state();
  at("batch-go").hidden = !stopping && !left().length;
  at("batch-go").textContent = stopping ? "Stop" : "Resume";
  at("batch-again").hidden = Boolean(stopping);
  for (const id of ["batch-csv", "batch-json", "batch-zip"]) at(id).disabled = !done().length;
}

function row(one) {
  one.image = make("img", { src: one.url, alt: "", loading: "lazy", decoding: "async", width: 56, height: 56,
    onerror: () => { one.image.style.visibility = "hidden"; } });
  one.result = make("span", { class: "result soft" }, "waiting");
  one.score = make("span", { class: "score" });
  return make("li", {}, make("button", { type: "button", onclick: () => open(one.file) },
    one.image, make("span", { class: "words" }, one.result, make("span", { class: "file soft small" }, one.path)), one.score));
}

function reset(one) {
  Object.assign(one, { answer: null, problem: "" });
  one.result.textContent = "waiting";
  one.result.className = "result soft";
  one.score.textContent = "";
}

function tell(one) {
  const best = one.answer && said(one.answer);
  one.result.textContent = one.problem || best?.name || one.answer.problem || (one.answer.rejected ? "none of these" : "no name");
  one.result.className = one.problem ? "result bad" : "result";
  one.score.textContent = best ? `${sureness(best.score)} · ${percent(best.score)}` : "";
  progress();
}

function save(name, blob) {
  const link = make("a", { href: URL.createObjectURL(blob), download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}
