"""What was measured with few labels, as Markdown: `contrast` beside SetFit and the frozen probe."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import numpy as np
from numpy.typing import NDArray

from bench import elsewhere, fewshot, labels, paired, records
from bench.markdown import seconds_text, table
from bench.records import Record

OURS = ("contrast", "contrast-unnamed")
OTHERS = ("setfit", "probe")


@dataclass(frozen=True)
class Gain:
    """How many points of accuracy one method is ahead, and its 95 % interval over rows and draws;
    on so many draws that both have. One draw alone gives no interval."""

    points: float
    low: float | None
    high: float | None
    draws: int


def fewshots(folder: Path) -> list[str]:
    """Accuracy and time of each method by set and number of labels, and what `contrast` gains."""
    found = [r for r in records.read(fewshot.CLAIM, folder) if r["limit"] is None]
    names = list(dict.fromkeys(r["set"] for r in found))
    if not names:
        return []
    lead = (
        "Accuracy (mean over draws of the labelled rows; median seconds of fitting, one core) by "
        "set and labels a class. Gains are in points, paired by draw and test row, with intervals "
        "over both, their mean over sets and numbers of labels with Student's interval over these. "
        "`contrast` reads the names of the labels, `contrast-unnamed` does not."
    )
    rows = [[name, *(_scored(found, name, method) for method in fewshot.METHODS)] for name in names]
    parts = ["### Few labels", lead, table(["set", *fewshot.METHODS], rows)]
    heads = ["set", *(f"{own} over {other}" for own in OURS for other in OTHERS)]
    pairs = [(own, other) for own in OURS for other in OTHERS]
    gains = [
        [name, *(_told(_gain(folder, found, name, *pair)) for pair in pairs)] for name in names
    ]
    gains.append(["mean", *(_told(_mean(folder, found, names, *pair)) for pair in pairs)])
    return [*parts, table(heads, gains), *_times(found, names)]


def asked(folder: Path) -> list[str]:
    """Accuracy of chosen rows beside rows drawn by chance, and how many chosen ones do as well."""
    found = [r for r in records.read(labels.CLAIM, folder) if r["limit"] is None]
    names = list(dict.fromkeys(r["set"] for r in found))
    if not names:
        return []
    lead = (
        "Frozen features and a linear head; rows are asked for in rounds of two a class. Accuracy "
        "with so many labelled rows, mean over starts; gains in points with the least and the most "
        "of a start; `rows for 2x` is how many chosen rows reach "
        "what chance reaches with twice as many as half way, as a share of these (median)."
    )
    rows = [row for name in names for row in _asked_rows([r for r in found if r["set"] == name])]
    heads = [
        "set",
        "chosen by",
        "half way",
        "at the end",
        "gain at the end",
        "rows for 2x",
        "starts",
    ]
    return ["### Rows worth a label", lead, table(heads, rows)]


def _asked_rows(found: Sequence[Record]) -> list[list[str]]:
    chance = {r["seed"]: r for r in found if r["way"] == "chance"}
    rows = []
    for way in dict.fromkeys(r["way"] for r in found):
        own = [r for r in found if r["way"] == way and r["seed"] in chance]
        half = len(own[0]["sizes"]) // 2 - 1
        gains = 100 * np.array([r["values"][-1] - chance[r["seed"]]["values"][-1] for r in own])
        needed = [_needed(r, chance[r["seed"]], half) for r in own]
        told = f"{gains.mean():+.1f} ({gains.min():+.1f} to {gains.max():+.1f})"
        rows.append(
            [
                own[0]["set"],
                way,
                *(f"{np.mean([r['values'][at] for r in own]):.3f}" for at in (half, -1)),
                "" if way == "chance" else told,
                "" if way == "chance" else _share(median(needed)),
                str(len(own)),
            ]
        )
    return rows


def _share(value: float) -> str:
    return f"{100 * value:.0f} %" if np.isfinite(value) else "not reached"


def _needed(own: Record, chance: Record, half: int) -> float:
    """The share of twice the rows half way that chosen ones need; above 1 when they never do."""
    twice = 2 * chance["sizes"][half]
    wanted = float(np.interp(twice, chance["sizes"], chance["values"]))
    found = labels.rows_needed(own["sizes"], own["values"], wanted)
    return float("inf") if found is None else found / twice


def _times(found: Sequence[Record], names: Sequence[str]) -> list[str]:
    """How the time of contrast compares with that of SetFit, at its worst."""
    shares = [
        _seconds(found, name, "contrast") / _seconds(found, name, "setfit")
        for name in names
        if _of(found, name, "contrast") and _of(found, name, "setfit")
    ]
    if not shares:
        return []
    return [
        f"`contrast` took {100 * median(shares):.0f} % of the time of SetFit, and "
        f"{100 * max(shares):.0f} % where it took most."
    ]


def _of(found: Sequence[Record], name: str, method: str) -> list[Record]:
    return [r for r in found if r["set"] == name and r["method"] == method]


def _seconds(found: Sequence[Record], name: str, method: str) -> float:
    return float(median(r["seconds"] for r in _of(found, name, method)))


def _scored(found: Sequence[Record], name: str, method: str) -> str:
    own = _of(found, name, method)
    if not own:
        return ""
    score = float(np.mean([r["score"] for r in own]))
    return f"{score:.3f}, {seconds_text(_seconds(found, name, method))} s"


def _told(gain: Gain | None) -> str:
    if gain is None:
        return ""
    if gain.low is None:
        return f"{gain.points:+.1f} (one draw)"
    return f"{gain.points:+.1f} ({gain.low:+.1f} to {gain.high:+.1f})"


def _mean(
    folder: Path, found: Sequence[Record], names: Sequence[str], own: str, other: str
) -> Gain | None:
    """The mean gain over sets and numbers of labels, with Student's interval over them."""
    each = [g for name in names if (g := _gain(folder, found, name, own, other)) is not None]
    if not each:
        return None
    points, low, high = elsewhere.mean_gap([gain.points for gain in each])
    draws = sum(gain.draws for gain in each)
    return Gain(points, low, high, draws) if len(each) > 1 else Gain(points, None, None, draws)


def _gain(folder: Path, found: Sequence[Record], name: str, own: str, other: str) -> Gain | None:
    """The gain on one set with so many labels; None where no draw has both methods."""
    led = _leads(folder, found, name, own, other)
    if led is None:
        return None
    if len(led) == 1:  # what another draw would say is not known
        return Gain(float(led.mean()), None, None, 1)
    gap = paired.Mean.of(led).gap()
    return Gain(gap.points, gap.low, gap.high, len(led))


def _leads(
    folder: Path, found: Sequence[Record], name: str, own: str, other: str
) -> NDArray[np.float64] | None:
    """Points that a method is ahead, (draws, rows)."""
    seeds = sorted({r["seed"] for r in _of(found, name, own)})
    pairs = []
    for seed in seeds:
        losses = [
            records.losses(
                fewshot.kept_as({"set": name, "method": method, "seed": seed, "limit": None}),
                folder,
            )
            for method in (own, other)
        ]
        if losses[0] is not None and losses[1] is not None:
            pairs.append(100 * (losses[1] - losses[0]))
    return np.stack(pairs) if pairs else None
