"""What was asked of a run, written into its folder; and whose folder it is."""

from __future__ import annotations

import dataclasses
import json
import platform
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from metier.cache import write_aside
from metier.errors import InputError, MissingExtraError, OptionError
from metier.road.intake import Data
from metier.road.options import Options

ASKED = "asked.json"
TOML = "run.toml"
LOCK = "run.lock"
FROM_MEMORY = "(from memory)"
"""What is said of data that have no path."""
DATA = ("test", "unlabeled")
"""Options that are data: by their path, as far as they have one."""
FREE = ("budget", "examples", *DATA)
"""Options that a resumed run may change: the time, what is shown. (Data are fingerprinted.)"""


@contextmanager
def claimed(folder: Path, data: Data, options: Options) -> Iterator[None]:
    """Make the folder this run's own for as long as the context lasts.

    What was asked is written down, or compared with what was asked before. When the run is refused
    after all, a folder that it made is taken away again.

    Raises OptionError when the folder cannot be written, belongs to a run that asked for something
    else, or to one that is still going on.
    """
    made = [p for p in (folder, *folder.absolute().parents) if not p.exists()]
    fresh = not folder.is_dir() or not any(folder.iterdir())
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        _remove(made)
        reason = (error.strerror or "not possible").lower()
        raise OptionError(
            f"--out {folder}: cannot be made ({reason}); give another folder"
        ) from error
    try:
        with _locked(folder):
            _write_or_compare(folder, data, options)
            yield
    except (InputError, MissingExtraError):
        if fresh:
            _empty(folder)
            _remove(made)
        raise


def check_same(folder: Path, data: Data, options: Options) -> None:
    """Raise OptionError when something else was asked of the run in a folder."""
    before = json.loads((folder / ASKED).read_text(encoding="utf-8"))
    now = _asked(data, options)
    if before["fingerprint"] != now["fingerprint"]:
        raise OptionError(f"--out {folder}: its run learned from other data; give another folder")
    for name in sorted({*before, *now}):
        if before.get(name) != now.get(name):
            flag = {"sources": "source", "strategies": "strategy"}.get(name, name)
            told = before.get(name)
            raise OptionError(
                f"--out {folder}: its run was asked for --{flag} "
                f"{'its default' if told is None else json.dumps(told)}; ask for the same to "
                "--resume, or give another folder"
            )


def settings(options: Options) -> dict[str, Any]:
    """Return the options that were given, as plain JSON."""
    found = {f.name: getattr(options, f.name) for f in dataclasses.fields(options)}
    for name in DATA:
        if found[name] is not None:
            path = isinstance(found[name], str | Path)
            found[name] = str(found[name]) if path else FROM_MEMORY
    if options.trials is not None:
        found.pop("budget")
    kept = {k: v for k, v in found.items() if v not in (None, (), [])}
    return {k: list(v) if isinstance(v, tuple) else v for k, v in kept.items()}


def versions() -> dict[str, str]:
    """The versions of what a result depends on."""
    names = (
        "metier", "numpy", "polars", "torch", "transformers", "scikit-learn", "lightgbm",
        "onnxruntime", "tokenizers", "optuna",
    )  # fmt: skip
    found = {"python": platform.python_version()}
    for name in names:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def _asked(data: Data, options: Options) -> dict[str, Any]:
    kept = {k: v for k, v in settings(options).items() if k not in FREE}
    plain: dict[str, Any] = json.loads(json.dumps({**kept, "fingerprint": data.fingerprint}))
    return plain


def _write_or_compare(folder: Path, data: Data, options: Options) -> None:
    if (folder / ASKED).exists():
        check_same(folder, data, options)
        return
    write_aside(folder / TOML, _toml(settings(options), data).encode())
    write_aside(folder / ASKED, json.dumps(_asked(data, options)).encode())


def _toml(asked: Mapping[str, Any], data: Data) -> str:
    """What was asked, in the form that --config reads."""
    named = {"sources": "source", "strategies": "strategy"}
    again = "`metier specialize DATA --config run.toml` asks it again."
    lines = [f"# What was asked of this run. {again}", "[options]"]
    for name, value in asked.items():
        if name in DATA and value == FROM_MEMORY:
            continue
        if name == "examples":
            lines.append(f"no-examples = {_plain(not value)}")
        else:
            lines.append(f"{named.get(name, name)} = {_plain(value)}")
    lines += [
        "",
        "[data]",
        f"fingerprint = {_plain(data.fingerprint)}",
        f"rows = {len(data.table)}",
    ]
    lines += [
        "",
        "[versions]",
        *(f"{_plain(name)} = {_plain(v)}" for name, v in versions().items()),
    ]
    return "\n".join(lines) + "\n"


def _plain(value: Any) -> str:
    """A value as TOML: its strings, numbers and lists are written as in JSON, but for DEL."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007F")


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Keep other processes out; the system lets go of the lock however this one ends."""
    try:
        import fcntl
    except ImportError:  # not on Windows
        yield
        return
    with (folder / LOCK).open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise OptionError(
                f"--out {folder}: another process is at work on it; wait for its end, or give "
                "another folder"
            ) from error
        try:
            yield
        finally:
            (folder / LOCK).unlink(missing_ok=True)


def _empty(folder: Path) -> None:
    for path in folder.iterdir():
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()


def _remove(made: list[Path]) -> None:
    """Remove folders that were made, innermost first, as far as they are empty."""
    for path in made:
        if path.is_dir() and not any(path.iterdir()):
            path.rmdir()
