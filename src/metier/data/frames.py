"""Data that is already in memory: pandas, polars, datasets, or a mapping of columns."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Mapping
from typing import Any

import polars as pl

from metier.data.raw import Raw, finite
from metier.data.records import from_columns, series
from metier.errors import DataError

_SLICE = 50_000


def from_memory(data: Any, what: str) -> Raw:
    """Turn a frame into Raw. Raises DataError for a type that is not known, or without rows."""
    frame = _frame(data, what)
    frame = frame.with_columns(_plain(column) for column in frame)
    if frame.height == 0:
        raise DataError(f"{what} has no rows: give labelled examples")
    return Raw(frame, None, what, fingerprint(frame))


def fingerprint(frame: pl.DataFrame) -> str:
    """Return the SHA-256 of the names, types and values of a frame."""
    digest = hashlib.sha256(repr(list(frame.schema.items())).encode())
    for part in frame.iter_slices(_SLICE):
        lines = io.BytesIO()
        part.write_ndjson(lines)
        digest.update(lines.getbuffer())
    return digest.hexdigest()


def _frame(data: Any, what: str) -> pl.DataFrame:
    if isinstance(data, pl.DataFrame):
        return data
    if isinstance(data, pl.LazyFrame):
        return data.collect()
    if isinstance(data, pl.Series):
        return data.to_frame(data.name or "text")
    library = type(data).__module__.partition(".")[0]
    kind = type(data).__name__
    if library == "pandas" and kind == "DataFrame":
        return _from_pandas(data)
    if library == "datasets" and kind == "Dataset":
        return _from_datasets(data, what)
    if library == "datasets":
        raise DataError(f"{what} is a {kind}: give one split of it, such as data['train']")
    if isinstance(data, Mapping):
        return from_columns(dict(data), what)
    raise DataError(
        f"{what} is a {kind}, which cannot be read: give a path, a data frame or a mapping of "
        "columns"
    )


def _from_pandas(data: Any) -> pl.DataFrame:
    columns = {}
    for position, name in enumerate(data.columns):
        column = data.iloc[:, position]
        key = str(name) if str(name) not in columns else f"{name}_{position + 1}"
        columns[key] = _from_pandas_column(key, column)
    return pl.DataFrame(columns)


def _from_pandas_column(name: str, column: Any) -> pl.Series:
    if column.dtype.kind in "iufb" and not hasattr(column.dtype, "pyarrow_dtype"):
        values = column.to_numpy(na_value=None) if column.hasnans else column.to_numpy()
        return pl.Series(name, values.tolist() if values.dtype == object else values)
    if getattr(column.dtype, "tz", None) is not None:
        column = column.dt.tz_convert(None)
    if column.dtype.kind in "mM":
        moments = column.to_numpy()
        if moments.dtype.kind in "mM":
            return pl.Series(name, moments.astype(f"{moments.dtype.kind}8[us]"))
    known = column.notna()
    return series(name, [v if k else None for v, k in zip(column.tolist(), known, strict=True)])


def _from_datasets(data: Any, what: str) -> pl.DataFrame:
    arrow = data.with_format("arrow")[:]
    frame = pl.from_arrow(arrow)
    if not isinstance(frame, pl.DataFrame):
        raise DataError(f"{what} has no columns: give a dataset of named columns")
    for name, feature in data.features.items():
        kind = type(feature).__name__
        if kind == "ClassLabel":
            names = dict(enumerate(feature.names))
            frame = frame.with_columns(
                pl.col(name).replace_strict(names, default=None, return_dtype=pl.String)
            )
        if kind == "Image":
            frame = frame.with_columns(_image_paths(frame[name], what))
    return frame


def _image_paths(column: pl.Series, what: str) -> pl.Series:
    """Return the paths of stored images; images that are only in memory have none."""
    paths = column.struct.field("path")
    inside = column.struct.field("bytes").is_not_null() & column.is_not_null()
    if inside.any():
        raise DataError(
            f"{what}: column {column.name!r} holds images in memory, not files: save them as a "
            "folder of class folders and give that"
        )
    return paths.alias(column.name)


def _plain(column: pl.Series) -> pl.Series:
    """Undo encodings of the frame library that do not matter here.

    NaN and infinity are missing, and moments with a zone become UTC.
    """
    if column.dtype in (pl.Categorical, pl.Enum):
        return column.cast(pl.String)
    if column.dtype == pl.Decimal:
        return column.cast(pl.Float64)
    if column.dtype == pl.Array:
        return column.arr.to_list()
    if column.dtype == pl.Binary:
        return column.bin.encode("hex")
    if isinstance(column.dtype, pl.Datetime) and column.dtype.time_zone is not None:
        return column.dt.convert_time_zone("UTC").dt.replace_time_zone(None)
    if column.dtype == pl.Object:
        return series(column.name, column.to_list())
    return finite(column)
