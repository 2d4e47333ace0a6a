// What the service offers: the language of names, the index of photos, whether corrections are kept, trained labels.

import { choice, json, make } from "./calls.js";

const at = (id) => document.getElementById(id);
export const offered = { indexes: [], languages: [], corrections: false, trained: 1 };
let answered = () => {};
export const ready = new Promise((done) => { answered = done; });

/** Show a switch for what there is more than one of; the language is remembered by the browser. */
export async function startOptions() {
  Object.assign(offered, await json("/v1/options").catch(() => ({})));
  const { indexes, languages } = offered;
  const kept = localStorage.getItem("devise-language") ?? "";
  if (languages.length > 1) choice.lang = languages.includes(kept) ? kept : languages[0];
  at("lang").replaceChildren(...languages.map((code) => make("option", { value: code, lang: code }, own(code))));
  at("lang").value = choice.lang;
  at("lang-field").hidden = languages.length < 2;
  at("lang").addEventListener("change", () => {
    choice.lang = at("lang").value;
    localStorage.setItem("devise-language", choice.lang);
    document.dispatchEvent(new Event("language"));
  });
  at("index").replaceChildren(...indexes.map(({ name, photos }) => make("option", { value: name }, `${name} (${photos})`)));
  choice.index = indexes.length > 1 ? indexes[0].name : "";
  at("index-field").hidden = indexes.length < 2;
  at("index").addEventListener("change", () => {
    choice.index = at("index").value;
    document.dispatchEvent(new Event("index"));
  });
  at("keys-off").hidden = offered.corrections;
  at("candidates").parentElement.hidden = !offered.trained;
  answered();
}

/** The name of a language in itself; of a file of names, the file's. */
function own(code) {
  try {
    return new Intl.DisplayNames([code], { type: "language" }).of(code);
  } catch {
    return code;
  }
}
