"""From what a run found to what is told of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from metier.data.checks import SHARED
from metier.data.remembered import MET
from metier.data.table import clusters_of
from metier.evidence.compare import Comparison, paired
from metier.evidence.fairness.served import Served
from metier.evidence.judge import against, called, gains, judge
from metier.evidence.metrics import find, interval, scorecard
from metier.evidence.robustness.setbacks import setbacks
from metier.evidence.uncertainty.calibration import reliability
from metier.evidence.uncertainty.sureness import Sureness, sureness_of
from metier.evidence.unlabelled.closeness import noted
from metier.evidence.words import percent, sentence
from metier.report.content import Bin, Confusion, Curve, Entry, Level, Report, Scatter
from metier.report.mistakes import find_mistakes
from metier.report.wording import over_groups
from metier.runtime.conformal import luck_of
from metier.runtime.doubt import Doubt
from metier.runtime.manifest import InputColumn
from metier.search.choice import Climb, compare
from metier.search.finals import Final, Judged
from metier.search.ladder import NOTHING
from metier.search.race import Race
from metier.search.records import Candidate
from metier.types import Finding

MOST_POINTS = 2000


@dataclass(frozen=True)
class About:
    """What the caller knows of a run beside its results."""

    name: str
    command: str
    settings: Mapping[str, Any]
    versions: Mapping[str, str]
    data_findings: Sequence[Finding]
    cost: Sequence[Finding]
    bundle: str
    looks: int = 1
    notes: Sequence[str] = ()
    doubt: Doubt = field(default_factory=Doubt)
    fairness: Served | None = None


def assemble(race: Race, climb: Climb, final: Final, about: About) -> Report:
    """Return the report of a run. Its digest is known only once the bundle is written."""
    proof, task = final.proof, race.task
    mine = proof.chosen
    chosen = mine.candidate
    headline = _on_proof(race, final, mine)
    rivals = {name: _paired(race, final, other) for name, other in proof.baselines.items()}
    second = _runner_up(race, climb, chosen)
    verdicts = judge(
        headline,
        rivals,
        rows=_rows_called(final),
        transfer=_transfers(race, chosen),
        runner_up=second,
        on_train=final.on_train,
        on_unseen=_on_selecting(race, climb, chosen),
    )
    learned = [f for f in about.data_findings if f.name == SHARED and f.level != "info"]
    met = [f for f in about.data_findings if f.name == MET and _is_of(f, chosen)]
    void = [found for found in (*learned, *met) if found.level == "problem"]
    fallback = _fallback(race, climb, chosen)
    return Report(
        name=about.name,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        verdict=" ".join(sentence(f.verdict) for f in (*void, verdicts[0], *fallback)),
        verdict_level=_level([*verdicts, *void, *fallback], chosen),
        task_kind=task.kind,
        target=", ".join(race.table.roles.target),
        labels=task.labels,
        metric=race.metric,
        source=chosen.recipe.source,
        strategy=chosen.recipe.called,
        modality=race.table.roles.modality,
        command=about.command,
        leaderboard=_leaderboard(race, climb, chosen),
        leaderboard_on=_leaderboard_on(climb),
        proof=tuple(
            scorecard(
                task,
                proof.targets,
                mine.scores,
                mine.decision,
                seed=race.seed,
                clusters=proof.clusters,
            )
        ),
        proof_on=_proof_on(final, learned),
        baselines=_baselines(race, final),
        comparisons=(*fallback, *verdicts[1:], *gains(rivals, second)),
        curves=_curves(climb.candidates),
        confusion=_confusion(task.labels, proof.targets, mine),
        scatter=_scatter(proof.targets, mine),
        reliability=_bins(proof.targets, mine),
        mistakes=find_mistakes(race, chosen, mine.decision),
        data_findings=(
            *about.data_findings,
            *(found for step in final.specialist.lineage for found in noted(step.notes)),
            *(found for step in final.specialist.lineage for found in setbacks(step.notes)),
        ),
        cost=tuple(about.cost),
        lineage=final.specialist.lineage,
        settings=about.settings,
        versions=about.versions,
        looks=about.looks,
        notes=tuple(about.notes),
        higher_is_better=find(race.metric, task.kind).higher_is_better,
        bundle=about.bundle,
        inputs=dict(race.table.roles.inputs),
        rows=_row_counts(race, final),
        sureness=_sureness(race, final, about.doubt),
        label_counts=_label_counts(task.labels, race.targets),
        fairness=about.fairness,
    )


def _paired(race: Race, final: Final, other: Judged) -> Comparison:
    """The chosen one against another on the rows of the proof."""
    proof, mine = final.proof, final.proof.chosen
    return paired(
        race.metric,
        proof.targets,
        mine.scores,
        other.scores,
        mine.decision,
        other.decision,
        seed=race.seed,
        clusters=proof.clusters,
    )


def _on_proof(race: Race, final: Final, each: Judged) -> Finding:
    """The deciding metric of one of them on the rows of the proof."""
    proof = final.proof
    return interval(
        race.metric,
        proof.targets,
        each.scores,
        each.decision,
        seed=race.seed,
        clusters=proof.clusters,
    )


def _baselines(race: Race, final: Final) -> tuple[Finding, ...]:
    """The deciding metric of every baseline on the proof rows, the chosen one among them."""
    proof = final.proof
    judged = dict(proof.baselines)
    if proof.chosen.candidate.state == "baseline":
        judged[proof.chosen.candidate.rung] = proof.chosen
    return tuple(replace(_on_proof(race, final, each), name=name) for name, each in judged.items())


def _transfers(race: Race, candidate: Candidate) -> bool:
    return candidate.recipe.source != NOTHING and race.table.roles.modality != "tabular"


def _fallback(race: Race, climb: Climb, chosen: Candidate) -> tuple[Finding, ...]:
    """What is to be said when a baseline won over what was searched."""
    if chosen.state != "baseline":
        return ()
    others = [c for c in climb.candidates if c.folds and c.state in ("tried", "cut")]
    if not others:
        return ()

    def standing(other: Candidate) -> tuple[int, float]:
        return len(other.folds), race.value(other, race.selecting_rows(sorted(other.folds)))

    best = max(others, key=standing)
    rows = race.selecting_rows([k for k in climb.folds if k in best.folds])
    c = compare(race, chosen, best, rows)
    if c.difference < 0 and chosen is not climb.chosen:
        text = (
            f"{called(best.rung)} did better than {called(chosen.rung)} on the {len(rows):,} rows "
            "that chose, but could not be fitted to the end"
        )
        return (_finding("not_fitted", text, c, "warning"),)
    if c.difference < 0:  # only where the smaller one was asked for
        told = against(best.rung, c)
        text = f"{called(chosen.rung)} is {told} on the {len(rows):,} rows that chose, and smaller"
        return (_finding("smaller_chosen", text, c, "info"),)
    transfer = _transfers(race, best) and not _transfers(race, chosen)
    what = "negative transfer: no pretrained start" if transfer else "nothing that was searched"
    text = (
        f"{what} did better than {called(chosen.rung)} on the {len(rows):,} rows that chose, "
        "so that is what you get"
    )
    name = "negative_transfer" if transfer else "baseline_chosen"
    return (_finding(name, text, c, "warning"),)


def _finding(name: str, text: str, c: Comparison, level: Literal["info", "warning"]) -> Finding:
    return Finding(name, sentence(text), c.difference, c.low, c.high, c.n, level)


def _rows_called(final: Final) -> str:
    return {
        "test": "test rows",
        "held-out": "held-out rows",
        "out-of-fold": "out-of-fold rows",
    }[final.proof.where]


def _proof_on(final: Final, learned: Sequence[Finding]) -> str:
    n = len(final.proof.rows)
    unused = "which nothing was chosen by"
    if learned:
        share = percent(learned[0].value or 0.0)
        unused = f"of which {share} % are in the training rows too, or nearly"
    where = {
        "test": f"Measured on {n:,} test rows, {unused}",
        "held-out": f"Measured on {n:,} held-out rows, which nothing was chosen by",
        "out-of-fold": (
            f"Measured out-of-fold on {n:,} rows: each was answered by a fit that had not seen it, "
            "and neither the choice of recipe nor its calibration used these rows"
        ),
    }[final.proof.where]
    told = [f"{where}."]
    if final.refitted:
        told.append(
            "The recipe was then refitted on all rows given: the interval is of the recipe before "
            "that refit."
        )
    told.append(over_groups(final.proof.table, final.proof.rows))
    return " ".join(filter(None, told))


def _runner_up(race: Race, climb: Climb, chosen: Candidate) -> tuple[str, Comparison] | None:
    others = [c for c in climb.finished() if c is not chosen]
    if not others or not len(climb.rows):
        return None
    other = max(others, key=lambda c: race.value(c, climb.rows))
    return other.name, compare(race, chosen, other, climb.rows)


def _is_of(found: Finding, chosen: Candidate) -> bool:
    """Whether a finding about a source is about that of what was chosen."""
    return bool(found.details["source"] == chosen.recipe.source)


def _level(verdicts: Sequence[Finding], chosen: Candidate) -> Level:
    """Whether a gain is proven: something that was searched is better than what it is held against.

    What else is to be known of it, such as a fall from rows it learned from to others, takes
    nothing from a gain that was measured on rows it had not seen.
    """
    levels = {f.level for f in verdicts if f.name not in ("runner_up", "overfitting")}
    if "problem" in levels:
        return "bad"
    nothing_gained = chosen.state == "baseline" or verdicts[0].details["against"] is None
    return "neutral" if nothing_gained or "warning" in levels else "good"


def _leaderboard(race: Race, climb: Climb, chosen: Candidate) -> tuple[Entry, ...]:
    finished = {c.name for c in climb.finished()}
    entries = []
    for candidate in climb.candidates:
        found = _on_selecting(race, climb, candidate) if candidate.name in finished else None
        entries.append(
            Entry(
                name=candidate.name,
                strategy=candidate.recipe.called,
                source=candidate.recipe.source,
                parameters=candidate.recipe.parameters,
                value=None if found is None else found.value,
                low=None if found is None else found.low,
                high=None if found is None else found.high,
                n=None if found is None else found.n,
                seconds=candidate.seconds,
                state="chosen" if candidate is chosen else candidate.state,
                note=candidate.note,
                tied=candidate.name in climb.ties,
            )
        )
    sign = race.sign
    return tuple(
        sorted(entries, key=lambda e: (e.value is None, -sign * (e.value or 0.0), e.seconds))
    )


def _on_selecting(race: Race, climb: Climb, candidate: Candidate) -> Finding:
    """The deciding metric of a candidate on the rows that chose."""
    scores, targets = race.scores(candidate, climb.rows), race.targets[climb.rows]
    clusters = clusters_of(race.table, climb.rows)
    return interval(race.metric, targets, scores, race.plain, seed=race.seed, clusters=clusters)


def _leaderboard_on(climb: Climb) -> str:
    folds = len(climb.folds)
    share = f"{folds} folds" if folds > 1 else "one fold"
    return (
        f"Compared on the same {len(climb.rows):,} rows, left out of training in {share}; the "
        "proof is measured on others."
    )


def _curves(candidates: Sequence[Candidate]) -> tuple[Curve, ...]:
    found = []
    for candidate in candidates:
        notes = candidate.folds[min(candidate.folds)].notes if candidate.folds else {}
        points = notes.get("curve") or []
        if len(points) > 1:
            found.append(
                Curve(
                    candidate.name,
                    steps=tuple(float(step) for step, _, _ in points),
                    train=tuple(float(loss) for _, loss, _ in points),
                    valid=tuple(
                        float("nan") if held is None else -float(held) for _, _, held in points
                    ),
                )
            )
    return tuple(found)


def _confusion(labels: tuple[str, ...], targets: NDArray[Any], mine: Judged) -> Confusion | None:
    if mine.decision.kind not in {"binary", "multiclass"}:
        return None
    k = len(labels)
    counts = np.zeros((k, k), dtype=np.int64)
    np.add.at(counts, (targets, mine.decision.choices(mine.scores)), 1)
    return Confusion(labels, tuple(tuple(int(v) for v in row) for row in counts))


def _scatter(targets: NDArray[Any], mine: Judged) -> Scatter | None:
    if mine.decision.kind != "regression":
        return None
    shown = np.linspace(0, len(targets) - 1, min(len(targets), MOST_POINTS)).astype(int)
    return Scatter(
        tuple(float(v) for v in targets[shown]), tuple(float(v) for v in mine.scores[shown, 0])
    )


def _bins(targets: NDArray[Any], mine: Judged) -> tuple[Bin, ...]:
    return tuple(
        Bin(float(b.confidence), float(b.accuracy), int(b.n))
        for b in reliability(targets, mine.scores, mine.decision)
    )


def _sureness(race: Race, final: Final, doubt: Doubt) -> Sureness:
    """How sure the chosen one is on the rows of the proof, whose labels calibrated nothing."""
    proof, mine = final.proof, final.proof.chosen
    kinds = race.table.roles.inputs
    wanted = [InputColumn(name, kind) for name, kind in kinds.items()]
    luck = luck_of(proof.table.take(proof.rows).columns(), wanted)
    return sureness_of(
        proof.targets,
        mine.scores,
        mine.decision,
        doubt,
        luck,
        seed=race.seed,
        clusters=proof.clusters,
    )


def _row_counts(race: Race, final: Final) -> dict[str, int]:
    held = len(race.split.proof)
    all_in_the_end = len(race.table) - held
    found = {"training": all_in_the_end if final.refitted else len(race.free)}
    if final.proof.where == "test":
        found["testing"] = len(final.proof.rows)
    elif held:
        found["testing (held out, then learned from)" if final.refitted else "testing"] = held
    return found


def _label_counts(labels: tuple[str, ...], targets: NDArray[Any]) -> dict[str, int]:
    if not labels:
        return {}
    counts = (
        targets.sum(axis=0) if targets.ndim == 2 else np.bincount(targets, minlength=len(labels))
    )
    return {label: int(count) for label, count in zip(labels, counts, strict=True)}
