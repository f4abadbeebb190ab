"""metier itself, through its public functions, from files to predictions."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl

from bench import sets
from bench.peers import Fitted, Settings
from bench.sets import Rows

KEPT = ("source", "strategy", "task", "metric", "valid", "test", "verdict", "seconds", "baselines")


def fit(rows: Rows, settings: Settings) -> Fitted:
    """`metier.specialize` on the same rows and source within the budget; then its bundle alone."""
    import metier

    train, test = sets.write(rows, settings.scratch / "data")
    result = metier.specialize(
        train,
        target=rows.target,
        task=None if rows.labels else "regression",
        test=test,
        out=settings.scratch / "run",
        metric=rows.about.metric,
        budget=settings.budget or 60.0,
        sources=sources_for(rows, settings),
        seed=settings.seed,
    )
    bundle = metier.load(result.bundle)

    def predict(frame: pl.DataFrame) -> np.ndarray:
        return np.asarray(bundle.predict(frame.select(rows.inputs)).answers)

    told: dict[str, Any] = result.to_json()
    notes = {name: told[name] for name in KEPT if name in told}
    if rows.about.modality == "image":
        notes["source"] = settings.image_model.name
    files = [path for path in result.bundle.rglob("*") if path.is_file()]
    notes["bundle_bytes"] = sum(path.stat().st_size for path in files)
    return Fitted(predict, notes)


def sources_for(rows: Rows, settings: Settings) -> tuple[str, ...]:
    """Return the one source that every method starts from on these rows; none for tables."""
    if rows.about.modality == "text":
        return ("embedded",)
    if rows.about.modality == "image":
        return (str(settings.image_model),)
    return ()


def source_words(rows: Rows, settings: Settings) -> list[str]:
    """Return what the command line is told about a set: its source, its task and its metric."""
    words = [word for name in sources_for(rows, settings) for word in ("--source", name)]
    task = [] if rows.labels else ["--task", "regression"]
    return [*words, *task, "--metric", rows.about.metric]
