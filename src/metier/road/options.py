"""What can be asked of a run, and who watches it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol, get_args

from metier.errors import OptionError, suggest
from metier.runtime.postprocess import TaskKind
from metier.runtime.shares import check_share
from metier.search.clock import parse_budget
from metier.search.front import Limits, limits_of
from metier.search.tradeoff import Fairness, asked_of


class Progress(Protocol):
    """Whoever watches a run."""

    def stage(self, name: str) -> None: ...
    def trial(self, rung: str, parameters: Mapping[str, Any]) -> None: ...
    def best(self, name: str, value: float, low: float | None, high: float | None) -> None: ...
    def warn(self, text: str) -> None: ...
    def until(self, deadline: float | None) -> None: ...


@dataclass(frozen=True)
class Options:
    """What was asked of a run. See `metier.api.specialize` for their meaning."""

    target: str | Sequence[str] | None = None
    test: Any = None
    budget: str | float = "5m"
    trials: int | None = None
    sources: Sequence[str] = ()
    strategies: Sequence[str] = ()
    task: str | None = None
    metric: str | None = None
    cost: str | None = None
    group: str | None = None
    time: str | None = None
    sensitive: Sequence[str] = ()
    unlabeled: Any = None
    domain: str | None = None
    target_domain: str | None = None
    prefer: Literal["best", "small"] = "best"
    refit: Literal["all", "none"] = "all"
    sampler: str = "tpe"
    seed: int = 0
    examples: bool = True
    max_size: str | int | None = None
    max_latency: str | float | None = None
    max_loss: float | None = None
    coverage: float | None = None
    max_disparity: float | None = None
    disparity: str | None = None
    allow_group_thresholds: bool = False

    @property
    def limits(self) -> Limits:
        """What the user's device allows. Raises OptionError for what is no limit."""
        return limits_of(self.max_size, self.max_latency, self.max_loss)

    @property
    def fairness(self) -> Fairness:
        """How far groups may lie apart. Raises OptionError for what is no limit."""
        kind = self.disparity or "odds"
        return asked_of(self.max_disparity, kind, self.allow_group_thresholds)


DOMAIN = "domain"
"""The column that says which domain a row is of, where none is named."""
NEED_ROWS = ("pseudolabel", "consistency", "align")
"""Strategies that learn from rows without labels."""
NEED_GROUPS = ("reweigh", "constrain", "threshold")
"""Strategies that are fair to somebody, and have to know to whom."""


def parse_effort(budget: str | float, trials: int | None) -> float | None:
    """Seconds of a budget; None when a number of trials was given instead."""
    if trials is not None and trials < 1:
        raise OptionError(f"--trials {trials}: expected a whole number from 1")
    return None if trials is not None else parse_budget(budget)


def check_words(options: Options) -> None:
    """Refuse words that are none of those an option knows, before anything is read."""
    from metier.search.samplers import check_sampler

    check_sampler(options.sampler)
    if options.seed < 0:
        raise OptionError(f"seed {options.seed}: expected a whole number from 0")
    limits = options.limits
    if options.max_loss is not None and not limits.given:
        raise OptionError(
            "--max-loss: says what a limit may cost; give --max-size or --max-latency"
        )
    if options.coverage is not None:
        check_share("--coverage", options.coverage, 0.9)
    _check_fairness(options)
    _check_unlabeled(options)
    if options.domain is not None and options.target_domain is None:
        raise OptionError("--domain: which one is the specialist for? name it with --target-domain")
    for name, value, known in (
        ("prefer", options.prefer, ("best", "small")),
        ("refit", options.refit, ("all", "none")),
        ("task", options.task, get_args(TaskKind)),
    ):
        if value is not None and value not in known:
            raise OptionError(f"unknown {name} {value!r}{suggest(str(value), known)}")


def _check_unlabeled(options: Options) -> None:
    """Refuse strategies that learn from rows which are not given."""
    if options.unlabeled is not None or options.target_domain is not None:
        return
    for name in options.strategies:
        if any(part in NEED_ROWS for part in name.replace(")", "").split("(")):
            raise OptionError(
                f"--strategy {name}: learns from rows without labels; give --unlabeled, or "
                "--target-domain"
            )


def _check_fairness(options: Options) -> None:
    """Refuse words on fairness that do not go together."""
    limited = options.fairness.limit is not None
    if limited and not options.sensitive:
        raise OptionError("--max-disparity: between which groups? name a column with --sensitive")
    if options.disparity is not None and not limited:
        raise OptionError("--disparity: says what a limit is on; give --max-disparity")
    threshold = any("threshold" in name.replace(")", "").split("(") for name in options.strategies)
    if options.allow_group_thresholds and not (limited or threshold):
        raise OptionError(
            "--allow-group-thresholds: which ones? give --max-disparity, or --strategy "
            "'threshold(...)'"
        )
    for name in options.strategies:
        parts = name.replace(")", "").split("(")
        needs = next((part for part in parts if part in NEED_GROUPS), None)
        if needs is not None and not options.sensitive:
            raise OptionError(f"--strategy {name}: fair to whom? name a column with --sensitive")
        if "threshold" in parts and not options.allow_group_thresholds:
            raise OptionError(
                f"--strategy {name}: the sensitive columns would be needed to predict; give "
                "--allow-group-thresholds if that may be"
            )
