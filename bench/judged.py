"""The quality of metier beside its peers, as Markdown."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean, median, stdev

from bench import quality, records
from bench.markdown import seconds_text, table
from bench.paired import Gap, compare
from bench.peers import METHODS, OURS
from bench.records import Record
from bench.sets import SETS

TITLES = {"text": "Text", "tabular": "Tables", "image": "Images"}


@dataclass(frozen=True)
class Judged:
    """What is known of one set: the cells of each method, and its best peer."""

    name: str
    cells: dict[str, list[Record]]

    @property
    def peers(self) -> dict[str, list[Record]]:
        return {method: found for method, found in self.cells.items() if method not in OURS}

    @property
    def best_peer(self) -> str:
        return quality.best_of(self.peers)

    @property
    def higher(self) -> bool:
        """Whether a higher score is better."""
        return SETS[self.name].metric == "accuracy"

    def score(self, method: str) -> float:
        return float(mean(record["score"] for record in self.cells[method]))

    def typical(self, method: str, fact: str) -> float:
        """Return the median of a fact over the seeds."""
        return float(median(record[fact] for record in self.cells[method]))

    def gap(self, ours: str, peer: str, folder: Path) -> Gap | None:
        """Compare one of ours with a peer over the seeds that both have."""
        seeds = [{r["seed"] for r in self.cells[method]} for method in (ours, peer)]
        keys = [{"set": self.name, "method": method} for method in (ours, peer)]
        return compare(keys[0], keys[1], sorted(seeds[0] & seeds[1]), folder)


def sections(folder: Path) -> list[str]:
    """Return the Markdown of everything that the cells of `quality` show."""
    found = [r for r in records.read(quality.CLAIM, folder) if r["limit"] is None]
    judged = _by_set([r for r in found if "score" in r])
    if not judged:
        return []
    parts = ["### Quality", *_scores(judged), *_verdict(judged, folder), *_half(judged)]
    return [*parts, *_tables(judged), *_failures([r for r in found if "error" in r])]


def brief(folder: Path) -> list[str]:
    """Return one table of all sets: metier, the best peer, and the gap between the two."""
    found = [r for r in records.read(quality.CLAIM, folder) if r["limit"] is None]
    judged = _by_set([r for r in found if "score" in r])
    rows = []
    for each in judged:
        gap = each.gap("metier", each.best_peer, folder) if "metier" in each.cells else None
        if gap is None:
            continue
        plain = f"{each.score('trainer'):.3f}" if "trainer" in each.cells else ""
        cells = [
            _set_name(each),
            f"{each.score('metier'):.3f}",
            f"{each.score(each.best_peer):.3f}",
        ]
        cells += [each.best_peer, plain]
        rows.append([*cells, f"{gap.points:+.1f} ({gap.low:+.1f} to {gap.high:+.1f})"])
    heads = [
        "set (training rows)",
        "metier",
        "best peer",
        "which",
        "Trainer",
        "gap in points (95 %)",
    ]
    return [table(heads, rows)] if rows else []


def _by_set(found: Sequence[Record]) -> list[Judged]:
    judged = []
    for name in SETS:
        cells: dict[str, list[Record]] = {}
        for method in METHODS:
            own = [r for r in found if (r["set"], r["method"]) == (name, method)]
            if own:
                cells[method] = own
        if any(method not in OURS for method in cells):
            judged.append(Judged(name, cells))
    return judged


def _scores(judged: Sequence[Judged]) -> list[str]:
    """Test scores by modality: the mean over the seeds, and their standard deviation."""
    parts = []
    for modality, title in TITLES.items():
        own = [each for each in judged if SETS[each.name].modality == modality]
        methods = [m for m in METHODS if any(m in each.cells for each in own)]
        methods = [m for m in methods if m != "metier-half"]
        if own:
            rows = [[_set_name(each), *_row(each, methods)] for each in own]
            parts.append(table([title, *methods], rows))
    note = "Test score, mean ± standard deviation over the seeds; the best of each set is bold."
    return [note, *parts]


def _row(each: Judged, methods: Sequence[str]) -> list[str]:
    shown = [m for m in methods if m in each.cells]
    best = (max if each.higher else min)(each.score(m) for m in shown)
    texts = []
    for method in methods:
        if method not in each.cells:
            texts.append("")
            continue
        scores = [r["score"] for r in each.cells[method]]
        text = f"{mean(scores):.3f}" + (f" ± {stdev(scores):.3f}" if len(scores) > 1 else "")
        texts.append(f"**{text}**" if each.score(method) == best else text)
    return texts


def _verdict(judged: Sequence[Judged], folder: Path) -> list[str]:
    """Compare metier with the best peer of each set, row by row, corrected for their number."""
    from metier.evidence.compare import holm

    found = [
        (each, gap)
        for each in judged
        if "metier" in each.cells and (gap := each.gap("metier", each.best_peer, folder))
    ]
    if not found:
        return []
    adjusted = holm([gap.p for _, gap in found])
    rows = [_against(each, gap, p) for (each, gap), p in zip(found, adjusted, strict=True)]
    heads = ["set", "best peer", "gap in points (95 %)", "p (Holm)", "verdict", "seconds", "MB"]
    average = mean(gap.points for _, gap in found)
    worse = [e.name for (e, g), p in zip(found, adjusted, strict=True) if p < 0.05 and g.points < 0]
    told = ", ".join(worse) if worse else "none"
    return [
        "metier against the best peer of each set (points of accuracy, or of R²; paired on the "
        "test rows). Seconds and peak memory: metier / best peer / Trainer.",
        table(heads, rows),
        f"Mean gap over {len(found)} sets: {average:+.2f} points. Significantly worse: {told}.",
    ]


def _against(each: Judged, gap: Gap, p: float) -> list[str]:
    peer = each.best_peer
    order = [m for m in ("metier", peer, "trainer") if m in each.cells]
    order = list(dict.fromkeys(order))
    verdict = "not distinguishable"
    if p < 0.05:
        verdict = "better" if gap.points > 0 else "worse"
    return [
        each.name,
        f"{peer} {each.score(peer):.3f}",
        f"{gap.points:+.2f} ({gap.low:+.2f} to {gap.high:+.2f})",
        f"{p:.3f}",
        verdict,
        " / ".join(seconds_text(each.typical(m, "seconds")) for m in order),
        " / ".join(f"{each.typical(m, 'peak_mb'):.0f}" for m in order),
    ]


def _half(judged: Sequence[Judged]) -> list[str]:
    rows = []
    reached = 0
    for each in judged:
        if "metier-half" not in each.cells:
            continue
        peer, sign = each.best_peer, 1 if each.higher else -1
        ours, theirs = each.score("metier-half"), each.score(peer)
        spent, its = (each.typical(m, "seconds") for m in ("metier-half", peer))
        good = sign * (ours - theirs) >= 0 and spent <= its / 2
        reached += good
        budget = each.cells["metier-half"][0]["budget"]
        line = [each.name, f"{peer} {theirs:.3f}", seconds_text(its), seconds_text(budget)]
        rows.append([*line, f"{ours:.3f}", seconds_text(spent), "yes" if good else "no"])
    if not rows:
        return []
    heads = ["set", "best peer", "its time", "budget", "metier", "time", "reached"]
    told = f"Time to quality: the best peer's score in at most half of its time on {reached} of "
    return [f"{told}{len(rows)} sets (seconds).", table(heads, rows)]


def _tables(judged: Sequence[Judged]) -> list[str]:
    own = [each for each in judged if SETS[each.name].modality == "tabular"]
    methods = [m for m in METHODS if own and all(m in each.cells for each in own)]
    methods = [m for m in methods if m != "metier-half"]
    if "metier" not in methods:
        return []
    ranks = {m: mean(_rank(each, m, methods) for each in own) for m in methods}
    told = ", ".join(f"{m} {rank:.2f}" for m, rank in sorted(ranks.items(), key=lambda i: i[1]))
    sizes = [r["notes"]["bundle_bytes"] for each in own for r in each.cells["metier"]]
    biggest = f"The largest bundle has {max(sizes) / 1e6:.2f} MB."
    return [f"Average rank on {len(own)} tables (1 is best): {told}. {biggest}"]


def _rank(each: Judged, method: str, methods: Sequence[str]) -> float:
    """Return the rank of a method on a set; equal scores share theirs."""
    sign = 1 if each.higher else -1
    own = sign * each.score(method)
    others = [sign * each.score(m) for m in methods if m != method]
    return 1 + sum(o > own for o in others) + sum(o == own for o in others) / 2


def _failures(found: Sequence[Record]) -> list[str]:
    told = {f"- {r['method']} on {r['set']}: {r['error']}" for r in found}
    return ["Did not run:\n\n" + "\n".join(sorted(told))] if told else []


def _set_name(each: Judged) -> str:
    rows = next(iter(each.cells.values()))[0]["rows"]
    unit = "" if each.higher else ", RMSE"
    return f"{each.name} ({rows[0]}{unit})"
