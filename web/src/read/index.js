// The readers by the kind that a preprocessing names.

import { columnReader } from "./columns.js";
import { imageReader } from "./images.js";
import { termReader } from "./terms.js";
import { textReader } from "./text.js";

const READERS = { text: textReader, image: imageReader, columns: columnReader, tfidf: termReader };

/** From a row to what the graph takes: an async function that throws where it cannot be read. */
export async function reader(spec, fetchJson) {
  if (spec.kind !== "both") return READERS[spec.kind](spec, fetchJson);
  const parts = await Promise.all(spec.parts.map((part) => reader(part, fetchJson)));
  const read = async (row) => Object.assign({}, ...(await Promise.all(parts.map((part) => part(row)))));
  read.odd = parts.flatMap((part) => part.odd ?? []);
  return read;
}
