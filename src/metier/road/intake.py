"""The way in: data read and typed, sources opened, and all that cannot be used refused."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from metier.cache import fingerprint
from metier.data.labels import infer_task
from metier.data.raw import Raw
from metier.data.read import read
from metier.data.roles import infer_roles
from metier.data.sensitive import split_cuts, with_cuts
from metier.data.table import build_table
from metier.errors import DataError, MissingExtraError, OptionError, SourceError
from metier.evidence.calibration import cost_matrix
from metier.evidence.metrics import find as find_metric
from metier.road.options import Options
from metier.search.ladder import NOTHING, Rung, rungs
from metier.search.shortlist import open_all
from metier.sources import open_source
from metier.sources.defaults import DEFAULTS
from metier.sources.directory import runs_below
from metier.tasks import build, known_rows
from metier.types import Finding, Modality, Source, Table, Task


@dataclass(frozen=True)
class Data:
    """The data of a run, read, typed, checked against each other and fingerprinted.

    `fingerprint` is that of all data, `proof` that of the test data alone.
    """

    table: Table
    task: Task
    test: Table | None
    findings: tuple[Finding, ...]
    name: str
    fingerprint: str
    proof: str | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Plan:
    """What a run sets out with; whatever could be refused was refused when this was made."""

    data: Data
    sources: Mapping[str, Source]
    ladder: Sequence[Rung]
    costs: tuple[tuple[float, ...], ...]


def plan(data: Data, options: Options) -> Plan:
    """Open sources and lay out the ladder. Raises InputError for names that are not known."""
    _refuse_limit(data, options)
    costs = () if options.cost is None else cost_matrix(options.cost, data.task.labels)
    sources = _needed_sources(data, options)
    ladder = rungs(data.table.roles, data.task.kind, list(sources), options.strategies)
    return Plan(data, sources, ladder, costs)


def _refuse_limit(data: Data, options: Options) -> None:
    """Refuse a limit on disparity where there are no classes."""
    kind = data.task.kind
    if options.max_disparity is not None and kind not in ("binary", "multiclass"):
        raise OptionError(
            f"--max-disparity: limits how often a class is answered, and this is {kind}"
        )


def read_data(data: object, options: Options) -> Data:
    """Read the training rows and the test rows, infer roles and task, and refuse what cannot be."""
    raw = read(data)
    sensitive, cuts = split_cuts(options.sensitive, raw.frame.columns)
    roles = infer_roles(
        raw,
        target=options.target,
        group=options.group,
        time=options.time,
        sensitive=sensitive,
    )
    roles = with_cuts(roles, raw.frame, cuts)
    table, findings = build_table(raw, roles, options.task)
    kind = infer_task(table, options.task)
    task = build(kind, table, options.metric)
    find_metric(task.metrics[0], task.kind)
    if options.test is None:
        return Data(table, task, None, tuple(findings), raw.name, raw.fingerprint)
    given = read(options.test, what="test data")
    test, notes = _test_table(given, table, task, options.task)
    both = fingerprint(raw.fingerprint, given.fingerprint)
    return Data(table, task, test, tuple(findings), raw.name, both, given.fingerprint, notes)


def _test_table(
    given: Raw, table: Table, task: Task, kind: str | None
) -> tuple[Table, tuple[str, ...]]:
    for name in (*table.roles.target, *table.roles.inputs, *table.roles.sensitive):
        if name not in given.frame.columns:
            raise DataError(f"test data {given.name}: no column {name!r}, which training has")
    test, _ = build_table(given, table.roles, kind)
    known = known_rows(task, test)
    if len(known) == len(test):
        return test, ()
    if not len(known):
        raise DataError(f"test data {given.name}: no row has a label that training knows")
    lost = len(test) - len(known)
    return test.take(known), (f"{lost} test rows with labels that training never saw are left out",)


def open_sources(table: Table, names: Sequence[str]) -> dict[str, Source]:
    """Open the sources that were named, or the defaults for these inputs that can be had.

    Raises what `open_source` raises for a named one, and for the first default when none is there.
    """
    modality = table.roles.modality
    if names:
        return {name: open_source(name, modality) for name in names}
    first: SourceError | MissingExtraError | None = None
    found: dict[str, Source] = {}
    for name in DEFAULTS[modality]:
        try:
            found[name] = open_source(name, modality)
        except (SourceError, MissingExtraError) as error:
            first = first or error
    if not found and first is not None:
        raise first
    return found


def earlier_runs(
    folder: str | Path | None, modality: Modality
) -> tuple[list[Source], dict[str, str]]:
    """Open the networks of all runs below a folder; return those, and why the others cannot be.

    Raises OptionError when there is no run below the folder.
    """
    if folder is None:
        return [], {}
    names = [str(run) for run in runs_below(Path(folder).expanduser())]
    if not names:
        raise OptionError(f"--runs {folder}: no finished run lies below it; name another folder")
    return open_all(names, modality)


def _needed_sources(data: Data, options: Options) -> dict[str, Source]:
    """The sources, none of them when only strategies were asked for that start from nothing."""
    table, kind = data.table, data.task.kind
    if options.strategies and not options.sources:
        asked = rungs(table.roles, kind, ["?"], options.strategies)
        if all(rung.source == NOTHING for rung in asked if not rung.baseline):
            return {}
    return open_sources(table, options.sources)
