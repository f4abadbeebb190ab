"""Predictions as a table in a file."""

from __future__ import annotations

import io
import os
from collections.abc import Sequence
from pathlib import Path
from typing import IO

import polars as pl

from metier.errors import OptionError
from metier.paths import refuse_folder
from metier.runtime.postprocess import TaskKind
from metier.runtime.session import Predictions

FORMATS = (".csv", ".parquet")
JOINED = "|"
"""Between the labels of one multi-label answer in a CSV file: what the reader splits on."""


def tabulate(
    predictions: Predictions, kind: TaskKind, paths: Sequence[str] | None = None
) -> pl.DataFrame:
    """Return one line a row: `prediction`, then `probability_CLASS` columns.

    The shape of the answer gives `prediction` its type, also where no row has an answer.

    With `paths`, the files that the rows came from, a `path` column comes first. When a coverage
    was asked for, `set`, or `low` and `high`, follow. When some rows could not be read, or were
    left without an answer, a `reason` column comes last.

    >>> import numpy as np
    >>> found = Predictions(["no", None], np.array([[0.9, 0.1], [np.nan, np.nan]]), ("no", "yes"))
    >>> tabulate(found, "binary").rows()
    [('no', 0.9, 0.1), (None, None, None)]
    """
    columns: list[pl.Series] = []
    if paths is not None:
        columns.append(pl.Series("path", list(paths), dtype=pl.String))
    columns.append(pl.Series("prediction", predictions.answers, dtype=_answers(kind)))
    if predictions.probabilities is not None:
        for label, values in zip(predictions.labels, predictions.probabilities.T, strict=True):
            columns.append(pl.Series(f"probability_{label}", values).fill_nan(None))
    if predictions.sets is not None:
        columns.append(pl.Series("set", predictions.sets, dtype=pl.List(pl.String)))
    for name, bounds in (("low", predictions.low), ("high", predictions.high)):
        if bounds is not None:
            columns.append(pl.Series(name, bounds).fill_nan(None))
    if predictions.reasons:
        reasons = [predictions.reasons.get(row) for row in range(len(predictions))]
        columns.append(pl.Series("reason", reasons, dtype=pl.String))
    return pl.DataFrame(columns)


def _answers(kind: TaskKind) -> pl.DataType:
    if kind == "regression":
        return pl.Float64()
    return pl.List(pl.String()) if kind == "multilabel" else pl.String()


def check_format(out: Path) -> None:
    """Refuse, before any work is done, a file that `write` could not write."""
    if out.suffix.lower() not in FORMATS:
        raise OptionError(f"--out {out}: give a name that ends in {' or '.join(FORMATS)}")
    if not out.parent.is_dir():
        raise OptionError(f"--out {out}: there is no folder {out.parent}; make it first")
    refuse_folder(out)


def write(frame: pl.DataFrame, out: Path | IO[bytes]) -> None:
    """Write a frame as CSV or, by the name's ending, Parquet. Raises OptionError for other names.

    A file is written aside and renamed, so that a half-written one never has its name.
    """
    if not isinstance(out, Path):
        # From polars itself, nobody could tell a reader who has gone from another fault.
        held = io.BytesIO()
        _flat(frame).write_csv(held)
        rest = held.getbuffer()
        while rest:
            rest = rest[out.write(rest) :]
        return
    check_format(out)
    aside = out.with_name(f".{out.name}.part")
    try:
        if out.suffix.lower() == ".parquet":
            frame.write_parquet(aside)
        else:
            _flat(frame).write_csv(aside)
        os.replace(aside, out)
    finally:
        aside.unlink(missing_ok=True)


def _flat(frame: pl.DataFrame) -> pl.DataFrame:
    """Lists of labels as one cell."""
    lists = [name for name, kind in frame.schema.items() if isinstance(kind, pl.List)]
    return frame.with_columns(pl.col(name).list.join(JOINED) for name in lists)
