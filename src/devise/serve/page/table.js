// Answers as downloads: CSV and JSON as the command line writes them, and sidecars in a ZIP.

import { said } from "./answer.js";
import { offered } from "./options.js";

const FORMULA = /^'*[=+\-@＝＋－＠\t\r\n]/, QUOTED = /[,;"\t\r\n]|^[ '=+@＝＋－＠-]| $/;
const NUMBER = /^(?:[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?|[+-])$/;
const COLUMNS = ["path", "rank", "id", "name", "score", "gloss", "seen", "source", "rejected", "problem",
  "sure_id", "sure_name", "sure_share", "sure_bits"];

/** A cell that a spreadsheet shows and never runs, as in `devise.tabletext`. */
function cell(text) {
  if (NUMBER.test(text)) return text;
  const safe = FORMULA.test(text) ? `'${text}` : text;
  return QUOTED.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
}

/** photos: each with its path, and an answer of one method or a problem. A model without trained labels has no column seen. */
export function csv(photos) {
  const table = [COLUMNS, ...photos.flatMap(rows)], seen = COLUMNS.indexOf("seen");
  const shown = offered.trained ? table : table.map((row) => row.filter((_, place) => place !== seen));
  return shown.map((row) => row.map((value) => cell(String(value))).join(",") + "\n").join("");
}

function rows({ path, answer, problem }) {
  if (problem) return [[path, ...Array(8).fill(""), problem, "", "", "", ""]];
  if (answer.rejected) return [[path, ...Array(7).fill(""), 1, "", "", "", "", ""]];
  const wide = answer.sure?.name;
  const sure = wide ? [wide.id, wide.name, wide.share.toFixed(6), wide.bits.toFixed(4)] : ["", "", "", ""];
  return answer.guesses.map((one, place) => [path, place + 1, one.id, one.name, one.score.toFixed(6), one.gloss,
    Number(one.seen), one.source, 0, "", ...sure]);
}

export function jsonList(photos) {
  return `${JSON.stringify(photos.map(record), null, 1)}\n`;
}

function record({ path, answer, problem }) {
  const guesses = (answer?.guesses ?? []).map(({ score, id, name, gloss, seen, source }) =>
    ({ score, id, name, gloss, ...(seen === null ? {} : { seen }), source }));
  const wide = answer?.sure?.name, sure = wide ? { id: wide.id, name: wide.name, share: wide.share, bits: wide.bits } : null;
  return { path, problem: problem || null, rejected: answer?.rejected ?? false, guesses, sure };
}

/** For each photo, its name and wider names, one per line (PHOTO.txt), and all guesses (PHOTO.json). */
export function sidecars(photos) {
  const times = new Map();
  return zipped(photos.filter((one) => one.answer?.guesses.length).flatMap((one) => {
    const before = times.get(one.path) ?? 0;
    times.set(one.path, before + 1);
    const path = before ? `${one.path}.${before + 1}` : one.path, best = said(one.answer);
    const wider = (one.answer.sure?.way ?? []).filter((level) => level.common && level.bits > 0).map((level) => level.name).reverse();
    const names = [best.name, ...wider.slice(wider.indexOf(best.name) + 1)];
    return [[`${path}.txt`, `${names.join("\n")}\n`], [`${path}.json`, `${JSON.stringify(record(one), null, 1)}\n`]];
  }));
}

const CRC = Uint32Array.from({ length: 256 }, (_, byte) => {
  let rest = byte;
  for (let bit = 0; bit < 8; bit += 1) rest = rest & 1 ? 0xedb88320 ^ (rest >>> 1) : rest >>> 1;
  return rest;
});

function checksum(bytes) {
  let sum = ~0;
  for (const byte of bytes) sum = CRC[(sum ^ byte) & 255] ^ (sum >>> 8);
  return ~sum >>> 0;
}

/** A ZIP of uncompressed texts (APPNOTE 6.3: local headers, central directory, end). */
function zipped(files) {
  const parts = [], central = [], text = new TextEncoder();
  let place = 0;
  for (const [name, content] of files) {
    const path = text.encode(name), bytes = text.encode(content), sum = checksum(bytes);
    const facts = [20, 0x0800, 0, 0, 33, [sum], [bytes.length], [bytes.length], path.length, 0]; // UTF-8 names; 1 January 1980
    const local = header(0x04034b50, facts);
    parts.push(local, path, bytes);
    central.push(header(0x02014b50, [20, ...facts, 0, 0, 0, [0], [place]]), path);
    place += local.length + path.length + bytes.length;
  }
  const size = central.reduce((sum, part) => sum + part.length, 0);
  const end = header(0x06054b50, [0, 0, files.length, files.length, [size], [place], 0]);
  return new Blob([...parts, ...central, end], { type: "application/zip" });
}

/** The signature and numbers of 16 bits; numbers in brackets have 32. */
function header(signature, numbers) {
  const view = new DataView(new ArrayBuffer(4 + numbers.reduce((sum, one) => sum + (Array.isArray(one) ? 4 : 2), 0)));
  view.setUint32(0, signature, true);
  let at = 4;
  for (const one of numbers) {
    if (Array.isArray(one)) view.setUint32(at, one[0], true); else view.setUint16(at, one, true);
    at += Array.isArray(one) ? 4 : 2;
  }
  return new Uint8Array(view.buffer);
}
