"""What rows and answers looked like at training, as statistics: nothing of a single row is kept.

It lies in the manifest under `facts["reference"]`. Rows that come later are sorted into the same
bins, so that shares can be compared, and each is told apart as like the training data or not.
"""

from __future__ import annotations

import base64
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from metier.errors import BundleError
from metier.runtime.bins import Choice, Codes, Flags, Scale, choice_of, quantile, scale_of, widened
from metier.runtime.knownwords import Known, known_words
from metier.runtime.signals import (
    CONFIDENCE,
    PREDICTION,
    Doubles,
    Signals,
    vocabularies,
)

UNSURE = 0.01
"""The share of held-out answers below whose confidence an answer is unlike them."""
MOSTLY_NEW = 0.5
"""A text is unlike the others when a larger share of its words is new, and larger than theirs."""
FOLDS = 5
SHORT = 6
"""Decimals that are kept of shares."""


@dataclass(frozen=True)
class Reference:
    """All that is known of the rows of training and the answers to held-out ones.

    Args:
        rows: rows behind the signals of inputs.
        held_out: rows behind "prediction" and "confidence": rows that were not learned from.
        unlike: the share of rows that would be called unlike if they came from where those of
            training came from.
        scales, choices: the bins by signal.
        words: the filters by signal; their shares of new words are in `scales`.
    """

    rows: int
    held_out: int
    unlike: float
    scales: Mapping[str, Scale]
    choices: Mapping[str, Choice]
    words: Mapping[str, Known]

    def measure(self, signals: Signals) -> Signals:
        """Return the signals with words turned into shares of new ones."""
        shares = {name: known.new_shares(signals.words[name]) for name, known in self.words.items()}
        return Signals({**signals.numbers, **shares}, signals.categories)

    def codes(self, signals: Signals) -> dict[str, Codes]:
        """Return the bins of measured signals, by signal."""
        return {
            **{name: each.codes(signals.numbers[name]) for name, each in self.scales.items()},
            **{name: each.codes(signals.categories[name]) for name, each in self.choices.items()},
        }

    def flags(self, signals: Signals) -> Flags:
        """Tell which rows of measured signals are unlike those of training."""
        found = np.zeros(len(signals), dtype=bool)
        for name, scale in self.scales.items():
            found |= scale.unlike(signals.numbers[name])
        for name, choice in self.choices.items():
            found |= choice.unlike(signals.categories[name])
        return found

    def unlike_inputs(self, signals: Signals) -> Flags:
        """Tell which rows are unlike those of training by the signals of inputs that are given."""
        words = {name: known for name, known in self.words.items() if name in signals.words}
        seen = replace(self, words=words).measure(signals)
        scales = {name: scale for name, scale in self.scales.items() if name in seen.numbers}
        choices = {name: own for name, own in self.choices.items() if name in seen.categories}
        return replace(self, scales=scales, choices=choices).flags(seen)

    def rows_behind(self, name: str) -> int:
        """Return how many rows the shares of a signal come from."""
        return self.held_out if name in (PREDICTION, CONFIDENCE) else self.rows

    def to_json(self) -> dict[str, Any]:
        """Return the statistics as plain JSON; what the preprocessing knows is not repeated."""
        return {
            "rows": self.rows,
            "held_out": self.held_out,
            "unlike": round(self.unlike, SHORT),
            "numbers": {
                name: {
                    "edges": list(each.edges),
                    "shares": [round(share, SHORT) for share in each.shares],
                    "low": each.low,
                    "high": each.high,
                }
                for name, each in self.scales.items()
            },
            "categories": {
                name: {
                    "values": list(each.values),
                    "shares": [round(share, SHORT) for share in each.shares],
                }
                for name, each in self.choices.items()
            },
            "words": {
                name: base64.b64encode(each.bits.tobytes()).decode()
                for name, each in self.words.items()
            },
        }


def from_json(data: Mapping[str, Any], known: Mapping[str, frozenset[str]]) -> Reference:
    """Build a reference from `to_json()` and the vocabularies of the preprocessing.

    Raises:
        KeyError, TypeError, ValueError: when it is no reference.
    """
    scales = {
        name: Scale(tuple(each["edges"]), tuple(each["shares"]), each["low"], each["high"])
        for name, each in data["numbers"].items()
    }
    choices = {
        name: Choice(tuple(each["values"]), tuple(each["shares"]), known.get(name))
        for name, each in data["categories"].items()
    }
    words = {
        name: Known(np.frombuffer(base64.b64decode(text, validate=True), dtype=np.uint8))
        for name, text in data["words"].items()
    }
    bins: dict[str, Scale | Choice] = {**scales, **choices}
    for signal, own in bins.items():
        if len(own.shares) != len(own.names):
            raise ValueError(f"{signal}: {len(own.shares)} shares for {len(own.names)} bins")
    return Reference(
        int(data["rows"]), int(data["held_out"]), float(data["unlike"]), scales, choices, words
    )


def reference_of(facts: Mapping[str, Any], spec: Mapping[str, Any]) -> Reference | None:
    """Return the reference in the facts of a bundle with a preprocessing; None where there is none.

    Raises:
        BundleError: when it cannot be read.
    """
    data = facts.get("reference")
    if data is None:
        return None
    try:
        return from_json(data, vocabularies(spec))
    except (KeyError, TypeError, ValueError) as error:
        raise BundleError(
            f"its statistics of training cannot be read ({type(error).__name__}: {error}); "
            "get the bundle again"
        ) from None


def learn(
    inputs: Signals,
    answers: Signals,
    known: Mapping[str, frozenset[str]],
    whole: Mapping[str, Sequence[str | None]] | None = None,
) -> Reference:
    """Work out the statistics.

    Args:
        inputs: signals of rows of the kind that is to be expected.
        answers: signals of answers to rows that the model had not learned from: those to others
            would look more certain than any that will come.
        known: the vocabularies of the preprocessing.
        whole: the categories of all rows that these were learned from, where `inputs` are some.
    """
    new = {name: known_words(rows) for name, rows in inputs.words.items()}
    scales = {name: scale_of(values, widened(values)) for name, values in inputs.numbers.items()}
    for name, (_, shares) in new.items():
        scales[name] = scale_of(shares, (None, _mostly_new(shares)))
    for name, values in answers.numbers.items():
        bounds = (quantile(values, UNSURE), None) if name == CONFIDENCE else widened(values)
        scales[name] = scale_of(values, bounds)
    choices = {
        name: choice_of(values, known.get(name))
        for name, values in (*inputs.categories.items(), *answers.categories.items())
    }
    return Reference(
        rows=len(inputs),
        held_out=len(answers),
        unlike=_expected(
            inputs,
            {name: shares for name, (_, shares) in new.items()},
            scales,
            known,
            {**inputs.categories, **(whole or {})},
        )
        + (UNSURE if CONFIDENCE in answers.numbers else 0.0),
        scales=scales,
        choices=choices,
        words={name: filter_ for name, (filter_, _) in new.items()},
    )


def _mostly_new(shares: Doubles) -> float:
    return max(MOSTLY_NEW, quantile(shares, 1 - UNSURE) or 0.0)


def _expected(
    inputs: Signals,
    new: Mapping[str, Doubles],
    scales: Mapping[str, Scale],
    known: Mapping[str, frozenset[str]],
    whole: Mapping[str, Sequence[str | None]],
) -> float:
    """The share of rows unlike the others, each judged by rows that it is not among: these do not
    know a category that it alone has, nor one that the vocabulary had no room for."""
    rows = len(inputs)
    if rows == 0:
        return 0.0
    found = np.zeros(rows, dtype=bool)
    for values in inputs.numbers.values():
        found |= _in_folds(values, _outside)
    for name, shares in new.items():
        found |= scales[name].unlike(shares)
    for name, categories in inputs.categories.items():
        if name in known:
            counts = Counter(whole[name])
            told = known[name] - {v for v, count in counts.items() if count == 1}
            found |= np.array([v is not None and v not in told for v in categories])
    return float(found.mean())


def _in_folds(values: Doubles, judge: Callable[[Doubles, Doubles], Flags]) -> Flags:
    found = np.zeros(len(values), dtype=bool)
    folds = np.arange(len(values)) % FOLDS
    for fold in range(FOLDS):
        mine = folds == fold
        found[mine] = judge(values[~mine], values[mine])
    return found


def _outside(others: Doubles, mine: Doubles) -> Flags:
    low, high = widened(others)
    return Scale((), (), low, high).unlike(mine)
