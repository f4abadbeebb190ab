// Cells to numbers, as metier/runtime/columns.py does.

import { floats } from "./arrays.js";

const MOST = 3.4028234663852886e38;
const DAY = 86_400_000;
const MOMENT =
  /^(\d{4})-?(\d{2})-?(\d{2})(?:[T ](\d{2})(?::?(\d{2})(?::?(\d{2})(?:[.,](\d+))?)?)?(Z|[+-]\d{2}(?::?\d{2})?)?)?$/;

const missing = (cell) => cell === null || cell === undefined || Number.isNaN(cell);

/** The category that a cell means, null if it is missing; 1 and 1.0 are the same one. */
export function categoryText(cell) {
  if (missing(cell)) return null;
  return String(cell);
}

export function toNumber(cell) {
  if (missing(cell)) return NaN;
  if (typeof cell === "boolean") return Number(cell);
  const text = String(cell).trim();
  const number = text === "" ? NaN : Number(text);
  return Number.isFinite(number) ? number : NaN;
}

/** Year, month, day, weekday (0 is Monday) and days since 1970, in UTC where a zone is told. */
export function toDate(cell) {
  const found = missing(cell) ? null : MOMENT.exec(String(cell).trim());
  if (!found) return new Array(5).fill(NaN);
  const [, year, month, day, hour = 0, minute = 0, second = 0, fraction = "", zone] = found;
  let time = Date.UTC(year, month - 1, day, hour, minute, second);
  const told = new Date(time);
  if (told.getUTCMonth() !== month - 1 || told.getUTCDate() !== Number(day) || hour > 23) {
    return new Array(5).fill(NaN);
  }
  time += fraction ? Number(`0.${fraction.slice(0, 6)}`) * 1000 : 0;
  if (zone && zone !== "Z") {
    const [hours, minutes] = [Number(zone.slice(1, 3)), Number(zone.slice(-2)) * (zone.length > 3)];
    time -= (zone[0] === "-" ? -1 : 1) * (hours * 60 + minutes) * 60_000;
  }
  const moment = new Date(time);
  return [
    moment.getUTCFullYear(),
    moment.getUTCMonth() + 1,
    moment.getUTCDate(),
    (moment.getUTCDay() + 6) % 7,
    time / DAY,
  ];
}

function category(column, cell) {
  const text = categoryText(cell);
  if (column.encoding === "missing") return [Number(text === null)];
  const code = text === null ? -1 : column.vocabulary.indexOf(text);
  if (column.encoding === "code") return [code];
  if (column.encoding === "onehot") return column.vocabulary.map((_, i) => Number(i === code));
  return [code < 0 ? (column.fill ?? NaN) : column.values[code]];
}

function scaled(column, values) {
  if (column.encoding !== "scaled") return values;
  const { mean = 0, scale = 1 } = column;
  if (column.kind === "number") return [(values[0] - mean) / scale];
  const [centre, wide] = [[2000, 1, 1, 0, mean], [10, 11, 30, 6, scale]];
  return values.map((value, i) => (value - centre[i]) / wide[i]);
}

/** The numbers that a column gives for a cell. */
export function numbers(column, cell) {
  if (column.kind === "category") return category({ vocabulary: [], ...column }, cell);
  const values = column.kind === "date" ? toDate(cell) : [toNumber(cell)];
  if (column.encoding === "missing") return [Number(Number.isNaN(values[0]))];
  const fill = column.fill ?? NaN;
  return scaled(column, values).map((value) => (Number.isNaN(value) ? fill : value));
}

export async function columnReader(spec) {
  return async (row) => {
    const found = spec.columns.flatMap((column) => numbers(column, row[column.name]));
    const kept = found.map((value) => (value > MOST ? MOST : value < -MOST ? -MOST : value));
    return { numbers: floats(kept, [1, kept.length]) };
  };
}
