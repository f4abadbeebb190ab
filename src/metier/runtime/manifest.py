"""`metier.json`: what a bundle is, what it takes, and the hashes of all of its files."""

from __future__ import annotations

import hashlib
import json
import os
import stat
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal, NoReturn

from metier.errors import BundleError
from metier.runtime.postprocess import Decision

NAME = "metier.json"
GRAPH = "model.onnx"
FORMAT = 1
LARGEST = 16 * 2**20
"""Bytes that a manifest may have: vocabularies of categories stand in it, weights do not."""
MOST_FILES = 64


@dataclass(frozen=True)
class InputColumn:
    """A column that the bundle reads, and what was seen in it: lowest and highest, or None."""

    name: str
    kind: Literal["text", "number", "category", "date", "image"]
    low: float | str | None = None
    high: float | str | None = None


@dataclass(frozen=True)
class Mark:
    """By what a file is recognised."""

    sha256: str
    size: int


@dataclass(frozen=True)
class Manifest:
    """All that is known about a bundle.

    Args:
        decision: from scores to answers, with the labels in the order of the scores.
        columns: the inputs.
        preprocess: the `spec()` of the preprocessor.
        source: the pretrained source: name, modality, digest.
        lineage: the strategies that made it, first to last.
        versions: the libraries it was made with.
        parity: how closely the graph follows the model it was made from.
        facts: anything else worth knowing (figures, fingerprints), for people and programs.
        files: the other files of the bundle by name.
        format: the version of this layout.
    """

    decision: Decision
    columns: tuple[InputColumn, ...]
    preprocess: Mapping[str, Any]
    source: Mapping[str, Any] = field(default_factory=dict)
    lineage: tuple[Mapping[str, Any], ...] = ()
    versions: Mapping[str, str] = field(default_factory=dict)
    parity: Mapping[str, Any] = field(default_factory=dict)
    facts: Mapping[str, Any] = field(default_factory=dict)
    files: Mapping[str, Mark] = field(default_factory=dict)
    format: int = FORMAT

    def to_json(self) -> dict[str, Any]:
        """Return the manifest as plain JSON; `task` and `labels` stand first for human readers."""
        return {
            "format": self.format,
            "task": self.decision.kind,
            "labels": list(self.decision.labels),
            "columns": [asdict(column) for column in self.columns],
            "decision": self.decision.to_json(),
            "preprocess": dict(self.preprocess),
            "source": dict(self.source),
            "lineage": [dict(step) for step in self.lineage],
            "versions": dict(self.versions),
            "parity": dict(self.parity),
            "facts": dict(self.facts),
            "files": {name: asdict(mark) for name, mark in self.files.items()},
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Manifest:
        """Build a manifest from `to_json()`. Raises KeyError, TypeError or ValueError."""
        return cls(
            decision=Decision.from_json(data["decision"]),
            columns=tuple(InputColumn(**column) for column in data["columns"]),
            preprocess=dict(data["preprocess"]),
            source=dict(data["source"]),
            lineage=tuple(dict(step) for step in data["lineage"]),
            versions=dict(data["versions"]),
            parity=dict(data["parity"]),
            facts=dict(data["facts"]),
            files={name: Mark(**mark) for name, mark in data["files"].items()},
            format=int(data["format"]),
        )


def digest(data: Mapping[str, Any]) -> str:
    """Return the SHA-256 of a manifest as JSON; through its hashes it names every byte."""
    canonical = json.dumps(data, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(canonical.encode()).hexdigest()


def write_manifest(folder: Path, manifest: Manifest) -> str:
    """Write `metier.json` and return its digest.

    Raises:
        ValueError: when something in it is no JSON (NaN included).
    """
    data = manifest.to_json()
    content = json.dumps(data, indent=1, ensure_ascii=False, allow_nan=False)
    (folder / NAME).write_text(content + "\n", encoding="utf-8")
    return digest(json.loads(content))


def read_manifest(folder: Path) -> tuple[Manifest, str]:
    """Read `metier.json`; return it with its digest.

    Raises:
        BundleError: when it is missing, a link, too large, broken or of another version.
    """
    path = folder / NAME
    if _size_of_plain_file(path) > LARGEST:
        raise BundleError(f"{path}: larger than {LARGEST // 2**20} MB; this is no bundle of metier")
    try:
        data = json.loads(
            path.read_bytes(), object_pairs_hook=_only_once, parse_constant=_no_constant
        )
        version = data["format"]
        if version == FORMAT:
            manifest = Manifest.from_json(data)
            _check_names(manifest.files)
            if data.keys() != manifest.to_json().keys():
                raise ValueError("unknown fields")
            return manifest, digest(data)
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
        raise BundleError(
            f"{path}: not a valid manifest ({type(error).__name__}: {error}); get the bundle again"
        ) from None
    raise BundleError(
        f"{path}: has format {version!r}, and this metier reads format {FORMAT}: "
        "use the metier that wrote it, or make the bundle again"
    )


def mark(content: bytes) -> Mark:
    """Return the mark of a file's content."""
    return Mark(hashlib.sha256(content).hexdigest(), len(content))


def verify(folder: Path, manifest: Manifest) -> bytes:
    """Check every file against its mark; return the graph, so that what was checked is what runs.

    Raises:
        BundleError: at the first file that is missing, a link, changed, or needed but not listed.
    """
    for entry in os.scandir(folder):
        if entry.is_symlink():
            raise BundleError(f"{entry.path}: is a link; a bundle holds its files itself")
    for name in _needed(manifest.preprocess):
        if name not in manifest.files:
            raise BundleError(f"{folder / NAME}: does not list {name}; get the bundle again")
    graph = b""
    for name, known in manifest.files.items():
        path = folder / name
        content = path.read_bytes() if _size_of_plain_file(path) == known.size else None
        if content is None or mark(content) != known:
            raise BundleError(f"{path}: was changed after it was written; get the bundle again")
        if name == GRAPH:
            graph = content
    return graph


def _needed(spec: Mapping[str, Any]) -> set[str]:
    """The files that predicting reads: the graph, and those that the preprocessing names."""
    needed = {GRAPH}
    for part in (spec, *spec.get("parts", ())):
        if isinstance(part, Mapping) and "file" in part:
            needed.add(str(part["file"]))
    return needed


def _size_of_plain_file(path: Path) -> int:
    try:
        found = path.lstat()
    except OSError:
        raise BundleError(f"{path}: is missing; give a run folder or its specialist/") from None
    if stat.S_ISLNK(found.st_mode):
        raise BundleError(f"{path}: is a link; a bundle holds its files itself")
    if not stat.S_ISREG(found.st_mode):
        raise BundleError(f"{path}: is not a file; get the bundle again")
    return found.st_size


def _check_names(names: Iterable[str]) -> None:
    """Only plain names: no folders, no way out, no drive letters."""
    listed = list(names)
    if len(listed) > MOST_FILES:
        raise ValueError(f"more than {MOST_FILES} files")
    for name in listed:
        plain = name not in ("", ".", "..", NAME) and not set(name) & set("/\\:\0")
        if not plain:
            raise ValueError(f"the file name {name!r} is not allowed")


def _only_once(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a field is given twice")
    return found


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")
