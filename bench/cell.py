"""One cell: one method on one set with one seed, in a process of its own.

What is timed runs from the rows in memory to the answers for the test rows, the import of the
method's own libraries included; peak memory is that of the whole process.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bench import machine, processes, records, sets
from bench.peers import METHODS, Settings


@dataclass(frozen=True)
class Cell:
    """What to run: `budget` are the seconds that a method with a budget may take."""

    set: str
    method: str
    seed: int
    limit: int | None = None
    budget: float | None = None

    @property
    def key(self) -> dict[str, Any]:
        """What names the cell in the results."""
        return {"set": self.set, "method": self.method, "seed": self.seed, "limit": self.limit}


@dataclass(frozen=True)
class Place:
    """Where a cell runs: folders, threads, and the seconds after which it is killed."""

    data: Path
    models: Path | None
    results: Path
    threads: int
    timeout: float | None = None


def run(cell: Cell, place: Place) -> records.Record:
    """Run a cell in a process of its own; keep its predictions and return its record.

    A cell that fails or takes too long gives a record with `error`.
    """
    load = machine.load()
    with tempfile.TemporaryDirectory(prefix="metier-bench-") as scratch:
        models = str(place.models) if place.models else None
        told = {"data": str(place.data), "models": models, "threads": place.threads}
        words = processes.python("-m", "bench.cell", json.dumps(asdict(cell)), json.dumps(told))
        cost = processes.run([*words, scratch], place.threads, place.timeout)
        answer = Path(scratch) / "answer.json"
        record = {**cell.key, "peak_mb": cost.peak_mb, "process_seconds": round(cost.seconds, 2)}
        record |= {"load_before": load, "budget": cell.budget}
        if cost.code != 0 or not answer.exists():
            return {**record, "error": _reason(cost, scratch)}
        kept = records.predictions_path(cell.key, place.results)
        kept.parent.mkdir(parents=True, exist_ok=True)
        kept.write_bytes((Path(scratch) / "predictions.npz").read_bytes())
        return {**record, **json.loads(answer.read_text(encoding="utf-8"))}


def _reason(cost: processes.Cost, scratch: str) -> str:
    if cost.code == -9:
        return f"killed after {cost.seconds:.0f} s: out of time or memory"
    lines = [line.strip() for line in cost.said.splitlines() if line.strip()]
    told = lines[-1] if lines else f"exit code {cost.code}"
    return told.replace(scratch, "SCRATCH").replace(str(records.ROOT), "ROOT")[:300]


def main() -> None:
    """The child's part: fit, predict, write what came of it into the scratch folder."""
    asked, told, scratch = json.loads(sys.argv[1]), json.loads(sys.argv[2]), Path(sys.argv[3])
    cell = Cell(**asked)
    rows = sets.load(cell.set, Path(told["data"]), cell.seed, cell.limit)
    models = Path(told["models"]) if told["models"] else None
    settings = Settings(cell.seed, told["threads"], scratch / "work", models, cell.budget)
    settings.scratch.mkdir()
    began = time.perf_counter()
    fitted = METHODS[cell.method].load()(rows, settings)
    trained = time.perf_counter()
    predicted = fitted.predict(rows.test.drop(rows.target))
    ended = time.perf_counter()
    truth = rows.test[rows.target].to_numpy()
    records.write_predictions(scratch / "predictions.npz", truth, predicted, rows.labels)
    answer = {
        "metric": rows.about.metric,
        "score": _score(rows, truth, predicted),
        "rows": [rows.train.height, rows.test.height],
        "seconds": round(ended - began, 3),
        "fit_seconds": round(trained - began, 3),
        "notes": dict(fitted.notes),
    }
    (scratch / "answer.json").write_text(json.dumps(answer), encoding="utf-8")


def _score(rows: sets.Rows, truth: np.ndarray, predicted: np.ndarray) -> float:
    if rows.about.metric == "rmse":
        return float(np.sqrt(np.mean((truth - predicted.astype(float)) ** 2)))
    return float(np.mean([str(a) == str(b) for a, b in zip(truth, predicted, strict=True)]))


if __name__ == "__main__":
    main()
