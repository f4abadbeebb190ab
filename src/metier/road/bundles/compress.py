"""`metier compress`: a finished specialist made smaller, under limits that are measured."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray

from metier.cache import Cache, write_aside
from metier.data.checks import KNOWN_BY_HEART, SHARED, shared_rows
from metier.data.dealing import deal, hash_rows
from metier.data.duplicates import equal_clusters, near_clusters
from metier.data.known import Known
from metier.data.read import read
from metier.data.remembered import remember, together
from metier.data.sensitive import at_rows
from metier.data.splits import units_of
from metier.data.table import build_table, clusters_of, row_numbers
from metier.deploy.bundle import write_bundle
from metier.deploy.reference import HeldOut
from metier.errors import DataError, OptionError
from metier.evidence.compare import paired
from metier.evidence.gate import measure_loss
from metier.evidence.metrics import interval
from metier.evidence.uncertainty import selective
from metier.evidence.words import quoted, sentence, whole
from metier.report.compression import Compressed, render_compressed
from metier.report.content import to_json
from metier.road.asked import versions
from metier.road.labelled import Labelled, read_labelled
from metier.road.looks import learned_from, remembered
from metier.road.options import Progress
from metier.runtime import conformal
from metier.runtime.doubt import Doubt, default_coverage
from metier.runtime.postprocess import Decision
from metier.runtime.session import Bundle, load
from metier.search.clock import Clock
from metier.search.front import Compression, Limits, Shrunk, Side, conclude
from metier.search.plans import Plan, plans
from metier.search.shrink import Arena, Attempt, Bout, shrink
from metier.tasks import build
from metier.training.reopen import reopen
from metier.types import Finding, Floats, Problem, Roles, Rows, Specialist, Table

LEARN, JUDGE, PROVE = 0, 1, 2
SHARES = (0.5, 0.25, 0.25)
"""Of the rows: to learn from (recovery, distilling, calibrating), for the gate, and for a last look
at what was taken."""
WITH_TRAIN = (0.0, 0.6, 0.4)
"""The same where there are other rows to learn from."""
FEWEST = 40
RESERVE = 6.0
"""Seconds kept for writing what is handed over."""
RESULT = "compression.json"


@dataclass(frozen=True)
class Asked:
    """What was asked of a compression. See `metier.api.compress`."""

    bundle: Path
    data: Any
    limits: Limits
    strategies: Sequence[str]
    train: Any
    unlabeled: Any
    seed: int
    command: str


@dataclass(frozen=True)
class Handed:
    """What a compression ended in: the folder, what was tried, and the digest of what it holds."""

    folder: Path
    compression: Compression
    digest: str
    proof: Mapping[str, Any] | None

    @property
    def bundle(self) -> Path:
        """The folder that predicts."""
        return self.folder / "specialist"

    @property
    def page(self) -> Path:
        """The report for a person."""
        return self.folder / "report.html"

    def to_json(self) -> dict[str, Any]:
        """Return what `metier compress --json` prints."""
        found: dict[str, Any] = to_json(self.compression)
        paths = {"bundle": str(self.bundle), "report": str(self.page), "digest": self.digest}
        return {**paths, "proof": self.proof, **found}


def compress(asked: Asked, folder: Path, progress: Progress, clock: Clock) -> Handed:
    """Make a specialist smaller, and write what is handed over to a folder of its own.

    Raises InputError for what cannot be used; nothing is left behind.
    """
    progress.until(clock.deadline(clock.left))
    progress.stage("opening the specialist")
    bundle = load(asked.bundle)
    parent = reopen(asked.bundle)
    tried = _plans(parent, asked)
    progress.stage("reading the data")
    raw = read(asked.data, known=Known.of_bundle(bundle.manifest))
    rows = read_labelled(bundle, raw)
    for finding in (*learned_from(Path(asked.bundle), raw), *rows.findings):
        progress.warn(quoted(finding))
    if len(rows) < FEWEST:
        raise DataError(
            f"{len(rows)} labelled rows: a smaller specialist is judged on rows, and {FEWEST} are "
            "the least; give more with --data"
        )
    folder.mkdir(parents=True, exist_ok=True)
    try:
        return _compress(asked, folder, progress, clock, bundle, parent, rows, tried)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise


def _plans(parent: Specialist, asked: Asked) -> tuple[Plan, ...]:
    found = plans(parent.form, parent.source.modality, asked.strategies)
    if not found:
        last = parent.lineage[-1].strategy if parent.lineage else parent.form
        raise OptionError(
            f"{asked.bundle}: nothing is known that makes a {last} model smaller; compress "
            "works on networks and boosters"
        )
    return found


def _compress(
    asked: Asked,
    folder: Path,
    progress: Progress,
    clock: Clock,
    bundle: Bundle,
    parent: Specialist,
    rows: Labelled,
    tried: Sequence[Plan],
) -> Handed:
    part = _parts(rows, asked)
    table, judging = rows.table, np.flatnonzero(part == JUDGE)
    learned = rows, table.take(np.flatnonzero(part == LEARN))
    if asked.train is not None:
        known = Known.of_bundle(bundle.manifest)
        given = read_labelled(bundle, read(asked.train, what="training data", known=known))
        learned = given, given.table
        shared = _shared(given.table, table)
        for finding in shared:
            progress.warn(finding.verdict)
        rows = replace(rows, findings=(*rows.findings, *shared))
    bout = Bout(
        parent,
        Problem(_task(learned[0]), learned[1]),
        table.take(judging),
        np.ones(len(judging), dtype=bool),
    )
    like = _like_what_comes(asked.limits, tried)
    arena = Arena(
        task=rows.task,
        metric=rows.task.metrics[0],
        decision=bundle.manifest.decision,
        bouts=(bout,),
        folder=folder / "trials",
        cache=Cache(folder / "cache"),
        clock=clock,
        reserve=RESERVE,
        seed=asked.seed,
        columns=bundle.manifest.columns,
        unlabeled=_unlabeled(asked, rows.table, bundle),
        card=_card(asked.bundle, bundle, like, None),
        facts=_facts(bundle, like, None),
    )
    progress.stage("measuring the specialist as it is")
    side, attempts = shrink(arena, tried, asked.limits, lambda name: progress.trial(name, {}))
    shutil.rmtree(folder / "cache", ignore_errors=True)
    found = conclude(asked.limits, side, [a.shrunk for a in attempts if a.shrunk is not None])
    worthless = [f.verdict for f in rows.findings if f.name == SHARED and f.level == "problem"]
    found = replace(found, verdict="; ".join([found.verdict, *worthless]))
    progress.stage("writing the bundle and the report")
    made = _made(parent, attempts, found)
    proof = _proof(made, parent, rows, np.flatnonzero(part == PROVE), bundle)
    return _hand_over(asked, folder, bundle, made, found, proof, rows, part, learned[1])


def _shared(learned: Table, judging: Table) -> list[Finding]:
    """Say which of the rows that judge and prove were learned from too, or are of a group that was:
    of rows that tables repeat by chance, nothing."""
    both = {n: kind for n, kind in learned.roles.inputs.items() if n in judging.roles.inputs}
    read = [replace(each, roles=replace(each.roles, inputs=both)) for each in (learned, judging)]
    equal = [finding for finding in shared_rows(*read) if finding.level != "info"]
    again = [row for finding in equal for row in finding.details["test_rows"]]
    met = np.isin(row_numbers(judging), again)
    many = any(finding.level == "problem" for finding in equal)
    group = judging.roles.group if judging.roles.group == learned.roles.group else None
    if group is not None:
        ours, theirs = (each.frame[group].cast(pl.String) for each in (learned, judging))
        grouped = theirs.is_in(ours.unique().to_list()).fill_null(value=False).to_numpy()
        many |= bool(grouped.mean() > KNOWN_BY_HEART)
        met |= grouped
    if not met.any():
        return []
    end = "proves nothing: give rows that are not among them" if many else "may be too good"
    nearly = "" if judging.roles.modality == "tabular" else ", or nearly equal to one"
    by_group = "" if group is None else ", or of a group of theirs"
    told = (
        f"{whole(int(met.sum()))} of the {whole(len(met))} rows that judge and prove are among "
        f"those of --train{nearly}{by_group}: what is measured on them {end}"
    )
    level: Literal["warning", "problem"] = "problem" if many else "warning"
    rows = tuple(row_numbers(judging)[met].tolist())
    return [Finding(SHARED, told, float(met.mean()), n=len(met), level=level, rows=rows)]


def _unlabeled(asked: Asked, like: Table, bundle: Bundle) -> Table | None:
    """Read the rows without labels, with the inputs of the labelled ones."""
    if asked.unlabeled is None:
        return None
    known = Known.of_bundle(bundle.manifest)
    raw = read(asked.unlabeled, what="unlabelled data", known=known)
    missing = [name for name in like.roles.inputs if name not in raw.frame.columns]
    if missing:
        raise DataError(f"unlabelled data {raw.name}: no column {missing[0]!r}")
    found, _ = build_table(raw, Roles(like.roles.inputs, dates=like.roles.dates))
    return found


def _parts(rows: Labelled, asked: Asked) -> NDArray[np.int64]:
    """Deal the rows to the parts: evenly by label, by content and seed alone."""
    truth = rows.truth
    strata = truth if truth.ndim == 1 and truth.dtype.kind == "i" else np.zeros(len(rows), int)
    hashes = hash_rows(rows.table.digests, asked.seed)
    shares = SHARES if asked.train is None else WITH_TRAIN
    # What was learned from must not judge, nor must rows nearly like it or of its group. Rows of
    # tables may be equal by chance: where there are groups, those alone tell.
    roles = rows.table.roles
    equal = roles.modality == "tabular" and roles.group is None
    near = equal_clusters(rows.table) if equal else near_clusters(rows.table)
    return deal(strata, units_of(rows.table, near), hashes, shares)


def _task(rows: Labelled) -> Any:
    """The task to learn with: a regression learns in the spread of these rows' target."""
    if rows.task.kind != "regression":
        return rows.task
    return build("regression", rows.table, rows.task.metrics[0])


def _made(parent: Specialist, attempts: Sequence[Attempt], found: Compression) -> Specialist:
    chosen = [a for a in attempts if a.made and a.plan.name == found.chosen]
    return chosen[0].made[0] if chosen else parent


def _proof(
    made: Specialist, parent: Specialist, rows: Labelled, held: Rows, bundle: Bundle
) -> dict[str, Any] | None:
    """Compare what is handed over with its parent, on rows that no choice has used."""
    if made is parent:
        return None
    table = rows.table.take(held)
    decision = at_rows(bundle.manifest.decision, table)
    metric = rows.task.metrics[0]
    scores = made.scores(table), parent.scores(table)
    clusters = clusters_of(table)
    found = paired(metric, rows.truth[held], *scores, decision, decision, clusters=clusters)
    lost = measure_loss(found)
    told = (
        f"On {whole(found.n)} further rows that no choice has used it is {found.verdict} "
        f"{'than' if found.verdict != 'not distinguishable' else 'from'} the specialist as it was: "
        f"{lost.told()}."
    )
    return {
        "metric": metric,
        "difference": found.difference,
        "low": found.low,
        "high": found.high,
        "n": found.n,
        "told": told,
    }


def _hand_over(
    asked: Asked,
    folder: Path,
    bundle: Bundle,
    made: Specialist,
    found: Compression,
    proof: Mapping[str, Any] | None,
    rows: Labelled,
    part: NDArray[np.int64],
    learned: Table,
) -> Handed:
    specialist = folder / "specialist"
    held = np.flatnonzero(part == PROVE)
    last = rows.table.take(held)
    scores, ruling = np.asarray(made.scores(last)), at_rows(bundle.manifest.decision, last)
    proven = interval(
        rows.task.metrics[0], rows.truth[held], scores, ruling, clusters=clusters_of(last)
    )
    digest = write_bundle(
        made,
        specialist,
        decision=bundle.manifest.decision,
        sample=_sample(rows.table, part),
        card=_card(asked.bundle, bundle, found, proof),
        facts=_facts(bundle, found, proof) | ({} if proof is None else {"proof": to_json(proven)}),
        columns=bundle.manifest.columns,
        held_out=HeldOut(scores, ruling),
        doubt=_doubt(scores, rows.truth[held], ruling, bundle, last),
        remembered=together(remembered(Path(asked.bundle)), remember(learned)),
    )
    counts = [whole(int((part == each).sum())) for each in (LEARN, JUDGE, PROVE)]
    page = render_compressed(
        Compressed(
            name=folder.name,
            created=datetime.now(UTC).isoformat(timespec="seconds"),
            command=asked.command,
            metric=rows.task.metrics[0],
            compression=found,
            rows_used=(
                f"Of the rows given, {counts[1]} judged every candidate and {counts[2]} were kept "
                f"for a last look; {'those of --train' if asked.train is not None else counts[0]} "
                "were learned from or calibrated on."
            ),
            bundle=str(specialist),
            digest=digest,
            parent=bundle.digest,
            proof="" if proof is None else str(proof["told"]),
            notes=tuple(finding.verdict for finding in rows.findings),
            versions=versions(),
        )
    )
    write_aside(folder / "report.html", page.encode())
    result = {"digest": digest, "proof": proof, **to_json(found)}
    write_aside(folder / RESULT, json.dumps(result, indent=1).encode())
    return Handed(folder, found, digest, proof)


def _facts(bundle: Bundle, found: Compression, proof: Mapping[str, Any] | None) -> dict[str, Any]:
    """What the parent's bundle holds, and what was tried."""
    compression = {"made_from": bundle.digest, "proof": proof, **to_json(found)}
    return {**bundle.manifest.facts, "compression": compression}


def _like_what_comes(limits: Limits, tried: Sequence[Plan]) -> Compression:
    """What will have been tried, told about as long as it will be: bundles are measured before."""
    third = 1 / 3
    side = Side(10**6, third, third, third, third, 10**6, third, third, third, 100)
    ends = tuple(
        Shrunk(plan.name, "accepted", "-" * 90, side, third, third, third) for plan in tried
    )
    return Compression(limits, side, ends, ends[0].name, True, "-" * 150)


def _doubt(
    scores: Floats, truth: NDArray[Any], decision: Decision, bundle: Bundle, rows: Table
) -> Doubt:
    """The doubt of what is handed over, from rows that no choice has used: its scores are others
    than those that the specialist was calibrated on. `decision` is that of these rows."""
    coverage = default_coverage(bundle.doubt)
    known = conformal.learn(scores, truth, decision, coverage, exact=True)
    steps = selective.learn(scores, truth, decision, clusters_of(rows))
    return Doubt(known if known.n else None, steps)


def _sample(table: Table, part: NDArray[np.int64], most: int = 256) -> Table:
    return table.take(np.flatnonzero(part == JUDGE)[:most])


def _card(path: Path, bundle: Bundle, found: Compression, proof: Mapping[str, Any] | None) -> str:
    """The parent's card, with what was done to it said first."""
    folder = path if (path / "README.md").exists() else path / "specialist"
    card = (folder / "README.md").read_text(encoding="utf-8")
    told = [
        "## Made smaller",
        "",
        sentence(found.verdict),
        *([] if proof is None else [str(proof["told"])]),
        f"It was made from the specialist with digest `{bundle.digest}`, whose card follows: the "
        "scores, sizes and times below are of that one.",
        "",
        "",
    ]
    head, mark, rest = card.partition("\n# ")
    title, line, body = rest.partition("\n")
    section = "\n".join(told)
    if not mark:
        return f"{section}{card}"
    return f"{head}{mark}{title}{line}\n{section}{body.lstrip()}"
