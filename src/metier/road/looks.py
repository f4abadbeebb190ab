"""What a run knows of rows that are given again: how often those of its proof were looked at, and
which ones it learned from."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal

from metier.cache import write_aside
from metier.data.raw import Raw
from metier.data.remembered import rows_met
from metier.sources.directory import read_json
from metier.sources.earlier import SEEN, WEIGHTS
from metier.types import Finding

LOOKS = "looks.json"
FEW = 0.05
"""Up to this share, rows that were learned from are a flaw and do not make all of it worthless."""


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


def look(bundle: Path, raw: Raw) -> list[Finding]:
    """Count a look at labelled rows with a bundle, and say what its run knows of them: whether it
    was proven on them, and whether it learned from them.

    Args:
        bundle: a run folder or its `specialist/`; without the folder around it nothing is known.
        raw: the labelled data.
    """
    folders = (bundle, bundle.resolve().parent)
    counts = (count_again(folder, raw.fingerprint) for folder in folders)
    looks = next((count for count in counts if count is not None), None)
    found = learned_from(bundle, raw)
    if looks is not None:
        told = f"the run was proven on these rows; they have now been looked at {looks} times"
        found.append(Finding("looks", told, float(looks), level="info"))
    return found


def remembered(bundle: Path) -> dict[str, Any]:
    """Return what a run knows the rows again by that it learned from; empty when it does not."""
    paths = (folder / WEIGHTS / SEEN for folder in (bundle, bundle.resolve().parent))
    path = next((path for path in paths if path.is_file()), None)
    return {} if path is None else read_json(path)


def learned_from(bundle: Path, raw: Raw) -> list[Finding]:
    """Say which rows of some data the specialist learned from, if there are any."""
    rows, n = rows_met(remembered(bundle), raw), raw.frame.height
    if not len(rows):
        return []
    which = f"all {n:,} rows are" if len(rows) == n else f"{len(rows):,} of {n:,} rows are"
    told = (
        f"{which} equal to rows that the specialist learned from: what is measured on them says "
        "how well it remembers, not how well it answers; measure on other rows"
    )
    share = len(rows) / n
    level: Literal["warning", "problem"] = "problem" if share > FEW else "warning"
    return [Finding("learned_from", told, share, n=n, level=level, rows=tuple(rows.tolist()))]
