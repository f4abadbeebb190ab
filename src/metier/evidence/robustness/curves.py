"""How a model's score falls when its inputs are damaged, or moved on purpose."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from metier.evidence.catalogue import METRICS
from metier.evidence.compare import Comparison, holm, paired
from metier.evidence.metrics import interval
from metier.evidence.robustness.aims import of_rows
from metier.evidence.robustness.corruptions import SEVERITIES, Corruption, fitting
from metier.evidence.words import points, sentence, whole
from metier.runtime.postprocess import Decision, TaskKind
from metier.types import Finding, Floats, Kind

Scores = Callable[[Mapping[str, Sequence[Any]]], Floats]
"""From columns to scores (n, outputs), as a bundle gives them."""
MOST_ROWS = 2000
FEWEST_ROWS = 50
"""Fewer rows say little, whatever the clock says."""
OVERHEAD = 1.6
"""Damaging the rows and resampling the scores, beside the pass itself."""


@dataclass(frozen=True)
class Dose:
    """The score under one kind of damage at one severity, beside the clean score of the same rows.

    `change` is the comparison with the clean score (below 0 is worse); `p_adjusted` is Holm's over
    all kinds and severities.
    """

    severity: int
    told: str
    score: Finding
    change: Comparison
    p_adjusted: float = 1.0


@dataclass(frozen=True)
class Curve:
    """The score of one kind of damage over its severities."""

    name: str
    doses: tuple[Dose, ...]


@dataclass(frozen=True)
class Assault:
    """The score under one attack, beside the clean score of the same rows.

    Args:
        name: what it is called.
        about: what it may do, in words.
        family: which of them are compared: "fgsm", "pgd", "square", "words", "columns".
        sees: "gradients" or "scores": what it knows of the model.
        radius: how far it may go, in its own unit; None where there is one setting only.
        score: the score under attack.
        change: the comparison with the clean score.
        broken: the rows (0-based, in the data given) that were right and are now wrong.
        flat: share of the rows on which no gradient was found.
        p_adjusted: Holm's over all attacks.
    """

    name: str
    about: str
    family: str
    sees: str
    radius: float | None
    score: Finding
    change: Comparison
    broken: tuple[int, ...] = ()
    flat: float = 0.0
    p_adjusted: float = 1.0


@dataclass(frozen=True)
class Broken:
    """An input before and after an attack, with the answers; `picture` are two PNG files."""

    row: int
    truth: str
    before: str
    after: str
    answered: str
    pictures: tuple[bytes, bytes] | None = None


@dataclass(frozen=True)
class Robustness:
    """What was found about a model's robustness.

    Args:
        metric: the metric of the natural part, the deciding one.
        clean: its score on the rows of the natural part, as they are.
        curves: the natural part.
        attacked: the metric of the attacks; accuracy for classes.
        untouched: its score on the rows that were attacked, as they are.
        assaults: the attacks.
        signs: what speaks against trusting the attacks (masked gradients), or that nothing does.
        examples: inputs that an attack broke.
        notes: what was left out, and why.
        kind: the shape of the answer.
    """

    metric: str
    clean: Finding
    curves: tuple[Curve, ...]
    kind: TaskKind
    attacked: str = ""
    untouched: Finding | None = None
    assaults: tuple[Assault, ...] = ()
    signs: tuple[Finding, ...] = ()
    examples: tuple[Broken, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def findings(self) -> tuple[Finding, ...]:
        """The claims, as data: the worst of the natural part, each attack, and the signs."""
        found = [*_worst(self), *(_told(self, each) for each in self.assaults), *self.signs]
        return tuple(found)


@dataclass(frozen=True)
class Rows:
    """Labelled rows as the measurement takes them.

    Args:
        columns: the inputs by name.
        kinds: of the columns.
        truth: what `Task.encode` returns.
        numbers: where each row stood in the data given.
        decision: from scores to answers, for exactly these rows.
    """

    columns: Mapping[str, Sequence[Any]]
    kinds: Mapping[str, Kind]
    truth: NDArray[Any]
    numbers: NDArray[np.int64]
    decision: Decision

    def __len__(self) -> int:
        return len(self.truth)

    def take(self, rows: NDArray[np.int64]) -> Rows:
        """Return some of the rows."""
        chosen = rows.tolist()
        columns = {name: [cells[i] for i in chosen] for name, cells in self.columns.items()}
        return Rows(
            columns,
            self.kinds,
            self.truth[rows],
            self.numbers[rows],
            of_rows(self.decision, rows),
        )


@dataclass(frozen=True)
class Natural:
    """The natural part: the clean score and one curve a kind of damage, all on the same rows."""

    clean: Finding
    curves: tuple[Curve, ...] = field(default=())


def measure_natural(
    scores: Scores,
    rows: Rows,
    metric: str,
    *,
    seconds: float = 60.0,
    seed: int = 0,
) -> Natural:
    """Score rows as they are, and under every kind of damage that fits them, at five severities.

    As many rows as the time allows, `MOST_ROWS` at most, drawn once: every score is of the same
    rows, and every difference is paired.

    Args:
        scores: how the model scores columns.
        rows: labelled rows that the model did not learn from.
        metric: what is measured.
        seconds: about how long this may take.
        seed: of the draw, of the damage and of the intervals.
    """
    kinds = fitting(rows.kinds)
    chosen = _as_many_as(seconds, scores, rows, len(kinds) * len(SEVERITIES), seed)
    clean, decision = scores(chosen.columns), chosen.decision
    first = interval(metric, chosen.truth, clean, decision, seed=seed)
    curves = []
    for each, columns in kinds:
        doses = []
        for severity in SEVERITIES:
            found = scores(_damaged(chosen, each, columns, severity, seed))
            score = interval(metric, chosen.truth, found, decision, seed=seed)
            change = paired(metric, chosen.truth, found, clean, decision, decision, seed=seed)
            doses.append(Dose(severity, each.told[severity - 1], score, change))
        curves.append(Curve(each.name, tuple(doses)))
    return Natural(first, _adjusted(curves))


def _damaged(
    rows: Rows, each: Corruption, columns: Sequence[str], severity: int, seed: int
) -> dict[str, Sequence[Any]]:
    changed = dict(rows.columns)
    for place, name in enumerate(columns):
        own = (seed + 7919 * place) % 2**32
        changed[name] = each.apply(rows.columns[name], severity, own, rows.numbers.tolist())
    return changed


def _as_many_as(seconds: float, scores: Scores, rows: Rows, passes: int, seed: int) -> Rows:
    """Draw as many rows as can be scored `passes` times; a few are timed to know."""
    order = np.random.default_rng(seed).permutation(len(rows))[:MOST_ROWS].astype(np.int64)
    few = rows.take(np.sort(order[:FEWEST_ROWS]))
    scores(few.columns)  # the first pass warms up
    began = time.perf_counter()
    scores(few.columns)
    each = (time.perf_counter() - began) / len(few)
    possible = int(seconds / (OVERHEAD * max(each, 1e-7) * (passes + 1)))
    return rows.take(np.sort(order[: max(FEWEST_ROWS, possible)]))


def _adjusted(curves: Sequence[Curve]) -> tuple[Curve, ...]:
    adjusted = iter(holm([dose.change.p for curve in curves for dose in curve.doses]))
    return tuple(
        replace(
            curve, doses=tuple(replace(dose, p_adjusted=next(adjusted)) for dose in curve.doses)
        )
        for curve in curves
    )


def adjusted(assaults: Sequence[Assault]) -> tuple[Assault, ...]:
    """Return attacks with p-values adjusted for being several (Holm, 1979)."""
    ps = holm([each.change.p for each in assaults])
    return tuple(replace(each, p_adjusted=p) for each, p in zip(assaults, ps, strict=True))


def lost(change: Comparison) -> str:
    """Return what was lost or gained against the clean score, in the metric's own unit."""
    metric = METRICS[change.metric]
    size = abs(change.difference)
    told = f"{points(size)} points" if metric.share else f"{size:.3g}"
    return f"{'loses' if change.difference < 0 else 'gains'} {told}"


def _worst(found: Robustness) -> list[Finding]:
    """One finding a kind of damage: its middle severity, which is what may well happen."""
    metric = METRICS[found.metric]
    told = []
    for curve in found.curves:
        dose = curve.doses[len(curve.doses) // 2]
        real = dose.p_adjusted < 0.05 and dose.change.difference < 0
        much = metric.share and dose.change.high < -0.05
        text = (
            f"{curve.name} ({dose.told}): {metric.title} {lost(dose.change)}"
            if real
            else f"{curve.name} ({dose.told}): no loss of {metric.title} told from chance"
        )
        told.append(
            Finding(
                f"robustness[{curve.name}]",
                sentence(f"{text}, {whole(dose.change.n)} rows"),
                dose.change.difference,
                dose.change.low,
                dose.change.high,
                dose.change.n,
                level="warning" if real and much else "info",
                details={
                    "severity": dose.severity,
                    "score": dose.score.value,
                    "clean": found.clean.value,
                    "metric": found.metric,
                    "p_adjusted": dose.p_adjusted,
                },
            )
        )
    return told


def _told(found: Robustness, each: Assault) -> Finding:
    metric = METRICS[found.attacked]
    clean = found.untouched.value if found.untouched is not None else None
    score = each.score
    assert score.value is not None and score.low is not None and score.high is not None
    text = (
        f"{each.name}: {metric.title} {metric.show(score.value)} under attack "
        f"({metric.show(score.low)} to {metric.show(score.high)}), {metric.show(clean or 0.0)} "
        f"without, {whole(each.change.n)} rows"
    )
    return Finding(
        f"attack[{each.name}]",
        sentence(text),
        score.value,
        score.low,
        score.high,
        each.change.n,
        level="warning" if each.change.high < 0 else "info",
        details={
            "metric": found.attacked,
            "clean": clean,
            "radius": each.radius,
            "sees": each.sees,
            "change": each.change.difference,
            "p_adjusted": each.p_adjusted,
            "flat": each.flat,
        },
    )
