"""What is known of each candidate, in memory and in the run folder.

`trials/NAME/fold-K.npy` holds the scores of the rows left out and `fold-K.json` the facts of the
fit; `trials/NAME/candidate.json` is written when the candidate is done with, whatever became of it.
"""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from metier.cache import write_aside
from metier.search.recipe import Recipe
from metier.types import Floats

State = Literal["tried", "baseline", "failed", "cut"]
RECORD = "candidate.json"
CHECKPOINT = "checkpoint.safetensors"


@dataclass(frozen=True)
class FoldResult:
    """What a fit on one fold gave.

    Args:
        scores: of the rows left out (n, outputs).
        seconds: for fitting and scoring.
        scoring: seconds of these for scoring.
        parameters: numbers in the model.
        notes: what the strategy found out, as JSON.
    """

    scores: Floats
    seconds: float
    scoring: float = 0.0
    parameters: int = 0
    notes: Mapping[str, Any] = field(default_factory=dict)


@dataclass
class Candidate:
    """A recipe in the race, and what is known of it so far. `number` is that of its proposal."""

    name: str
    rung: str
    recipe: Recipe
    state: State = "tried"
    number: int = 0
    folds: dict[int, FoldResult] = field(default_factory=dict)
    note: str = ""

    @property
    def seconds(self) -> float:
        """Seconds spent on all its fits."""
        return sum(result.seconds for result in self.folds.values())

    @property
    def parameters(self) -> int:
        """Numbers in its model."""
        return max((result.parameters for result in self.folds.values()), default=0)


class Records:
    """The folder `trials/` of a run."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def read(self, candidate: Candidate, fold: int) -> FoldResult | None:
        """Return what a fit gave in an earlier sitting, or None."""
        scores, facts = self._paths(candidate, fold)
        if not (scores.exists() and facts.exists()):
            return None
        about = json.loads(facts.read_text(encoding="utf-8"))
        if about.pop("recipe") != as_json(candidate.recipe.to_json()):
            return None
        return FoldResult(np.load(scores, allow_pickle=False), **about)

    def write(self, candidate: Candidate, fold: int, result: FoldResult) -> FoldResult:
        """Keep what a fit gave; return it as a later sitting would read it."""
        scores, facts = self._paths(candidate, fold)
        buffer = io.BytesIO()
        np.save(buffer, result.scores, allow_pickle=False)
        write_aside(scores, buffer.getvalue())
        about = {
            "recipe": candidate.recipe.to_json(),
            "seconds": result.seconds,
            "scoring": result.scoring,
            "parameters": result.parameters,
            "notes": dict(result.notes),
        }
        write_aside(facts, json.dumps(as_json(about)).encode())
        return replace(result, notes=as_json(dict(result.notes)))

    def close(self, candidate: Candidate, order: int) -> None:
        """Write down that a candidate is done with, as the `order`-th of the run."""
        about = {
            "order": order,
            "name": candidate.name,
            "rung": candidate.rung,
            "number": candidate.number,
            "recipe": candidate.recipe.to_json(),
            "state": candidate.state,
            "note": candidate.note,
            "folds": sorted(candidate.folds),
        }
        write_aside(self.folder / candidate.name / RECORD, json.dumps(as_json(about)).encode())

    def closed(self) -> list[Candidate]:
        """Return the candidates of earlier sittings that were done with, in their order."""
        records = [
            json.loads(p.read_text(encoding="utf-8")) for p in self.folder.glob(f"*/{RECORD}")
        ]
        found = []
        for about in sorted(records, key=lambda record: int(record["order"])):
            candidate = Candidate(
                about["name"],
                about["rung"],
                Recipe.from_json(about["recipe"]),
                about["state"],
                about["number"],
                note=about["note"],
            )
            for fold in about["folds"]:
                result = self.read(candidate, fold)
                if result is not None:
                    candidate.folds[fold] = result
            found.append(candidate)
        return found

    def forget_checkpoints(self, name: str) -> None:
        """Remove the checkpoints of fits that have ended, and the folders that only held them."""
        for path in sorted((self.folder / name).rglob(CHECKPOINT)):
            path.unlink()
            if not any(path.parent.iterdir()):
                path.parent.rmdir()

    def _paths(self, candidate: Candidate, fold: int) -> tuple[Path, Path]:
        base = self.folder / candidate.name / f"fold-{fold}"
        return base.with_suffix(".npy"), base.with_suffix(".json")


def as_json(value: Any) -> Any:
    """Return a value as it comes back from a JSON file; numpy's numbers become plain ones."""
    return json.loads(json.dumps(value, default=_plain))


def _plain(value: Any) -> Any:
    return value.tolist() if isinstance(value, np.generic | np.ndarray) else str(value)
