"""What the numbers mean, in sentences that need no statistics to be read."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Literal

from metier.evidence.catalogue import METRICS, Metric
from metier.evidence.compare import Comparison, Verdict, holm, verdicts
from metier.evidence.words import number, percent, points, sentence, whole
from metier.types import Finding

Level = Literal["info", "warning", "problem"]
LEVELS: dict[Verdict, Level] = {
    "better": "info",
    "worse": "problem",
    "not distinguishable": "warning",
}
GENERALIST = "generalist"
WITHOUT_TRANSFER = ("classical", "scratch", "boost", "linear")
"""Baselines that know nothing but the user's own rows."""
TRIVIAL = ("majority", "mean")
"""Baselines that do not look at the inputs."""

CALLED = {
    GENERALIST: "the general model",
    "classical": "a classical model without any pretraining",
    "scratch": "the same network trained from random weights",
    "boost": "boosted trees without any pretraining",
    "linear": "a linear model without any pretraining",
    "majority": "always giving the same answer",
    "mean": "always answering the mean",
}
GAP = 0.1
"""On metrics that end at 1: this much less on unseen rows than on training rows is overfitting."""
RATIO = 2.0
"""On errors without an end: this many times the training error on unseen rows is overfitting."""


def judge(
    specialist: Finding,
    baselines: Mapping[str, Comparison],
    *,
    rows: str = "test rows",
    transfer: bool = True,
    runner_up: tuple[str, Comparison] | None = None,
    on_train: Finding | None = None,
    on_unseen: Finding | None = None,
) -> list[Finding]:
    """Say what a specialist is worth.

    Args:
        specialist: its deciding metric with the interval (`metier.evidence.metrics.interval`).
        baselines: the specialist compared with each baseline, by registered name.
        rows: what the rows are called that all this was measured on.
        transfer: whether the specialist started from a pretrained source.
        runner_up: the name of the next best candidate, and the specialist compared with it.
        on_train: the metric with its interval on rows that the specialist learned from.
        on_unseen: the same on rows of the training file that it did not learn from.

    Returns:
        Findings named `verdict`, then, where they apply, `learned_nothing`, `negative_transfer`,
        `runner_up` and `overfitting`. With several comparisons a difference counts only when it
        outlasts Holm's adjustment for all of them. What is not defined on these rows says nothing.
    """
    metric = METRICS[specialist.name]
    told = verdicts(_family(baselines, runner_up))
    baselines = {name: c for name, c in baselines.items() if c.defined}
    runner_up = runner_up if runner_up and runner_up[1].defined else None
    found = [_headline(metric, specialist, baselines, told, rows)]
    found += _learned_nothing(metric, baselines, told)
    if transfer:
        found += _negative_transfer(metric, baselines, told)
    if runner_up:
        found.append(_runner_up(metric, *runner_up, told[_second(runner_up[0])]))
    if on_train is not None and on_unseen is not None:
        found += _overfitting(metric, on_train, on_unseen)
    return found


def _family(
    baselines: Mapping[str, Comparison], runner_up: tuple[str, Comparison] | None
) -> dict[str, Comparison]:
    """All that a specialist is compared with and that is defined: what is adjusted together."""
    second = {} if runner_up is None else {_second(runner_up[0]): runner_up[1]}
    return {name: c for name, c in {**baselines, **second}.items() if c.defined}


def _second(name: str) -> str:
    return f"runner-up {name}"


def gains(
    comparisons: Mapping[str, Comparison], runner_up: tuple[str, Comparison] | None = None
) -> list[Finding]:
    """Return what the specialist gains over each of several others, the strongest of them first.

    A value is the gain in the metric's own unit, above 0 for better, with its interval; `details`
    hold `p`, `p_adjusted` (Holm, the runner-up counted with them as `judge` does), `verdict`,
    `metric` and `error_gone`, the share of the other's error that is gone.
    """
    family = _family(comparisons, runner_up)
    told = verdicts(family)
    adjusted = dict(zip(family, holm([c.p for c in family.values()]), strict=True))
    found = []
    for name, c in comparisons.items():
        verdict = told.get(name, "not distinguishable")
        details: dict[str, Any] = {
            "p": c.p,
            "p_adjusted": adjusted.get(name, c.p),
            "verdict": verdict,
            "metric": c.metric,
            "error_gone": c.error_gone,
            "level": c.level,
        }
        text = sentence(_against(METRICS[c.metric], called(name), c, verdict))
        level: Level = "warning" if verdict == "worse" else "info"
        found.append(Finding(name, text, c.difference, c.low, c.high, c.n, level, details=details))
    return sorted(found, key=lambda finding: finding.value or 0.0)


def called(name: str) -> str:
    """Return how a sentence calls a baseline or a candidate."""
    return CALLED.get(name, name)


def against(rival: str, found: Comparison, verdict: Verdict | None = None) -> str:
    """Return what a is, compared with a rival, as the end of a sentence.

    `verdict` is given where several comparisons were adjusted for being several.
    """
    return _against(METRICS[found.metric], called(rival), found, verdict or found.verdict)


def _headline(
    metric: Metric,
    specialist: Finding,
    baselines: Mapping[str, Comparison],
    told: Mapping[str, Verdict],
    rows: str,
) -> Finding:
    text = _statement(metric, specialist, rows)
    rival = _main_rival(baselines)
    level: Level = "info" if specialist.value is not None else "warning"
    if rival is not None:
        text += ": " + _against(metric, called(rival), baselines[rival], told[rival])
        level = LEVELS[told[rival]]
    return Finding(
        "verdict",
        sentence(text),
        specialist.value,
        specialist.low,
        specialist.high,
        specialist.n,
        level,
        details={"metric": metric.name, "against": rival},
    )


def _main_rival(baselines: Mapping[str, Comparison]) -> str | None:
    """Return the generalist, else the strongest baseline there is."""
    if GENERALIST in baselines or not baselines:
        return GENERALIST if baselines else None
    return min(baselines, key=lambda name: baselines[name].difference)


def _statement(metric: Metric, found: Finding, rows: str) -> str:
    where = f"{whole(found.n or 0)} {rows.removesuffix('s') if found.n == 1 else rows}"
    if found.value is None:
        return f"the {metric.title} of the specialist is not defined on {where}"
    level = f"{100 * float(found.details.get('level', 0.95)):g} %"
    low, high = found.low or 0.0, found.high or 0.0
    if metric.per_row:
        right = "right" if metric.name == "accuracy" else "right in all their labels"
        return (
            f"the specialist answers {percent(found.value)} % of {where} {right} "
            f"({level} interval {percent(low)} to {percent(high)})"
        )
    return (
        f"the specialist has a {metric.title} of {metric.show(found.value)} on {where} "
        f"({level} interval {_bare(metric, low)} to {_bare(metric, high)})"
    )


def _bare(metric: Metric, value: float) -> str:
    return percent(value) if metric.share else number(value)


def _amount(metric: Metric, difference: float) -> str:
    """Return the size of a difference in words, without its sign."""
    return f"{points(difference)} points" if metric.share else number(abs(difference))


def _signed(metric: Metric, difference: float) -> str:
    sign = "−" if difference < 0 else ""
    return sign + (points(difference) if metric.share else number(abs(difference)))


def _between(metric: Metric, low: float, high: float) -> str:
    return f"{_signed(metric, low)} to {_signed(metric, high)}"


def _difference(metric: Metric, c: Comparison, verdict: Verdict = "not distinguishable") -> str:
    unit = " points" if metric.share else ""
    told = f"difference {_signed(metric, c.difference)}{unit}, {_between(metric, c.low, c.high)}"
    if verdict != "not distinguishable" or c.low <= 0 <= c.high:
        return told
    return f"{told} taken alone; among several comparisons that may be chance"


def _against(metric: Metric, rival: str, c: Comparison, verdict: Verdict) -> str:
    """Return what the specialist is compared with one rival, as the end of a sentence."""
    if not c.defined:
        return f"no comparison with {rival}: the {metric.title} is not defined on these rows"
    if verdict == "not distinguishable":
        return f"not distinguishable from {rival} ({_difference(metric, c)})"
    more = (verdict == "better") == metric.higher_is_better
    low, high = (c.low, c.high) if verdict == "better" else (-c.high, -c.low)
    text = (
        f"{_amount(metric, c.difference)} {'more' if more else 'less'} than {rival} "
        f"({_between(metric, low, high)})"
    )
    if verdict == "better" and c.error_gone is not None:
        text += f", {percent_whole(c.error_gone)} % of {_its_error(metric)} gone"
    return text


def _its_error(metric: Metric) -> str:
    if metric.share:
        return "its errors"
    return "its error" if not metric.higher_is_better else "what it lacks to a perfect 1"


def percent_whole(share: float) -> str:
    """Return a share in whole per cent; 100 only when nothing is left.

    >>> percent_whole(0.733), percent_whole(0.998)
    ('73', '99')
    """
    return f"{min(100 * share, 100.0):.0f}" if share < 0.985 or share >= 1 else "99"


def _learned_nothing(
    metric: Metric, baselines: Mapping[str, Comparison], told: Mapping[str, Verdict]
) -> list[Finding]:
    name = next((n for n in TRIVIAL if n in baselines and told[n] != "better"), None)
    if name is None:
        return []
    c = baselines[name]
    text = (
        f"the specialist is not better than {called(name)} "
        f"({_difference(metric, c, told[name])}): nothing "
        "learned from these inputs shows; check that they can tell the answer, or give more rows"
    )
    return [_flag("learned_nothing", text, c, "problem")]


def _negative_transfer(
    metric: Metric, baselines: Mapping[str, Comparison], told: Mapping[str, Verdict]
) -> list[Finding]:
    """Return a finding when the strongest baseline without transfer is not beaten."""
    names = [n for n in WITHOUT_TRANSFER if n in baselines and told[n] != "better"]
    if not names:
        return []
    name = min(names, key=lambda n: baselines[n].difference)
    c = baselines[name]
    if told[name] == "worse":
        text = (
            f"negative transfer: {called(name)} does better, by {_amount(metric, c.difference)} "
            f"({_between(metric, -c.high, -c.low)}); prefer it"
        )
        return [_flag("negative_transfer", text, c, "problem")]
    text = (
        f"no gain from transfer shows: the specialist is not distinguishable from {called(name)} "
        f"({_difference(metric, c)})"
    )
    return [_flag("negative_transfer", text, c, "warning")]


def _runner_up(metric: Metric, name: str, c: Comparison, verdict: Verdict) -> Finding:
    rival = f"the runner-up ({name})"
    return _flag("runner_up", _against(metric, rival, c, verdict), c, "info")


def _flag(name: str, text: str, c: Comparison, level: Level) -> Finding:
    return Finding(name, sentence(text), c.difference, c.low, c.high, c.n, level)


def _overfitting(metric: Metric, on_train: Finding, on_unseen: Finding) -> list[Finding]:
    """Return whether the metric falls from rows that were learned to rows that were not; nothing
    where it is not defined."""
    learned, unseen = on_train.value, on_unseen.value
    if learned is None or unseen is None:
        return []
    bounded = metric.higher_is_better
    gap, low, high = _apart(*((on_train, on_unseen) if bounded else (on_unseen, on_train)))
    much = gap > GAP if bounded else unseen > RATIO * learned
    shown = f"{metric.title} {metric.show(learned)}"
    if metric.per_row:
        shown = f"{percent(learned)} % right"
    text = (
        f"{shown} on {whole(on_train.n or 0)} rows it learned from, {metric.show(unseen)} on "
        f"{whole(on_unseen.n or 0)} rows it had not seen"
    )
    if much:
        text = (
            f"overfitting: {text}, {_amount(metric, gap)} {'less' if bounded else 'more'} "
            f"({_between(metric, low, high)}); "
            "more rows, fewer trained layers or more regularisation may close that gap"
        )
    else:
        text = f"no sign of overfitting: {text} (difference {_between(metric, low, high)})"
    level: Level = "warning" if much else "info"
    n = min(on_train.n or 0, on_unseen.n or 0)
    return [Finding("overfitting", sentence(text), gap, low, high, n, level)]


def _apart(a: Finding, b: Finding) -> tuple[float, float, float]:
    """Return how far a lies above b, with the interval that follows from those of both.

    The rows are others, so the two are independent: the ends are put together as squares
    (Newcombe, 1998, "Interval estimation for the difference between independent proportions";
    Zou and Donner, 2008, for any two).
    """
    (one, low, high), (other, least, most) = (
        tuple(v if v is not None else f.value or 0.0 for v in (f.value, f.low, f.high))
        for f in (a, b)
    )
    gap = one - other
    down, up = math.hypot(one - low, most - other), math.hypot(high - one, other - least)
    return gap, gap - down, gap + up
