"""Several tasks, learned starts and what strategies cost, as Markdown."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from statistics import median

import numpy as np
from scipy.special import stdtrit

from bench import costs, meta, records, several
from bench.markdown import seconds_text, table
from bench.records import Record


def tasks(folder: Path) -> list[str]:
    """Each task alone, shared and as it was chosen."""
    found = _whole(several.CLAIM, folder)
    if not found:
        return []
    rows = []
    for r in found:
        gap = r["against"]
        points = 100 if r["metric"] not in ("rmse", "mae") else 1
        told = (points * gap[name] for name in ("difference", "low", "high"))
        weights = r["weights"]["hybrid"] / r["weights"]["separate"]
        rows.append(
            [
                f"{r['set']}: {r['task']}{records.unusual(r, several.USUAL)}",
                *(f"{r[name]:.3f}" for name in ("single", "shared")),
                "{:+.1f} ({:+.1f} to {:+.1f})".format(*told),
                r["chosen"],
                r["hybrid_verdict"],
                f"{weights:.0%}",
                str(r["n"]),
            ]
        )
    heads = ["task", "own network", "shared", "shared less own, points", "chosen"]
    heads += ["chosen against own", "weights of the set", "rows"]
    lead = "Paired on the same test rows, 95 % intervals; verdicts with Holm over a set's tasks."
    return ["### Several tasks", lead, table(heads, rows)]


def starts(folder: Path) -> list[str]:
    """Few-shot accuracy on unseen classes of a learned start and of the untouched source."""
    found = _whole(meta.CLAIM, folder)
    if not found:
        return []
    parts = ["### Learned starts"]
    for ways, shots in dict.fromkeys((r["ways"], r["shots"]) for r in found):
        own = [r for r in found if (r["ways"], r["shots"]) == (ways, shots)]
        shape = f"{ways}-way {shots}-shot, nearest class mean"
        parts += [f"{shape}, on classes that were not learned.", _started(own)]
    return parts


def _started(found: Sequence[Record]) -> str:
    """The starts of one shape of episodes, a row for what was measured alike."""
    usual = {name: value for name, value in meta.USUAL.items() if name not in ("ways", "shots")}
    alike: dict[tuple[str, ...], list[Record]] = {}
    for r in found:
        name = f"{r['set']}{records.unusual(r, usual)}"
        alike.setdefault((name, r["method"]), []).append(r)
    rows = []
    for names, own in alike.items():
        gaps = np.array([100 * r["difference"] for r in own])
        worse = sum(r["high"] < 0 for r in own)
        better = sum(r["low"] > 0 for r in own)
        rows.append(
            [
                *names,
                *(f"{100 * np.mean([r[k] for r in own]):.1f}" for k in ("before", "after")),
                _interval(gaps),
                f"{better} / {worse}",
                str(len(own)),
                seconds_text(median(r["seconds"] for r in own)),
            ]
        )
    heads = ["set", "method", "untouched, %", "learned, %", "points gained (95 %)"]
    heads += ["splits better / worse", "splits", "seconds"]
    return table(heads, rows)


def _interval(gaps: np.ndarray) -> str:
    """The mean over splits with Student's interval."""
    mean, n = float(gaps.mean()), len(gaps)
    if n < 2:
        return f"{mean:+.2f}"
    half = float(stdtrit(n - 1, 0.975)) * float(gaps.std(ddof=1)) / n**0.5
    return f"{mean:+.2f} ({mean - half:+.2f} to {mean + half:+.2f})"


def prices(folder: Path) -> list[str]:
    """What each strategy costs, as a multiple of fine-tuning."""
    found = records.read(costs.CLAIM, folder)
    usual = {r["repeat"]: r["seconds"] for r in found if r["strategy"] == costs.USUAL}
    if not usual:
        return []
    rows, unfit = [], []
    for name in dict.fromkeys(r["strategy"] for r in found):
        own = [r for r in found if r["strategy"] == name]
        timed = [r for r in own if "seconds" in r and r["repeat"] in usual]
        if not timed:
            unfit.append(f"`{name}` ({own[0].get('reason', 'not timed')})")
            continue
        ratio = median(r["seconds"] / usual[r["repeat"]] for r in timed)
        seconds = seconds_text(median(r["seconds"] for r in timed))
        shown = f"{name} after {timed[0]['from']}" if timed[0]["from"] else name
        rows.append((ratio, [shown, f"{ratio:.2f}", seconds, str(len(timed))]))
    rows.sort(key=lambda row: row[0])
    told = f"{found[0]['rows']} texts of {found[0]['classes']} classes; medians of repeats."
    parts = ["### What each strategy costs", told]
    parts.append(table(["strategy", "x finetune", "seconds", "repeats"], [row for _, row in rows]))
    return [*parts, f"Not fitted to these rows: {'; '.join(unfit)}."] if unfit else parts


def _whole(claim: str, folder: Path) -> list[Record]:
    return [r for r in records.read(claim, folder) if r["limit"] is None]
