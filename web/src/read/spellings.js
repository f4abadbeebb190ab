// Categories by every way in which programs write them, as metier/runtime/spellings.py does.

const NUMBER = /^-?(0|[1-9][0-9]*)(\.[0-9]*)?$/;

/** How a number is written as a category: 2 and 2.0 are the same one. */
export function numberText(number) {
  if (Number.isInteger(number)) return String(BigInt(number));
  if (Math.abs(number) >= 1e-4) return String(number);
  return number.toExponential().replace(/-(\d)$/, "-0$1");
}

/** The number that a text spells in digits alone; null for a code such as 007 or 1e5. */
function plainNumber(text) {
  const bare = text.trim();
  return NUMBER.test(bare) ? Number(bare) : null;
}

function spellingsOfTruth(text) {
  const lower = text.toLowerCase();
  if (lower !== "true" && lower !== "false") return [];
  return [lower, lower[0].toUpperCase() + lower.slice(1), lower.toUpperCase()];
}

/** What gives the place of a text among some that are known, -1 where it is none of them. */
export function spellings(texts) {
  const places = new Map(texts.map((text, place) => [text, place]));
  const numbers = new Map();
  texts.forEach((text, place) => {
    for (const each of spellingsOfTruth(text)) if (!places.has(each)) places.set(each, place);
    const number = plainNumber(text);
    if (number !== null) numbers.set(number, numbers.has(number) ? null : place);
  });
  return (text) => {
    const found = places.get(text);
    if (found !== undefined) return found;
    const number = plainNumber(text);
    const place = number === null ? null : numbers.get(number) ?? null;
    if (place === null) return -1;
    const written = numberText(number);
    return texts[place] === written || text === written ? place : -1;
  };
}
