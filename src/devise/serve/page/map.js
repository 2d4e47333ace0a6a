// The page of the label space: labels and the photo as points on a canvas.

import { count, isolated, json, make, show } from "./calls.js";
import { photo } from "./label.js";
import { offered } from "./options.js";

const COLOURS = ["#d1495b", "#3a8f4d", "#7b5ea7", "#e08e2b", "#c65aa5", "#2b7bba", "#8a6d3b", "#5b8ea6", "#2aa198", "#8d8d8d"];
const NAMES_SHOWN = 45;
const STRIDE = 7919;  // a prime: names are from all branches, the same each time
const at = (id) => document.getElementById(id);
const view = { x: 0, y: 0, scale: 1 };
let labels = null, hidden = new Set(), marked = -1, near = [], hovered = -1, place = null, placed = null, drawing = false;

export function startMap() {
  const canvas = at("map");
  at("space-form").addEventListener("submit", (event) => { event.preventDefault(); find(at("space-query").value); });
  at("space-whole").addEventListener("click", () => { marked = -1; near = []; at("space-status").textContent = ""; reset(); });
  canvas.addEventListener("wheel", (event) => {
    event.preventDefault();
    zoom(Math.exp(-event.deltaY / 400), event.offsetX, event.offsetY);
  }, { passive: false });
  canvas.addEventListener("pointerdown", (event) => canvas.setPointerCapture(event.pointerId));
  canvas.addEventListener("pointermove", (event) => {
    if (event.buttons) move(event.movementX, event.movementY);
    else hover(event.offsetX, event.offsetY);
  });
  canvas.addEventListener("pointerleave", () => { hovered = -1; draw(); });
  canvas.addEventListener("keydown", keys);
  document.addEventListener("language", () => {
    labels = null;
    marked = -1;
    near = [];
    if (!at("page-space").hidden) showMap();
  });
  new ResizeObserver(draw).observe(canvas);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
}

export async function showMap() {
  show(at("space-error"));
  try {
    if (!labels) {
      at("space-status").textContent = "Loading the labels …";
      const found = await json("/v1/map");
      labels = { ...found, names: found.names.split("\n"), ids: found.ids.split("\n") };
      legend();
      at("space-status").textContent = `${count(labels.names.length)} labels.`;
      reset();
    }
    if (photo.file && placed !== photo.file) {
      const body = new FormData(), before = at("space-status").textContent;
      body.append("file", photo.file);
      place = (await json("/v1/embed", { method: "POST", body })).place;
      placed = photo.file;
      if (at("space-status").textContent === before) // else a label was found meanwhile
        at("space-status").textContent = "The ring marks your photo.";
    }
    draw();
  } catch (error) {
    at("space-status").textContent = "";
    show(at("space-error"), error.message);
  }
}

function legend() {
  at("legend").replaceChildren(...labels.branches.map((branch, number) => {
    const dot = make("i");
    dot.style.background = COLOURS[number];
    const box = make("input", { type: "checkbox", checked: true, onchange: () => {
      if (box.checked) hidden.delete(number); else hidden.add(number);
      draw();
    } });
    return make("label", {}, box, dot, branch);
  }));
}

async function find(text) {
  show(at("space-error"));
  if (!text.trim() || !labels) return;
  try {
    const { found, nearest } = await json(`/v1/labels?${new URLSearchParams({ q: text.trim(), top: 1, near: 12 })}`);
    if (!found.length) { show(at("space-error"), `The model has no label “${text.trim()}”.`); return; }
    marked = labels.ids.indexOf(found[0].id); // -1: a label that is withheld has no point
    if (marked >= 0) {
      hidden.delete(labels.branch[marked]);
      at("legend").querySelectorAll("input")[labels.branch[marked]].checked = true;
    }
    near = nearest.map((one) => labels.ids.indexOf(one.id)).filter((place) => place >= 0 && place !== marked);
    const shown = [marked, ...near].filter((place) => place >= 0);
    if (shown.length) frame(shown);
    const { name, gloss, path } = found[0];
    at("space-status").textContent =
      `${isolated(name)}: ${gloss}. ${path.map(isolated).join(" › ")}. Nearest in meaning: ${nearest.map((one) => isolated(one.name)).join(", ")}.`;
    draw();
  } catch (error) {
    show(at("space-error"), error.message);
  }
}

// Zoom to these labels, with some space around them.
function frame(places) {
  const across = places.map((i) => labels.x[i]), down = places.map((i) => labels.y[i]);
  const low = [Math.min(...across), Math.min(...down)], high = [Math.max(...across), Math.max(...down)];
  const span = Math.max(high[0] - low[0], high[1] - low[1], 60);
  Object.assign(view, { x: (low[0] + high[0]) / 2, y: (low[1] + high[1]) / 2, scale: Math.min(20, 1500 / span) });
}

function reset() { Object.assign(view, { x: 0, y: 0, scale: 1 }); draw(); }

function size() {
  const { clientWidth: wide, clientHeight: high } = at("map");
  return { wide, high, ux: view.scale * wide / 2200, uy: view.scale * high / 2200 };
}

function zoom(factor, x, y) {
  const before = size();
  const dx = (x - before.wide / 2) / before.ux, dy = (y - before.high / 2) / before.uy;
  const scale = Math.min(80, Math.max(0.6, view.scale * factor));
  const kept = view.scale / scale;
  Object.assign(view, { x: view.x + dx * (1 - kept), y: view.y + dy * (1 - kept), scale });
  draw();
}

function move(dx, dy) {
  const { ux, uy } = size();
  view.x -= dx / ux;
  view.y -= dy / uy;
  draw();
}

function keys(event) {
  const { wide, high } = size();
  const steps = { ArrowLeft: [60, 0], ArrowRight: [-60, 0], ArrowUp: [0, 60], ArrowDown: [0, -60] };
  if (steps[event.key]) move(...steps[event.key]);
  else if (event.key === "+" || event.key === "=") zoom(1.4, wide / 2, high / 2);
  else if (event.key === "-") zoom(1 / 1.4, wide / 2, high / 2);
  else if (event.key === "0") reset();
  else return;
  event.preventDefault();
}

function hover(x, y) {
  if (!labels) return;
  const { wide, high, ux, uy } = size();
  const px = view.x + (x - wide / 2) / ux, py = view.y + (y - high / 2) / uy;
  let best = -1, least = 9 ** 2;
  for (let i = 0; i < labels.x.length; i += 1) {
    if (hidden.has(labels.branch[i])) continue;
    const far = ((labels.x[i] - px) * ux) ** 2 + ((labels.y[i] - py) * uy) ** 2;
    if (far < least) { least = far; best = i; }
  }
  if (best !== hovered) { hovered = best; draw(); }
}

function draw() {
  if (drawing || !labels) return;
  drawing = true;
  requestAnimationFrame(() => { drawing = false; paint(); });
}

function paint() {
  const canvas = at("map"), { wide, high, ux, uy } = size();
  if (!wide) return;
  const sharp = devicePixelRatio || 1;
  canvas.width = wide * sharp;
  canvas.height = high * sharp;
  const pen = canvas.getContext("2d");
  pen.scale(sharp, sharp);
  const left = wide / 2 - view.x * ux, top = high / 2 - view.y * uy;
  const dot = Math.min(5, 1.1 + 0.35 * view.scale);
  const seen = [];
  pen.globalAlpha = view.scale < 3 ? 0.55 : 0.85;
  for (let branch = labels.branches.length - 1; branch >= 0; branch -= 1) {
    if (hidden.has(branch)) continue;
    pen.fillStyle = COLOURS[branch];
    for (let i = 0; i < labels.x.length; i += 1) {
      if (labels.branch[i] !== branch) continue;
      const x = left + labels.x[i] * ux, y = top + labels.y[i] * uy;
      if (x < 0 || y < 0 || x > wide || y > high) continue;
      pen.fillRect(x - dot / 2, y - dot / 2, dot, dot);
      seen.push(i);
    }
  }
  pen.globalAlpha = 1;
  names(pen, seen, left, top, ux, uy);
}

function names(pen, seen, left, top, ux, uy) {
  const style = getComputedStyle(document.body);
  pen.font = `13px ${style.fontFamily}`;
  const taken = [];
  const write = (i, must) => {
    const x = left + labels.x[i] * ux + 7, y = top + labels.y[i] * uy + 4;
    const box = [x - 3, y - 13, pen.measureText(labels.names[i]).width + 6, 17];
    if (!must && taken.some((other) => crosses(box, other))) return false;
    taken.push(box);
    pen.fillStyle = style.getPropertyValue("--card");
    pen.globalAlpha = must ? 0.95 : 0.7;
    pen.fillRect(...box);
    pen.globalAlpha = 1;
    pen.fillStyle = style.getPropertyValue("--ink");
    pen.fillText(labels.names[i], x, y);
    return true;
  };
  for (const i of [marked, hovered, ...near]) {
    if (i < 0) continue;
    const mine = i === marked || i === hovered;
    ring(pen, left + labels.x[i] * ux, top + labels.y[i] * uy, mine ? 6 : 4, style.getPropertyValue(mine ? "--ink" : "--accent"));
    write(i, mine);
  }
  if (place) {
    const x = left + place[0] * ux, y = top + place[1] * uy;
    ring(pen, x, y, 11, style.getPropertyValue("--accent"));
    ring(pen, x, y, 3, style.getPropertyValue("--accent"));
  }
  if (near.length) return;
  let more = NAMES_SHOWN;
  for (let step = 0; step < seen.length; step += 1) {
    const i = seen[(step * STRIDE) % seen.length];
    if ((labels.seen[i] || !offered.trained) && write(i, false)) more -= 1;
    if (!more) break;
  }
}

function ring(pen, x, y, radius, colour) {
  pen.strokeStyle = colour;
  pen.lineWidth = 3;
  pen.beginPath();
  pen.arc(x, y, radius, 0, 7);
  pen.stroke();
}

function crosses([x, y, w, h], [a, b, c, d]) {
  return x < a + c && a < x + w && y < b + d && b < y + h;
}
