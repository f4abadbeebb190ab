// Texts to weighted terms, as metier/runtime/counts.py does.

import { floats, integers } from "./arrays.js";
import { joined } from "./text.js";

const WORD = /[\p{L}\p{N}_]+/gu;
const MARK = "\t";

function* runsOfWords(words, low, high) {
  for (let size = low; size <= high; size++) {
    for (let start = 0; start + size <= words.length; start++) {
      yield words.slice(start, start + size).join(" ");
    }
  }
}

function* runsOfCharacters(words, low, high) {
  for (const word of words) {
    const bordered = Array.from(` ${word} `);
    for (let size = low; size <= Math.min(high, bordered.length); size++) {
      for (let start = 0; start + size <= bordered.length; start++) {
        yield MARK + bordered.slice(start, start + size).join("");
      }
    }
  }
}

export async function termReader(spec, fetchJson) {
  const { terms, idf } = await fetchJson(spec.file);
  const places = new Map(terms.map((term, place) => [term, place]));

  function* termsOf(text) {
    const read = text.length > spec.longest ? Array.from(text).slice(0, spec.longest).join("") : text;
    const words = read.toLowerCase().match(WORD) ?? [];
    if (spec.words) yield* runsOfWords(words, ...spec.words);
    if (spec.characters) yield* runsOfCharacters(words, ...spec.characters);
  }

  return async (row) => {
    const counts = new Map();
    for (const term of termsOf(joined(row, spec.columns))) {
      const place = places.get(term);
      if (place !== undefined) counts.set(place, (counts.get(place) ?? 0) + 1);
    }
    const found = [...counts.keys()].sort((a, b) => a - b);
    const weights = found.map((place) => {
      const count = counts.get(place);
      return (spec.sublinear ? 1 + Math.log(count) : count) * idf[place];
    });
    const norm = Math.sqrt(weights.reduce((sum, weight) => sum + weight * weight, 0)) || 1;
    const shape = [1, Math.max(1, found.length)];
    return {
      terms: integers(found.length ? found : [0], shape),
      weights: floats(found.length ? weights.map((weight) => weight / norm) : [0], shape),
    };
  };
}
