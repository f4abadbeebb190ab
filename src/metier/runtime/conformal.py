"""Sets of labels and intervals that hold the truth as often as asked, with numpy alone.

Split conformal prediction (Vovk, Gammerman & Shafer, 2005): a label stays in the set of a row
unless calibration rows of that label rarely look as odd. How odd is the odds against the label, so
sets are the smallest of their coverage (Sadinle, Lei & Wasserman, 2019), and since each label is
ranked among its own rows, the coverage holds for each label, not just on average. Labels with few
rows share one lot, and the coverage then holds for these together.

What is exact: for rows that come from where the calibration rows came from, and scores from one
model that learned from neither, the coverage on average over calibrations. With out-of-fold scores
(cross-conformal: Vovk, 2015; Barber et al., 2021) several models scored the calibration rows and a
further one, that learned from all, will score the new ones: in the worst case this halves the
promise (1 - 2a for 1 - a), with models that agree it is kept, and so it is measured on other rows.

An empty set is no fault: where a model is right more often than was asked, the coverage asked is
reached without the rows that it knows least about. A higher coverage fills them.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from metier.errors import OptionError
from metier.runtime.columns import category_text, to_numbers
from metier.runtime.manifest import InputColumn
from metier.runtime.postprocess import Decision, TaskKind
from metier.runtime.preprocess import Columns, is_missing
from metier.runtime.ranked import Doubles, Ranked, p_values
from metier.runtime.shares import check_share
from metier.runtime.spellings import plainest

COVERAGE = 0.9
"""The coverage when none is asked for."""
FEWEST = 50
BEYOND = 5
"""A label has a lot of its own with so many rows, and with so many outside the coverage asked."""
MOST, FEWEST_KEPT = 4096, 64
"""Scores that are kept: of all labels together, and of each label at least."""


@dataclass(frozen=True)
class Conformal:
    """Calibration scores, from which any coverage can be had.

    Args:
        kind: the shape of the answer.
        lots: oddness of calibration rows: one lot a label, of the rows that have it; for
            regression one lot of absolute errors.
        coverage: what was asked for when it was made.
        exact: whether one model, that learned from none of the rows, scored them all.
    """

    kind: TaskKind
    lots: tuple[Ranked, ...]
    coverage: float = COVERAGE
    exact: bool = False

    @property
    def n(self) -> int:
        """Calibration scores there are."""
        return sum(lot.n for lot in self.lots)

    @property
    def highest(self) -> float:
        """The highest coverage that so many rows can promise."""
        return self.n / (self.n + 1)

    @property
    def usual(self) -> float:
        """The coverage when none is asked for, as far as these rows can promise it."""
        return min(self.coverage, self.highest)

    def check(self, coverage: float) -> None:
        """Raise OptionError for a coverage that these rows cannot promise."""
        check_share("--coverage", coverage, COVERAGE)
        if coverage > self.highest:
            needed = math.ceil(round(coverage / (1 - coverage), 6))
            what = "an interval without end" if self.kind == "regression" else "all labels"
            raise OptionError(
                f"--coverage {coverage:g}: only {what} could promise that: it needs {needed:,} "
                f"calibration rows and the bundle has {self.n:,}; ask for at most "
                f"{math.floor(1000 * self.highest) / 1000:g}"
            )

    def groups(self, coverage: float) -> tuple[tuple[int, ...], ...]:
        """Return labels by the lot that they share at a coverage: first those with their own.

        The shared lot takes in the next larger label until it has rows enough itself.
        """
        needed = max(FEWEST, math.ceil(BEYOND / (1 - coverage)))
        order = sorted(range(len(self.lots)), key=lambda k: (self.lots[k].n, k))
        shared: list[int] = []
        rows = 0
        for k in order:
            if self.lots[k].n >= needed and (not shared or rows >= needed):
                break
            shared.append(k)
            rows += self.lots[k].n
        own = [(k,) for k in range(len(self.lots)) if k not in shared]
        return (*own, tuple(sorted(shared))) if shared else tuple(own)

    def sets(
        self, scores: NDArray[Any], decision: Decision, luck: Doubles, coverage: float
    ) -> NDArray[np.bool_]:
        """Return which labels (n, labels) are in the set of each row.

        Args:
            scores: raw scores (n, labels).
            decision: that of the bundle.
            luck: a number from 0 to 1 for each row, as `luck_of` draws it.
            coverage: how often the truth has to be in the set.
        """
        self.check(coverage)
        odd = oddness(scores, decision)
        found = np.zeros(odd.shape, dtype=bool)
        for labels in self.groups(coverage):
            lot = Ranked.together([self.lots[k] for k in labels])
            own = list(labels)
            found[:, own] = p_values(odd[:, own], lot, luck[:, None]) > 1 - coverage
        return found

    def reach(self, coverage: float) -> float:
        """Return how far below and above an answer the truth lies at most, so often."""
        self.check(coverage)
        return self.lots[0].quantile(math.ceil(round((self.n + 1) * coverage, 9)))

    def to_json(self) -> dict[str, Any]:
        """Return it as plain JSON."""
        return {
            "kind": self.kind,
            "coverage": self.coverage,
            "exact": self.exact,
            "lots": [lot.to_json() for lot in self.lots],
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Conformal:
        """Build it from `to_json()`. Raises KeyError, TypeError or ValueError."""
        lots = tuple(Ranked.from_json(lot) for lot in data["lots"])
        return cls(data["kind"], lots, float(data["coverage"]), bool(data["exact"]))


def learn(
    scores: NDArray[Any],
    y: NDArray[Any],
    decision: Decision,
    coverage: float = COVERAGE,
    exact: bool = False,
) -> Conformal:
    """Keep what calibration rows say.

    Args:
        scores: raw scores (n, outputs) of rows that their model had not learned from; those that
            are no finite numbers are left out.
        y: the truth, as `Task.encode` returns it.
        decision: that of the bundle; its temperature is used.
        coverage: what will be asked for when nothing is said.
        exact: whether one model scored them all.
    """
    readable = np.isfinite(scores).all(axis=1)
    scores, y = np.asarray(scores, np.float64)[readable], np.asarray(y)[readable]
    if decision.kind == "regression":
        lots = [np.abs(scores[:, 0] - y)]
    else:
        odd = oddness(scores, decision)
        flags = y > 0 if decision.kind == "multilabel" else y[:, None] == np.arange(odd.shape[1])
        lots = [odd[flags[:, k], k] for k in range(odd.shape[1])]
    most = max(FEWEST_KEPT, MOST // max(len(lots), 1))
    return Conformal(decision.kind, tuple(Ranked.of(lot, most) for lot in lots), coverage, exact)


def oddness(scores: NDArray[Any], decision: Decision) -> Doubles:
    """Return the log odds against each label (n, labels): unlike shares they never run out.

    >>> oddness(np.array([[2.0, 0.5]]), Decision("binary", ("a", "b")))
    array([[-1.5,  1.5]])
    """
    values = np.asarray(scores, dtype=np.float64) / decision.temperature
    if decision.kind == "multilabel":
        return -values
    rows, best = np.arange(len(values)), values.argmax(axis=1)
    top = values[rows, best]
    shares = np.exp(values - top[:, None])
    whole = np.log(shares.sum(axis=1, keepdims=True)) + top[:, None]
    # No label but the likeliest has a share above a half: nothing is lost by 1 - share.
    with np.errstate(divide="ignore"):
        found = whole + np.log1p(-np.exp(values - whole)) - values
    others = np.where(np.arange(values.shape[1]) == best[:, None], -np.inf, values)
    second = others.max(axis=1, keepdims=True)
    found[rows, best] = (second[:, 0] + np.log(np.exp(others - second).sum(axis=1))) - top
    return np.asarray(found)


def luck_of(columns: Columns, wanted: Sequence[InputColumn]) -> Doubles:
    """Return a number from 0 to 1 for each row that follows from its content alone.

    It breaks ties between scores, so that a row has the same set whenever it is asked about and
    whatever stands beside it.
    """
    names = [column for column in wanted if column.name in columns]
    cells = [_plain(columns[column.name], column.kind) for column in names]
    found = []
    for row in zip(*cells, strict=True):
        mark = hashlib.blake2b(digest_size=8)
        for cell in row:
            mark.update(len(cell).to_bytes(8, "little") + cell)
        found.append((int.from_bytes(mark.digest(), "little") >> 11) / (1 << 53))
    return np.array(found, dtype=np.float64)


def _plain(cells: Sequence[Any], kind: str) -> list[bytes]:
    """Cells as bytes, alike for equal content however it was given."""
    if kind == "number":
        return [value.tobytes() for value in to_numbers(cells) + 0.0]
    if kind == "image":
        return [_content(cell) for cell in cells]
    if kind == "category":
        texts = (plainest(category_text(cell) or "") for cell in cells)
        return [text.encode("utf-8", "replace") for text in texts]
    return [b"" if is_missing(cell) else str(cell).encode("utf-8", "replace") for cell in cells]


def _content(cell: Any) -> bytes:
    """The bytes of an image; of one that cannot be read, and so has no answer, none."""
    if isinstance(cell, bytes):
        return cell
    if isinstance(cell, str | Path):
        try:
            return Path(cell).read_bytes()
        except (OSError, ValueError):
            return b""
    convert = getattr(cell, "tobytes", None)
    return b"" if convert is None else bytes(convert())
