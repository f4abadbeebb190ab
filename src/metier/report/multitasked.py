"""What became of several tasks that were learned together, as values and claims."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from metier.evidence.catalogue import METRICS
from metier.evidence.compare import Comparison, Verdict
from metier.evidence.words import sentence
from metier.report import wording
from metier.types import Finding

WAYS = {"single": "a network of its own", "shared": "the shared network"}


@dataclass(frozen=True)
class TaskFound:
    """One task, and what became of it.

    Args:
        name: the task, which is also its folder.
        kind: of the task.
        metric: the one that decides.
        labels: how many there are; 0 for a number.
        rows: learned from.
        chosen: which way it went.
        single, shared: the metric of both ways on the proof rows, with intervals.
        baseline: that of always answering the same.
        gain: what was chosen against that, on the proof rows.
        validated: shared against single on the rows that chose.
        proven: shared against single on the proof rows.
        verdict: what the shared network is there, compared with the task's own, all tasks
            considered (Holm).
        bundle: the folder that predicts.
        digest: of the bundle.
    """

    name: str
    kind: str
    metric: str
    labels: int
    rows: int
    chosen: Literal["single", "shared"]
    single: Finding
    shared: Finding
    baseline: Finding
    gain: Comparison
    validated: Comparison
    proven: Comparison
    verdict: Verdict
    bundle: str
    digest: str

    @property
    def score(self) -> Finding:
        """The proof of the way that was chosen."""
        return self.single if self.chosen == "single" else self.shared


@dataclass(frozen=True)
class Parameters:
    """Weights in all: of what is handed over (what is shared counts once), of a network for each
    task, and of one network for all."""

    hybrid: int
    separate: int
    together: int


@dataclass(frozen=True)
class Multitasked:
    """Several tasks, learned.

    Args:
        name: of the run.
        source: where all networks began.
        tasks: in the order given.
        parameters: weights in all.
        proof_on: which rows the proof is on.
        settings: how many settings of both ways were tried.
        strategies: the settings that were chosen, shared and by task.
        notes: what a person should know first.
        created: when, ISO 8601.
        command: the command line.
        versions: of the libraries.
        seconds: how long it took.
    """

    name: str
    source: str
    tasks: tuple[TaskFound, ...]
    parameters: Parameters
    proof_on: str
    settings: int
    strategies: Mapping[str, Mapping[str, object]]
    notes: tuple[str, ...]
    created: str
    command: str
    versions: Mapping[str, str]
    seconds: float

    @property
    def sharing(self) -> tuple[TaskFound, ...]:
        """The tasks that share a network."""
        return tuple(each for each in self.tasks if each.chosen == "shared")

    @property
    def findings(self) -> tuple[Finding, ...]:
        """All claims, as data."""
        useless = (_useless(each) for each in self.tasks if each.gain.verdict != "better")
        told = (*map(_of_task, self.tasks), *useless, *transfer(self))
        return (*told, _of_parameters(self))

    @property
    def verdict(self) -> str:
        """The one sentence to take away."""
        alone = [each.name for each in self.tasks if each.chosen == "single"]
        shared = [each.name for each in self.sharing]
        less = 1 - self.parameters.hybrid / self.parameters.separate
        if not shared:
            return "No task shares a network: on the rows that chose, each did better by itself."
        saved = f"with {100 * less:.0f} % fewer weights than a network for each"
        if not alone:
            return f"All {len(shared)} tasks share one network, {saved}."
        return f"{listed(shared)} share one network, {listed(alone)} has its own, {saved}."


def multitasked_from_json(data: Mapping[str, Any]) -> Multitasked:
    """Build it again from what `report.content.to_json` makes of it."""

    def task(each: Mapping[str, Any]) -> TaskFound:
        findings = {
            name: Finding(**{**each[name], "rows": tuple(each[name]["rows"])})
            for name in ("single", "shared", "baseline")
        }
        compared = {name: Comparison(**each[name]) for name in ("gain", "validated", "proven")}
        return TaskFound(**{**each, **findings, **compared})

    rebuilt = {
        "tasks": tuple(task(each) for each in data["tasks"]),
        "parameters": Parameters(**data["parameters"]),
        "notes": tuple(data["notes"]),
    }
    return Multitasked(**{**data, **rebuilt})


def _of_task(each: TaskFound) -> Finding:
    c = each.proven
    way = WAYS[each.chosen]
    text = (
        f"task {each.name}: {way} was chosen ({each.score.verdict}); there the shared network is "
        f"{_against(each.verdict)} the task's own ({difference(c)})"
    )
    details = {"task": each.name, "chosen": each.chosen, "validated": each.validated.difference}
    return Finding(
        f"task[{each.name}]", sentence(text), c.difference, c.low, c.high, c.n, details=details
    )


def _useless(each: TaskFound) -> Finding:
    """What a task learned is no more than a constant knows."""
    c = each.gain
    text = (
        f"task {each.name}: what was chosen is {_against(c.verdict)} always answering the same "
        f"({difference(c)}); give more rows, or inputs that say more"
    )
    return Finding("useless", sentence(text), c.difference, c.low, c.high, c.n, "warning")


def _against(verdict: Verdict) -> str:
    return "not distinguishable from" if verdict == "not distinguishable" else f"{verdict} than"


def transfer(found: Multitasked) -> tuple[Finding, ...]:
    """Return which tasks lose by sharing, where it was proven or where it made them go alone."""
    told = []
    for each in found.tasks:
        proven = each.verdict == "worse"
        if not proven and each.chosen == "shared":
            continue
        if not proven and each.validated.verdict != "worse":
            continue
        c = each.proven if proven else each.validated
        where = "the rows of the proof" if proven else "the rows that chose"
        text = (
            f"negative transfer: {each.name} does worse in a network that learns the other tasks "
            f"too: {difference(c)} on {where}"
        )
        text += (
            "; it has a network of its own"
            if each.chosen == "single"
            else "; the rows that chose did not show it, so it shares one all the same"
        )
        level: Literal["info", "problem"] = "problem" if each.chosen == "shared" else "info"
        told.append(
            Finding("negative_transfer", sentence(text), c.difference, c.low, c.high, c.n, level)
        )
    return tuple(told)


def _of_parameters(found: Multitasked) -> Finding:
    own = found.parameters
    text = (
        f"{wording.count(own.hybrid)} weights in all, where a network for each task has "
        f"{wording.count(own.separate)}"
    )
    details = {"separate": own.separate, "together": own.together, "unit": "count"}
    return Finding("parameters", sentence(text), float(own.hybrid), details=details)


def difference(c: Comparison) -> str:
    """Return how much better the shared network is, in points where the metric is a share."""
    if METRICS[c.metric].best == 1.0 and c.metric != "r2":
        shown = (f"{100 * v:+.1f}" for v in (c.difference, c.low, c.high))
        return "{} points ({} to {})".format(*shown)
    value = wording.number(c.difference, (c.low, c.high))
    return f"{value} ({wording.interval(c.low, c.high)})"


def listed(names: list[str]) -> str:
    """Return names as a sentence lists them."""
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
