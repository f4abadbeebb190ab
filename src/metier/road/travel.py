"""The road itself, from data to a report."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from metier.cache import Cache
from metier.data.checks import SHARED
from metier.data.duplicates import near_clusters
from metier.data.splits import PROVE, refuse_too_few, split
from metier.errors import BundleError, DataError, ParityError
from metier.evidence.uncertainty.calibration import costs_told
from metier.evidence.words import quoted
from metier.report.content import Report
from metier.road.asked import check_same, claimed, settings, versions
from metier.road.fairer import Fairing, make_fairer
from metier.road.fairer import reserve_for as reserve_for_fairness
from metier.road.intake import Plan, lay_out, plan, read_data
from metier.road.limits import Fitting, fit_limits, reserve_for
from metier.road.looks import count_look
from metier.road.morelabels import more_labels
from metier.road.morelabels import reserve_for as reserve_for_curve
from metier.road.options import Options, Progress
from metier.road.pace import checked, keep_shown, look, show, shown_before
from metier.road.tail import Ended, Tail, Told, ended_before, keep_ended, mark_of
from metier.road.unlabelled import Pool, draw_pool, look_at
from metier.search.choice import Climb
from metier.search.climb import climb
from metier.search.clock import Clock
from metier.search.finals import Wish, finals, finish
from metier.search.front import Compression
from metier.search.ladder import NOTHING, Rung
from metier.search.race import Race
from metier.search.records import Candidate
from metier.search.samplers import Studies
from metier.search.slots import FOR_A_BASELINE, Limits, growth, longest
from metier.search.tradeoff import Tradeoff
from metier.types import Finding, Table

SHOWN = "shown.json"


def travel(
    data: Any, folder: Path, options: Options, command: str, progress: Progress, clock: Clock
) -> Ended:
    """Walk the whole road in a run folder. Raises InputError for what cannot be used."""
    progress.until(clock.deadline(clock.left))
    progress.stage("reading the data")
    found = read_data(data, options)
    before = ended_before(folder)
    if before is not None:
        check_same(folder, found, options)
        return before
    planned = plan(found, options)
    with claimed(folder, found, options):
        clock.keep(folder)
        progress.until(clock.deadline(clock.left))
        for finding in planned.data.findings:
            progress.warn(quoted(finding))
        report = _walk(planned, folder, options, command, progress, clock)
        clock.note(force=True)
        return keep_ended(folder, Ended(report, clock.used))


@dataclass(frozen=True)
class _SetOut:
    """A run whose data were split and looked at, and whose ladder is laid out."""

    race: Race
    tail: Tail
    ladder: list[Rung]
    pool: Pool
    findings: list[Finding]
    notes: list[str]


def _set_out(
    planned: Plan,
    folder: Path,
    options: Options,
    command: str,
    stage: Callable[[str], None],
    clock: Clock,
) -> _SetOut:
    """Split the data, write a bundle that always answers the same, and look at what there is."""
    data, cache, seed = planned.data, Cache(folder / "cache"), options.seed
    stage("splitting the data")
    clusters = near_clusters(data.table)
    given, kind = data.test is not None, data.task.kind
    divided = split(data.table, kind, test_given=given, seed=seed, clusters=clusters)
    refuse_too_few(divided, data.table, test_given=given)
    device = _device(data.table)
    race = Race(
        data.table,
        data.task,
        divided,
        planned.sources,
        folder,
        cache,
        seed,
        device,
        costs=planned.costs,
    )
    proof = int((divided.purpose == PROVE).sum()) if data.test is None else len(data.test)
    tail = Tail(race, folder, clock, planned.costs, command, proof)
    tail.write_constant()
    stage("looking at the sources and checking the data")
    shown = shown_before(folder / SHOWN, data, planned.sources, seed) or keep_shown(
        folder / SHOWN, show(data, divided, planned.sources, cache, clock, seed)
    )
    look(data, shown, cache)
    findings = [*data.findings, *checked(data, clusters, shown, cache, clock, seed)]
    if shown.rows is not None:
        race.show_only(shown.rows)
    pool = look_at(draw_pool(data.unlabeled, len(data.table), shown, clock, seed), race, shown)
    race.given, race.weights = pool.given, pool.weights
    shifted = pool.shift is not None and pool.shift.shifted
    rungs = lay_out(data, list(planned.sources), options, shifted=shifted)
    ladder = [rung for rung in rungs if rung.source == NOTHING or rung.source in shown.sources]
    return _SetOut(race, tail, ladder, pool, findings, [*data.notes, *shown.notes, *pool.notes])


def _walk(
    planned: Plan, folder: Path, options: Options, command: str, progress: Progress, clock: Clock
) -> Report:
    def stage(name: str) -> None:
        clock.note(force=True)
        progress.stage(name)

    out = _set_out(planned, folder, options, command, stage, clock)
    data, race, tail, notes = planned.data, out.race, out.tail, out.notes
    learned = [f.verdict for f in out.findings if f.name == SHARED and f.level != "info"]
    for note in (*learned, *notes):
        progress.warn(note)
    if planned.costs:
        notes.append(costs_told(planned.costs, data.task.labels))

    stage("fitting the baselines")
    fits = finals(race, data.test, options.refit)
    share = FOR_A_BASELINE if any(not rung.baseline for rung in out.ladder) else 1.0
    kept = reserve_for(options.limits, clock.budget)
    kept += reserve_for_fairness(options.fairness, clock.budget)
    kept += reserve_for_curve(clock.budget)
    limits = Limits(clock, lambda: tail.reserve() + kept, fits, options.trials, share)
    climbed = _climb(race, out.ladder, tail, limits, options, progress)
    if _only_baselines(planned.ladder, climbed):
        notes.append("the budget was too small for more than a baseline: give a larger --budget")
        progress.warn(notes[-1])

    if climbed.passed:
        notes.append(
            f"{climbed.passed} did better than {climbed.chosen.name} by no more than the best of "
            "so many trials owes to chance, and trains more of the network"
        )
    climbed, tradeoff, compression = _kept_within(
        options, climbed, race, tail, planned, fits, stage, progress
    )
    stage("asking whether more labels would help")
    more = more_labels(
        race, climbed, clock, lambda c: tail.reserve() + _ends(race, c, climbed, fits)
    )
    stage("fitting the chosen recipe and proving it")
    wish = Wish(data.test, options.refit, planned.costs, clock, tail.reserve())
    told = Told(
        command,
        settings(options),
        versions(),
        out.findings,
        notes,
        options.examples,
        options.limits,
        compression,
        options.coverage,
        options.sensitive,
        tradeoff,
        more,
        out.pool.shift,
    )
    return _deliver(race, climbed, wish, tail, told, data.proof, progress)


def _kept_within(
    options: Options,
    climbed: Climb,
    race: Race,
    tail: Tail,
    planned: Plan,
    fits: int,
    stage: Callable[[str], None],
    progress: Progress,
) -> tuple[Climb, Tradeoff | None, Compression | None]:
    """Make the chosen recipe fairer, then smaller, where limits were given."""
    clock, folder, tradeoff, compression = tail.clock, tail.folder, None, None

    def tell(name: str) -> None:
        progress.trial(name, {})

    if options.fairness.limit is not None:
        stage("keeping groups together")
        asked, after = options.fairness, reserve_for(options.limits, clock.budget)
        fairing = Fairing(
            race, asked, clock, lambda: tail.reserve() + after, fits, planned.costs, folder
        )
        climbed, tradeoff = make_fairer(fairing, climbed, tell)
    if options.limits.given:
        stage("making it smaller")
        fitting = Fitting(race, options.limits, clock, tail.reserve, fits, planned.costs, folder)
        try:
            climbed, compression = fit_limits(fitting, climbed, tell)
        except (ParityError, BundleError) as error:
            progress.warn(f"nothing smaller was tried: no bundle of {climbed.chosen.name}: {error}")
    return climbed, tradeoff, compression


def _climb(
    race: Race,
    ladder: list[Rung],
    tail: Tail,
    limits: Limits,
    options: Options,
    progress: Progress,
) -> Climb:
    def first_bundle(best: Candidate, largest: Candidate) -> None:
        progress.stage("writing a first bundle")
        trouble = tail.write_first(best, largest)
        if trouble is not None:
            progress.warn(trouble)
        progress.stage("climbing the ladder")

    studies = Studies(tail.folder / "study.journal", options.seed, options.sampler)
    return climb(
        race,
        ladder,
        studies,
        limits,
        progress,
        after_cheap=first_bundle,
        prefer=options.prefer,
    )


def _deliver(
    race: Race,
    climbed: Climb,
    wish: Wish,
    tail: Tail,
    told: Told,
    proof: str | None,
    progress: Progress,
) -> Report:
    """Hand over the first candidate that can be fitted to the end and written as a bundle."""
    trouble = ""
    for final in finish(race, climbed, wish):
        looks = count_look(tail.folder, proof, mark_of(final))
        progress.stage("writing the bundle and the report")
        try:
            return tail.deliver(climbed, final, told, looks)
        except (ParityError, BundleError) as error:
            trouble = f"no bundle of {final.candidate.name}: {error}"
            progress.warn(trouble)
    raise DataError(trouble or "no candidate could be fitted to the end")


def _only_baselines(ladder: Sequence[Rung], climbed: Climb) -> bool:
    """Whether there was something above the baselines to try, and no time to try it."""
    above = {rung.name for rung in ladder if not rung.baseline}
    return bool(above) and not any(c.rung in above for c in climbed.candidates)


def _ends(race: Race, chosen: Candidate, climbed: Climb, fits: int) -> float:
    """The seconds that the last fits of a candidate and of the baselines need."""
    baselines = (
        0.0
        if race.proves_out_of_fold
        else sum(longest(each) for each in climbed.candidates if each.state == "baseline")
    )
    return growth(race, climbed.folds) * (fits * longest(chosen) + baselines)


def _device(table: Table) -> str:
    """Where networks learn; tables need none, and torch is not loaded to find out."""
    if table.roles.modality == "tabular":
        return "cpu"
    from metier.training.device import best_device

    return best_device()
