"""Two bundles on the same labelled rows: what a person needs to know before replacing a model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from metier.data.known import Known
from metier.data.raw import Raw
from metier.data.read import read
from metier.errors import OptionError
from metier.evidence.catalogue import METRICS
from metier.evidence.compare import Comparison, holm, paired, verdicts
from metier.evidence.judge import against
from metier.evidence.metrics import scorecard
from metier.evidence.pair import PairCost, measure_pair
from metier.evidence.words import sentence, whole
from metier.road.bundles.differing import WHO, Both, Differing
from metier.road.labelled import Labelled, read_labelled, target_of
from metier.road.looks import look
from metier.runtime.manifest import NAME
from metier.runtime.postprocess import Decision, TaskKind
from metier.runtime.session import Bundle, load
from metier.types import Finding, Floats

SECONDS = 4.0
"""About how long the two are timed, in turns."""
Measured = tuple[Finding, ...]


@dataclass(frozen=True)
class Side:
    """One of the two: where it lies, what it is and what it scores."""

    path: str
    digest: str
    metrics: Measured


@dataclass(frozen=True)
class Compared:
    """B against A on the same rows.

    Args:
        task: the shape of the answer.
        metric: the metric that decided in the run of A.
        n: the rows that both were measured on.
        verdict: the deciding metric in one sentence.
        a, b: the two.
        differences: one finding a metric, the deciding one first; a value above 0 is B better, in
            the metric's unit. `details["verdict"]` of all but the first is adjusted for them being
            several (Holm).
        counts: how many rows: `same` answers, only `a` right, only `b` right, `neither`.
        rows: the numbers (0-based) of the rows that differ, by who was right.
        differing: the first of them with their inputs, those where one was right first.
        cost: what the two cost, measured in turns; A is the parent there.
        findings: what was odd about the rows, and how often they were looked at.
    """

    task: TaskKind
    metric: str
    n: int
    verdict: str
    a: Side
    b: Side
    differences: Measured
    counts: Mapping[str, int]
    rows: Mapping[str, tuple[int, ...]]
    differing: tuple[Differing, ...]
    cost: PairCost
    findings: Measured


def compare_bundles(
    a: str | Path, b: str | Path, data: Any, *, seed: int = 0, seconds: float = SECONDS
) -> Compared:
    """Compare bundle B, which would replace A, with A on labelled rows.

    Args:
        a: the run folder or bundle in use.
        b: the one that would replace it.
        data: labelled rows that neither learned from.
        seed: where the random numbers of the intervals start.
        seconds: about how long the two may be timed.

    Raises:
        OptionError: when the two do not answer the same question.
        DataError: when the rows cannot be used.
    """
    bundles = load(a), load(b)
    refuse_clash(*bundles)
    raws = [read(data, known=Known.of_bundle(each.manifest)) for each in bundles]
    rows = _shared(*map(read_labelled, bundles, raws))
    scores = _scores(rows, bundles)
    first, second = (
        each.manifest.decision.at(own.columns()) for each, own in zip(bundles, rows, strict=True)
    )
    decisions = first, in_order(second, first.labels)
    task, truth = rows[0].task, rows[0].truth
    # Both on groups where either was made by groups, since both answer the same rows.
    clusters = next((own.clusters for own in rows if own.clusters is not None), None)
    # And both pay what errors cost whoever uses A, however they were made.
    alike: Any = {"seed": seed, "clusters": clusters, "prices": first.costs}
    cards = [
        tuple(scorecard(task, truth, own, decision, per_class=False, **alike))
        for own, decision in zip(scores, decisions, strict=True)
    ]
    both_ways = (scores[1], scores[0], decisions[1], decisions[0])
    found = {name: paired(name, truth, *both_ways, **alike) for name in task.metrics}
    numbers = rows[0].numbers
    sides = [
        Side(str(path), bundle.digest, card)
        for path, bundle, card in zip((a, b), bundles, cards, strict=True)
    ]
    both = Both(truth, scores, decisions)
    return Compared(
        task=task.kind,
        metric=task.metrics[0],
        n=len(truth),
        verdict=_verdict(found[task.metrics[0]], bundles),
        a=sides[0],
        b=sides[1],
        differences=_differences(found),
        counts=both.counts(),
        rows={who: tuple(numbers[both.right == who].tolist()) for who in WHO},
        differing=both.differing(numbers, _inputs(rows)),
        cost=_cost((Path(a), Path(b)), rows, seconds),
        findings=_odd(rows, raws, (Path(a), Path(b))),
    )


def refuse_clash(a: Bundle, b: Bundle) -> None:
    """Raise OptionError, in one line, when two bundles do not answer the same question."""
    if a.task_kind != b.task_kind:
        raise OptionError(
            f"A is a {a.task_kind} model and B a {b.task_kind} model: their answers cannot be "
            "compared; give two of one kind"
        )
    if target_of(a) != target_of(b):
        first, second = (", ".join(target_of(each)) or "nothing" for each in (a, b))
        raise OptionError(f"A predicts {first} and B {second}: give two with one target")
    if set(a.labels) != set(b.labels):
        only = [
            f"{who} alone knows {', '.join(map(repr, sorted(extra)[:5]))}"
            for who, extra in (
                ("A", set(a.labels) - set(b.labels)),
                ("B", set(b.labels) - set(a.labels)),
            )
            if extra
        ]
        raise OptionError(
            f"the two have different labels ({'; '.join(only)}): give two with one set"
        )
    if a.task_kind == "binary" and a.labels != b.labels:
        raise OptionError(
            f"A looks for {a.labels[1]!r} and B for {b.labels[1]!r}: precision, recall and the "
            "threshold mean different things; make both from rows with one positive class"
        )


def in_order(decision: Decision, labels: Sequence[str]) -> Decision:
    """Return the same decision for scores whose columns stand in another order."""
    if decision.labels == tuple(labels):
        return decision
    places = [decision.labels.index(label) for label in labels]
    each = len(decision.thresholds) == len(labels)
    return replace(
        decision,
        labels=tuple(labels),
        thresholds=tuple(decision.thresholds[i] for i in places) if each else decision.thresholds,
        costs=tuple(tuple(decision.costs[i][j] for j in places) for i in places)
        if decision.costs
        else (),
    )


def _shared(a: Labelled, b: Labelled) -> tuple[Labelled, Labelled]:
    """Return the rows that both can be measured on (their inputs may differ)."""
    _, first, second = np.intersect1d(a.numbers, b.numbers, return_indices=True)
    return (
        replace(a, table=a.table.take(first)),
        replace(b, table=b.table.take(second)),
    )


def _scores(rows: Sequence[Labelled], bundles: Sequence[Bundle]) -> tuple[Floats, Floats]:
    """Return the scores of both, with the columns in the order of the labels of A."""
    first, second = (own.scores(bundle) for own, bundle in zip(rows, bundles, strict=True))
    a, b = bundles
    if a.labels and a.labels != b.labels:
        second = second[:, [b.labels.index(label) for label in a.labels]]
    return first, second


def _cost(paths: Sequence[Path], rows: Sequence[Labelled], seconds: float) -> PairCost:
    """Time both on the same rows, in turns."""
    first, second = (own.columns() for own in rows)
    a, b = (path if (path / NAME).exists() else path / "specialist" for path in paths)
    return measure_pair(a, b, {**second, **first}, seconds=seconds)


def _verdict(found: Comparison, bundles: Sequence[Bundle]) -> str:
    metric = METRICS[found.metric]
    told = f"{metric.title} {metric.show(found.a)} for B and {metric.show(found.b)} for A"
    told = f"{told} on {whole(found.n)} rows: {against('A', found)}"
    if bundles[0].digest == bundles[1].digest:
        return sentence(f"the two are the same bundle; {told}")
    return sentence(told)


def _differences(found: Mapping[str, Comparison]) -> Measured:
    """One finding a metric. The first was named before; the others are many looks at once."""
    first, *others = found
    family = {name: found[name] for name in others}
    told = {first: found[first].verdict, **verdicts(family)}
    adjusted = dict(zip(others, holm([c.p for c in family.values()]), strict=True))
    return tuple(
        Finding(
            name,
            sentence(f"{METRICS[name].title}: {against('A', c, told[name])}"),
            c.difference,
            c.low,
            c.high,
            c.n,
            level="warning" if told[name] == "worse" else "info",
            details={
                "verdict": told[name],
                "p": c.p,
                "p_adjusted": adjusted.get(name, c.p),
                "level": c.level,
                "share": METRICS[name].share,
            },
        )
        for name, c in found.items()
    )


def _inputs(rows: Sequence[Labelled]) -> dict[str, Sequence[Any]]:
    """What either of the two reads, by column (an image is told by its name)."""
    columns: dict[str, Sequence[Any]] = {}
    for own in rows:
        for name in own.table.roles.inputs:
            columns.setdefault(name, own.table.frame[name].to_list())
    return columns


def _odd(rows: Sequence[Labelled], raws: Sequence[Raw], paths: Sequence[Path]) -> Measured:
    """What was found about the rows, told once where it holds for both."""
    found: dict[str, Finding] = {}
    for who, own, raw, path in zip("AB", rows, raws, paths, strict=True):
        for each in own.findings:
            found.setdefault(each.verdict, each)
        for each in look(path, raw):
            told = f"{who}: {each.verdict}"
            found.setdefault(told, replace(each, verdict=told))
    return tuple(found.values())
