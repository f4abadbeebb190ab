"""The main road: read, check, split, shortlist, climb, choose, prove, bundle, report.

Each stage is a room; this file only joins them, in one order, under one clock.
"""

from __future__ import annotations

import dataclasses
import json
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from metier.cache import Cache, fingerprint, write_aside
from metier.data.checks import check
from metier.data.duplicates import near_clusters
from metier.data.raw import Raw
from metier.data.read import read
from metier.data.roles import infer_roles
from metier.data.splits import Split, split
from metier.data.table import build_table
from metier.data.labels import infer_task
from metier.deploy.bundle import write_bundle
from metier.errors import DataError, OptionError
from metier.evidence.calibration import cost_matrix
from metier.evidence.cost import measure_cost
from metier.evidence.metrics import find as find_metric
from metier.report.assemble import About, assemble
from metier.report.card import render_card
from metier.report.content import Report, to_json
from metier.report.page import render_page
from metier.report.snippet import plain_snippet
from metier.search.climb import Climb, Limits, climb
from metier.search.clock import Clock, parse_budget
from metier.search.finals import Final, decide, finish, frozen_recipe
from metier.search.ladder import rungs
from metier.search.race import Candidate, Race
from metier.search.samplers import Studies

from metier.sources import open_source
from metier.sources.defaults import DEFAULTS
from metier.tasks import build, known_rows
from metier.types import Finding, Source, Table, Task

TAIL_SECONDS = 6.0
"""Kept for the end before it is known how long an export takes on this machine."""
PARITY_ROWS = 256
FEATURES_FOR_CHECKS = 20_000


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


@dataclass(frozen=True)
class Data:
    """The data of a run, read, typed, checked against each other and fingerprinted."""

    table: Table
    task: Task
    test: Table | None
    findings: tuple[Finding, ...]
    name: str
    fingerprint: str
    notes: tuple[str, ...] = field(default=())


@dataclass(frozen=True)
class Ended:
    """A run that ended: its report, and how long everything took."""

    report: Report
    seconds: float


def read_data(data: Any, options: Options) -> Data:
    """Read the training rows and the test rows, infer roles and task, and refuse what cannot be."""
    raw = read(data)
    roles = infer_roles(
        raw,
        target=options.target,
        group=options.group,
        time=options.time,
        sensitive=options.sensitive,
    )
    table, findings = build_table(raw, roles, options.task)
    kind = infer_task(table, options.task)
    task = build(kind, table, options.metric)
    find_metric(task.metrics[0], task.kind)
    test, notes = None, ()
    prints = [raw.fingerprint]
    if options.test is not None:
        given = read(options.test, what="test data")
        prints.append(given.fingerprint)
        test, notes = _test_table(given, table, task, options.task)
    return Data(
        table, task, test, tuple(findings), raw.name, fingerprint(*prints), notes
    )


def _test_table(
    given: Raw, table: Table, task: Task, kind: str | None
) -> tuple[Table, tuple[str, ...]]:
    roles = table.roles
    for name in (*roles.target, *roles.inputs):
        if name not in given.frame.columns:
            raise DataError(f"test data {given.name}: no column {name!r}, which training has")
    test, _ = build_table(given, roles, kind)
    known = known_rows(task, test)
    if len(known) == len(test):
        return test, ()
    lost = len(test) - len(known)
    if not len(known):
        raise DataError(f"test data {given.name}: no row has a label that training knows")
    return test.take(known), (f"{lost} test rows with labels that training never saw are left out",)


def open_sources(table: Table, names: Sequence[str]) -> dict[str, Source]:
    """Open the sources that were named, or the defaults for these inputs that can be had.

    Raises what `open_source` raises for a named one, and for the first default when none is there.
    """
    modality = table.roles.modality
    if names:
        return {name: open_source(name, modality) for name in names}
    first: Exception | None = None
    found: dict[str, Source] = {}
    for name in DEFAULTS[modality]:
        try:
            found[name] = open_source(name, modality)
        except Exception as error:
            first = first or error
    if not found and first is not None:
        raise first
    return found


def travel(
    data: Any, folder: Path, options: Options, command: str, progress: Progress, clock: Clock
) -> Ended:
    """Walk the whole road in a run folder. Raises InputError for what cannot be used."""
    _pin_threads()
    progress.stage("reading the data")
    found = read_data(data, options)
    for finding in found.findings:
        progress.warn(finding.verdict)
    costs = () if options.cost is None else cost_matrix(options.cost, found.task.labels)
    sources = open_sources(found.table, options.sources)
    begin(folder, found, options)
    cache = Cache(folder / "cache")
    progress.stage("checking the data")
    findings = [*found.findings, *_checked(found, sources, cache, options.seed, clock)]
    progress.stage("splitting and looking at sources")
    divided = divide(found, options.seed)
    sources = shortlisted(found, sources, cache, options.seed)
    race = Race(found.table, found.task, divided, sources, folder, cache, options.seed)
    ladder = rungs(found.table.roles, found.task.kind, list(sources), options.strategies)
    studies = Studies(folder / "study.journal", options.seed, options.sampler)
    finals = 1 if found.test is not None or not len(divided.proof) else 2
    reserve = _Reserve(clock)

    def first_bundle(candidate: Candidate) -> None:
        progress.stage("writing a first bundle")
        reserve.measure(lambda: _write_first(race, candidate, folder, command, costs))
        progress.stage("climbing the ladder")

    limits = Limits(clock, reserve, finals, options.trials)
    progress.stage("fitting the baselines")
    climbed = climb(
        race,
        ladder,
        studies,
        limits,
        progress,
        after_baselines=first_bundle,
        prefer=options.prefer,
    )
    progress.stage("fitting the chosen recipe and proving it")
    final = finish(
        race,
        climbed,
        test=found.test,
        clock=clock,
        reserve=reserve(),
        refit=options.refit,
        costs=costs,
    )
    progress.stage("writing the bundle and the report")
    about = About(
        name=folder.name,
        command=command,
        settings=_settings(options),
        versions=versions(),
        data_findings=findings,
        cost=(),
        bundle=str(folder / "specialist"),
        looks=look(folder, found),
        notes=found.notes,
    )
    report = _deliver(race, climbed, final, about, folder, options.examples, clock)
    clock.note(force=True)
    return Ended(report, clock.used)


def divide(found: Data, seed: int) -> Split:
    """Split the rows; near-duplicates stay together."""
    return split(
        found.table,
        found.task.kind,
        test_given=found.test is not None,
        seed=seed,
        clusters=near_clusters(found.table),
    )


def shortlisted(
    found: Data, sources: Mapping[str, Source], cache: Cache, seed: int
) -> Mapping[str, Source]:
    """The sources worth a race: the top three by their scores, and always the first (the default)."""
    if len(sources) <= 2 or found.table.roles.modality == "tabular":
        return sources
    from metier.search.shortlist import rank, shortlist

    ranking = rank(found.table, found.task, list(sources.values()), cache, seed=seed)
    default = next(iter(sources))
    kept = [name for name in shortlist(ranking, default) if name in sources]
    return {name: sources[name] for name in sorted(kept, key=lambda name: name != default)}


def begin(folder: Path, found: Data, options: Options) -> None:
    """Write down what is asked in `run.toml`, or see that it is what was asked before."""
    asked = {"fingerprint": found.fingerprint, "seed": options.seed, "trials": options.trials}
    path = folder / "asked.json"
    if path.exists():
        before = json.loads(path.read_text())
        for name, value in asked.items():
            if before[name] != value:
                what = "the data are not those" if name == "fingerprint" else f"--{name} is not that"
                raise OptionError(f"{folder}: {what} of the run that is to be resumed; give another --out")
        return
    write_aside(folder / "run.toml", _toml(_settings(options), found).encode())
    write_aside(path, json.dumps(asked).encode())


def look(folder: Path, found: Data) -> int:
    """Count one more look at the proof rows of a run, and return how many there were."""
    path = folder / "looks.json"
    looks = json.loads(path.read_text())["looks"] + 1 if path.exists() else 1
    write_aside(path, json.dumps({"looks": looks, "data": found.fingerprint}).encode())
    return int(looks)


class _Reserve:
    """Seconds that the end of a run needs: a guess at first, then measured on the first bundle."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._seconds = TAIL_SECONDS

    def __call__(self) -> float:
        return self._seconds

    def measure(self, write: Any) -> None:
        before = self._clock.used
        write()
        self._seconds = max(4.0, 2.0 * (self._clock.used - before) + 3.0)


def _checked(
    found: Data, sources: Mapping[str, Source], cache: Cache, seed: int, clock: Clock
) -> list[Finding]:
    """The checks, on features of the first source where that is cheap enough."""
    features = None
    modality = found.table.roles.modality
    affordable = len(found.table) <= FEATURES_FOR_CHECKS and clock.left > 60
    if modality != "tabular" and affordable:
        source = next(iter(sources.values()))

        def features(table: Table) -> NDArray[Any]:
            return features_of(source, table, cache)

    return check(found.table, found.task, test=found.test, features=features, seed=seed)


def features_of(source: Source, table: Table, cache: Cache) -> NDArray[np.float32]:
    """Frozen features (n, width) of the rows of a table."""
    from metier.training.feed import Feed
    from metier.training.start import preprocess_of

    opened: Any = source
    return Feed(opened.load(), preprocess_of(source, table), table, cache).features()


def _write_first(
    race: Race, candidate: Candidate, folder: Path, command: str, costs: Any
) -> None:
    """Fit the best cheap candidate on all rows and write its bundle: from now on there is one."""
    recipe = frozen_recipe(candidate)
    specialist = race.fit(recipe, None, name="first")
    decision = decide(race, candidate, costs)
    card = f"# {folder.name}\n\nA first bundle, written before the search; made by `{command}`.\n"
    write_bundle(
        specialist,
        folder / "specialist",
        decision=decision,
        sample=_sample(race),
        card=card,
        facts={"stage": "before the search"},
    )


def _deliver(
    race: Race,
    climbed: Climb,
    final: Final,
    about: About,
    folder: Path,
    examples: bool,
    clock: Clock,
) -> Report:
    """Write the bundle with its card, measure what it costs, and write the page."""
    report = assemble(race, climbed, final, about)
    snippet = plain_snippet(_manifest_of(final))
    headline = report.headline
    digest = write_bundle(
        final.specialist,
        folder / "specialist",
        decision=final.decision,
        sample=_sample(race),
        card=render_card(report, snippet=snippet),
        facts={
            "metric": race.metric,
            "proof": None if headline is None else to_json(headline),
            "recipe": final.recipe.to_json(),
            "target": list(race.table.roles.target),
        },
    )
    model = final.specialist.model
    cost = measure_cost(
        folder / "specialist",
        _sample(race, 32).columns(),
        weights=None if model is None else model.parameters,
        training_seconds=sum(c.seconds for c in climbed.candidates),
        seconds=0.5 if clock.left > 5 else 0.1,
    )
    report = replace(report, digest=digest, cost=tuple(cost))
    lines = [json.dumps(to_json(finding)) for finding in _claims(report)]
    write_aside(folder / "findings.jsonl", ("\n".join(lines) + "\n").encode())
    write_aside(folder / "report.html", render_page(report, examples=examples).encode())
    return report


def _claims(report: Report) -> list[Finding]:
    return [*report.proof, *report.comparisons, *report.data_findings, *report.cost]


def _manifest_of(final: Final) -> dict[str, Any]:
    model = final.specialist.model
    assert model is not None
    return {"preprocess": model.preprocess.spec(), "decision": final.decision.to_json()}


def _sample(race: Race, most: int = PARITY_ROWS) -> Table:
    """Rows for parity and the ranges of columns: spread over the first fold's left-out rows."""
    rows = race.split.folds[0].valid
    spread = np.linspace(0, len(rows) - 1, min(most, len(rows))).astype(int)
    return race.table.take(rows[np.unique(spread)])


def versions() -> dict[str, str]:
    """The versions of what a result depends on."""
    names = (
        "metier", "numpy", "polars", "torch", "transformers", "scikit-learn", "lightgbm",
        "onnxruntime", "tokenizers", "optuna",
    )  # fmt: skip
    found = {"python": platform.python_version()}
    for name in names:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def _settings(options: Options) -> dict[str, Any]:
    plain = {f.name: getattr(options, f.name) for f in dataclasses.fields(options)}
    plain["test"] = None if options.test is None else str(options.test)
    if options.trials is not None:
        plain.pop("budget")
    return {k: v for k, v in plain.items() if v not in (None, (), [])}


def _toml(settings: Mapping[str, Any], found: Data) -> str:
    """What was asked, in the form that --config reads."""
    named = {"sources": "source", "strategies": "strategy", "examples": "no-examples"}
    lines = ["# What was asked of this run. `metier specialize --config run.toml` asks it again."]
    lines.append("[options]")
    for name, value in settings.items():
        if name == "examples":
            value = not value
        if name == "sensitive":
            continue
        lines.append(f"{named.get(name, name)} = {json.dumps(value if not isinstance(value, tuple) else list(value))}")
    lines.append("\n[data]")
    lines.append(f"fingerprint = {json.dumps(found.fingerprint)}")
    lines.append(f"rows = {len(found.table)}")
    lines.append("\n[versions]")
    lines += [f"{json.dumps(name)} = {json.dumps(v)}" for name, v in versions().items()]
    return "\n".join(lines) + "\n"


def _pin_threads() -> None:
    """Let every library use the cores that this process may use, and no more."""
    import os

    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    asked = os.environ.get("OMP_NUM_THREADS", "")
    count = int(asked) if asked.isdigit() and int(asked) > 0 else cores or 1
    import torch

    torch.set_num_threads(count)


def parse_effort(budget: str | float, trials: int | None) -> float | None:
    """Seconds of a budget; None when a number of trials was given instead."""
    if trials is not None and trials < 0:
        raise OptionError(f"trials {trials}: expected 0 or more")
    return None if trials is not None else parse_budget(budget)
