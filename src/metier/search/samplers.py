"""Which parameters to try next: Optuna behind one room.

Every rung has its own Optuna study, all in one journal file that the Optuna dashboard opens. A
sampler is made anew for each proposal from (seed, rung, number), so that what it proposes depends
on the history alone and an interrupted run goes on as if nothing had happened.
"""

from __future__ import annotations

import warnings
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState

from metier.errors import OptionError, Pruned, suggest
from metier.space import Choice, Float, Int, Range

GRID_STEPS = 3
SAMPLERS: dict[str, Callable[[int, Mapping[str, Range]], optuna.samplers.BaseSampler]] = {
    "tpe": lambda seed, _: optuna.samplers.TPESampler(seed=seed, n_startup_trials=4),
    "random": lambda seed, _: optuna.samplers.RandomSampler(seed=seed),
    "gp": lambda seed, _: optuna.samplers.GPSampler(seed=seed, n_startup_trials=4),
    "grid": lambda seed, space: optuna.samplers.GridSampler(
        {name: _points(over) for name, over in space.items()}, seed=seed
    ),
    "hyperband": lambda seed, _: optuna.samplers.RandomSampler(seed=seed),
}
"""Samplers by name. "hyperband" draws at random and cuts with Hyperband's brackets (Li et al.,
2018); the others cut with the median rule."""


@dataclass(frozen=True)
class Proposal:
    """Parameters to try, and their number in the study of a rung."""

    rung: str
    number: int
    parameters: Mapping[str, Any]


class Studies:
    """The studies of all rungs in one journal file."""

    def __init__(self, journal: Path, seed: int, sampler: str) -> None:
        if sampler not in SAMPLERS:
            raise OptionError(f"unknown sampler {sampler!r}{suggest(sampler, SAMPLERS)}")
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        journal.parent.mkdir(parents=True, exist_ok=True)
        self._storage = JournalStorage(JournalFileBackend(str(journal)))
        self._seed = seed
        self._sampler = sampler
        self._open: dict[str, optuna.Study] = {}

    def propose(self, rung: str, space: Mapping[str, Range], default: Mapping[str, Any]) -> Proposal:
        """Return what to try next on a rung: first its defaults, then what the sampler says.

        A proposal that an interrupted run never finished is given out again.
        """
        study = self._study(rung)
        for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
            return Proposal(rung, trial.number, dict(trial.params))
        number = len(study.get_trials(deepcopy=False))
        if number == 0:
            study.enqueue_trial({k: v for k, v in default.items() if k in space})
        seed = zlib.crc32(f"{self._seed}/{rung}/{number}".encode())
        study.sampler = SAMPLERS[self._sampler](seed, space)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a default outside of its range is tried all the same
            trial = study.ask({name: _distribution(over) for name, over in space.items()})
        return Proposal(rung, trial.number, dict(trial.params))

    def tell(self, proposal: Proposal, value: float | None, *, failed: bool = False) -> None:
        """Say how a proposal did (higher is better); None when it was cut or failed."""
        study = self._study(proposal.rung)
        if value is not None:
            study.tell(proposal.number, value, skip_if_finished=True)
        else:
            state = TrialState.FAIL if failed else TrialState.PRUNED
            study.tell(proposal.number, state=state, skip_if_finished=True)

    def reporter(self, proposal: Proposal) -> Callable[[int, float], None]:
        """Return the `report` of a run: notes how a fit goes and raises Pruned when hopeless."""
        study = self._study(proposal.rung)
        trial = next(t for t in study.get_trials() if t.number == proposal.number)
        live = optuna.trial.Trial(study, trial._trial_id)

        def report(step: int, value: float) -> None:
            live.report(value, step)
            if live.should_prune():
                raise Pruned("hopeless beside the trials before it")

        return report

    def count(self, rung: str) -> int:
        """How many proposals a rung has given out."""
        return len(self._study(rung).get_trials(deepcopy=False))

    def _study(self, rung: str) -> optuna.Study:
        if rung not in self._open:
            hyperband = self._sampler == "hyperband"
            self._open[rung] = optuna.create_study(
                storage=self._storage,
                study_name=rung,
                direction="maximize",
                load_if_exists=True,
                pruner=optuna.pruners.HyperbandPruner(min_resource=1)
                if hyperband
                else optuna.pruners.MedianPruner(n_startup_trials=3, n_warmup_steps=1),
            )
        return self._open[rung]


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
