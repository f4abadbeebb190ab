"""Folders: class folders of images, images beside a table, or just images."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from metier.data.raw import Raw, enumerate_some
from metier.errors import DataError

IMAGE_ENDINGS = frozenset(
    (".jpg", ".jpeg", ".png", ".gif", ".bmp", ".webp", ".tif", ".tiff", ".ppm", ".pgm", ".avif")
)
TABLE_ENDINGS = frozenset((".csv", ".tsv", ".tab", ".jsonl", ".ndjson", ".parquet"))
_SPLITS = frozenset(("train", "training", "test", "testing", "valid", "validation", "val", "dev"))
_PREFERRED = ("metadata", "labels", "data", "train")


@dataclass(frozen=True)
class _Found:
    images: list[Path]
    others: list[Path]


def find_table(folder: Path) -> Path | None:
    """Return the table that lies in a folder, if there is one; several are refused."""
    tables = [f for f in _visible(folder) if f.is_file() and f.suffix.lower() in TABLE_ENDINGS]
    if len(tables) <= 1:
        return tables[0] if tables else None
    for stem in _PREFERRED[:3]:
        named = [f for f in tables if f.stem.lower() == stem]
        if len(named) == 1:
            return named[0]
    names = enumerate_some([f.name for f in tables])
    raise DataError(f"{folder} holds several tables ({names}): give the one to learn from")


def read_images(folder: Path) -> Raw:
    """Read a folder of class folders: columns `image` (relative to the folder) and `label`.

    A class folder may hold folders of its own. Files that are no images are left out and listed.
    Raises DataError when there are no images, or when the folders are splits instead of classes.
    """
    classes = [f for f in _visible(folder) if f.is_dir()]
    found = {c.name: _walk(c) for c in classes}
    full = {name: files for name, files in found.items() if files.images}
    if not full:
        raise DataError(
            f"{folder} holds no class folders with images: put the images of each class into a "
            "folder named after it"
        )
    if len(full) <= 3 and {name.lower() for name in full} <= _SPLITS:
        first = next((n for n in full if n.lower().startswith("train")), next(iter(full)))
        raise DataError(
            f"{folder} holds splits ({', '.join(full)}), not classes: give {folder / first} and "
            "the other one as the test set"
        )
    images = [(path, name) for name, files in full.items() for path in files.images]
    loose = [f for f in _visible(folder) if f.is_file()]
    others = loose + [path for files in found.values() for path in files.others]
    empty = [name for name, files in found.items() if not files.images]
    frame = pl.DataFrame(
        {
            "image": [path.relative_to(folder).as_posix() for path, _ in images],
            "label": [name for _, name in images],
        }
    )
    return Raw(
        frame, folder, folder.name, _fingerprint(folder, images), _warn(folder, others, empty)
    )


def read_unlabelled(folder: Path, column: str) -> Raw:
    """Read every image below a folder into one column, for prediction."""
    found = _walk(folder)
    if not found.images:
        raise DataError(f"{folder} holds no images: give a folder of image files")
    frame = pl.DataFrame({column: [p.relative_to(folder).as_posix() for p in found.images]})
    fingerprint = _fingerprint(folder, [(path, "") for path in found.images])
    return Raw(frame, folder, folder.name, fingerprint, _warn(folder, found.others, []))


def _visible(folder: Path) -> list[Path]:
    return sorted(f for f in folder.iterdir() if not f.name.startswith((".", "__MACOSX")))


def _walk(folder: Path) -> _Found:
    images: list[Path] = []
    others: list[Path] = []
    for entry in _visible(folder):
        if entry.is_dir():
            inner = _walk(entry)
            images += inner.images
            others += inner.others
        elif entry.suffix.lower() in IMAGE_ENDINGS:
            images.append(entry)
        else:
            others.append(entry)
    return _Found(images, others)


def _warn(folder: Path, others: list[Path], empty: list[str]) -> tuple[str, ...]:
    warnings = []
    if others:
        names = enumerate_some([f.relative_to(folder).as_posix() for f in others])
        warnings.append(f"{len(others)} files are no images and were left out ({names})")
    if empty:
        warnings.append(f"folders without images were left out ({enumerate_some(empty)})")
    return tuple(warnings)


def _fingerprint(folder: Path, images: list[tuple[Path, str]]) -> str:
    digest = hashlib.sha256()
    for path, label in images:
        with path.open("rb") as file:
            content = hashlib.file_digest(file, "sha256").hexdigest()
        digest.update(f"{path.relative_to(folder).as_posix()}\t{label}\t{content}\n".encode())
    return digest.hexdigest()
