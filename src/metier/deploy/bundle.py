"""Writing a specialist as a folder that predicts the same anywhere."""

from __future__ import annotations

import json
import os
import platform
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import fields, is_dataclass, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import polars as pl

from metier.deploy.domain import Seen, domain_of
from metier.deploy.features import with_features
from metier.deploy.parity import Parity, certify
from metier.deploy.reference import HeldOut, Onlooker
from metier.errors import BundleError, ParityError
from metier.runtime.doubt import Doubt
from metier.runtime.manifest import GRAPH, InputColumn, Manifest, mark, write_manifest
from metier.runtime.postprocess import Decision
from metier.runtime.scoring import features_read, score
from metier.runtime.session import load
from metier.runtime.signals import columns_read
from metier.sources.earlier import HASHES, SEEN, STARTED, Earlier, hashes_of
from metier.types import Model, Specialist, Table

CARD = "README.md"
WEIGHTS = "weights"
WRITING = ".writing-"
LARGEST = 2**31 - 1
"""Bytes of an ONNX file: a limit of protocol buffers."""
LIBRARIES = (
    "metier", "numpy", "onnxruntime", "tokenizers", "pillow", "polars", "torch", "transformers",
    "scikit-learn", "lightgbm", "peft", "optuna",
)  # fmt: skip


def write_bundle(
    specialist: Specialist,
    folder: Path,
    *,
    decision: Decision,
    sample: Table,
    card: str,
    facts: Mapping[str, Any],
    table: Table | None = None,
    columns: tuple[InputColumn, ...] | None = None,
    held_out: HeldOut | None = None,
    doubt: Doubt | None = None,
    remembered: Mapping[str, Any] | None = None,
) -> str:
    """Write a specialist to `folder` and its weights to `weights/` beside it; return the digest.

    Everything is written aside and compared with the model first: a folder that was there before
    stays until the new one is complete.

    Args:
        specialist: what to write; it has learned something.
        folder: the `specialist/` of a run.
        decision: from scores to answers.
        sample: rows (validation) for the parity certificate; none of them is stored.
        card: the text of the model card.
        facts: JSON that goes into the manifest as it is.
        table: all rows given, for the ranges of the columns; the sample when None.
        columns: the inputs, where they are known from an earlier bundle; told from `table` if not.
        held_out: scores of rows not learned from; with them the bundle knows what is usual, unless
            the facts hold that already (a smaller model reads the same rows).
        doubt: what calibration rows say; with held-out scores, what is unlike the usual is added.
        remembered: what the rows that it learned from are known again by (`data.remembered`); it
            lies beside the weights, not in the bundle.

    Raises:
        ParityError: when the model has no graph, or one that does not predict what it predicts;
            nothing is written.
        BundleError: when the graph is too large for an ONNX file.
    """
    model = specialist.model
    if model is None:
        raise ValueError("the generalist has learned no task yet: apply a strategy first")
    folder.parent.mkdir(parents=True, exist_ok=True)
    weights = folder.parent / WEIGHTS
    _recover(folder)
    _recover(weights)
    learned = sample if table is None else table
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=WRITING) as aside:
        stage, kept = Path(aside) / "specialist", Path(aside) / WEIGHTS
        graph = model.graph() if held_out is None else with_features(model.graph())
        files = {**model.preprocess.files(), GRAPH: _content(graph), CARD: card.encode()}
        _write_files(stage, files)
        _keep_weights(kept, model, remembered)
        manifest = Manifest(
            decision=decision,
            columns=_columns(learned, decision, model.preprocess.spec())
            if columns is None
            else columns,
            preprocess=model.preprocess.spec(),
            source=_source(specialist),
            lineage=tuple(_plain(step) for step in specialist.lineage),
            versions=_versions(),
            facts=_plain({**facts, HASHES: hashes_of(kept), **_started(specialist)}),
            files={name: mark(content) for name, content in sorted(files.items())},
        )
        write_manifest(stage, manifest)
        onlooker = Onlooker()
        parity, seen = _compare(specialist, stage, sample, decision, onlooker)
        known = dict(manifest.facts)
        if held_out is not None and "reference" not in facts:
            known["reference"] = onlooker.conclude(
                learned, manifest.columns, manifest.preprocess, held_out
            )
        if held_out is not None:
            domain = domain_of(specialist, sample, seen, held_out)
            known["doubt"] = replace(doubt or Doubt(), domain=domain).to_json()
        digest = write_manifest(stage, replace(manifest, parity=parity.to_json(), facts=known))
        _put(kept, weights)
        _put(stage, folder)
    return digest


def _write_files(folder: Path, files: Mapping[str, bytes]) -> None:
    """Write what predicting needs into a new folder, down to the disk."""
    folder.mkdir()
    for name, content in files.items():
        with (folder / name).open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())


def _keep_weights(folder: Path, model: Model, remembered: Mapping[str, Any] | None) -> None:
    """Write what further training needs into a new folder, and which rows were learned from."""
    folder.mkdir()
    model.save(folder)
    if remembered is not None:
        (folder / SEEN).write_text(json.dumps(remembered), encoding="utf-8")


def _content(graph: onnx.ModelProto) -> bytes:
    try:
        size = graph.ByteSize()
        content = graph.SerializeToString() if size <= LARGEST else b""
    except ValueError:  # what protocol buffers raise beyond their limit
        size, content = LARGEST + 1, b""
    if size > LARGEST:
        raise BundleError(
            f"the graph has {size / 2**30:.1f} GB and an ONNX file holds 2 GB: "
            "choose a smaller source"
        )
    return content


def _compare(
    specialist: Specialist, stage: Path, sample: Table, decision: Decision, onlooker: Onlooker
) -> tuple[Parity, Seen]:
    """Compare the model with the graph that was written; return what the graph made of the rows."""
    try:
        bundle = onlooker.beside(load(stage))
        reads = features_read(bundle.session)
        outputs = len(bundle.labels) or 1
        found = score(bundle.preprocess, bundle.session, outputs, sample.columns(), reads)
    except BundleError as error:
        raise ParityError(f"the exported graph does not run: {error}") from error
    readable = [row for row in range(len(sample)) if row not in found.reasons]
    if not readable:
        raise ParityError("there is no readable row to compare the model and its graph on")
    model = specialist.scores(sample.take(readable))
    parity = certify(np.asarray(model), found.scores[readable], decision)
    return parity, Seen(np.array(readable), reads, found.features)


def _columns(table: Table, decision: Decision, spec: Mapping[str, Any]) -> tuple[InputColumn, ...]:
    """The inputs that are read, and what a decision by group needs beside them."""
    given = []
    for name, kind in table.roles.inputs.items():
        low, high = _range(table.frame[name]) if kind in ("number", "date") else (None, None)
        given.append(InputColumn(name, kind, low, high))
    found = list(columns_read(given, spec))
    for each in () if decision.groups is None else decision.groups.columns:
        if each.name not in {column.name for column in found}:
            found.append(InputColumn(each.name, "number" if each.cuts else "category"))
    return tuple(found)


def _range(column: pl.Series) -> tuple[float | str | None, float | str | None]:
    """Lowest and highest value: numbers as they are, dates as ISO 8601."""
    if column.dtype.is_float():
        column = column.fill_nan(None)
    low, high = (_bound(value) for value in (column.min(), column.max()))
    return low, high


def _bound(value: Any) -> float | str | None:
    if value is None:
        return None
    if isinstance(value, int | float):
        return float(value) if np.isfinite(value) else None
    return value.isoformat() if hasattr(value, "isoformat") else str(value)


def _source(specialist: Specialist) -> dict[str, Any]:
    source = specialist.source
    return {"name": source.name, "modality": source.modality, "digest": source.digest}


def _versions() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for name in LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def _started(specialist: Specialist) -> dict[str, Any]:
    """From which run the specialist began, where it began from one."""
    origin = specialist.source.origin if isinstance(specialist.source, Earlier) else None
    return {} if origin is None else {STARTED: origin}


def _plain(value: Any) -> Any:
    """Turn values (dataclasses, paths, numpy numbers) into JSON; what is no number becomes null."""
    if is_dataclass(value) and not isinstance(value, type):
        own = {each.name: _plain(getattr(value, each.name)) for each in fields(value)}
        return own if "strategy" in own else {"kind": type(value).__name__, **own}
    if isinstance(value, Mapping):
        return {str(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, np.ndarray):
        return _plain(value.tolist())
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(inner) for inner in value]
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float):
        return value if np.isfinite(value) else None
    return value if isinstance(value, str | int | None) else str(value)


def _old(folder: Path) -> Path:
    return folder.with_name(f".old-{folder.name}")


def _put(new: Path, folder: Path) -> None:
    """Rename `new` to `folder`; what was there goes when the new one stands."""
    old = _old(folder)
    if folder.exists():
        folder.rename(old)
    try:
        new.rename(folder)
    except OSError:
        if old.exists():
            old.rename(folder)
        raise
    if old.exists():
        shutil.rmtree(old)


def _recover(folder: Path) -> None:
    """Bring back what a killed run had put away, and remove what it had half written."""
    for left in folder.parent.glob(f"{WRITING}*"):
        shutil.rmtree(left)
    old = _old(folder)
    if not old.exists():
        return
    if folder.exists():
        shutil.rmtree(old)
    else:
        old.rename(folder)
