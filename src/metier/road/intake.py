"""The way in: data read and typed, sources opened, and all that cannot be used refused."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import polars as pl

from metier.cache import fingerprint
from metier.data.known import Known
from metier.data.labels import infer_task
from metier.data.pool import pool_table, set_apart
from metier.data.proving import proving_half
from metier.data.raw import Raw
from metier.data.read import read
from metier.data.remembered import MET
from metier.data.roles import infer_roles
from metier.data.sensitive import split_cuts, with_cuts
from metier.data.table import ROW, build_table, with_absolute_paths
from metier.errors import DataError, MissingExtraError, OptionError, SourceError
from metier.evidence.metrics import find as find_metric
from metier.evidence.uncertainty.calibration import cost_matrix
from metier.paths import expanded
from metier.road.options import DOMAIN, Options
from metier.search.ladder import MANY_ROWS, NOTHING, Rung, few_labels, rungs
from metier.search.shortlist import open_all
from metier.sources import open_source
from metier.sources.defaults import DEFAULTS
from metier.sources.directory import runs_below
from metier.sources.earlier import Earlier, share_seen
from metier.tasks import build, known_rows
from metier.types import Finding, Modality, Roles, Source, Table, Task


@dataclass(frozen=True)
class Data:
    """The data of a run, read, typed, checked against each other and fingerprinted.

    `fingerprint` is that of all data, `proof` that of the test data alone; `unlabeled` are rows of
    which only the inputs are known.
    """

    table: Table
    task: Task
    test: Table | None
    findings: tuple[Finding, ...]
    name: str
    fingerprint: str
    proof: str | None = None
    notes: tuple[str, ...] = ()
    unlabeled: Table | None = None


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
    met = met_before(sources.values(), data.table, data.test)
    data = replace(data, findings=(*data.findings, *met))
    return Plan(data, sources, lay_out(data, list(sources), options), costs)


def lay_out(
    data: Data, sources: Sequence[str], options: Options, *, shifted: bool = False
) -> list[Rung]:
    """Return the ladder for these data; `shifted` says that rows without labels are from elsewhere.

    Raises OptionError for a strategy that is not known or does not fit the inputs.
    """
    return rungs(
        data.table.roles,
        data.task.kind,
        sources,
        options.strategies,
        unlabeled=data.unlabeled is not None,
        shifted=shifted,
        few=few_labels(len(data.table), data.task.outputs, data.task.kind),
        many=len(data.table) >= MANY_ROWS,
    )


def _refuse_limit(data: Data, options: Options) -> None:
    """Refuse a limit on disparity where there are no classes."""
    kind = data.task.kind
    if options.max_disparity is not None and kind not in ("binary", "multiclass"):
        raise OptionError(
            f"--max-disparity: limits how often a class is answered, and this is {kind}"
        )


def read_data(data: object, options: Options) -> Data:
    """Read all rows that were given, infer roles and task, and refuse what cannot be."""
    raw = read(data)
    sensitive, cuts = split_cuts(options.sensitive, raw.frame.columns)
    domain = None if options.target_domain is None else options.domain or DOMAIN
    roles = infer_roles(
        raw,
        target=options.target,
        group=options.group,
        time=options.time,
        sensitive=sensitive,
        domain=domain,
    )
    roles = with_cuts(roles, raw.frame, cuts)
    given = _Given.of(raw, roles, options)
    table, findings = build_table(given.labelled, roles, options.task)
    kind = infer_task(table, options.task)
    dear = "cost" if options.cost is not None and kind == "binary" else None
    task = build(kind, table, options.metric or dear)
    find_metric(task.metrics[0], task.kind)
    test, notes = None, given.notes
    if given.proof is not None:
        test, more = test_table(given.proof, table, task)
        notes = (*notes, *more)
    pool, more = _pool(given.unlabeled, table, test)
    return Data(
        table,
        task,
        test,
        tuple(findings),
        raw.name,
        fingerprint(raw.fingerprint, *given.others) if given.others else raw.fingerprint,
        given.proof.fingerprint if given.proof is not None else None,
        (*notes, *more),
        pool,
    )


@dataclass(frozen=True)
class _Given:
    """Rows as they were read, by the part they play. `others` are fingerprints of further files."""

    labelled: Raw
    proof: Raw | None
    unlabeled: tuple[Raw, ...]
    others: tuple[str, ...]
    notes: tuple[str, ...] = ()

    @classmethod
    def of(cls, raw: Raw, roles: Roles, options: Options) -> _Given:
        """Read what else was given, and set the rows of the target domain apart."""
        images = next((name for name, kind in roles.inputs.items() if kind == "image"), None)
        known, test = Known.of_rows(raw.frame, roles), None
        if options.test is not None:
            test = read(options.test, what="test data", known=known)
        pools = []
        if options.unlabeled is not None:
            what = "unlabelled rows"
            pools.append(read(options.unlabeled, what=what, expect_images_of=images, known=known))
        others = tuple(each.fingerprint for each in (test, *pools) if each is not None)
        if options.target_domain is None or roles.domain is None:
            return cls(raw, test, tuple(pools), others)
        apart = set_apart(raw, roles.domain, options.target_domain)
        if test is not None:
            test, told = _of_domain(test, roles.domain, options.target_domain)
            return cls(apart.labelled, test, (apart.target, *pools), others, told)
        halves = proving_half(apart, roles)
        if halves is None:
            told = (
                f"too few rows of {options.target_domain} have labels to measure anything there: "
                "the proof is of the other domains; give --test rows of this one",
            )
            return cls(apart.labelled, None, (apart.target, *pools), others, told)
        told = (
            f"the proof is measured on {halves.proof.frame.height:,} labelled rows of "
            f"{options.target_domain}; nothing was learned from labels of this domain",
            *halves.notes,
        )
        chosen = [name for name in (roles.group, roles.time) if name is not None]
        mark = fingerprint(raw.fingerprint, options.target_domain, *chosen)
        proof = replace(halves.proof, fingerprint=mark)
        return cls(halves.labelled, proof, (halves.rest, *pools), others, told)


def _of_domain(test: Raw, column: str, domain: str) -> tuple[Raw, tuple[str, ...]]:
    """Those test rows that are of the target domain; all when they do not say."""
    if column not in test.frame.columns:
        return test, ()
    ours = (test.frame[column].cast(pl.String) == domain).fill_null(value=False)
    if not ours.any():
        raise DataError(f"test data {test.name}: no row of {column!r} is {domain!r}")
    lost = test.frame.height - int(ours.sum())
    told = (f"{lost:,} test rows of other domains are left out",) if lost else ()
    return replace(test, frame=test.frame.with_row_index(ROW).filter(ours)), told


def _pool(
    raws: Sequence[Raw], table: Table, test: Table | None
) -> tuple[Table | None, tuple[str, ...]]:
    """The rows without labels as one table, without those that learn or prove with a label."""
    if not raws:
        return None, ()
    known = [table] if test is None else [table, test]
    parts, lost = [], 0
    for raw in raws:
        part, out = pool_table(raw, table.roles, known)
        parts.append(with_absolute_paths(part) if len(raws) > 1 else part)
        lost += out
    frames = [part.frame.select(list(table.roles.inputs)) for part in parts]
    frame = pl.concat(frames, how="vertical_relaxed")  # whole numbers here, fractions there
    told = f"{lost:,} unlabelled rows are among the labelled ones and are left out"
    return replace(parts[0], frame=frame), (told,) if lost else ()


def test_table(given: Raw, table: Table, task: Task) -> tuple[Table, tuple[str, ...]]:
    """Return test data typed as the training rows are, without rows whose label those never had,
    and what was odd about them.

    A time that is no input says nothing of rows that all prove: they need not have it.
    """
    for name in (*table.roles.target, *table.roles.inputs, *table.roles.sensitive):
        if name not in given.frame.columns:
            raise DataError(f"test data {given.name}: no column {name!r}, which training has")
    roles = table.roles
    if roles.time not in given.frame.columns:
        roles = replace(roles, time=None)
    test, findings = build_table(given, roles, task.kind)
    odd = tuple(f"test data: {finding.verdict}" for finding in findings)
    known = known_rows(task, test)
    if len(known) == len(test):
        return test, odd
    if not len(known):
        raise DataError(f"test data {given.name}: no row has a label that training knows")
    lost = len(test) - len(known)
    told = f"{lost} test rows with labels that training never saw are left out"
    return test.take(known), (*odd, told)


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


def met_before(sources: Iterable[Source], table: Table, test: Table | None = None) -> list[Finding]:
    """Say which sources are known to have learned from these rows, earlier specialists and learned
    starts: whatever is measured on such rows flatters. Where the proof has rows of its own that a
    source has not learned from, only the choice leans to it."""
    found = []
    for source in sources:
        folder = source.folder if isinstance(source, Earlier) else Path(source.name)
        tested = 0.0 if test is None else share_seen(folder, test)
        share = min(share_seen(folder, table) + tested, 1.0)
        if share == 0:
            continue
        told = (
            f"{source.name} has learned from these rows before (about {100 * share:.0f} % of those "
            "it learned from are here): "
        )
        level: Literal["warning", "problem"] = "problem"
        if test is not None and tested == 0:
            level = "warning"
            told += "the choice leans to it; the test rows are none of those"
        else:
            told += (
                "what is measured on them is too good to be believed; prove it with rows that it "
                "has not seen"
            )
        found.append(Finding(MET, told, share, level=level, details={"source": source.name}))
    return found


def earlier_runs(
    folder: str | Path | None, modality: Modality
) -> tuple[list[Source], dict[str, str]]:
    """Open the networks of all runs below a folder; return those, and why the others cannot be.

    Raises OptionError when there is no run below the folder.
    """
    if folder is None:
        return [], {}
    names = [str(run) for run in runs_below(expanded(folder))]
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
