// Requests to the service: the token, waiting while it is busy, errors as sentences.

const TRIES = 4;
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
    const answer = await once(path, options);
    if (answer.ok) return answer;
    const { code, message } = await told(answer);
    if (answer.status === 401) {
      await askForToken();
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
    return await fetch(path, { ...options, headers });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Failure("The service does not respond. Is it still running?", "unreachable");
  }
}

async function told(answer) {
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
