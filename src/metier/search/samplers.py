"""Which parameters to try next: Optuna behind one room.

Every rung has its own Optuna study, all in one journal file that the Optuna dashboard opens. What
is proposed depends on (seed, rung, number) and on the trials before it alone. It is worked out in
memory and then written down whole, so that a run killed at any moment finds the proposal as it
was, or makes the same one again.
"""

from __future__ import annotations

import itertools
import math
import warnings
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import FrozenTrial, TrialState

from metier.errors import OptionError, Pruned, suggest
from metier.space import Choice, Float, Int, Range

GRID_STEPS = 3
LONGEST_GRID = 10_000
"""Points of a grid; of larger ones so many are drawn."""
FEW = 12
"""A space of so few choices is gone through, one by one, whatever the sampler."""
WARM_UP = 4
"""Trials drawn at random before a model of the space is trusted."""


@dataclass(frozen=True)
class Proposal:
    """Parameters to try, and their number in the study of a rung."""

    rung: str
    number: int
    parameters: Mapping[str, Any]


class Studies:
    """The studies of all rungs in one journal file.

    One process at a time may write: what a killed one left half-written is cut off at the start.

    Raises OptionError for a sampler that is not known.
    """

    def __init__(self, journal: Path, seed: int, sampler: str) -> None:
        check_sampler(sampler)
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        journal.parent.mkdir(parents=True, exist_ok=True)
        _mend(journal)
        self._storage = JournalStorage(JournalFileBackend(str(journal)))
        self._seed = seed
        self._sampler = sampler
        self._open: dict[str, optuna.Study] = {}

    def propose(
        self, rung: str, space: Mapping[str, Range], default: Mapping[str, Any]
    ) -> Proposal:
        """Return what to try next on a rung: first its defaults, then what the sampler says.

        A proposal that an interrupted run never finished is given out again.
        """
        study = self._study(rung)
        waiting = _unfinished(study)
        if waiting is None:
            number = len(study.get_trials(deepcopy=False))
            study.enqueue_trial(dict(self._next(study, rung, number, space, default)))
            waiting = _unfinished(study)
        assert waiting is not None
        if waiting.state == TrialState.WAITING:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # a default outside of its range is tried as it is
                study.ask(_distributions(space, default))
        fixed = waiting.system_attrs.get("fixed_params", {})
        return Proposal(rung, waiting.number, {name: fixed[name] for name in space})

    def tell(self, proposal: Proposal, value: float | None, *, failed: bool = False) -> None:
        """Say how a proposal did (higher is better); None when it was cut or failed."""
        study = self._study(proposal.rung)
        if value is not None:
            study.tell(proposal.number, value, skip_if_finished=True)
        else:
            state = TrialState.FAIL if failed else TrialState.PRUNED
            study.tell(proposal.number, state=state, skip_if_finished=True)

    def room(self, space: Mapping[str, Range], default: Mapping[str, Any]) -> float:
        """How many different proposals there are in a space, the defaults among them."""
        if self._sampler != "grid" and not _few(space):
            return math.inf
        points = min(math.prod(len(_points(over)) for over in space.values()), LONGEST_GRID)
        known = all(default[name] in _points(over) for name, over in space.items())
        return points + (not known)

    def reporter(self, proposal: Proposal) -> Callable[[int, float], None]:
        """Return the `report` of a run: notes how a fit goes and raises Pruned when hopeless."""
        study = self._study(proposal.rung)
        trial = next(t for t in study.get_trials(deepcopy=False) if t.number == proposal.number)
        live = optuna.trial.Trial(study, trial._trial_id)
        before = set(trial.intermediate_values)

        def report(step: int, value: float) -> None:
            if step not in before:  # a resumed fit passes steps that it had reported already
                before.add(step)
                live.report(value, step)
            if live.should_prune():
                raise Pruned("hopeless beside the trials before it")

        return report

    def _next(
        self,
        study: optuna.Study,
        rung: str,
        number: int,
        space: Mapping[str, Range],
        default: Mapping[str, Any],
    ) -> Mapping[str, Any]:
        if number == 0 or not space:
            return {name: default[name] for name in space}
        if self._sampler == "grid" or _few(space):
            points = grid(space, zlib.crc32(f"{self._seed}/{rung}".encode()))
            points = [point for point in points if point != dict(default)]
            return points[(number - 1) % len(points)]
        history = optuna.create_study(
            direction="maximize",
            sampler=SAMPLERS[self._sampler](zlib.crc32(f"{self._seed}/{rung}/{number}".encode())),
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            history.add_trials([t for t in study.get_trials() if t.state.is_finished()])
            asked = history.ask(_distributions(space, default))
        return asked.params

    def _study(self, rung: str) -> optuna.Study:
        if rung not in self._open:
            hyperband = self._sampler == "hyperband"
            self._open[rung] = optuna.create_study(
                storage=self._storage,
                study_name=rung,
                direction="maximize",
                load_if_exists=True,
                sampler=optuna.samplers.RandomSampler(seed=0),  # every parameter is given to it
                pruner=optuna.pruners.HyperbandPruner(min_resource=1)
                if hyperband
                else optuna.pruners.MedianPruner(n_startup_trials=3, n_warmup_steps=1),
            )
        return self._open[rung]


SAMPLERS: Mapping[str, Callable[[int], optuna.samplers.BaseSampler]] = {
    "tpe": lambda seed: optuna.samplers.TPESampler(seed=seed, n_startup_trials=WARM_UP),
    "random": lambda seed: optuna.samplers.RandomSampler(seed=seed),
    "gp": lambda seed: optuna.samplers.GPSampler(seed=seed, n_startup_trials=WARM_UP),
    "hyperband": lambda seed: optuna.samplers.RandomSampler(seed=seed),
}
"""Samplers by name, beside "grid". "hyperband" draws at random and cuts with Hyperband's brackets
(Li et al., 2018); the others cut with the median rule."""


def check_sampler(name: str) -> None:
    """Raise OptionError for a sampler that is not known."""
    if name != "grid" and name not in SAMPLERS:
        raise OptionError(f"unknown sampler {name!r}{suggest(name, ['grid', *SAMPLERS])}")


def grid(space: Mapping[str, Range], seed: int) -> list[dict[str, Any]]:
    """Return the points of a grid in an order drawn from the seed."""
    axes = [_points(over) for over in space.values()]
    size = math.prod(len(axis) for axis in axes)
    random = np.random.default_rng(seed)
    if size > LONGEST_GRID:
        sizes = [len(axis) for axis in axes]
        places = random.integers(sizes, size=(LONGEST_GRID, len(sizes)))
    else:
        every = list(itertools.product(*(range(len(axis)) for axis in axes)))
        places = np.array(every)[random.permutation(size)]
    return [
        {name: axis[i] for name, axis, i in zip(space, axes, place, strict=True)}
        for place in places.tolist()
    ]


def _unfinished(study: optuna.Study) -> FrozenTrial | None:
    open_ = (TrialState.RUNNING, TrialState.WAITING)
    return next(iter(study.get_trials(deepcopy=False, states=open_)), None)


def _mend(journal: Path) -> None:
    """Take away what a killed process left: its lock, and a last line without an end."""
    for lock in journal.parent.glob(f"{journal.name}.lock*"):
        lock.unlink()
    if not journal.exists():
        return
    with journal.open("rb+") as file:
        content = file.read()
        whole = content.rfind(b"\n") + 1
        if whole < len(content):
            file.truncate(whole)


def _few(space: Mapping[str, Range]) -> bool:
    choices = [over.values for over in space.values() if isinstance(over, Choice)]
    return len(choices) == len(space) and math.prod(map(len, choices)) <= FEW


def _distributions(
    space: Mapping[str, Range], default: Mapping[str, Any]
) -> dict[str, BaseDistribution]:
    """The space in Optuna's words, made so wide that the default is in it."""
    return {name: _distribution(_with(over, default[name])) for name, over in space.items()}


def _with(over: Range, value: Any) -> Range:
    if isinstance(over, Choice):
        return over if value in over.values else Choice((*over.values, value))
    return replace(over, low=min(over.low, value), high=max(over.high, value))


def _distribution(over: Range) -> BaseDistribution:
    if isinstance(over, Int):
        return IntDistribution(over.low, over.high, log=over.log)
    if isinstance(over, Float):
        return FloatDistribution(over.low, over.high, log=over.log)
    return CategoricalDistribution(over.values)


def _points(over: Range) -> list[Any]:
    """A few evenly spread values of a range, for the grid."""
    if isinstance(over, Choice):
        return list(over.values)
    low, high = float(over.low), float(over.high)
    shares = [i / (GRID_STEPS - 1) for i in range(GRID_STEPS)]
    points = [low * (high / low) ** s if over.log else low + (high - low) * s for s in shares]
    points = [min(max(p, low), high) for p in points]
    return sorted({round(p) for p in points}) if isinstance(over, Int) else points
