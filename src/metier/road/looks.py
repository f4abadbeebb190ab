"""How often the rows of the proof were looked at."""

from __future__ import annotations

import json
from pathlib import Path

from metier.cache import write_aside
from metier.types import Finding

LOOKS = "looks.json"


def count_look(folder: Path, rows: str | None, by: str) -> int:
    """Count a look at the proof rows of a run, and return how many there were.

    The same recipe that looks again after an interruption sees nothing new: `by` is counted once.
    `rows` is the fingerprint of the test data, None when the proof has no file of its own.
    """
    path = folder / LOOKS
    looks = json.loads(path.read_text(encoding="utf-8"))["looks"] if path.exists() else []
    if by not in looks:
        write_aside(path, json.dumps({"rows": rows, "looks": [*looks, by]}).encode())
        return len(looks) + 1
    return len(looks)


def count_again(folder: Path, rows: str) -> int | None:
    """Count one more look when these are the proof rows of the run in a folder; else None."""
    path = folder / LOOKS
    if not path.exists():
        return None
    known = json.loads(path.read_text(encoding="utf-8"))
    if known["rows"] != rows:
        return None
    return count_look(folder, rows, f"evaluate {len(known['looks']) + 1}")


def look(bundle: Path, rows: str) -> list[Finding]:
    """Count a look at labelled rows with a bundle, and say so when its run was proven on them.

    Args:
        bundle: a run folder or its `specialist/`.
        rows: the fingerprint of the labelled data.
    """
    counts = (count_again(folder, rows) for folder in (bundle, bundle.resolve().parent))
    looks = next((count for count in counts if count is not None), None)
    if looks is None:
        return []
    told = f"the run was proven on these rows; they have now been looked at {looks} times"
    return [Finding("looks", told, float(looks), level="info")]
