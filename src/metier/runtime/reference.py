"""What rows and answers looked like at training, as statistics: nothing of a single row is kept.

It lies in the manifest under `facts["reference"]`. Rows that come later are sorted into the same
bins, so that shares can be compared, and each is told apart as like the training data or not.
"""

from __future__ import annotations

import base64
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from metier.errors import BundleError
from metier.runtime.signals import (
    CONFIDENCE,
    PREDICTION,
    Doubles,
    Hashes,
    Signals,
    vocabularies,
)

Codes = NDArray[np.int64]
Flags = NDArray[np.bool_]

BINS = 10
MOST_VALUES = 30
"""Categories that have a bin of their own; the others share one."""
FEWEST_ROWS = 5
"""A category that fewer rows have is not named."""
WIDER = 0.1
"""How far beyond the range seen at training a number may lie, as a share of that range."""
UNSURE = 0.01
"""The share of held-out answers below whose confidence an answer is unlike them."""
MOSTLY_NEW = 0.5
"""A text is unlike the others when a larger share of its words is new, and larger than theirs."""
IN_ROWS = 2
"""A word is known when so many other rows have it."""
MOST_WORDS = 8192
BITS_A_WORD = 16
FOLDS = 5
SHORT = 6
"""Decimals that are kept of shares."""


@dataclass(frozen=True)
class Scale:
    """A number in bins of about equal shares; the last bin is of missing values.

    A value below `low` or above `high` is unlike those at training.
    """

    edges: tuple[float, ...]
    shares: tuple[float, ...]
    low: float | None = None
    high: float | None = None

    @property
    def harm(self) -> int:
        """Which way is for the worse: -1 down, 1 up, 0 both, told by the bounds that there are."""
        return (self.low is None and self.high is not None) - (
            self.high is None and self.low is not None
        )

    def codes(self, values: Doubles) -> Codes:
        """Return the bin of each value."""
        found = np.searchsorted(self.edges, values, side="left")
        return np.where(np.isnan(values), len(self.edges) + 1, found)

    def unlike(self, values: Doubles) -> Flags:
        """Tell which values lie outside. A missing one does not."""
        low = -np.inf if self.low is None else self.low
        high = np.inf if self.high is None else self.high
        return np.asarray((values < low) | (values > high))

    @property
    def names(self) -> tuple[str, ...]:
        """What each bin holds."""
        if not self.edges:
            return ("any", "missing")
        told = [_number(edge) for edge in self.edges]
        middle = [f"{low} to {high}" for low, high in pairwise(told)]
        return (f"up to {told[0]}", *middle, f"above {told[-1]}", "missing")


@dataclass(frozen=True)
class Choice:
    """A category: a bin for each of `values`, then one each for others, unknown and missing.

    `known` are the categories of training; None when all are.
    """

    values: tuple[str, ...]
    shares: tuple[float, ...]
    known: frozenset[str] | None = None

    def codes(self, values: Sequence[str | None]) -> Codes:
        """Return the bin of each value."""
        places = {value: place for place, value in enumerate(self.values)}
        return np.array([self._code(value, places) for value in values], dtype=np.int64)

    def _code(self, value: str | None, places: Mapping[str, int]) -> int:
        if value is None:
            return len(self.values) + 2
        other = len(self.values) + (self.known is not None and value not in self.known)
        return places.get(value, other)

    def unlike(self, values: Sequence[str | None]) -> Flags:
        """Tell which categories were not there at training."""
        return np.equal(self.codes(values), len(self.values) + 1)

    @property
    def names(self) -> tuple[str, ...]:
        """What each bin holds."""
        return (*self.values, "others", "unknown", "missing")


@dataclass(frozen=True)
class Known:
    """The words of many rows, as a Bloom filter of their hashes (Bloom, 1970): no word is named."""

    bits: NDArray[np.uint8]

    @classmethod
    def of(cls, hashes: Hashes) -> Known:
        """Remember words."""
        size = 1 << max(8, int(np.ceil(np.log2(max(1, len(hashes)) * BITS_A_WORD))))
        flags = np.zeros(size, dtype=bool)
        for place in _places(hashes, size):
            flags[place] = True
        return cls(np.packbits(flags))

    def new_shares(self, rows: Sequence[Hashes]) -> Doubles:
        """Return the share of new words in each row, NaN where there is none at all."""
        sizes = np.array([len(row) for row in rows], dtype=np.int64)
        together = np.concatenate([*rows, np.zeros(0, np.uint32)])
        flags = np.unpackbits(self.bits)
        there = np.ones(len(together), dtype=bool)
        for place in _places(together, len(flags)):
            there &= flags[place].astype(bool)
        owners = np.repeat(np.arange(len(rows)), sizes)
        return _divided(np.bincount(owners, ~there, len(rows)), sizes)


def _places(hashes: Hashes, size: int) -> list[NDArray[np.int64]]:
    """Two places for each hash among so many bits, a power of two."""
    first = hashes.astype(np.uint64)
    second = (first * np.uint64(0x9E3779B97F4A7C15)) >> np.uint64(32)
    return [(each & np.uint64(size - 1)).astype(np.int64) for each in (first, second)]


def _divided(counts: NDArray[Any], sizes: NDArray[np.int64]) -> Doubles:
    return np.where(sizes > 0, counts / np.maximum(sizes, 1), np.nan)


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


def learn(inputs: Signals, answers: Signals, known: Mapping[str, frozenset[str]]) -> Reference:
    """Work out the statistics.

    Args:
        inputs: signals of rows of the kind that is to be expected.
        answers: signals of answers to rows that the model had not learned from: those to others
            would look more certain than any that will come.
        known: the vocabularies of the preprocessing.
    """
    new = {name: _new_shares(rows) for name, rows in inputs.words.items()}
    scales = {name: _scale(values, _widened(values)) for name, values in inputs.numbers.items()}
    for name, (_, shares) in new.items():
        scales[name] = _scale(shares, (None, _mostly_new(shares)))
    for name, values in answers.numbers.items():
        bounds = (_quantile(values, UNSURE), None) if name == CONFIDENCE else _widened(values)
        scales[name] = _scale(values, bounds)
    choices = {
        name: _choice(values, known.get(name))
        for name, values in (*inputs.categories.items(), *answers.categories.items())
    }
    return Reference(
        rows=len(inputs),
        held_out=len(answers),
        unlike=_expected(inputs, {name: shares for name, (_, shares) in new.items()}, scales, known)
        + (UNSURE if CONFIDENCE in answers.numbers else 0.0),
        scales=scales,
        choices=choices,
        words={name: filter_ for name, (filter_, _) in new.items()},
    )


def _scale(values: Doubles, bounds: tuple[float | None, float | None]) -> Scale:
    there = values[~np.isnan(values)]
    inner = np.linspace(0, 1, BINS + 1)[1:-1]
    edges = (
        tuple(float(edge) for edge in np.unique(np.quantile(there, inner))) if len(there) else ()
    )
    bare = Scale(edges, ())
    return Scale(edges, _shares(bare.codes(values), len(edges) + 2), *bounds)


def _choice(values: Sequence[str | None], known: frozenset[str] | None) -> Choice:
    counts = Counter(value for value in values if value is not None)
    often = [v for v, count in counts.most_common(MOST_VALUES) if count >= FEWEST_ROWS]
    if known is not None:
        often = [value for value in often if value in known]
    bare = Choice(tuple(sorted(often)), (), known)
    return Choice(bare.values, _shares(bare.codes(values), len(bare.values) + 3), known)


def _shares(codes: Codes, bins: int) -> tuple[float, ...]:
    counts = np.bincount(codes, minlength=bins)
    return tuple(float(share) for share in counts / max(1, counts.sum()))


def _quantile(values: Doubles, share: float) -> float | None:
    there = values[~np.isnan(values)]
    return float(np.quantile(there, share)) if len(there) else None


def _widened(values: Doubles) -> tuple[float | None, float | None]:
    """The range of values and a little more."""
    there = values[~np.isnan(values)]
    if not len(there):
        return None, None
    low, high = float(there.min()), float(there.max())
    more = WIDER * (high - low)
    return low - more, high + more


def _mostly_new(shares: Doubles) -> float:
    return max(MOSTLY_NEW, _quantile(shares, 1 - UNSURE) or 0.0)


def _new_shares(rows: Sequence[Hashes]) -> tuple[Known, Doubles]:
    """Return the words that enough rows have, and each row's share of words that others lack."""
    own = [np.unique(row) for row in rows]
    empty = np.zeros(0, np.uint32)
    names, counts = np.unique(np.concatenate([*own, empty]), return_counts=True)
    often = names[counts >= IN_ROWS]
    most = often[np.argsort(-counts[counts >= IN_ROWS], kind="stable")][:MOST_WORDS]
    # A row does not vouch for its own words: for it they are known when others have them as well.
    beside = np.sort(np.intersect1d(most, names[counts > IN_ROWS]))
    news = [float((~np.isin(row, beside)).sum()) for row in rows]
    sizes = np.array([len(row) for row in rows], dtype=np.int64)
    return Known.of(most), _divided(np.array(news), sizes)


def _expected(
    inputs: Signals,
    new: Mapping[str, Doubles],
    scales: Mapping[str, Scale],
    known: Mapping[str, frozenset[str]],
) -> float:
    """The share of rows unlike the others, each judged by rows that it is not among."""
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
            counts = Counter(categories)
            found |= np.array([v is not None and counts[v] == 1 for v in categories])
    return float(found.mean())


def _in_folds(values: Doubles, judge: Callable[[Doubles, Doubles], Flags]) -> Flags:
    found = np.zeros(len(values), dtype=bool)
    folds = np.arange(len(values)) % FOLDS
    for fold in range(FOLDS):
        mine = folds == fold
        found[mine] = judge(values[~mine], values[mine])
    return found


def _outside(others: Doubles, mine: Doubles) -> Flags:
    low, high = _widened(others)
    return Scale((), (), low, high).unlike(mine)


def _number(value: float) -> str:
    return f"{value:.4g}"
