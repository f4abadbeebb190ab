"""Which rows of a pool a person should label next, and whether choosing them beats chance."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy.stats import t as student

from metier.data.known import Known
from metier.data.raw import Raw
from metier.data.read import read
from metier.data.table import build_table, row_numbers
from metier.errors import DataError, OptionError
from metier.evidence.answers import Array
from metier.evidence.catalogue import find
from metier.evidence.unlabelled.labelling import By, choose_rows, margins
from metier.evidence.words import number, points, sentence
from metier.road.labelled import read_labelled, target_of
from metier.runtime.scoring import features_read, score
from metier.runtime.session import Bundle
from metier.runtime.signals import columns_read, date_formats
from metier.types import Finding, Floats, Kind, Roles, Rows, Table

PLAYS = 10
"""Plays with and without choosing, each from another start."""
FEWEST = 60
"""Labelled rows below which a play says nothing."""
JUDGED = 0.4
STARTED = 0.2
"""Shares of the labelled rows that are only measured on, and that have a label at first."""


@dataclass(frozen=True)
class Worth:
    """Rows worth a label, the first one first.

    Args:
        rows: their numbers in the pool, 0-based.
        answers: what the bundle answers now.
        margins: how sure it is, 0 to 1; None for numbers.
        frame: the same rows as they were given, with these columns before them.
        pool: rows that could be chosen.
        findings: what was odd, and whether choosing beats chance.
    """

    rows: tuple[int, ...]
    answers: tuple[Any, ...]
    margins: tuple[float, ...] | None
    frame: pl.DataFrame
    pool: int
    findings: tuple[Finding, ...]


def worth_labels(
    bundle: Bundle, data: Any, n: int, by: By, seed: int, labelled: Any = None
) -> Worth:
    """Choose n rows of a pool. `labelled` rows play the choice through against chance.

    Raises:
        OptionError: for no whole number, or when the bundle has nothing to choose by.
        DataError: when a column is missing or no row can be read.
    """
    if n < 1:
        raise OptionError(f"--n {n}: expected a whole number from 1")
    kinds: dict[str, Kind] = {
        c.name: c.kind for c in columns_read(bundle.manifest.columns, bundle.manifest.preprocess)
    }
    raw = read(data, expect_images_of=_image(kinds), known=Known.of_bundle(bundle.manifest))
    for name in kinds:
        if name not in raw.frame.columns:
            raise DataError(f"{raw.name}: no column {name!r}, which the bundle reads")
    dates = date_formats(bundle.manifest.preprocess)
    table, findings = build_table(raw, Roles(kinds, dates=dates))
    table = table.take(np.flatnonzero(np.isin(row_numbers(table), _unlabelled(raw, bundle))))
    features, chances, answers = _seen(bundle, table)
    if features is None and (chances is None or by == "diversity"):
        raise OptionError(_NOTHING if chances is None else f"--by {by}: {_FEATURELESS}")
    readable = np.flatnonzero([answer is not None for answer in answers])
    if not len(readable):
        raise DataError(f"{raw.name}: no row can be read; `metier predict` says why")
    told = list(findings)
    if features is None and by != "margin":
        told.append(Finding("features", _BLIND, level="warning"))
    places = readable[
        choose_rows(
            None if chances is None else chances[readable],
            None if features is None else features[readable],
            bundle.task_kind,
            n,
            by=by,
            seed=seed,
        )
    ]
    rows = row_numbers(table)[places]
    sure = None if chances is None else margins(chances, bundle.task_kind)[places]
    said = tuple(answers[place] for place in places)
    if labelled is not None:
        told.append(_against_chance(bundle, labelled, by, seed))
    frame = _shown(raw, rows, said, sure)
    return Worth(
        tuple(rows.tolist()),
        said,
        None if sure is None else tuple(sure.tolist()),
        frame,
        len(readable),
        tuple(told),
    )


_FEATURELESS = "this bundle keeps no features that tell rows apart; take margin"
_NOTHING = (
    "this bundle keeps no features and its answers are numbers, so nothing tells which rows are "
    "worth a label: draw them by chance"
)
_BLIND = (
    "This bundle keeps no features, so rows are spread over its answers alone: alike rows may be "
    "among those chosen"
)


def _image(kinds: dict[str, Kind]) -> str | None:
    return next((name for name, kind in kinds.items() if kind == "image"), None)


def _unlabelled(raw: Raw, bundle: Bundle) -> Rows:
    """Numbers of the rows without a label; all rows where every one has a label, or none."""
    names = [name for name in target_of(bundle) if name in raw.frame.columns]
    if not names:
        return np.arange(raw.frame.height)
    missing = raw.frame.select(pl.any_horizontal(pl.col(n).is_null() for n in names)).to_series()
    found = np.flatnonzero(missing.to_numpy())
    return found if len(found) else np.arange(raw.frame.height)


def _seen(bundle: Bundle, table: Table) -> tuple[Floats | None, Array | None, list[Any]]:
    """Features (n, d) and probabilities (n, labels) where there are any, and the answers."""
    reads = features_read(bundle.session)
    outputs = len(bundle.labels) or 1
    scored = score(bundle.preprocess, bundle.session, outputs, table.columns(), reads)
    good = np.asarray(np.isfinite(scored.scores).all(axis=1))
    features = scored.features
    if features is not None and reads == "numbers":
        features = _scaled(bundle, features)
    found = bundle.predict(table.columns())
    answers = [a if ok else None for a, ok in zip(found.answers, good, strict=True)]
    return features, found.probabilities, answers


def _scaled(bundle: Bundle, numbers: Floats) -> Floats:
    """The numbers of table rows on one scale, a missing one in the middle."""
    domain = bundle.doubt.domain
    if domain is not None and domain.scaling is not None:
        return np.asarray(domain.prepare(numbers), dtype=np.float32)
    middle, spread = np.nanmean(numbers, axis=0), np.nanstd(numbers, axis=0)
    away = (numbers - middle) / np.where(spread > 0, spread, 1.0)
    return np.asarray(np.nan_to_num(away), dtype=np.float32)


def _shown(raw: Raw, rows: Rows, answers: tuple[Any, ...], sure: Array | None) -> pl.DataFrame:
    own = {"row": rows, "answer": [_written(a) for a in answers]}
    if sure is not None:
        own["margin"] = np.round(sure, 4)
    given = raw.frame[rows]
    kept = given.drop([name for name in own if name in given.columns])
    return pl.DataFrame(own).hstack(kept)


def _written(answer: Any) -> Any:
    return "|".join(map(str, answer)) if isinstance(answer, list | tuple) else answer


def _against_chance(bundle: Bundle, data: Any, by: By, seed: int) -> Finding:
    """Play choosing against chance on rows whose labels are known, from ten starts."""
    from metier.training.unlabelled.asking import play

    known = Known.of_bundle(bundle.manifest)
    found = read_labelled(bundle, read(data, what="labelled rows", known=known))
    features, _, _ = _seen(bundle, found.table)
    if features is None:
        raise OptionError("--compare: this bundle keeps no features, so nothing can be played")
    count, task = len(found), found.task
    if count < FEWEST:
        raise DataError(f"--compare: {count} labelled rows say nothing; give {FEWEST} and more")
    start = max(int(STARTED * count), 1)
    step = max(count - int(JUDGED * count) - start, 2) // 2
    gains = []
    for turn in range(PLAYS):
        judged = np.random.default_rng((seed, turn)).permutation(count)[: int(JUDGED * count)]
        ends = [
            play(
                features,
                found.truth,
                task,
                way,
                judged=judged,
                start=start,
                step=step,
                rounds=1,
                seed=seed + turn,
            ).values[-1]
            for way in (by, None)
        ]
        gains.append(ends[0] - ends[1])
    return _told(task.metrics[0], bundle, np.array(gains), start, step, count)


def _told(
    name: str, bundle: Bundle, gains: NDArray[np.float64], start: int, step: int, n: int
) -> Finding:
    metric = find(name, bundle.task_kind)
    plays, gains = len(gains), gains[np.isfinite(gains)]
    if len(gains) < 2:
        text = (
            f"whether choosing beats chance could not be measured: {metric.title} has a value in "
            f"{len(gains)} of {plays} plays on {n:,} labelled rows, so their rows that judge are "
            "too much alike; give more"
        )
        return Finding("against_chance", sentence(text), n=n, level="warning")
    gains = gains if metric.higher_is_better else -gains
    half = student.ppf(0.975, len(gains) - 1) * gains.std(ddof=1) / np.sqrt(len(gains))
    mean, low, high = (float(v) for v in (gains.mean(), gains.mean() - half, gains.mean() + half))
    unit = "points of " if metric.share else ""
    shown = [
        f"{'-' if v < 0 else ''}{points(v)}" if metric.share else number(v)
        for v in (mean, low, high)
    ]
    verdict = "no better than chance here" if low <= 0 <= high else ""
    verdict = verdict or ("better than chance" if low > 0 else "worse than chance")
    lost = plays - len(gains)
    verdict += f"; {lost} more could not be measured" if lost else ""
    text = (
        f"{step} chosen rows after {start} brought {shown[0]} {unit}{metric.title} more than "
        f"{step} drawn by chance ({shown[1]} to {shown[2]}, {len(gains)} plays on {n:,} labelled "
        f"rows, whose features the bundle may have learned from): {verdict}"
    )
    scale, details = (100.0, {"unit": "points"}) if metric.share else (1.0, {})
    level: Literal["info", "warning"] = "warning" if high < 0 else "info"
    ends = (scale * mean, scale * low, scale * high)
    return Finding("against_chance", sentence(text), *ends, n, level, details=details)
