"""Intervals of several metrics at once, from the same resamples of the same rows."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from metier.evidence import bootstrap, counts, ranks
from metier.evidence.answers import Answers, Array, Sample, whole
from metier.evidence.catalogue import Metric
from metier.evidence.words import number
from metier.evidence.words import whole as count
from metier.types import Finding

RESAMPLES = 1000
FEWEST = 200
RANK_WORK = 3e8
"""Rows x classes x resamples of a metric of order, above which there are fewer resamples."""


def intervals(
    metrics: Sequence[Metric],
    answers: Answers,
    level: float = 0.95,
    resamples: int = RESAMPLES,
    seed: int = 0,
    clusters: NDArray[Any] | None = None,
) -> list[Finding]:
    """Return several metrics with their intervals, from the same resamples of the same rows."""
    once = whole(answers)
    exact = {} if clusters is not None else {m.name: _exactly(m, once, level) for m in metrics}
    drawn = [metric for metric in metrics if exact.get(metric.name) is None]
    resampled = _resample(drawn, answers, resamples, seed, clusters)
    found = []
    for metric in metrics:
        value = float(metric.value(once)[0])
        known = exact.get(metric.name)
        if known is not None:
            method, low, high = known
            details: dict[str, Any] = {"level": level, "method": method}
        else:
            values = resampled[metric.name]
            low, high = _bounds(metric, value, values, once, level, clusters)
            details = {"level": level, "method": "bootstrap", "resamples": len(values)}
            if clusters is not None:
                details["groups"] = bootstrap.groups(clusters, len(answers))[1]
        found.append(finding(metric, value, low, high, len(answers), details))
    return found


def _exactly(metric: Metric, once: Sample, level: float) -> tuple[str, float, float] | None:
    """Return how, and the ends, where an interval follows from counts of independent rows; None
    where it does not."""
    value = float(metric.value(once)[0])
    if metric.among is not None:
        among = float(metric.among(once)[0])
        return "wilson", *bootstrap.wilson(value * among, among, level)
    mean = metric.compute in (counts.balanced_accuracy, counts.recall_macro)
    if mean and once.answers.kind != "multilabel":
        return "wilson by class", *_mean_of_recalls(once, value, level)
    return None


def _mean_of_recalls(once: Sample, value: float, level: float) -> tuple[float, float]:
    """Return the interval of a mean over classes of their recalls.

    A bootstrap never sees the mistakes that the few rows of a rare class happen not to hold. The
    recalls are independent, so Wilson's ends of each are put together as squares (Zou and Donner,
    2008), which is right for few classes; for many of them the upper end comes out too near, and
    Wilson's interval of as many evenly spread rows is right. At each end the wider one counts.
    """
    truths = once.counts.truths[:, 0]
    recalls = counts.recalls(once)[:, 0][truths > 0]
    ends = np.array(
        [
            bootstrap.wilson(f * n, n, level)
            for f, n in zip(recalls, truths[truths > 0], strict=True)
        ]
    )
    down, up = np.sqrt(((ends - recalls[:, None]) ** 2).sum(axis=0)) / len(recalls)
    rows = once.answers.balanced_rows()
    low, high = bootstrap.wilson(value * rows, rows, level)
    return min(low, value - float(down)), max(high, value + float(up))


def finding(
    metric: Metric, value: float, low: float, high: float, n: int, details: dict[str, Any]
) -> Finding:
    """Return a metric and its interval as a finding, with its sentence."""
    rows = "1 row" if n == 1 else f"{count(n)} rows"
    if not np.isfinite([value, low, high]).all():
        verdict = f"{metric.title} is not defined on {'' if n == 1 else 'these '}{rows}"
        return Finding(metric.name, verdict, n=n, details=details)
    level = 100 * float(details["level"])
    between = f"{level:g} % interval {metric.show(low)} to {metric.show(high)}"
    groups = f" in {count(details['groups'])} groups" if "groups" in details else ""
    verdict = f"{metric.title} {metric.show(value)} ({between}, {rows}{groups})"
    return Finding(metric.name, verdict, value, low, high, n, details=details)


def _resample(
    metrics: list[Metric],
    answers: Answers,
    resamples: int,
    seed: int,
    clusters: NDArray[Any] | None,
) -> dict[str, Array]:
    """Return the bootstrap values of metrics by name, before `finish`."""
    wanted = {metric.name: affordable(metric, answers, resamples) for metric in metrics}
    parts: dict[str, list[Array]] = {metric.name: [] for metric in metrics}
    for start, sample in _samples(answers, max(wanted.values(), default=0), seed, clusters):
        for metric in metrics:
            if start < wanted[metric.name]:
                parts[metric.name].append(metric.compute(sample))
    return {name: np.concatenate(values) for name, values in parts.items()}


def _samples(
    answers: Answers, resamples: int, seed: int, clusters: NDArray[Any] | None
) -> Iterator[tuple[int, Sample]]:
    start = 0
    for weights in bootstrap.draws(len(answers), resamples, seed, clusters):
        yield start, Sample(answers, weights)
        start += weights.shape[1]


def affordable(metric: Metric, answers: Answers, resamples: int) -> int:
    """Return how many resamples a metric gets: fewer when it sorts many rows for many classes."""
    if metric.compute not in (ranks.roc_auc, ranks.average_precision):
        return resamples
    work = len(answers) * max(1, len(answers.labels))
    return min(resamples, max(FEWEST, int(RANK_WORK / max(work, 1))))


def _bounds(
    metric: Metric,
    value: float,
    values: Array,
    once: Sample,
    level: float,
    clusters: NDArray[Any] | None,
) -> tuple[float, float]:
    """Return the interval of a metric from its bootstrap values; none, not even of one point, where
    it would follow from a single row or group."""
    _, size = bootstrap.groups(clusters, len(once.answers))
    if metric.finish is not None:
        values = metric.finish(values - values.mean() + metric.compute(once)[0])
    low, high = bootstrap.percentiles(values, level, size)
    if high - low < 1e-12:
        low, high = at_the_end(metric, value, once.answers, size, level)
        if size < 2 and low == high:  # one row or group says nothing of the next
            return float("nan"), float("nan")
    return min(low, value), max(high, value)


def at_the_end(
    metric: Metric, value: float, answers: Answers, size: int, level: float
) -> tuple[float, float]:
    """Return an interval for answers without any mistake, or with nothing else; of others the value
    itself, twice.

    All resamples of them are the same, but the next row need not be: Wilson's interval of as many
    rows as count for a mean over classes.
    """
    if metric.compute is counts.cost:
        return _cost_at_the_end(value, answers, size, level)
    if metric.best is None or metric.worst is None:
        return value, value
    if not np.isclose(value, [metric.best, metric.worst]).any():
        return value, value
    n = min(answers.balanced_rows(), float(size))
    span = metric.best - metric.worst
    low, high = bootstrap.wilson((value - metric.worst) / span * n, n, level)
    return metric.worst + span * low, metric.worst + span * high


def _cost_at_the_end(
    value: float, answers: Answers, size: int, level: float
) -> tuple[float, float]:
    """Return the interval of a mean cost that is the same for every row: the mistakes of each class
    that its rows do not rule out, at what the dearest of them costs."""
    if not answers.costs:
        return bootstrap.wilson(value * size, size, level)
    if value != 0.0:
        return value, value
    rows, shares = answers.flags.sum(axis=0), answers.flags.mean(axis=0)
    most = np.array([bootstrap.wilson(0.0, n * size / len(answers), level)[1] for n in rows])
    return 0.0, float(np.sqrt(((shares * most * np.max(answers.costs, axis=1)) ** 2).sum()))


_EACH: tuple[tuple[str, Callable[[Sample], Array]], ...] = (
    ("precision", counts.precisions),
    ("recall", counts.recalls),
    ("f1", counts.f1s),
)


def per_class(
    answers: Answers,
    level: float,
    resamples: int,
    seed: int,
    clusters: NDArray[Any] | None,
) -> list[Finding]:
    """Return precision, recall and F1 of each label, named `recall[label]`; `n` is its rows."""
    once = whole(answers)
    parts = [
        [each(sample) for _, each in _EACH]
        for _, sample in _samples(answers, resamples, seed, clusters)
    ]
    drawn = {
        name: np.concatenate([p[i] for p in parts], axis=1) for i, (name, _) in enumerate(_EACH)
    }
    among = {"precision": once.counts.choices, "recall": once.counts.truths}
    _, size = bootstrap.groups(clusters, len(answers))
    found = []
    for k, label in enumerate(answers.labels):
        n = int(once.counts.truths[k, 0])
        for name, each in _EACH:
            value = float(each(once)[k, 0])
            low, high = bootstrap.percentiles(drawn[name][k], level, size)
            rows = min(float(among[name][k, 0]) if name in among else float(n), float(size))
            if (name in among and clusters is None) or high - low < 1e-12:
                low, high = bootstrap.wilson(value * rows, rows, level)
            low, high = min(low, value), max(high, value)
            verdict = (
                f"{label}: {name} {number(value)} ({100 * level:g} % interval {number(low)} to "
                f"{number(high)}, {count(n)} rows of this label)"
            )
            details = {"level": level, "label": label, "measure": name}
            found.append(Finding(f"{name}[{label}]", verdict, value, low, high, n, details=details))
    return found
