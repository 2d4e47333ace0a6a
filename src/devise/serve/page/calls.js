// Requests to the service: the token, waiting while it is busy, errors as sentences.

const TRIES = 4;
const SPEAKING = /^\/v1\/(label|labels|search|photos|map|corrections)(\?|$)/, INDEXED = /^\/v1\/(search|photos)(\?|$)/;
const RIGHT_TO_LEFT = /^\P{L}*[\p{Script=Arabic}\p{Script=Hebrew}\p{Script=Syriac}\p{Script=Thaana}\p{Script=Nko}]/u;
const ENGLISH = / \(en\)$/;  // after a name that the language lacks

/** What requests ask for; empty: what the service does by itself. */
export const choice = { lang: "", index: "" };
let token = sessionStorage.getItem("devise-token") ?? "";

export class Failure extends Error {
  constructor(message, code = "", status = 0) {
    super(message);
    this.code = code;
    this.status = status;
  }
}

/** The answer; if the service is busy (429) or stopping (503), retry when it says, `tries` times in all. */
export async function call(path, options = {}, onWait = () => {}, tries = TRIES) {
  for (let tried = 1; ; tried += 1) {
    const sent = token, answer = await once(path, options);
    if (answer.ok) return answer;
    const { code, message } = await failureOf(answer);
    if (answer.status === 401) {
      if (sent === token) await askForToken();  // else a token was given while the request was on its way
    } else if ((answer.status === 429 || (answer.status === 503 && tried < TRIES)) && tried < tries) {
      onWait();
      await pause(1000 * Number(answer.headers.get("retry-after") ?? 1), options.signal);
    } else {
      throw new Failure(message, code, answer.status);
    }
  }
}

export async function json(path, options, onWait, tries) {
  return (await call(path, options, onWait, tries)).json();
}

async function once(path, options) {
  const headers = new Headers(options.headers);
  if (token) headers.set("authorization", `Bearer ${token}`);
  try {
    return await fetch(chosen(path), { ...options, headers });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Failure("The service does not respond. Is it still running?", "unreachable");
  }
}

function chosen(path) {
  const query = new URLSearchParams();
  if (choice.lang && SPEAKING.test(path)) query.set("lang", choice.lang);
  if (choice.index && INDEXED.test(path)) query.set("index", choice.index);
  return query.size ? `${path}${path.includes("?") ? "&" : "?"}${query}` : path;
}

async function failureOf(answer) {
  try {
    const { error } = await answer.json();
    return { code: error.code, message: sentence(error.message) };
  } catch {
    return { code: "", message: `The service answered with status ${answer.status}.` };
  }
}

function sentence(text) {
  const whole = text.charAt(0).toUpperCase() + text.slice(1);
  return /[.!?]$/.test(whole) ? whole : `${whole}.`;
}

function pause(milliseconds, signal) {
  return new Promise((done) => {
    setTimeout(done, milliseconds);
    signal?.addEventListener("abort", done, { once: true }); // the next request then fails as it should
  });
}

let asking = null;

function askForToken() {
  asking ??= new Promise((done) => {
    const dialog = document.getElementById("token-dialog");
    dialog.addEventListener("close", () => {
      token = document.getElementById("token").value.trim();
      sessionStorage.setItem("devise-token", token);
      asking = null;
      done();
    }, { once: true });
    dialog.showModal();
  });
  return asking;
}

// Elements without markup: the name of a label can never become HTML.
export function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value !== null && value !== false) element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.filter((child) => child !== null && child !== ""));
  return element;
}

/** An element for a name, with its language and direction. */
export function named(tag, attributes, name, ...more) {
  const lang = !choice.lang || choice.lang === "en" || ENGLISH.test(name) ? "en" : /^[a-z]{2,3}$/.test(choice.lang) && choice.lang;
  return make(tag, { lang, dir: RIGHT_TO_LEFT.test(name) ? "rtl" : "ltr", ...attributes }, name, ...more);
}

/** A name inside a sentence: one that is written from right to left does not turn its neighbours. */
export function isolated(name) {
  return RIGHT_TO_LEFT.test(name) ? `\u2068${name}\u2069` : name;
}

export function percent(score) {
  return score >= 0.0005 ? `${(100 * score).toFixed(1)} %` : "< 0.1 %";
}

export function count(number) {
  return number.toLocaleString("en");
}

export function show(element, message) {
  element.textContent = message ?? "";
  element.hidden = !message;
}
