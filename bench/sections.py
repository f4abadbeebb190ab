"""Speed, weight, budget and resumed runs, as Markdown."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from statistics import median

from bench import budget, compress, records, resume, serve, speed, web, weight
from bench.markdown import seconds_text, table
from bench.records import Record

PART_NAMES = {
    "all": "all blocks",
    "all-64": "all blocks, batches of 64",
    "top": "top third of the blocks",
    "head": "head only",
}


def speeds(folder: Path) -> list[str]:
    """Training speed by set and threads: medians of repeats, ratios of runs made in turns."""
    found = records.read(speed.CLAIM, folder)
    if not found:
        return []
    parts = ["### Training speed", "Medians of repeats made in turns; ratios are per repeat."]
    for setting in dict.fromkeys((r["set"], r["rows"], r["threads"]) for r in found):
        own = [r for r in found if (r["set"], r["rows"], r["threads"]) == setting]
        rows = [
            _speed_row(own, part, method)
            for part in speed.PARTS
            for method in ("trainer", "metier")
            if _chosen(own, method, part)
        ]
        heads = ["what learns", "loop", "examples/s", "tokens/s", "of peak"]
        heads += ["x Trainer, all blocks", "x Trainer, same blocks"]
        peak = median(r["peak_gflops"] for r in own)
        name, rows_used, threads = setting
        head = f"{name}, {rows_used} rows, threads: {threads}; large fp32 matrix products at "
        parts += [f"{head}{peak:.0f} GFLOP/s.", table(heads, rows)]
    return parts


def _speed_row(own: Sequence[Record], part: str, method: str) -> list[str]:
    chosen = _chosen(own, method, part)
    share = median(r["share_of_peak"] for r in chosen)
    tokens = median(r["tokens_per_second"] for r in chosen)
    return [
        PART_NAMES[part],
        method,
        f"{median(r['examples_per_second'] for r in chosen):.0f}",
        "" if part == "head" else f"{tokens:.0f}",
        "" if part == "head" else f"{share:.0%}",
        _ratio(chosen, _chosen(own, "trainer", "all")),
        ""
        if method == "trainer"
        else _ratio(chosen, _chosen(own, "trainer", part.partition("-")[0])),
    ]


def _chosen(own: Sequence[Record], method: str, part: str) -> list[Record]:
    return [r for r in own if (r["method"], r["part"]) == (method, part)]


def _ratio(ours: Sequence[Record], theirs: Sequence[Record]) -> str:
    by_repeat = {r["repeat"]: r["examples_per_second"] for r in theirs}
    ratios = [
        r["examples_per_second"] / by_repeat[r["repeat"]] for r in ours if r["repeat"] in by_repeat
    ]
    return f"{median(ratios):.2f}" if ratios else ""


def compressions(folder: Path) -> list[str]:
    """What compressing saved and cost, beside the pipeline, by set."""
    found = [r for r in records.read(compress.CLAIM, folder) if r["limit"] is None]
    if not found:
        return []
    parts = [
        "### Smaller and faster",
        "All timed in turns in one process; ratios are to the `transformers` pipeline in fp32. "
        "The loss is paired with the specialist in fp32, on the test rows.",
    ]
    for name in dict.fromkeys(r["set"] for r in found):
        own = [r for r in found if r["set"] == name]
        base = next(r for r in own if r["what"] == "pipeline")
        heads = [name, "folder, MB", "of pipeline", "one row, ms", "of pipeline", "rows/s"]
        heads += ["x pipeline", "accuracy", "points lost (95 %)", "chain"]
        parts.append(table(heads, [_compressed_row(r, base) for r in own]))
    return parts


def _compressed_row(found: Record, base: Record) -> list[str]:
    lost = ""
    if "loss" in found and found["what"] != "fp32":
        lost = f"{found['loss']:+.2f} ({found['low']:+.2f} to {found['high']:+.2f})"
    return [
        found["what"],
        f"{found['bytes'] / 1e6:.1f}",
        f"{found['bytes'] / base['bytes']:.0%}",
        f"{found['latency_ms']:.2f}",
        f"{found['latency_ms'] / base['latency_ms']:.0%}",
        f"{found['rows_per_second']:.0f}",
        f"{found['rows_per_second'] / base['rows_per_second']:.1f}",
        f"{found['accuracy']:.3f}" if "accuracy" in found else "",
        lost,
        found.get("chain", "") + ("" if found.get("met", True) else " (limits not met)"),
    ]


def webs(folder: Path) -> list[str]:
    """What a specialist costs in a browser, by set, beside Python."""
    found = [r for r in records.read(web.CLAIM, folder) if r["limit"] is None]
    if not found:
        return []
    rows = [
        [
            r["set"],
            r["what"],
            f"{r['bytes'] / 1e6:.1f}",
            f"{r['graph_bytes'] / 1e6:.1f}",
            seconds_text(r["open_seconds"]),
            f"{r['browser_ms']:.1f}",
            f"{r['browser_p95_ms']:.1f}",
            f"{r['python_ms']:.1f}",
            f"{r['same_answers']:.1%}",
            f"{r['apart']:.0e}",
        ]
        for r in found
    ]
    heads = ["set", "graph", "folder, MB", "of it graph", "ready after, s", "one row, ms", "p95"]
    heads += ["in Python", "same answers", "probabilities apart"]
    note = (
        "Static files in headless Chromium, a fresh one each time, from a server on the same "
        "machine; rows one by one in turns with Python, one thread each. Where activations are "
        "rounded to 8 bits, a last bit that differs between two processors can move a rounding."
    )
    return ["### In the browser", note, table(heads, rows)]


def servers(folder: Path) -> list[str]:
    """What the server and a plain one answer by load, in one sitting."""
    found = [r for r in records.read(serve.CLAIM, folder) if r["limit"] is None]
    if not found:
        return []
    rows = []
    for method in dict.fromkeys(r["method"] for r in found):
        own = [r for r in found if r["method"] == method]
        loads = dict.fromkeys((r.get("share"), r.get("clients")) for r in own)
        for share, clients in loads:
            some = [r for r in own if (r.get("share"), r.get("clients")) == (share, clients)]
            load = f"{share:.0%} of offline" if share is not None else f"{clients} clients at once"
            facts = [median(r.get(f, 0.0) for r in some) for f in ("p50_ms", "p99_ms")]
            rows.append(
                [
                    "metier serve" if method == "metier" else "FastAPI + transformers",
                    load,
                    f"{median(r['rows_per_second'] for r in some):.0f}",
                    f"{median(r['of_offline'] for r in some):.0%}",
                    f"{median(r['client_cores'] for r in some):.2f}",
                    *(f"{fact:.0f}" for fact in facts),
                    str(sum(r["refused"] for r in some)),
                    str(sum(r["failed"] for r in some)),
                ]
            )
    heads = ["server", "load", "rows/s", "of offline", "client, cores", "p50, ms", "p99, ms"]
    heads += ["refused", "failed"]
    note = (
        "One row a request; the client runs on the same cores, and what it took of them is told. "
        "Offline is the same bundle answering in "
        f"batches; `metier serve` was told to keep {serve.LATENCY_MS} ms."
    )
    return ["### Serving", note, table(heads, rows)]


def weights(folder: Path) -> list[str]:
    """Start-up times and memory: medians of fresh processes."""
    found = records.read(weight.CLAIM, folder)
    if not found:
        return []
    rows = []
    for what in dict.fromkeys(r["what"] for r in found):
        own = [r for r in found if r["what"] == what]
        seconds, peak = (median(r[fact] for r in own) for fact in ("seconds", "peak_mb"))
        rows.append([what, seconds_text(seconds), f"{peak:.0f}", str(len(own))])
    note = "Medians of fresh processes run in turns; `import metier` without Python's own start."
    return ["### Weight", note, table(["what", "seconds", "peak MB", "runs"], rows)]


def budgets(folder: Path) -> list[str]:
    """How far over its budget each run went."""
    found = [r for r in records.read(budget.CLAIM, folder) if r["limit"] is None]
    if not found:
        return []
    rows = [
        [
            r["set"],
            f"{r['minutes']:g}",
            str(r["seed"]),
            seconds_text(r["seconds"]),
            f"{r['overrun_percent']:+.1f} %",
            r.get("error") or str(r["strategy"]),
        ]
        for r in sorted(found, key=lambda r: (r["set"], r["minutes"], r["seed"]))
    ]
    heads = ["set", "budget, min", "seed", "took, s", "over", "chosen"]
    worst = max(r["overrun_percent"] for r in found)
    note = f"From the start of the process to its end. The worst: {worst:+.1f} %."
    return ["### Budget", note, table(heads, rows)]


def resumed(folder: Path) -> list[str]:
    """How many kills, and whether each killed run ended as the undisturbed one did."""
    found = [r for r in records.read(resume.CLAIM, folder) if r["limit"] is None]
    if not found:
        return []
    kills = sum(len(r["kills"]) for r in found)
    equal = sum(r["equal"] for r in found)
    told = f"{kills} kills (SIGKILL) at random moments in {len(found)} runs; after `--resume` "
    told += f"{equal} of {len(found)} ended in exactly the predictions of an undisturbed run."
    return ["### Killed and resumed", told]
