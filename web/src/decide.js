// From scores to answers, as metier/runtime/postprocess.py does.

/** Probabilities of one row's scores; for regression the values themselves. */
export function probabilities(scores, decision) {
  const values = Array.from(scores, Number);
  if (decision.kind === "regression") return values;
  const cooled = decision.isotonic
    ? [0, logOdds(values[1] - values[0], decision)]
    : values.map((value) => value / decision.temperature);
  if (decision.kind === "multilabel") {
    return cooled.map((value) => 1 / (1 + Math.exp(-Math.min(700, Math.max(-700, value)))));
  }
  const top = Math.max(...cooled);
  const powers = cooled.map((value) => Math.exp(value - top));
  const sum = powers.reduce((a, b) => a + b, 0);
  return powers.map((power) => power / sum);
}

/** The answer to one row: a label, a list of labels, or a number. */
export function answer(found, decision) {
  const { kind, labels, thresholds, costs } = decision;
  if (kind === "regression") return found[0];
  if (kind === "multilabel") {
    return labels.filter((_, i) => found[i] >= (thresholds.length ? thresholds[i % thresholds.length] : 0.5));
  }
  if (costs.length) {
    const expected = labels.map((_, j) => found.reduce((sum, p, i) => sum + p * costs[i][j], 0));
    return labels[first(expected, Math.min(...expected))];
  }
  if (kind === "binary" && thresholds.length) return labels[found[1] >= thresholds[0] ? 1 : 0];
  return labels[first(found, Math.max(...found))];
}

/** The calibrated log odds of a margin: along the knots, and on with the temperature's slope. */
function logOdds(margin, { isotonic: knots, temperature }) {
  const last = knots.length - 1;
  if (margin <= knots[0][0]) return knots[0][1] + (margin - knots[0][0]) / temperature;
  if (margin >= knots[last][0]) return knots[last][1] + (margin - knots[last][0]) / temperature;
  const next = knots.findIndex((knot) => knot[0] >= margin);
  const [[x0, y0], [x1, y1]] = [knots[next - 1], knots[next]];
  return y0 + ((margin - x0) / (x1 - x0)) * (y1 - y0);
}

function first(values, wanted) {
  return values.indexOf(wanted);
}
