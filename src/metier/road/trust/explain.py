"""`metier explain`: what a bundle's answers come from, and how far to believe the explanation."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from metier.cache import write_aside
from metier.errors import MetierError, OptionError, suggest
from metier.evidence.compare import holm
from metier.evidence.explanations.attribution import (
    Attribution,
    Explainer,
    Lime,
    Occlusion,
    Shap,
    nobody,
)
from metier.evidence.explanations.explained import Explained, RowExplained
from metier.evidence.explanations.faithful import (
    Curves,
    Faithfulness,
    Stability,
    chance_curves,
    curves_of,
    faithfulness,
    gain_of,
    mean_of,
    ranking,
    stability,
)
from metier.evidence.explanations.glass import Terms
from metier.evidence.explanations.overall import overall
from metier.evidence.explanations.players import Game
from metier.report.document import render_document
from metier.report.explanations.claims import findings_of
from metier.report.explanations.page import explanation_document
from metier.road.asked import versions
from metier.road.options import Progress
from metier.road.trust.effort import evaluations_for
from metier.road.trust.games import Games, games_of
from metier.road.trust.neighbours import find_nearest
from metier.road.trust.truth import in_words
from metier.runtime.session import load
from metier.search.clock import Clock

METHODS = ("auto", "terms", "trees", "gradients", "shap", "occlusion", "lime")
SHOWN = 6
"""Rows shown when none are named."""
CHOOSING, JUDGING = 16, 48
"""Rows that choose the method, and that judge the chosen one, at most."""
APART = 0.05
"""The adjusted p-value below which a method is less faithful than the best."""
TWICE = 8
"""Rows that are explained with another seed."""
CHOSEN_BY, JUDGED_BY, REPEATED_BY = 0.45, 0.8, 0.88
"""The shares of the time left after setting out, by which the method is chosen, judged, and tried
with another seed. The rest is for the nearest training rows and the page."""


@dataclass(frozen=True)
class Asked:
    """What was asked of an explanation. See `metier.api.explain`."""

    bundle: Path
    data: Any
    rows: Sequence[int] | None = None
    method: str = "auto"
    train: Any = None
    seed: int = 0


@dataclass
class Bench:
    """The explanations and curves made so far, so that none is made twice."""

    seed: int
    made: dict[tuple[str, int], Attribution] = field(default_factory=dict)
    curves: dict[tuple[str, int], Curves] = field(default_factory=dict)
    chance: dict[int, Curves] = field(default_factory=dict)

    def explain(self, explainer: Explainer, game: Game) -> Attribution:
        """Explain a row."""
        key = explainer.name, game.row
        if key not in self.made:
            alone = not len(game)
            self.made[key] = nobody(game) if alone else explainer(game, self.seed)
        return self.made[key]

    def measure(self, explainers: Sequence[Explainer], game: Game) -> None:
        """Explain a row with each method, and draw the curves of all and of chance."""
        orders = [ranking(self.explain(explainer, game)) for explainer in explainers]
        found = curves_of(game, orders)
        for explainer, curves in zip(explainers, found, strict=True):
            self.curves[explainer.name, game.row] = curves
        if game.row not in self.chance:
            self.chance[game.row] = chance_curves(game, self.seed)

    def lead(self, name: str, other: str) -> list[float]:
        """Return how much better one method is than another, row by row, where both were tried."""
        rows = [row for own, row in self.curves if own == name and (other, row) in self.curves]
        return [gain_of(self.curves[name, row], self.curves[other, row]) for row in rows]

    def judge(self, name: str, rows: Sequence[int]) -> Faithfulness:
        """Set a method against chance on rows that were measured."""
        own = [self.curves[name, row] for row in rows]
        return faithfulness(name, own, [self.chance[row] for row in rows], self.seed)


def explain_bundle(asked: Asked, progress: Progress, clock: Clock) -> Explained:
    """Explain rows by the most faithful method, and measure it on rows that did not choose it.

    Raises InputError for a bundle, data, rows or a method that cannot be used.
    """
    if asked.method not in METHODS:
        raise OptionError(f"--method {asked.method}: is not known{suggest(asked.method, METHODS)}")
    progress.until(clock.deadline(clock.left))
    progress.stage("reading the data")
    games = games_of(asked.bundle, load(asked.bundle), asked.data, asked.rows, SHOWN, asked.seed)
    explainers, skipped = explainers_for(asked.method, games, clock)
    bench = Bench(asked.seed)
    rest = Clock(max(1.0, clock.left))
    choosing, judging = _split(games, len(explainers))
    tried: tuple[Faithfulness, ...] = ()
    if len(explainers) > 1:
        progress.stage(f"choosing among {', '.join(each.name for each in explainers)}")
        tried = _choose(explainers, choosing, games, bench, rest)
    chosen = _taken(explainers, tried, bench)
    progress.stage(f"explaining by {chosen.name}")
    shown = [games.game(place) for place in range(games.shown)]
    rows = tuple(
        _row(games, place, bench.explain(chosen, shown[place])) for place in range(games.shown)
    )
    progress.stage("measuring how far the explanations can be believed")
    faithful = _judge(chosen, judging, games, bench, rest)
    stable = _repeat(chosen, judging, games, bench, rest)
    progress.stage("looking for the nearest training rows")
    found = Explained(
        bundle=str(asked.bundle),
        digest=games.bundle.digest,
        task=games.bundle.task_kind,
        labels=games.bundle.labels,
        method=chosen.name,
        asked=asked.method,
        tried=tried,
        skipped=skipped,
        faithful=faithful,
        stable=stable,
        rows=rows,
        overall=overall(_explained(games, chosen, bench)),
        nearest=find_nearest(games, asked.train, clock),
        findings=(),
        glass=games.glass,
        seconds=clock.used,
    )
    return replace(found, findings=(*games.findings, *findings_of(found)))


def explainers_for(
    method: str, games: Games, clock: Clock
) -> tuple[list[Explainer], Mapping[str, str]]:
    """Return the methods to try, the one to fall back on first, and why others are left out.

    Raises what the method raises when one was asked for that does not fit.
    """
    names = METHODS[1:] if method == "auto" else (method,)
    count = evaluations_for(games.game(0), 3 if method == "auto" else 1, clock)
    found: list[Explainer] = []
    skipped: dict[str, str] = {}
    for name in names:
        if method == "auto" and not _could_fit(name, games):
            continue
        try:
            found.append(MAKERS[name](games, count))
        except MetierError as error:
            if method != "auto":
                raise
            skipped[name] = str(error)
    return found, skipped


def _could_fit(name: str, games: Games) -> bool:
    """Whether a method is meant for such inputs at all."""
    if games.modality != "tabular":
        return name not in ("trees", "terms")
    return name not in (("gradients", "terms") if games.glass is None else ("gradients", "trees"))


def _gradients(games: Games, _: int) -> Explainer:
    if games.modality == "tabular":
        raise OptionError(
            "--method gradients: is for texts and images, and this bundle reads a table; use "
            "--method trees or shap"
        )
    if not games.has_weights:
        raise OptionError(
            "--method gradients: needs the weights of a run folder, and this is a bundle alone; "
            "use --method shap"
        )
    from metier.training.gradients import gradients_of

    return gradients_of(games.model)


def _trees(games: Games, _: int) -> Explainer:
    if games.modality != "tabular":
        raise OptionError(
            f"--method trees: is for tables, and this bundle reads {games.modality}; use --method "
            "shap"
        )
    if not games.has_weights:
        raise OptionError(
            "--method trees: needs the boosters of a run folder, and this is a bundle alone; use "
            "--method shap"
        )
    from metier.evidence.explanations.treeshares import trees_of

    return trees_of(games.model)


def _terms(games: Games, _: int) -> Explainer:
    if games.glass is None:
        raise OptionError(
            "--method terms: is for a glass box (--strategy ebm), and this bundle is none; use "
            "--method auto"
        )
    return Terms(games.glass)


MAKERS: Mapping[str, Callable[[Games, int], Explainer]] = {
    "shap": lambda games, count: Shap(count),
    "lime": lambda games, count: Lime(count),
    "occlusion": lambda games, count: Occlusion(),
    "gradients": _gradients,
    "trees": _trees,
    "terms": _terms,
}


def _split(games: Games, methods: int) -> tuple[list[int], list[int]]:
    """Places of the rows that choose the method, and of those that judge it: never the same."""
    others = list(range(games.shown, len(games.table)))
    half = min(CHOOSING, len(others) // 2) if methods > 1 else 0
    rest = [*range(games.shown), *others[half:]]
    return others[:half], rest[:JUDGING]


def _choose(
    explainers: Sequence[Explainer], places: Sequence[int], games: Games, bench: Bench, clock: Clock
) -> tuple[Faithfulness, ...]:
    """Measure every method on the same rows; the most faithful comes first."""
    rows: list[int] = []
    for place in places:
        if rows and _late(clock, CHOSEN_BY):
            break
        game = games.game(place)
        if len(game) > 1:
            bench.measure(explainers, game)
            rows.append(game.row)
    found = [bench.judge(each.name, rows) for each in explainers] if rows else []
    return tuple(sorted(found, key=lambda each: -each.gain.value))


def _taken(
    explainers: Sequence[Explainer], tried: Sequence[Faithfulness], bench: Bench
) -> Explainer:
    """Return the most faithful method; of those that cannot be told from it, the one that comes
    first in `METHODS`: exact before drawn, and shares that sum before weights."""
    if not tried:
        return explainers[0]
    best = tried[0].method
    others = [each.name for each in explainers if each.name != best]
    behind = [mean_of(bench.lead(best, name)) for name in others]
    told_apart = holm([found.p if found.value > 0 else 1.0 for found in behind])
    ties = {name for name, p in zip(others, told_apart, strict=True) if not p < APART}
    return next(each for each in explainers if each.name == best or each.name in ties)


def _judge(
    chosen: Explainer, places: Sequence[int], games: Games, bench: Bench, clock: Clock
) -> Faithfulness | None:
    rows: list[int] = []
    for place in places:
        if _late(clock, JUDGED_BY):
            break
        game = games.game(place)
        if len(game) > 1:
            bench.measure([chosen], game)
            rows.append(game.row)
    return bench.judge(chosen.name, rows) if rows else None


def _repeat(
    chosen: Explainer, places: Sequence[int], games: Games, bench: Bench, clock: Clock
) -> Stability | None:
    """Explain rows with another seed, and compare."""
    pairs = []
    for place in places[:TWICE]:
        if _late(clock, REPEATED_BY):
            break
        game = games.game(place)
        if len(game) > 1:
            pairs.append((bench.explain(chosen, game), chosen(game, bench.seed + 1)))
    return stability(pairs, chosen.drawn) if pairs else None


def _late(clock: Clock, share: float) -> bool:
    return clock.budget is not None and clock.used > share * clock.budget


def _explained(games: Games, chosen: Explainer, bench: Bench) -> list[tuple[Game, Attribution]]:
    """All rows that the method has explained."""
    found = []
    for place, row in enumerate(games.numbers.tolist()):
        if (chosen.name, row) in bench.made:
            found.append((games.game(place), bench.made[chosen.name, row]))
    return found


def _row(games: Games, place: int, attribution: Attribution) -> RowExplained:
    game = games.game(place)
    return RowExplained(
        row=game.row,
        answer=in_words(games.answers[place]),
        label=game.target.label,
        chance=float(game.target.chance(games.scores[place : place + 1])[0]) * game.target.scale,
        truth=games.truth[place],
        parts=game.parts,
        attribution=attribution,
    )


def write_page(found: Explained, asked: Asked, path: Path) -> None:
    """Write the page of an explanation."""
    document = explanation_document(found, _command(asked, path), versions())
    write_aside(path, render_document(document).encode())


def _command(asked: Asked, out: Path) -> str:
    data = str(asked.data) if isinstance(asked.data, str | Path) else "DATA"
    words = ["metier", "explain", str(asked.bundle), data]
    if asked.rows is not None:
        words += ["--rows", ",".join(map(str, asked.rows))]
    if asked.method != "auto":
        words += ["--method", asked.method]
    if isinstance(asked.train, str | Path):
        words += ["--train", str(asked.train)]
    return shlex.join([*words, "--seed", str(asked.seed), "--out", str(out)])
