// Show an answer: one big name, its certainty, its wider names, then the next names.

import { make, named, percent } from "./calls.js";

export const SURE = 0.7;  // as on the command line: below it, a wider name is shown instead
const WORDS = [[0.9, "Very sure"], [0.7, "Fairly sure"], [0.4, "Not sure"], [0, "A guess"]];
const RULE = "Very sure: 90 % or more; fairly sure: 70 % or more; not sure: 40 % or more; below 40 %: a guess.";

/** The certainty in words, by `RULE`. */
export function sureness(score) {
  return WORDS.find(([least]) => score >= least)[1];
}

/** The name to show: the first guess if it is sure, else the most informative name that is probable enough. */
export function said(answer) {
  const [first] = answer.guesses, wide = answer.sure?.name;
  if (!first) return null;
  return first.score < SURE && wide && wide.bits > 0 && wide.id !== first.id
    ? { id: wide.id, name: wide.name, score: wide.share, wide: true, first }
    : { id: first.id, name: first.name, score: first.score, wide: false, first };
}

/** Why there is no name. onAnyway: called to show the nearest names anyway. */
function none(answer, heading, onAnyway) {
  if (!answer.rejected) return [make("p", {}, answer.problem ?? "No name was found.")];
  return [
    make(heading, { class: "big none" }, "None of these"),
    make("p", { class: "soft" }, "The photo makes none of the labels more probable than before."),
    onAnyway ? make("button", { type: "button", class: "button", onclick: onAnyway }, "Show the nearest anyway") : "",
  ].filter(Boolean);
}

/** The answer of one method: a list of elements. onWider: called with the clicked level; without it there is no trail. */
export function shownAnswer(answer, heading, onWider, onAnyway) {
  const best = said(answer);
  if (!best) return none(answer, heading, onAnyway);
  const { first } = best, rest = best.wide ? answer.guesses.slice(0, 4) : answer.guesses.slice(1, 5);
  const gloss = best.wide ? `The kind of ${best.name} is less certain; the most probable kinds are below.` : sentence(first.gloss);
  return [
    make(heading, { class: "big" }, named("span", {}, best.name), " ", best.wide ? "" : mark(first)),
    make("p", { class: "sure" }, make("b", {}, sureness(best.score)), ` · ${percent(best.score)}`),
    bar(best.score),
    gloss ? make("p", { class: "meaning" }, gloss) : "",
    !best.wide && first.seen === false && !first.own
      ? make("p", { class: "unseen" }, `No training photo has the label “${first.name}”. The model knows it only from text.`) : "",
    onWider ? trail(answer.sure, best, onWider) : "",
    best.wide ? "" : make("details", { class: "why" }, make("summary", {}, "Why this name"), reasons(first),
      make("p", { class: "soft small" }, RULE)),
    rest.length ? make("h3", {}, best.wide ? "Most likely" : "Other names") : "",
    rest.length ? make("ol", { class: "next" }, ...rest.map(guess)) : "",
    legend(rest),
  ].filter(Boolean);
}

/** One guess in a list; a click shows its reasons. */
export function guess(one) {
  return make("li", {}, make("details", {},
    make("summary", {},
      make("span", { class: "line" }, make("span", { class: "name" }, named("span", {}, one.name), " ", mark(one)), make("span", { class: "score" }, percent(one.score))),
      bar(one.score),
      one.gloss ? make("span", { class: "gloss" }, sentence(one.gloss)) : ""),
    reasons(one)));
}

/** The meaning of “unseen”, if any guess has this mark; `seen` is null in a model that was trained on no labels. */
export function legend(guesses) {
  return guesses.some((one) => one.seen === false && !one.own)
    ? make("p", { class: "soft small legend-unseen" }, make("span", { class: "mark" }, "unseen"),
        " no training photo has this label; the model knows it only from text.")
    : "";
}

export function sentence(text) {
  if (!text) return "";
  const whole = text.charAt(0).toUpperCase() + text.slice(1);
  return /[.!?]$/.test(whole) ? whole : `${whole}.`;
}

function mark(one) {
  if (one.own) return make("span", { class: "mark mine" }, "yours");
  return one.seen === false ? make("span", { class: "mark" }, "unseen") : "";
}

function bar(score) {
  const filled = make("span", { class: "bar" });
  filled.style.width = `${Math.max(0.5, 100 * score)}%`;
  return make("span", { class: "track", "aria-hidden": "true" }, filled);
}

function reasons(one) {
  return make("div", { class: "more" },
    one.path.length ? make("p", { class: "path" }, ...one.path.slice(0, -1).flatMap((name) => [named("span", {}, name), " › "]),
      named("b", {}, one.path.at(-1))) : "",
    one.seen === null ? "" : make("p", {}, make("span", { class: "soft" }, "Looks like photos of: "),
      ...(one.leans_on.length ? one.leans_on.flatMap((lean, place) =>
        [place ? ", " : "", named("span", {}, lean.name), ` ${Math.round(100 * lean.share)} %`]) : ["no trained label"])),
    make("p", { class: "soft" }, `${one.id}; vector from ${one.seen === null ? "the text tower" : `its ${one.source}`}`));
}

/** Names from wide to narrow; a click asks again with only the labels below that name. */
function trail(sure, best, onWider) {
  const levels = (sure?.way ?? []).filter((level) => level.common && level.bits > 0);
  if (levels.length < 2) return "";
  return make("nav", { class: "trail", "aria-label": "From wide to narrow" },
    make("p", { class: "soft small" }, "From wide to narrow. Click a name to see only its kinds."),
    make("ol", {}, ...levels.map((level) => make("li", {}, make("button", { type: "button", title: `Only kinds of ${level.name}`,
      "aria-current": level.id === best.id ? "true" : null, onclick: () => onWider(level) },
      named("span", {}, level.name), " ", make("span", { class: "soft" }, percent(level.share)))))));
}
