"""Reading: anything with rows becomes a frame; what cannot be read is refused in one line."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl

from metier.data.delimited import read_delimited, warn_of_huge_cells
from metier.data.encodings import TextFile, open_text
from metier.data.folders import IMAGE_ENDINGS, find_table, read_images, read_unlabelled
from metier.data.frames import from_memory
from metier.data.known import Known
from metier.data.raw import Raw, finite
from metier.data.records import read_arrow, read_json, read_json_lines, read_parquet
from metier.errors import DataError, suggest
from metier.paths import expanded
from metier.types import Kind

__all__ = ["Raw", "read"]

_PARQUET = (".parquet", ".pq")
_ARROW = (".arrow", ".feather", ".ipc")
_JSON_LINES = (".jsonl", ".ndjson")


def read(
    data: Any,
    *,
    what: str = "data",
    expect_images_of: str | None = None,
    known: Known | None = None,
) -> Raw:
    """Read data from a path or from memory.

    Args:
        data: a CSV, TSV, JSON Lines, JSON, Parquet or Arrow file; a folder of class folders of
            images; a folder that holds a table whose column holds image paths; or a pandas or
            polars frame, a `datasets.Dataset`, or a mapping of columns.
        what: what the data are, for messages.
        expect_images_of: the name of an image column. Given when predicting: a folder is then
            read as all the images below it, in that column, and one image file as one row.
        known: what training found in these columns. It decides how cells are read; without it the
            cells of a column decide together.

    Raises:
        DataError: the data are missing, empty, broken or of an unknown form.

    >>> read({"text": ["good", "bad"], "label": ["up", "down"]}).frame.height
    2
    """
    kinds = {} if known is None else known.kinds
    raw = _read(data, what, expect_images_of, kinds)
    if known is None:
        return raw
    frame, odd = known.read(raw.frame)
    return replace(raw, frame=frame, odd=tuple(odd))


def _read(data: Any, what: str, expect_images_of: str | None, kinds: Mapping[str, Kind]) -> Raw:
    if not isinstance(data, str | Path):
        return from_memory(data, what)
    path = expanded(data)
    if not path.exists():
        raise DataError(f"{what}: {path} does not exist{_near(path)}")
    if path.is_dir():
        return _read_folder(path, expect_images_of, kinds)
    if not path.is_file():
        raise DataError(f"{what}: {path} is not a regular file: give a file or a folder")
    if path.suffix.lower() in IMAGE_ENDINGS and expect_images_of is not None:
        frame = pl.DataFrame({expect_images_of: [path.name]})
        return Raw(frame, path.parent, path.stem, _file_digest(path))
    return _read_file(path, kinds)


def _near(path: Path) -> str:
    if not path.parent.is_dir():
        return f": there is no folder {path.parent} either"
    names = [f.name for f in path.parent.iterdir() if not f.name.startswith(".")]
    hint = suggest(path.name, names).partition("? ")
    return f"{hint[0]}?)" if hint[1] else ": check the path"


def _read_folder(path: Path, expect_images_of: str | None, kinds: Mapping[str, Kind]) -> Raw:
    table = find_table(path)
    if table is not None:
        return replace(_read_file(table, kinds), name=path.name)
    if expect_images_of is not None:
        return read_unlabelled(path, expect_images_of)
    return read_images(path)


def _read_file(path: Path, kinds: Mapping[str, Kind]) -> Raw:
    if path.stat().st_size == 0:
        raise DataError(f"{path} is empty: give a file with a header line and rows")
    ending = path.suffix.lower()
    warnings: list[str] = []
    if ending in _PARQUET or ending in _ARROW:
        frame = read_parquet(path) if ending in _PARQUET else read_arrow(path)
        digest = _file_digest(path)
        frame = from_memory(frame, str(path)).frame if frame.height else frame
    else:
        file = open_text(path)
        digest = file.fingerprint
        warnings += file.warnings
        frame, more = _read_text(file, ending, kinds)
        frame = frame.with_columns(finite(column) for column in frame)
        warnings += more
    if frame.height == 0 or frame.width == 0:
        raise DataError(f"{path} holds no rows: add labelled examples")
    warnings += warn_of_huge_cells(frame)
    return Raw(frame, path.parent, path.stem, digest, tuple(warnings))


def _read_text(
    file: TextFile, ending: str, kinds: Mapping[str, Kind]
) -> tuple[pl.DataFrame, list[str]]:
    if ending in _JSON_LINES:
        return read_json_lines(file), []
    if ending == ".json":
        return read_json(file), []
    return read_delimited(file, kinds)


def _file_digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
