// Texts to windows of token ids, as metier/runtime/text.py does.

import { Tokenizer } from "@huggingface/tokenizers";
import { floats, integers } from "./arrays.js";

const LONGEST = 1_000_000;

/** Words as the Rust library splits them; the one in JavaScript knows only ASCII letters. */
const WORDS = {
  type: "Split",
  pattern: { Regex: "[\\p{Alphabetic}\\p{M}\\p{Nd}\\p{Pc}\\u200c\\u200d]+|[^\\p{Alphabetic}\\p{M}\\p{Nd}\\p{Pc}\\u200c\\u200d\\s]+" },
  behavior: "Removed",
  invert: true,
};

function splitting(given) {
  if (given?.type === "Whitespace") return WORDS;
  if (given?.type !== "Sequence") return given;
  return { ...given, pretokenizers: given.pretokenizers.map(splitting) };
}

/** One text of a row: its non-empty cells with ": " between them. */
export function joined(row, columns) {
  const cells = columns.map((name) => (row[name] === null || row[name] === undefined ? "" : String(row[name])));
  return cells.length === 1 ? cells[0] : cells.filter((cell) => cell).join(": ");
}

/**
 * Reads the text columns of a row. `spec.frame` holds what the tokenizer puts around a text, and
 * `spec.unknown` the id of a word that a vocabulary of whole words does not hold. `odd` of what is
 * given back holds the probes that come out in another way than in Python.
 */
export async function textReader(spec, fetchJson) {
  const content = await fetchJson(spec.file);
  const pre_tokenizer = splitting(content.pre_tokenizer);
  const tokenizer = new Tokenizer({ ...content, pre_tokenizer, post_processor: null, decoder: null }, {});
  const { head, tail, types } = spec.frame;
  const room = spec.max_length - head.length - tail.length;
  const step = room - spec.overlap;
  const most = spec.windows === "cut" ? room : room + (spec.limit - 1) * step;

  function tokens(text) {
    const { ids } = tokenizer.encode(text.slice(0, LONGEST), { add_special_tokens: false });
    return Array.from(ids, (id) => id ?? spec.unknown);
  }

  function windows(text) {
    const body = tokens(text).slice(0, most);
    const found = [];
    for (let start = 0; start < Math.max(body.length - spec.overlap, 1); start += step) {
      const window = [...head, ...body.slice(start, start + room), ...tail];
      found.push(window.length ? window : [spec.pad_id]);
    }
    return found;
  }

  function typesOf(length) {
    const [before, middle, after] = types;
    const found = new Array(length).fill(middle.length ? middle[0] : 0);
    before.forEach((type, i) => (found[i] = type));
    after.forEach((type, i) => (found[length - after.length + i] = type));
    return found;
  }

  const read = async (row) => {
    const rows = windows(joined(row, spec.columns));
    const longest = Math.max(...rows.map((window) => window.length));
    const padded = (values, fill) =>
      integers(
        values.flatMap((each) => [...each, ...new Array(longest - each.length).fill(fill)]),
        [rows.length, longest],
      );
    const all = {
      input_ids: () => padded(rows, spec.pad_id),
      attention_mask: () => padded(rows.map((window) => window.map(() => 1)), 0),
      token_type_ids: () => padded(rows.map((window) => typesOf(window.length)), 0),
    };
    const feeds = Object.fromEntries(spec.inputs.map((name) => [name, all[name]()]));
    if (spec.windows === "pool") {
      const whole = rows.reduce((sum, window) => sum + window.length, 0);
      feeds.assign = floats(rows.map((window) => window.length / whole), [1, rows.length]);
    }
    return feeds;
  };
  read.odd = spec.probes.map(([text]) => text).filter((text, i) => String(tokens(text)) !== String(spec.probes[i][1]));
  return read;
}
