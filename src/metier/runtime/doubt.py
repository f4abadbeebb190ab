"""When not to answer: what a bundle knows of its own doubt, and what is made of it for rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from metier.errors import BundleError, OptionError
from metier.runtime.conformal import COVERAGE, Conformal, luck_of
from metier.runtime.domain import Domain
from metier.runtime.manifest import InputColumn
from metier.runtime.postprocess import Decision
from metier.runtime.preprocess import Columns
from metier.runtime.scoring import Scored
from metier.runtime.selective import Selective, confidence
from metier.runtime.shares import check_share

UNLIKE = "unlike the training data"
NAMED = 5
"""Labels of a set that a reason names; of more it tells the number."""
AGAIN = "run `metier specialize` again to have them"


@dataclass(frozen=True)
class Asked:
    """What is wanted beside answers.

    Args:
        abstain: leave answers empty where there is doubt, and say why.
        coverage: sets or intervals that hold the truth so often.
        max_error: leave answers empty that are too unsure for this share of errors; abstaining is
            then by this, not by sets.
    """

    abstain: bool = False
    coverage: float | None = None
    max_error: float | None = None

    @property
    def abstains(self) -> bool:
        """Whether answers may be left empty."""
        return self.abstain or self.max_error is not None

    @property
    def nothing(self) -> bool:
        """Whether only answers are wanted."""
        return self == Asked()


@dataclass(frozen=True)
class Doubt:
    """What a bundle knows of its doubt; parts may be missing, all of them in an older bundle."""

    conformal: Conformal | None = None
    selective: Selective | None = None
    domain: Domain | None = None

    def check(self, asked: Asked) -> None:
        """Raise OptionError for what cannot be had from this bundle."""
        if asked.coverage is not None:
            check_share("--coverage", asked.coverage, COVERAGE)
            if self.conformal is None:
                raise OptionError(f"--coverage: the bundle has no calibration scores; {AGAIN}")
            self.conformal.check(asked.coverage)
        if asked.max_error is not None:
            if self.selective is None:
                raise OptionError(
                    "--max-error: the bundle does not know how often it is wrong at which "
                    f"confidence (numbers have none, older bundles neither); {AGAIN}"
                )
            self.selective.least(asked.max_error)
        if asked.abstains and self == Doubt():
            raise OptionError(
                f"--abstain: the bundle was made without statistics of its doubt; {AGAIN}"
            )

    def to_json(self) -> dict[str, Any]:
        """Return it as plain JSON, without the parts that are missing."""
        parts = {"conformal": self.conformal, "selective": self.selective, "domain": self.domain}
        return {name: part.to_json() for name, part in parts.items() if part is not None}


def doubt_of(facts: Mapping[str, Any]) -> Doubt:
    """Return what the facts of a bundle say of its doubt.

    Raises:
        BundleError: when it cannot be read.
    """
    data = facts.get("doubt", {})
    kinds: dict[str, Any] = {"conformal": Conformal, "selective": Selective, "domain": Domain}
    try:
        return Doubt(**{name: kinds[name].from_json(part) for name, part in data.items()})
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise BundleError(
            f"its statistics of doubt cannot be read ({type(error).__name__}: {error}); "
            "get the bundle again"
        ) from None


@dataclass(frozen=True)
class Held:
    """What is said of rows beside their answers, in their order.

    Args:
        reasons: why a row has no answer although it could be read.
        sets: the labels that hold the truth as often as asked, likeliest first; None for a row
            that could not be read.
        low, high: the interval that does; NaN for a row that could not be read.
    """

    reasons: dict[int, str]
    sets: list[list[str] | None] | None = None
    low: NDArray[np.float64] | None = None
    high: NDArray[np.float64] | None = None


@dataclass(frozen=True)
class Judge:
    """Says of scored rows which answers to hold back.

    Args:
        doubt: what the bundle knows.
        decision: how it decides on exactly the rows that can be read.
        columns: what it reads.
        asked: what is wanted; checked.
    """

    doubt: Doubt
    decision: Decision
    columns: tuple[InputColumn, ...]
    asked: Asked

    def hold(
        self,
        columns: Columns,
        scored: Scored,
        readable: list[int],
        unlike: NDArray[np.bool_] | None = None,
    ) -> Held:
        """Judge the rows that could be read; `unlike` (n,) tells those of another kind."""
        scores, count = scored.scores[readable], len(scored.scores)
        found = Held({})
        coverage = self.asked.coverage
        if self.decision.kind == "regression":
            if coverage is not None:
                found = self._interval(scores[:, 0], readable, count, coverage)
        else:
            found = self._sets(columns, scores, readable, count)
        if unlike is not None:
            found.reasons.update({row: UNLIKE for row in readable if unlike[row]})
        return found

    def _interval(
        self, values: NDArray[Any], readable: list[int], count: int, coverage: float
    ) -> Held:
        assert self.doubt.conformal is not None
        reach = self.doubt.conformal.reach(coverage)
        low, high = np.full(count, np.nan), np.full(count, np.nan)
        low[readable], high[readable] = values - reach, values + reach
        return Held({}, low=low, high=high)

    def _sets(
        self, columns: Columns, scores: NDArray[Any], readable: list[int], count: int
    ) -> Held:
        """Sets where a coverage is asked for, and the reasons of sets and of confidence."""
        asked, conformal = self.asked, self.doubt.conformal
        reasons: dict[int, str] = {}
        if asked.max_error is not None:
            reasons = self._unsure(scores, readable, asked.max_error)
        coverage = asked.coverage
        if coverage is None and asked.abstain and asked.max_error is None and conformal is not None:
            coverage = conformal.usual
        if coverage is None or conformal is None:
            return Held(reasons)
        luck = luck_of({n: [v[r] for r in readable] for n, v in columns.items()}, self.columns)
        inside = conformal.sets(scores, self.decision, luck, coverage)
        shares = self.decision.probabilities(scores)
        sets: list[list[str] | None] = [None] * count
        for place, row in enumerate(readable):
            order = [k for k in np.argsort(-shares[place], kind="stable") if inside[place, k]]
            sets[row] = [self.decision.labels[k] for k in order]
        if asked.abstain and asked.max_error is None:
            answers = self.decision.answers(scores)
            for row, answer in zip(readable, answers, strict=True):
                why = told(sets[row] or [], answer, coverage)
                if why is not None:
                    reasons[row] = why
        return Held(reasons, sets if asked.coverage is not None else None)

    def _unsure(
        self, scores: NDArray[Any], readable: list[int], max_error: float
    ) -> dict[int, str]:
        assert self.doubt.selective is not None
        least = self.doubt.selective.least(max_error).confidence
        sure = confidence(scores, self.decision)
        return {
            row: f"only {100 * own:.1f} % sure; an error of at most {100 * max_error:g} % needs "
            f"{100 * least:.1f} %"
            for row, own in zip(readable, sure, strict=True)
            if own < least
        }


def told(labels: list[str], answer: Any, coverage: float) -> str | None:
    """Return why a set leaves doubt about an answer; None when it holds just that answer.

    >>> told(["a", "b"], "a", 0.9)
    'set of 2 labels at 90 %: a, b'
    """
    at = f"at {100 * coverage:g} %"
    if isinstance(answer, list):
        if set(labels) == set(answer):
            return None
        missing = [label for label in answer if label not in labels]
        named = ", ".join((missing or [k for k in labels if k not in answer])[:NAMED])
        return f"{at} not likely enough: {named}" if missing else f"{at} there may also be: {named}"
    if labels == [answer]:
        return None
    if not labels:
        return f"no label is likely enough {at}"
    named = ", ".join(labels[:NAMED]) + (", …" if len(labels) > NAMED else "")
    if len(labels) == 1:
        return f"the answer is not in its set {at}, which is: {named}"
    return f"set of {len(labels)} labels {at}: {named}"


def default_coverage(doubt: Doubt) -> float:
    """Return the coverage that holds when none is asked for."""
    return COVERAGE if doubt.conformal is None else doubt.conformal.coverage
