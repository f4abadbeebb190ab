"""Results as JSON lines: one line a finished cell, and a finished cell is never run again.

Each line names by a short key the environment it was measured in; `environments.json` has the rest.
Delete a line to have its cell measured again.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench import machine

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "bench" / "results"

Record = dict[str, Any]


def read(claim: str, folder: Path = RESULTS) -> list[Record]:
    """Return the lines written for a claim so far; none when it was never measured."""
    path = folder / f"{claim}.jsonl"
    if not path.exists():
        return []
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line]


def find(
    records: Sequence[Record], key: Mapping[str, Any], usual: Mapping[str, Any] | None = None
) -> Record | None:
    """Return the record of a cell, or None when it has not been measured.

    `usual` says what records that lack a part of the key were measured with.
    """
    known = usual or {}
    return next(
        (r for r in records if all({**known, **r}.get(n) == value for n, value in key.items())),
        None,
    )


def unusual(record: Record, usual: Mapping[str, Any]) -> str:
    """Return what a cell was measured with that is not usual, for the name of its row."""
    told = [
        f"{name.replace('_', ' ')} {record[name]}"
        for name, value in usual.items()
        if record.get(name, value) != value
    ]
    return f" ({', '.join(told)})" if told else ""


def append(claim: str, record: Record, threads: int, folder: Path = RESULTS) -> None:
    """Add one line to a claim, and its environment to the list of environments."""
    folder.mkdir(parents=True, exist_ok=True)
    line = json.dumps({**record, "environment": _enter_environment(threads, folder)})
    with (folder / f"{claim}.jsonl").open("a", encoding="utf-8") as out:
        out.write(line + "\n")


def remove(claim: str, key: Mapping[str, Any], folder: Path = RESULTS) -> None:
    """Take a cell out of the results, so that it can be measured again."""
    kept = [r for r in read(claim, folder) if find([r], key) is None]
    lines = "".join(json.dumps(record) + "\n" for record in kept)
    (folder / f"{claim}.jsonl").write_text(lines, encoding="utf-8")


def environments(folder: Path = RESULTS) -> dict[str, Record]:
    """Return the environments by key."""
    path = folder / "environments.json"
    if not path.exists():
        return {}
    found: dict[str, Record] = json.loads(path.read_text(encoding="utf-8"))
    return found


def predictions_path(key: Mapping[str, Any], folder: Path = RESULTS) -> Path:
    """Where the predictions of a cell lie."""
    limit = f"-limit{key['limit']}" if key.get("limit") else ""
    return folder / "predictions" / f"{key['set']}.{key['method']}.{key['seed']}{limit}.npz"


def write_predictions(
    path: Path, truth: NDArray[Any], predicted: NDArray[Any], labels: Sequence[str]
) -> None:
    """Keep what a cell predicted: codes of labels, or values when there are no labels."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if labels:
        known = {label: code for code, label in enumerate(labels)}
        truth, predicted = (
            np.array([known.get(str(v), len(labels)) for v in values], dtype=np.uint16)
            for values in (truth, predicted)
        )
    else:
        truth, predicted = truth.astype(np.float32), predicted.astype(np.float32)
    np.savez_compressed(path, truth=truth, predicted=predicted)


def losses(key: Mapping[str, Any], folder: Path = RESULTS) -> NDArray[np.float64] | None:
    """Return the loss of each test row in a cell: 1 for a wrong label, the squared error of a
    value; None when its predictions were not kept."""
    path = predictions_path(key, folder)
    if not path.exists():
        return None
    with np.load(path, allow_pickle=False) as held:
        truth, predicted = held["truth"], held["predicted"]
    if truth.dtype == np.uint16:
        return np.asarray(truth != predicted, np.float64)
    return np.square(np.asarray(truth, np.float64) - np.asarray(predicted, np.float64))


def _enter_environment(threads: int, folder: Path) -> str:
    facts = machine.describe(threads)
    key = hashlib.blake2b(json.dumps(facts, sort_keys=True).encode(), digest_size=4).hexdigest()
    known = environments(folder)
    if key not in known:
        known[key] = facts
        text = json.dumps(known, indent=1, sort_keys=True)
        (folder / "environments.json").write_text(text + "\n", encoding="utf-8")
    return key
