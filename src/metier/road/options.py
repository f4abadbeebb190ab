"""What can be asked of a run, and who watches it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol, get_args

from metier.errors import OptionError, suggest
from metier.runtime.postprocess import TaskKind
from metier.search.clock import parse_budget
from metier.search.front import Limits, limits_of


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
    prefer: Literal["best", "small"] = "best"
    refit: Literal["all", "none"] = "all"
    sampler: str = "tpe"
    seed: int = 0
    examples: bool = True
    max_size: str | int | None = None
    max_latency: str | float | None = None
    max_loss: float | None = None
    coverage: float | None = None

    @property
    def limits(self) -> Limits:
        """What the user's device allows. Raises OptionError for what is no limit."""
        return limits_of(self.max_size, self.max_latency, self.max_loss)


def parse_effort(budget: str | float, trials: int | None) -> float | None:
    """Seconds of a budget; None when a number of trials was given instead."""
    if trials is not None and trials < 1:
        raise OptionError(f"--trials {trials}: expected a whole number from 1")
    return None if trials is not None else parse_budget(budget)


def check_words(options: Options) -> None:
    """Refuse words that are none of those an option knows, before anything is read."""
    from metier.search.samplers import check_sampler

    check_sampler(options.sampler)
    limits = options.limits
    if options.max_loss is not None and not limits.given:
        raise OptionError(
            "--max-loss: says what a limit may cost; give --max-size or --max-latency"
        )
    if options.coverage is not None and not 0 < options.coverage < 1:
        raise OptionError(
            f"--coverage {options.coverage:g}: is no share between 0 and 1; write for example 0.9"
        )
    for name, value, known in (
        ("prefer", options.prefer, ("best", "small")),
        ("refit", options.refit, ("all", "none")),
        ("task", options.task, get_args(TaskKind)),
    ):
        if value is not None and value not in known:
            raise OptionError(f"unknown {name} {value!r}{suggest(str(value), known)}")
