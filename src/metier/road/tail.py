"""The way out: bundles, what they cost, the report; and how long all that takes on this machine."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from metier.cache import fingerprint, write_aside
from metier.data.remembered import remember
from metier.data.table import clusters_of
from metier.deploy.bundle import write_bundle
from metier.deploy.reference import HeldOut
from metier.errors import BundleError, ParityError
from metier.evidence.cost import measure_cost
from metier.evidence.metrics import scorecard
from metier.evidence.morelabels import MoreLabels
from metier.evidence.uncertainty.sureness import sureness_of
from metier.evidence.unlabelled.shift import Shift
from metier.report.assemble import About, assemble
from metier.report.card import render_card
from metier.report.content import Entry, Report, from_json, to_json
from metier.report.page import render_page
from metier.report.snippet import plain_snippet
from metier.road.fairer import as_proven
from metier.road.fairly import serve_proof
from metier.road.labelled import role_facts
from metier.road.limits import as_delivered
from metier.road.unread import unread_told
from metier.runtime.doubt import Doubt
from metier.runtime.manifest import InputColumn
from metier.runtime.postprocess import Decision
from metier.runtime.signals import columns_read
from metier.search.choice import Climb
from metier.search.climb import CONSTANT
from metier.search.clock import Clock
from metier.search.doubt import doubt_of
from metier.search.finals import Final, decide
from metier.search.front import Compression, Limits
from metier.search.ladder import NOTHING
from metier.search.race import Race
from metier.search.recipe import Recipe
from metier.search.records import Candidate
from metier.search.tradeoff import Tradeoff
from metier.types import Finding, Specialist, Table

PARITY_ROWS = 256
"""Rows on which a bundle is compared with its model, given at least as much time as this:"""
PARITY_SECONDS = 300.0
FEWEST_PARITY_ROWS = 32
COST_ROWS = 32
BEFORE = 8.0
"""Seconds kept for the end before it is known how long it takes on this machine."""
SHARE_BEFORE = 0.3
"""Of a small budget, this share instead."""
REPORT_SECONDS = 1.5
SERVED = 2.0
"""Seconds for measuring who is served worse, by each sensitive column."""
SPARE = 1.4
"""How many times the measured end is kept free: machines get busy."""
COST_SECONDS = 0.5
"""Seconds for which latency and throughput are measured, each."""
SHORT = 5.0
"""With fewer seconds left than this, costs are measured in a tenth of a second."""
MEASURED = "tail.json"
RESULT = "result.json"


class Reserve:
    """Seconds that the end of a run needs: a guess at first, then what a first bundle took."""

    def __init__(self, clock: Clock, folder: Path, more: float = 0.0) -> None:
        self._clock, self._more = clock, more
        self._path = folder / MEASURED
        guess = BEFORE if clock.budget is None else min(BEFORE, SHARE_BEFORE * clock.budget)
        self._seconds = guess
        if self._path.exists():
            self._seconds = float(json.loads(self._path.read_text(encoding="utf-8"))["seconds"])

    def __call__(self) -> float:
        return self._seconds + self._more

    @property
    def known(self) -> bool:
        """Whether it was measured, in this sitting or an earlier one."""
        return self._path.exists()

    def measure(
        self, write: Callable[[], object], judge: Callable[[], object], more: float
    ) -> None:
        """Do what the end will do, and keep as much time free for it.

        `judge` works out the metrics of a few rows, where the end will do so for `more` times as
        many.
        """
        started = self._clock.used
        write()
        written = self._clock.used
        judge()
        judged = self._clock.used
        self._seconds = SPARE * (written - started + more * (judged - written)) + REPORT_SECONDS
        write_aside(self._path, json.dumps({"seconds": self._seconds}).encode())


@dataclass(frozen=True)
class Told:
    """What the report says beside the results."""

    command: str
    settings: Mapping[str, Any]
    versions: Mapping[str, str]
    findings: Sequence[Finding]
    notes: Sequence[str]
    examples: bool
    limits: Limits = field(default_factory=Limits)
    compression: Compression | None = None
    coverage: float | None = None
    sensitive: Sequence[str] = ()
    tradeoff: Tradeoff | None = None
    more: MoreLabels | None = None
    shift: Shift | None = None


class Tail:
    """Writes bundles and the report of one run into its folder; `proof` counts its proof rows."""

    def __init__(
        self,
        race: Race,
        folder: Path,
        clock: Clock,
        costs: tuple[tuple[float, ...], ...],
        command: str,
        proof: int,
    ) -> None:
        self.race, self.folder, self.clock, self.costs = race, folder, clock, costs
        self.command, self.proof = command, proof
        served = SERVED * len(race.table.roles.sensitive)
        self.reserve = Reserve(clock, folder, served)

    @property
    def bundle(self) -> Path:
        """The folder that predicts."""
        return self.folder / "specialist"

    def write_constant(self) -> None:
        """Write a bundle that always answers the same: from now on there is one."""
        if self.bundle.exists():
            return
        name = CONSTANT[1] if self.race.task.kind == "regression" else CONSTANT[0]
        made = self.race.fit(Recipe(name, NOTHING), None, name=f"{name}-first")
        decision = Decision(self.race.task.kind, self.race.task.labels, costs=self.costs)
        self._write_early(made, decision)

    def write_first(self, best: Candidate, largest: Candidate) -> str | None:
        """Write the bundle of the best cheap candidate, and find out how long an end takes.

        Both are taken as their folds fitted them, which costs no time. How long the end takes is
        measured with the largest one. Returns what went wrong, if anything did.
        """
        fitted, self.race.fitted = self.race.fitted or {}, None
        enough = self.clock.budget is None or self.clock.left > 2 * self.reserve()
        if self.reserve.known or not enough:
            return None
        try:
            if largest.name in fitted:
                self._rehearse(fitted[largest.name], decide(self.race, largest, self.costs))
            if best is not largest and best.name in fitted:
                self._write_early(fitted[best.name], decide(self.race, best, self.costs))
        except (ParityError, BundleError) as error:
            return f"a first bundle could not be written: {error}"
        return None

    def deliver(self, climb: Climb, final: Final, told: Told, looks: int) -> Report:
        """Write the bundle with its card, measure what it costs, and write the page.

        Raises ParityError or BundleError when the bundle cannot be written; nothing is changed.
        """
        doubt = doubt_of(self.race, final.candidate, final.decision, told.coverage)
        served = None
        if self.race.table.roles.sensitive:
            in_time = self.clock.left > self.reserve()
            served = serve_proof(self.race, final, told.sensitive, proxies=in_time)
        read = self._read_by(final.specialist)
        unread = unread_told(self.race.table.roles, read, final.candidate, climb.candidates)
        about = About(
            name=self.folder.name,
            command=self.command,
            settings=told.settings,
            versions=told.versions,
            data_findings=told.findings,
            cost=(),
            bundle=str(self.bundle),
            looks=looks,
            notes=(*told.notes, *final.notes, *unread),
            doubt=doubt,
            fairness=served,
        )
        report = assemble(self.race, climb, final, about)
        report = replace(report, inputs=read)
        digest = self._write_final(report, final, doubt)
        seconds = sum(candidate.seconds for candidate in climb.candidates)
        cost = tuple(self._cost(final.specialist, seconds))
        compression = None
        if told.limits.given:
            compression = as_delivered(told.compression, told.limits, cost, report.headline)
        tradeoff = told.tradeoff
        if tradeoff is not None and served is not None:
            tradeoff = as_proven(tradeoff, served)
        report = replace(
            report,
            digest=digest,
            leaderboard=_with_size(report.leaderboard, cost),
            cost=cost,
            compression=compression,
            tradeoff=tradeoff,
            more=told.more,
            shift=told.shift,
        )
        sure = () if report.sureness is None else report.sureness.findings
        claims = [*report.proof, *sure, *report.comparisons, *report.data_findings, *report.cost]
        claims += [] if served is None else served.findings
        for asked in (told.more, told.shift):
            claims += [] if asked is None else asked.findings
        lines = "".join(f"{json.dumps(to_json(claim))}\n" for claim in claims)
        write_aside(self.folder / "findings.jsonl", lines.encode())
        page = render_page(report, examples=told.examples)
        write_aside(self.folder / "report.html", page.encode())
        return report

    def _write_final(self, report: Report, final: Final, doubt: Doubt) -> str:
        model = final.specialist.model
        assert model is not None
        manifest = {"preprocess": model.preprocess.spec(), "decision": final.decision.to_json()}
        headline = report.headline
        return write_bundle(
            final.specialist,
            self.bundle,
            decision=final.decision,
            sample=self._sample(),
            table=self.race.table,
            card=render_card(report, snippet=plain_snippet(manifest)),
            facts={
                "metric": self.race.metric,
                "proof": None if headline is None else to_json(headline),
                "recipe": final.recipe.to_json(),
                **role_facts(self.race.table.roles),
                **self._sensitive(),
            },
            held_out=HeldOut(final.proof.chosen.scores, final.proof.chosen.decision),
            doubt=doubt,
            remembered=remember(self._learned(final)),
        )

    def _read_by(self, made: Specialist) -> dict[str, str]:
        """The input columns that a specialist reads, with their kinds; others may be missing."""
        assert made.model is not None
        given = [InputColumn(name, kind) for name, kind in self.race.table.roles.inputs.items()]
        return {c.name: c.kind for c in columns_read(given, made.model.preprocess.spec())}

    def _learned(self, final: Final) -> Table:
        """The rows that what is handed over has learned from."""
        race = self.race
        proven = final.proof.where == "held-out" and not final.refitted
        rows = race.free if proven else np.arange(len(race.table))
        return race.table.take(race.rows_for(final.recipe, rows))

    def _sensitive(self) -> dict[str, Any]:
        """The columns that the run was measured by, and where the groups of numbers begin."""
        roles = self.race.table.roles
        if not roles.sensitive:
            return {}
        return {"sensitive": {name: list(roles.cuts.get(name, ())) for name in roles.sensitive}}

    def _write_early(self, made: Specialist, decision: Decision) -> None:
        card = (
            f"# {self.folder.name}\n\nWritten before the search ended; made by `{self.command}`.\n"
        )
        facts = {"stage": "before the end", **role_facts(self.race.table.roles)}
        sample = self._sample()
        write_bundle(made, self.bundle, decision=decision, sample=sample, card=card, facts=facts)

    def _rehearse(self, made: Specialist, decision: Decision) -> None:
        """Do all that the end does but the page, and take the time."""

        some = self._sample()
        scores, targets = made.scores(some, self.race.cache), self.race.task.encode(some)

        def write() -> None:
            self._write_early(made, decision)
            if self.clock.budget is not None:
                self._cost(made, 0.0)

        def judge() -> None:
            scorecard(self.race.task, targets, scores, decision, clusters=clusters_of(some))
            sureness_of(targets, scores, decision, Doubt(), np.zeros(len(targets)))

        self.reserve.measure(write, judge, max(self.proof / len(some), 1.0))

    def _cost(self, made: Specialist, training_seconds: float) -> list[Finding]:
        return measure_cost(
            self.bundle,
            self._sample(COST_ROWS).columns(),
            weights=None if made.model is None else made.model.parameters,
            training_seconds=training_seconds,
            seconds=COST_SECONDS if self.clock.left > SHORT else 0.1,
        )

    def _sample(self, most: int | None = None) -> Table:
        """Rows for parity and the ranges of columns: spread over all that were given."""
        if most is None:
            share = min((self.clock.budget or PARITY_SECONDS) / PARITY_SECONDS, 1.0)
            most = max(int(share * PARITY_ROWS), FEWEST_PARITY_ROWS)
        rows = np.linspace(0, len(self.race.table) - 1, min(most, len(self.race.table)))
        return self.race.table.take(np.unique(rows.astype(int)))


@dataclass(frozen=True)
class Ended:
    """A run that ended: its report, and how long everything took."""

    report: Report
    seconds: float


def _with_size(leaderboard: Sequence[Entry], cost: Sequence[Finding]) -> tuple[Entry, ...]:
    """The leaderboard with the size of what was written: the chosen one's."""
    size = next((int(found.value) for found in cost if found.name == "size" and found.value), None)
    return tuple(
        replace(entry, bytes=size) if entry.state == "chosen" else entry for entry in leaderboard
    )


def keep_ended(folder: Path, ended: Ended) -> Ended:
    """Write down the result, so that it can be told again."""
    content = {"report": to_json(ended.report), "seconds": ended.seconds}
    write_aside(folder / RESULT, json.dumps(content).encode())
    return ended


def ended_before(folder: Path) -> Ended | None:
    """Return the result of a run that has ended, None for one that has not."""
    path = folder / RESULT
    if not path.exists():
        return None
    found = json.loads(path.read_text(encoding="utf-8"))
    return Ended(from_json(found["report"]), found["seconds"])


def mark_of(final: Final) -> str:
    """Return a short name of what looked at the proof rows: the same recipe has the same."""
    return f"recipe {fingerprint(final.recipe.to_json())}"
