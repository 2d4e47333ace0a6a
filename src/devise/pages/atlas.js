"use strict";
const about = document.getElementById("about");
const tip = document.getElementById("tip");
const find = document.getElementById("find");
let chosen = null;

const points = [...document.querySelectorAll("circle")].map((dot) => {
  const title = dot.querySelector("title");
  const [name, group, detail] = title.textContent.split("\n");
  title.remove(); // otherwise the browser's own tip covers ours
  return { dot, name, group, detail, x: +dot.getAttribute("cx"), y: +dot.getAttribute("cy"), svg: dot.ownerSVGElement };
});
const pointOf = new Map(points.map((point) => [point.dot, point]));

function say(target, point) {
  const name = document.createElement("b");
  name.textContent = point.name;
  const group = document.createElement("span");
  group.textContent = ` ${point.group.replace(/ \(\d+\)$/, "")}`;
  target.replaceChildren(name, group, point.detail ? `: ${point.detail}` : "");
}

function choose(point) {
  if (chosen) chosen.dot.classList.remove("on");
  chosen = point;
  if (!point) return;
  point.dot.classList.add("on");
  point.dot.parentNode.append(point.dot); // drawn last, so on top
  say(about, point);
}

function showTip(point) {
  say(tip, point);
  tip.hidden = false;
  const dot = point.dot.getBoundingClientRect();
  const box = tip.getBoundingClientRect();
  tip.style.left = `${Math.max(8, Math.min(dot.right + 8, innerWidth - box.width - 8))}px`;
  tip.style.top = `${dot.bottom + box.height + 16 > innerHeight ? dot.top - box.height - 8 : dot.bottom + 8}px`;
}

function hideTip() {
  tip.hidden = true;
}

const STEPS = { ArrowRight: [1, 0], ArrowLeft: [-1, 0], ArrowDown: [0, 1], ArrowUp: [0, -1] };

function nextPoint(svg, [dx, dy]) {
  const shown = points.filter((point) => point.svg === svg && !point.dot.classList.contains("dim"));
  if (!chosen || chosen.svg !== svg) return shown[0];
  let best = null;
  let least = Infinity;
  for (const point of shown) {
    const along = (point.x - chosen.x) * dx + (point.y - chosen.y) * dy;
    const aside = Math.abs((point.x - chosen.x) * dy) + Math.abs((point.y - chosen.y) * dx);
    if (point !== chosen && along > 0 && along + 2 * aside < least) {
      least = along + 2 * aside;
      best = point;
    }
  }
  return best || chosen;
}

for (const svg of document.querySelectorAll("svg")) {
  svg.addEventListener("pointerover", (event) => {
    const point = pointOf.get(event.target);
    if (point) showTip(point);
    else hideTip();
  });
  svg.addEventListener("pointerleave", hideTip);
  svg.addEventListener("click", (event) => {
    const point = pointOf.get(event.target);
    if (point) choose(point);
  });
  svg.addEventListener("keydown", (event) => {
    if (event.key === "Escape") {
      choose(null);
      hideTip();
    } else if (STEPS[event.key]) {
      event.preventDefault();
      const point = nextPoint(svg, STEPS[event.key]);
      if (point) {
        choose(point);
        showTip(point);
      }
    }
  });
  svg.addEventListener("blur", hideTip);
}

for (const button of document.querySelectorAll(".legend button")) {
  button.addEventListener("click", () => {
    const section = button.closest("section");
    const pressed = button.getAttribute("aria-pressed") !== "true";
    for (const other of section.querySelectorAll(".legend button")) other.setAttribute("aria-pressed", "false");
    button.setAttribute("aria-pressed", String(pressed));
    for (const dot of section.querySelectorAll("circle")) {
      dot.classList.toggle("dim", pressed && dot.dataset.group !== button.dataset.group);
    }
  });
}

find.addEventListener("input", () => {
  const wanted = find.value.trim().toLowerCase();
  if (!wanted) return choose(null);
  const found =
    points.find((point) => point.name.toLowerCase() === wanted) ||
    points.find((point) => point.name.toLowerCase().startsWith(wanted)) ||
    points.find((point) => point.name.toLowerCase().includes(wanted));
  if (found) {
    choose(found);
    showTip(found);
  } else {
    choose(null);
    hideTip();
    about.textContent = `no label ${find.value} here`;
  }
});
