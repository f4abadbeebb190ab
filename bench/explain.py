"""Claim: explanations point at what the answer depends on, and a glass box costs next to nothing.

On texts and pictures: one specialist a set, explained by the command on its test rows with `auto`.
The gain of the chosen method over random orders, in the areas under the deletion and the insertion
curve, is paired by row, on rows that did not choose the method; the other methods are told on the
rows that chose. On a table: `ebm` beside `boost`, each with its defaults, in ROC-AUC on the test
rows, paired.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bench import machine, options, processes, records, sets
from bench.peers import IMAGE_MODEL
from bench.sets import Rows

CLAIM = "explain"
SETS = ("sst2", "hymenoptera", "adult_income")
STRATEGY = {"text": "finetune", "image": "probe"}
METRIC = "roc_auc"


def main(argv: Sequence[str] | None = None) -> None:
    """Measure the sets that are asked for and have not been measured."""
    args = _arguments(argv)
    for name in args.sets:
        for seed in args.seeds:
            key = {"set": name, "seed": seed, "limit": args.limit}
            if records.find(records.read(CLAIM, args.results), key) is None:
                found = {**key, **_measure(name, seed, args)}
                records.append(CLAIM, found, args.threads, args.results)
                print(name, json.dumps(found), flush=True)


def _measure(name: str, seed: int, args: argparse.Namespace) -> records.Record:
    rows = sets.load(name, sets.find_data(args.data), limit=args.limit)
    load = machine.load()
    with tempfile.TemporaryDirectory(prefix="metier-bench-") as scratch:
        folder = Path(scratch)
        measure = _glass if rows.about.modality == "tabular" else _faithful
        return {**measure(rows, folder, seed, args), "load_before": load}


def _faithful(rows: Rows, folder: Path, seed: int, args: argparse.Namespace) -> records.Record:
    """Explain the test rows by the method that `auto` takes."""
    train, test = sets.write(rows, folder / "data")
    kind = rows.about.modality
    image = kind == "image"
    source = str(sets.find_models(args.models) / IMAGE_MODEL) if image else "embedded"
    run = _specialize(rows, train, folder / "run", STRATEGY[kind], seed, args, source)
    words = ["explain", str(run), str(test), "--seed", str(seed), "--budget", args.budget]
    out = str(folder / "page.html")
    cost = _run([*words, "--train", str(train), "--out", out, "--json"], args)
    found = json.loads(cost.answered.strip().splitlines()[-1])
    faithful, stable = found["faithful"], found["stable"]
    if faithful is None or stable is None:
        raise SystemExit(f"{rows.about.name}: {args.budget} are too short here; give more --budget")
    return {
        "method": found["method"],
        "seconds": round(cost.seconds, 1),
        **{name: _rounded(faithful[name]) for name in ("gain", "deletion", "insertion")},
        "tried": {each["method"]: _rounded(each["gain"]) for each in found["tried"]},
        "stable": {name: _rounded(stable[name]) for name in ("ranks", "top")},
        "sums": all(row["holds"] for row in found["rows"]),
    }


def _rounded(found: Mapping[str, Any]) -> dict[str, Any]:
    """A mean with its interval and its rows."""
    kept = {name: found[name] for name in ("value", "low", "high", "n")}
    return {k: round(v, 4) if isinstance(v, float) else v for k, v in kept.items()}


def _glass(rows: Rows, folder: Path, seed: int, args: argparse.Namespace) -> records.Record:
    """Compare the glass box with boosted trees on the test rows."""
    import metier
    from metier.data.read import read
    from metier.evidence.compare import paired
    from metier.road.labelled import read_labelled

    train, test = sets.write(rows, folder / "data")
    runs = {
        name: _specialize(rows, train, folder / name, name, seed, args) for name in ("ebm", "boost")
    }
    bundles = {name: metier.load(run) for name, run in runs.items()}
    raw = read(test)
    given = {name: read_labelled(bundle, raw) for name, bundle in bundles.items()}
    found = paired(
        METRIC,
        given["ebm"].truth,
        given["ebm"].scores(bundles["ebm"]),
        given["boost"].scores(bundles["boost"]),
        bundles["ebm"].manifest.decision,
        bundles["boost"].manifest.decision,
        seed=seed,
    )
    return {
        "metric": METRIC,
        "ebm": round(found.a, 4),
        "boost": round(found.b, 4),
        "difference": round(found.difference, 4),
        "low": round(found.low, 4),
        "high": round(found.high, 4),
        "n": found.n,
        "strategies": [b.manifest.lineage[-1]["strategy"] for b in bundles.values()],
        "bytes": {n: (run / "specialist" / "model.onnx").stat().st_size for n, run in runs.items()},
        "fit_seconds": {
            name: round(float(bundle.manifest.lineage[-1]["seconds"]), 2)
            for name, bundle in bundles.items()
        },
    }


def _specialize(
    rows: Rows,
    train: Path,
    out: Path,
    strategy: str,
    seed: int,
    args: argparse.Namespace,
    source: str | None = None,
) -> Path:
    words = ["specialize", str(train), "--target", rows.target, "--strategy", strategy]
    words += ["--trials", "1", "--seed", str(seed), "--out", str(out)]
    _run([*words, *(["--source", source] if source else [])], args)
    return out


def _run(words: Sequence[str], args: argparse.Namespace) -> processes.Cost:
    cost = processes.run(processes.metier(*words), args.threads)
    if cost.code != 0:
        raise SystemExit(f"metier {words[0]} failed: {cost.said}")
    return cost


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = options.parser("explain", __doc__, models=True)
    option = parser.add_argument
    option("--sets", nargs="+", choices=SETS, default=list(SETS))
    option("--seeds", nargs="+", type=int, default=[0])
    option("--budget", default="5m", help="for explaining one set")
    return parser.parse_args(argv)


if __name__ == "__main__":
    main()
