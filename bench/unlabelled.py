"""What was measured of rows without labels, as Markdown: few labels, and other domains."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from statistics import mean, median

from bench import domains, elsewhere, records, semi
from bench.markdown import seconds_text, table
from bench.paired import Gap
from bench.records import Record


def semis(folder: Path) -> list[str]:
    """The gain of each method over the supervised winner, by set, adjusted for the methods."""
    found = _whole(semi.CLAIM, folder)
    rows: list[list[str]] = []
    for name in dict.fromkeys(r["set"] for r in found):
        own = [r for r in found if r["set"] == name]
        rows += _of_set(name, own)
    if not rows:
        return []
    lead = (
        f"{semi.LABELS} labels a class; the gain in points is over the better of "
        f"{' and '.join(f'`{m}`' for m in semi.SUPERVISED)} on the same test rows, picked by its "
        "test accuracy, with 95 % intervals over draws of the labelled rows and test rows; p "
        "adjusted for the methods of a set (Holm)."
    )
    heads = ["set", "method", "accuracy", "gain", "p", "seeds", "seconds"]
    return ["### Few labels and many rows without", lead, table(heads, rows)]


def _of_set(name: str, found: Sequence[Record]) -> list[list[str]]:
    from metier.evidence.compare import holm

    by_method = {m: [r for r in found if r["method"] == m] for m in semi.methods("text")}
    by_method = {m: own for m, own in by_method.items() if own}
    supervised = [m for m in semi.SUPERVISED if m in by_method]
    if not supervised:
        return []
    best = max(supervised, key=lambda m: mean(r["accuracy"] for r in by_method[m]))
    gaps = {m: _gap(own, by_method[best]) for m, own in by_method.items() if m not in supervised}
    adjusted = dict(zip(gaps, holm([g.p for g in gaps.values()]), strict=True))
    rows = []
    for method, own in by_method.items():
        told = ["the winner" if method == best else "", ""]
        if method in gaps:
            told = [_points(gaps[method]), f"{adjusted[method]:.3f}"]
        accuracy = f"{mean(r['accuracy'] for r in own):.3f}"
        seconds = seconds_text(median(r["seconds"] for r in own))
        rows.append([name, f"`{method}`", accuracy, *told, str(len(own)), seconds])
    return rows


def domain_pairs(folder: Path) -> list[str]:
    """Accuracy on the target of each method by pair, what was picked, and the mean gain."""
    found = _whole(domains.CLAIM, folder)
    pairs = list(dict.fromkeys(r["pair"] for r in found))
    names = [m for m in dict.fromkeys(r["method"] for r in found) if m != domains.PICKED]
    rows: list[list[str]] = []
    gains: dict[str, list[float]] = {domains.PICKED: [], "first": []}
    worse: dict[str, list[str]] = {name: [] for name in gains}
    for pair in pairs:
        own = {m: _of(found, pair, m) for m in (*names, domains.PICKED)}
        if not own[domains.PICKED] or not own.get(domains.PLAIN):
            continue
        first = next((own[m] for m in domains.FIRST if own.get(m)), [])
        told = []
        for name, cells in ((domains.PICKED, own[domains.PICKED]), ("first", first)):
            gap = _gap(cells, own[domains.PLAIN]) if cells else None
            told.append("" if gap is None else _points(gap))
            if gap is not None:
                gains[name].append(gap.points)
                worse[name] += [pair] if gap.high < 0 else []
        shares = [f"{mean(r['accuracy'] for r in own[m]):.3f}" if own[m] else "" for m in names]
        chosen = ", ".join(dict.fromkeys(r["chosen"] for r in own[domains.PICKED]))
        rows.append([pair, *shares, chosen, *told])
    if not rows:
        return []
    lead = (
        "Accuracy on test rows of the second domain; labels are of the first. `picked` is chosen "
        "by average thresholded confidence, without a label of the second; `first` is what a run "
        "tries first beside fine-tuning: `pretrain` for texts, `align adabn` for pictures. Gains "
        "in points are over learning from the first domain alone, on the same rows, with 95 % "
        "intervals."
    )
    end = " ".join(
        f"Mean gain of `{name}` over {len(points)} pairs: {_mean(points)}; significantly worse: "
        f"{', '.join(worse[name]) or 'none'}."
        for name, points in gains.items()
        if points
    )
    heads = ["pair", *names, "picked", "gain of picked", "gain of first"]
    return ["### Other domains", lead, table(heads, rows), end]


def _mean(points: Sequence[float]) -> str:
    middle, low, high = elsewhere.mean_gap(points)
    return f"{middle:+.1f} points" + (f" ({low:+.1f} to {high:+.1f})" if len(points) > 1 else "")


def _of(found: Sequence[Record], pair: str, method: str) -> list[Record]:
    return [r for r in found if r["pair"] == pair and r["method"] == method]


def _gap(one: Sequence[Record], other: Sequence[Record]) -> Gap:
    """The gap over the seeds that both have."""
    first, second = ({r["seed"]: r for r in each} for each in (one, other))
    seeds = sorted(first.keys() & second.keys())
    return elsewhere.gap([first[s] for s in seeds], [second[s] for s in seeds])


def _points(gap: Gap) -> str:
    return f"{gap.points:+.1f} ({gap.low:+.1f} to {gap.high:+.1f})"


def _whole(claim: str, folder: Path) -> list[Record]:
    return [r for r in records.read(claim, folder) if r.get("limit") is None]
