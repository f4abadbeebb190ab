// Cells to numbers, as metier/runtime/columns.py does.

import { floats } from "./arrays.js";
import { pattern, readMoment } from "./dates.js";
import { numberText, spellings } from "./spellings.js";

const MOST = 3.4028234663852886e38;
const DAY = 86_400_000;
/** What Python reads as a number. */
const NUMBER = /^[+-]?(?:\d(?:_?\d)*\.?(?:\d(?:_?\d)*)?|\.\d(?:_?\d)*)(?:e[+-]?\d(?:_?\d)*)?$/i;

const missing = (cell) => cell === null || cell === undefined || Number.isNaN(cell);

/** The category that a cell means, null if it is missing; 1 and 1.0 are the same one. */
function categoryText(cell) {
  if (missing(cell)) return null;
  return typeof cell === "number" ? numberText(cell) : String(cell);
}

function toNumber(cell) {
  if (missing(cell)) return NaN;
  const text = String(typeof cell === "boolean" ? Number(cell) : cell).trim();
  const number = NUMBER.test(text) ? Number(text.replaceAll("_", "")) : NaN;
  return Number.isFinite(number) ? number : NaN;
}

/** Year, month, day, weekday (0 is Monday) and days since 1970, in UTC where a zone is told. */
function toDate(cell, known) {
  // 20241231, where the other cells of a file made it a number
  const text = known && Number.isInteger(cell) ? String(cell) : cell;
  const time = typeof text === "string" ? readMoment(text, known) : NaN;
  const moment = new Date(Math.floor(time));
  return [
    moment.getUTCFullYear(),
    moment.getUTCMonth() + 1,
    moment.getUTCDate(),
    (moment.getUTCDay() + 6) % 7,
    time / DAY,
  ];
}

function category(column) {
  const { encoding, vocabulary = [], values, fill } = column;
  const place = spellings(vocabulary);
  return (cell) => {
    const text = categoryText(cell);
    if (encoding === "missing") return [Number(text === null)];
    const code = text === null ? -1 : place(text);
    if (encoding === "code") return [code];
    if (encoding === "onehot") return vocabulary.map((_, i) => Number(i === code));
    return [code < 0 ? (fill ?? NaN) : values[code]];
  };
}

function scaled(column, values) {
  if (column.encoding !== "scaled") return values;
  const { mean = 0, scale = 1 } = column;
  if (column.kind === "number") return [(values[0] - mean) / scale];
  const [centre, wide] = [[2000, 1, 1, 0, mean], [10, 11, 30, 6, scale]];
  return values.map((value, i) => (value - centre[i]) / wide[i]);
}

/** What gives the numbers of a column for a cell. */
function numbers(column) {
  if (column.kind === "category") return category(column);
  const known = pattern(column.format);
  const fill = column.fill ?? NaN;
  return (cell) => {
    const values = column.kind === "date" ? toDate(cell, known) : [toNumber(cell)];
    if (column.encoding === "missing") return [Number(Number.isNaN(values[0]))];
    return scaled(column, values).map((value) => (Number.isNaN(value) ? fill : value));
  };
}

export async function columnReader(spec) {
  const read = spec.columns.map((column) => [column.name, numbers(column)]);
  return async (row) => {
    const found = read.flatMap(([name, each]) => each(row[name]));
    const kept = found.map((value) => (value > MOST ? MOST : value < -MOST ? -MOST : value));
    return { numbers: floats(kept, [1, kept.length]) };
  };
}
