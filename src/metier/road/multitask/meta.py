"""`metier meta`: from several small tasks to a start that adapts from few rows."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from metier.cache import Cache, write_aside
from metier.data.duplicates import near_clusters
from metier.data.labels import infer_task
from metier.data.read import read
from metier.data.remembered import remember
from metier.data.roles import infer_roles
from metier.data.table import build_table
from metier.data.unite import United, unite
from metier.deploy.source import write_source
from metier.errors import DataError, OptionError, Pruned, suggest
from metier.evidence.episodes import Shape, carry
from metier.report.content import to_json
from metier.report.document import render_document
from metier.report.meta import Started, meta_document, start_card, started_from_json
from metier.road.again import keep_answer, recall
from metier.road.asked import versions
from metier.road.intake import met_before, open_sources
from metier.road.options import Progress
from metier.search.clock import Clock
from metier.sources.earlier import SEEN, Earlier
from metier.tasks import build
from metier.training.device import best_device
from metier.training.feed import Feed
from metier.training.multitask.meta import METHODS, How, Method, learn_start
from metier.training.start import preprocess_of
from metier.types import Floats, Rows, Run, Source, Table

HELD = 0.3
"""Of the classes of a file, to judge by."""
EPISODES = 500
LINEAGE = "lineage.json"


@dataclass(frozen=True)
class Wanted:
    """What was asked. See `metier.api.meta`."""

    data: Sequence[Any]
    targets: Sequence[str]
    source: str | None
    how: How
    seed: int
    command: str


@dataclass(frozen=True)
class Handed:
    """The folder of a learned start, and what it is worth."""

    folder: Path
    found: Started

    @property
    def page(self) -> Path:
        """The report for a person."""
        return self.folder / "report.html"

    def to_json(self) -> dict[str, Any]:
        """Return what `metier meta --json` prints."""
        told: dict[str, Any] = to_json(self.found)
        own = {"source": str(self.folder), "report": str(self.page), "helps": self.found.helps}
        return {**told, **own, "began_from": self.found.source, "verdict": self.found.verdict}


@dataclass(frozen=True)
class Classes:
    """The classes of one file: those to learn from and those to judge by, by name."""

    file: str
    learned: Mapping[str, Rows] = field(default_factory=dict)
    held: Mapping[str, Rows] = field(default_factory=dict)


def check_words(method: str, ways: int, shots: int) -> Method:
    """Return the method; refuse what no episode can be made of, before anything is read."""
    found = next((each for each in METHODS if each == method), None)
    if found is None:
        raise OptionError(f"unknown method {method!r}{suggest(method, METHODS)}")
    for name, value, least in (("ways", ways, 2), ("shots", shots, 1)):
        if value < least:
            raise OptionError(f"--{name} {value}: expected a whole number from {least}")
    return found


def learn_meta(wanted: Wanted, folder: Path, progress: Progress, clock: Clock) -> Handed:
    """Learn a start from the classes of some files, and write it as a source, or find the one that
    was written before.

    Raises InputError for what cannot be used; nothing is left behind.
    """
    progress.until(clock.deadline(clock.left))
    progress.stage("reading the data")
    tables, marks = _read(wanted)
    question = _question(wanted, marks)
    answer = recall(folder, question)
    if answer is not None:
        return Handed(folder, started_from_json(answer))
    united = unite([table for _, table in tables])
    files = _divide(tables, united, wanted)
    shape = wanted.how.shape
    _refuse_few(files, shape)
    for k, each in enumerate(files):
        if len(each.learned) < shape.ways:
            progress.warn(
                f"{each.file}: fewer than {shape.ways} of its classes could be learned from, which "
                "is no episode: it is not learned from"
            )
            files[k] = replace(each, learned={})
    names = () if wanted.source is None else (wanted.source,)
    source = next(iter(open_sources(united.table, names).values()))
    for finding in met_before((source,), united.table):
        progress.warn(finding.verdict)
    with tempfile.TemporaryDirectory(prefix="metier-") as scratch:
        run = Run(Cache(Path(scratch)), wanted.seed, best_device(), _until(clock))
        progress.stage("learning from episodes")
        tasks = [list(file.learned.values()) for file in files if file.learned]
        try:
            network, notes = learn_start(source, united.table, tasks, wanted.how, run)
            progress.stage("judging on classes that it never saw")
            before, after = _features(source, network, united.table, files, run)
        except Pruned as cut:
            raise DataError(f"the budget is too small ({cut}): give a larger one") from cut
    held = [list(file.held.values()) for file in files if file.held]
    carried = carry(before, after, held, shape, EPISODES, wanted.seed)
    found = Started(
        name=folder.name,
        source=source.name,
        digest=source.digest,
        origin=source.origin if isinstance(source, Earlier) else {},
        method=wanted.how.method,
        shape=shape,
        learned={file.file: tuple(file.learned) for file in files if file.learned},
        held={file.file: tuple(file.held) for file in files if file.held},
        carried=carried,
        steps=int(notes["steps"]),
        seed=wanted.seed,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        command=wanted.command,
        versions=versions(),
        seconds=clock.used,
    )
    progress.stage("writing the source")
    reading = preprocess_of(source, united.table)
    learned = [rows for file in files for rows in file.learned.values()]
    seen = united.table.take(np.concatenate(learned))
    _write(network, reading, folder, found, seen, question)
    return Handed(folder, found)


def _until(clock: Clock) -> float | None:
    """When learning must have ended: a tenth of a budget is for judging and writing."""
    return None if clock.budget is None else clock.deadline(clock.left - 0.1 * clock.budget)


def _question(wanted: Wanted, marks: Sequence[str]) -> dict[str, Any]:
    """What the answer depends on, as plain JSON; the time is free."""
    return {
        "command": "meta",
        "data": list(marks),
        "targets": list(wanted.targets),
        "source": wanted.source,
        "how": to_json(wanted.how),
        "seed": wanted.seed,
    }


def _read(wanted: Wanted) -> tuple[list[tuple[str, Table]], list[str]]:
    """Read the files; each gives a table with a class a row, and a fingerprint."""
    count = len(wanted.data)
    if len(wanted.targets) not in (0, 1, count):
        raise OptionError(
            f"{len(wanted.targets)} targets for {count} files: give one for all, or one for each"
        )
    targets = list(wanted.targets) if len(wanted.targets) == count else [*wanted.targets] * count
    found: list[tuple[str, Table]] = []
    marks: list[str] = []
    for k, data in enumerate(wanted.data):
        raw = read(data)
        roles = infer_roles(raw, target=targets[k] if targets else None)
        if roles.modality == "tabular":
            raise DataError(
                f"{raw.name}: a start is learned from texts or images, and here is none"
            )
        table, _ = build_table(raw, roles, None)
        kind = infer_task(table, None)
        if kind not in ("binary", "multiclass"):
            raise DataError(
                f"column {roles.target[0]!r} of {raw.name}: episodes are drawn from classes, and "
                f"this is {kind}; name another target"
            )
        folder = Path(data).resolve().parent.name if isinstance(data, str | Path) else ""
        name = raw.name if raw.name not in dict(found) else f"{folder}/{raw.name}"
        found.append((name, table))
        marks.append(raw.fingerprint)
    return found, marks


def _divide(tables: Sequence[tuple[str, Table]], united: United, wanted: Wanted) -> list[Classes]:
    """Divide the classes that have enough rows, by the seed alone: what judges in one file is
    learned in none.

    A name is the same class in all files, so one order of all names says which are held. Rows like
    those that judge are not learned either, whatever they are called. A file with too few classes
    for both holds none of its own.
    """
    shape = wanted.how.shape
    rows = [
        _rows(table, place, shape) for (_, table), place in zip(tables, united.places, strict=True)
    ]
    order = np.random.default_rng(wanted.seed).permutation(sorted({n for own in rows for n in own}))
    kept: set[str] = set()
    for own in rows:
        names = [name for name in order.tolist() if name in own]
        if len(names) >= 2 * shape.ways:
            kept.update(names[: max(shape.ways, round(HELD * len(names)))])
    names = [name for name in order.tolist() if name in kept]
    held = [{name: own[name] for name in names if name in own} for own in rows]
    held = [own if len(own) >= shape.ways else {} for own in held]
    near = near_clusters(united.table)
    judging = [near[place] for own in held for place in own.values()]
    met = np.isin(near, np.concatenate(judging) if judging else ())
    learned = [{n: place[~met[place]] for n, place in own.items() if n not in kept} for own in rows]
    return [
        Classes(name, {n: place for n, place in own.items() if len(place) > shape.shots}, judged)
        for (name, _), own, judged in zip(tables, learned, held, strict=True)
    ]


def _rows(table: Table, place: Rows, shape: Shape) -> dict[str, Rows]:
    """The rows of each class of a file that has enough of them."""
    task = build("multiclass", table)
    codes = np.asarray(task.encode(table))
    rows = {label: place[codes == k] for k, label in enumerate(task.labels)}
    return {label: own for label, own in rows.items() if len(own) > shape.shots}


def _refuse_few(files: Sequence[Classes], shape: Shape) -> None:
    most = max(len(file.learned) + len(file.held) for file in files)
    if not any(file.held for file in files):
        raise DataError(
            f"{most} classes have the {shape.shots + 1} rows that {shape.shots} shots and a row to "
            f"answer take, and {2 * shape.ways} are needed, half to learn from and half to judge "
            "by: give more rows or classes, or fewer --shots or --ways"
        )
    left = max(len(file.learned) for file in files)
    if left < shape.ways:
        raise DataError(
            f"{left} classes of a file are left to learn from without those that judge and rows "
            f"like theirs, and {shape.ways} are needed: give more rows or classes, or fewer "
            "--shots or --ways"
        )


def _features(
    source: Source, network: Any, table: Table, files: Sequence[Classes], run: Run
) -> tuple[Floats, Floats]:
    """Features of the rows that judge, (rows of the table, width), before and after."""
    rows = np.unique(np.concatenate([own for file in files for own in file.held.values()]))
    held = table.take(rows)
    reading = preprocess_of(source, table)
    opened: Any = source
    found = []
    for backbone in (opened.load().to(run.device), network):
        own = Feed(backbone, reading, held, run.cache, run.device).features()
        whole = np.zeros((len(table), own.shape[1]), dtype=np.float32)
        whole[rows] = own
        found.append(whole)
    return found[0], found[1]


def _write(
    network: Any,
    reading: Any,
    folder: Path,
    found: Started,
    learned: Table,
    question: Mapping[str, Any],
) -> None:
    """Write the source aside and rename it, so that there is a whole one or none; by hashes of the
    rows that it learned from it is known when these are met again."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    aside = Path(tempfile.mkdtemp(dir=folder.parent, prefix=".writing-"))
    try:
        write_source(network.to("cpu"), reading, aside, start_card(found))
        write_aside(aside / "report.html", render_document(meta_document(found)).encode())
        told = {**to_json(replace(found, versions={})), "verdict": found.verdict}
        write_aside(aside / LINEAGE, json.dumps(told, indent=1).encode())
        keep_answer(aside, question, to_json(found))
        write_aside(aside / SEEN, json.dumps(remember(learned)).encode())
        if folder.exists():
            folder.rmdir()  # an empty one, as `run_folder` made sure
        aside.chmod(0o755)
        aside.rename(folder)
    finally:
        shutil.rmtree(aside, ignore_errors=True)
