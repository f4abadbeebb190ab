"""The way out of several tasks: what both ways are worth, a bundle for each, and the page."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from metier.cache import fingerprint, write_aside
from metier.data.remembered import remember
from metier.data.table import clusters_of
from metier.deploy.bundle import write_bundle
from metier.deploy.reference import HeldOut
from metier.evidence.compare import paired, verdicts
from metier.evidence.metrics import interval
from metier.evidence.uncertainty import selective
from metier.evidence.uncertainty.isotonic import fit_calibration
from metier.evidence.uncertainty.thresholds import fit_thresholds
from metier.registry import find
from metier.report.content import to_json
from metier.report.document import render_document
from metier.report.multitask import multitask_document, task_card
from metier.report.multitasked import Multitasked, Parameters, TaskFound
from metier.report.wording import over_groups
from metier.road.asked import versions
from metier.road.labelled import role_facts
from metier.road.looks import count_look
from metier.road.multitask.tasks import PAGE, RESULT, Asked
from metier.runtime import conformal
from metier.runtime.doubt import Doubt
from metier.runtime.postprocess import Decision
from metier.search.hybrid import Arena, Chosen, Way, plain
from metier.training.net import NetModel
from metier.types import Floats, Run, Specialist, Table

SAMPLE = 200
"""Rows on which a bundle is compared with its model."""


@dataclass(frozen=True)
class Side:
    """One way on one task: the specialist, its decision rule, and its scores of the proof rows."""

    made: Specialist
    decision: Decision
    scores: Floats


Sides = Mapping[Way, Side]


@dataclass(frozen=True)
class Ending:
    """What is handed over, and from what it came.

    Args:
        tasks: as they were asked for.
        arena: what they were tried on.
        chosen: the settings and the ways.
        proofs: the rows of the proof of each task.
        folder: the run folder.
        command: the command line.
        notes: what a person should know first.
    """

    tasks: Sequence[Asked]
    arena: Arena
    chosen: Chosen
    proofs: Sequence[Table]
    folder: Path
    command: str
    notes: Sequence[str] = ()


def hand_over(
    ending: Ending, single: Sequence[Specialist], shared: Sequence[Specialist]
) -> Multitasked:
    """Prove both ways of every task once, and write the bundle of the one that was chosen."""
    arena, chosen = ending.arena, ending.chosen
    sides: list[Sides] = [
        {
            "single": _side(arena, k, chosen.single[k].scores[k], single[k], table),
            "shared": _side(arena, k, chosen.shared.scores[k], shared[k], table),
        }
        for k, table in enumerate(ending.proofs)
    ]
    proven = _proven(ending, sides)
    sharing = [each.name for each in proven if each.chosen == "shared"]
    written = []
    for k, each in enumerate(proven):
        others = tuple(n for n in sharing if n != each.name and each.chosen == "shared")
        digest = _write(ending, k, each, sides[k][each.chosen], others)
        written.append(replace(each, digest=digest))
    found = Multitasked(
        name=ending.folder.name,
        source=arena.source.name,
        tasks=tuple(written),
        parameters=_parameters(sides, chosen.ways),
        proof_on=_proof_on(ending),
        settings=chosen.settings,
        strategies=_strategies(written, chosen),
        notes=(
            *ending.notes,
            *(f"{each.name}: {note}" for each in ending.tasks for note in each.notes),
        ),
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        command=ending.command,
        versions=versions(),
        seconds=arena.clock.used,
    )
    page = render_document(multitask_document(found))
    write_aside(ending.folder / PAGE, page.encode())
    write_aside(ending.folder / RESULT, json.dumps(told(found), indent=1).encode())
    return found


def told(found: Multitasked) -> dict[str, Any]:
    """Return a result as plain JSON."""
    whole: dict[str, Any] = to_json(found)
    return {"verdict": found.verdict, "findings": to_json(list(found.findings)), **whole}


def _proven(ending: Ending, sides: Sequence[Sides]) -> list[TaskFound]:
    """Both ways on the rows of the proof, compared row by row."""
    arena, chosen, seed = ending.arena, ending.chosen, ending.arena.seed
    truths = [each.task.encode(ending.proofs[k]) for k, each in enumerate(ending.tasks)]
    groups = [clusters_of(table) for table in ending.proofs]
    compared = {}
    for k, (each, own) in enumerate(zip(ending.tasks, sides, strict=True)):
        a, b = own["shared"], own["single"]
        compared[each.name] = paired(
            each.task.metrics[0],
            truths[k],
            a.scores,
            b.scores,
            a.decision,
            b.decision,
            seed=seed,
            clusters=groups[k],
        )
    verdict = verdicts(compared)
    constants = [_constant(ending, k) for k in range(len(sides))]
    found = []
    for k, each in enumerate(ending.tasks):
        metric = each.task.metrics[0]
        measured = partial(interval, metric, truths[k], seed=seed, clusters=groups[k])
        score = {way: measured(side.scores, side.decision) for way, side in sides[k].items()}
        found.append(
            TaskFound(
                name=each.name,
                kind=each.task.kind,
                metric=metric,
                labels=len(each.task.labels),
                rows=len(arena.problems[k].train),
                chosen=chosen.ways[k],
                single=score["single"],
                shared=score["shared"],
                baseline=measured(constants[k], plain(arena.problems[k])),
                gain=paired(
                    metric,
                    truths[k],
                    sides[k][chosen.ways[k]].scores,
                    constants[k],
                    sides[k][chosen.ways[k]].decision,
                    plain(arena.problems[k]),
                    seed=seed,
                    clusters=groups[k],
                ),
                validated=chosen.compared[k],
                proven=compared[each.name],
                verdict=verdict[each.name],
                bundle=str(ending.folder / each.name / "specialist"),
                digest="",
            )
        )
    return found


def _constant(ending: Ending, task: int) -> Floats:
    """Scores of the proof rows by always answering the same."""
    arena, problem = ending.arena, ending.arena.problems[task]
    name = "mean" if problem.task.kind == "regression" else "majority"
    start = Specialist(arena.source, problem.task)
    made: Specialist = find("strategies", name)()(start, problem, Run(arena.cache))
    return np.asarray(made.scores(ending.proofs[task]))


def _side(arena: Arena, task: int, seen: Floats, made: Specialist, proof: Table) -> Side:
    """How one way decides, from its out-of-fold scores, and what it says of the proof rows."""
    problem, truth = arena.problems[task], arena.targets(task)
    decision = fit_calibration(seen, truth, plain(problem), arena.seed)
    if problem.task.kind in ("binary", "multilabel"):
        metric = problem.task.metrics[0]
        thresholds = fit_thresholds(seen, truth, decision, metric, arena.seed)
        decision = replace(decision, thresholds=thresholds)
    return Side(made, decision, np.asarray(made.scores(proof, arena.cache)))


def _write(ending: Ending, task: int, found: TaskFound, side: Side, others: tuple[str, ...]) -> str:
    """Write the bundle of one task; return its digest."""
    arena, chosen, asked = ending.arena, ending.chosen, ending.tasks[task]
    rows = arena.problems[task].train
    tried = chosen.shared if found.chosen == "shared" else chosen.single[task]
    seen, truth = tried.scores[task], arena.targets(task)
    known = conformal.learn(seen, truth, side.decision, conformal.COVERAGE)
    steps = selective.learn(seen, truth, side.decision, clusters_of(rows, arena.judged(task)))
    doubt = Doubt(known if known.n else None, steps)
    parameters = {k: v for k, v in asdict(tried.settled()).items() if k != "others"}
    strategy = "multitask" if found.chosen == "shared" else "finetune"
    recipe = {"strategy": strategy, "source": arena.source.name, "parameters": parameters}
    spread = np.unique(np.linspace(0, len(rows) - 1, min(SAMPLE, len(rows))).astype(int))
    place = ending.folder / asked.name
    place.mkdir(parents=True, exist_ok=True)
    count_look(place, asked.proof, f"recipe {fingerprint(recipe)}")
    return write_bundle(
        side.made,
        place / "specialist",
        decision=side.decision,
        sample=rows.take(spread),
        table=rows,
        card=task_card(found, arena.source.name, others, ending.command),
        facts={
            "metric": found.metric,
            "proof": to_json(found.score),
            "recipe": recipe,
            **role_facts(asked.table.roles),
            "multitask": {"way": found.chosen, "shares_with": list(others)},
        },
        held_out=HeldOut(side.scores, side.decision),
        doubt=doubt,
        remembered=remember(rows),
    )


def _parameters(sides: Sequence[Sides], ways: Sequence[Way]) -> Parameters:
    def weights(side: Side) -> tuple[int, int]:
        model = side.made.model
        assert isinstance(model, NetModel)
        head = sum(p.numel() for p in model.net.head.parameters())
        return model.parameters - head, head

    heads = [weights(side["shared"])[1] for side in sides]
    trunk = weights(sides[0]["shared"])[0]
    single = [sum(weights(side["single"])) for side in sides]
    sharing = [k for k, way in enumerate(ways) if way == "shared"]
    hybrid = sum(n for k, n in enumerate(single) if k not in sharing)
    hybrid += sum(heads[k] for k in sharing) + (trunk if sharing else 0)
    return Parameters(hybrid, sum(single), trunk + sum(heads))


def _strategies(found: Sequence[TaskFound], chosen: Chosen) -> dict[str, dict[str, object]]:
    told: dict[str, dict[str, object]] = {}
    if any(each.chosen == "shared" for each in found):
        told["shared"] = {
            name: value
            for name, value in asdict(chosen.shared.settled()).items()
            if name != "others"
        }
    for k, each in enumerate(found):
        if each.chosen == "single":
            told[each.name] = asdict(chosen.single[k].settled())
    return told


def _proof_on(ending: Ending) -> str:
    groups = dict.fromkeys(over_groups(table) for table in ending.proofs)
    return " ".join(filter(None, [_basis(ending.tasks), *groups]))


def _basis(tasks: Sequence[Asked]) -> str:
    if tasks[0].test is not None:
        return "Proven once, on the test rows that were given."
    return "Proven once, on a fifth of the rows, which took no part in learning or choosing."
