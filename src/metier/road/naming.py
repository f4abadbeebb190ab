"""What a run is called: its folder, and the command line that makes it."""

from __future__ import annotations

import os
import re
import shlex
from glob import escape
from pathlib import Path
from typing import Any

from metier.errors import OptionError
from metier.road.asked import ASKED, FROM_MEMORY, TOML, settings
from metier.road.options import Options


def run_folder(data: Any, out: str | Path | None, resume: bool) -> Path:
    """Return the run folder; of runs without one that was named, the last one to resume, else a new
    one. Raises OptionError when it holds another run."""
    if out is None:
        return _numbered(Path("runs") / name_of(data), resume)
    folder = Path(out)
    if folder.exists() and not folder.is_dir():
        raise OptionError(f"--out {folder}: is a file; give a folder")
    if folder.exists() and any(folder.iterdir()) and not resume:
        ours = any((folder / name).exists() for name in (ASKED, TOML))
        what = "holds another run; give another folder, or --resume to go on with it"
        raise OptionError(f"--out {folder}: " + (what if ours else "is not empty; give another"))
    parent = next(p for p in (folder, *folder.absolute().parents) if p.exists())
    if not os.access(parent, os.W_OK):
        raise OptionError(f"--out {folder}: cannot be written to; give another folder")
    return folder


def command_of(data: Any, options: Options) -> str:
    """Return the command line that would make this run."""
    words = ["metier", "specialize", str(data) if isinstance(data, str | Path) else "DATA"]
    flags = {"sources": "source", "strategies": "strategy"}
    default = settings(Options())
    for name, value in settings(options).items():
        if value == default.get(name):
            continue
        if name == "examples":
            words.append("--no-examples")
            continue
        if value is True:
            words.append(f"--{name.replace('_', '-')}")
            continue
        for each in value if isinstance(value, list) else [value]:
            told = name.upper() if each == FROM_MEMORY else str(each)
            words += [f"--{flags.get(name, name).replace('_', '-')}", told]
    return shlex.join(words)


def name_of(data: Any) -> str:
    """Return what a run on these data is called: the file's name, or its folder's."""
    stem = Path(data).resolve().stem if isinstance(data, str | Path) else "run"
    if stem in {"train", "data", "dataset"} and isinstance(data, str | Path):
        stem = Path(data).resolve().parent.name or stem
    return re.sub(r"[^\w.-]+", "-", stem).strip("-.") or "run"


def tasks_folder(data: Any, resume: bool) -> Path:
    """Return the folder of the last run of several tasks to resume, else a new one."""
    return _numbered(Path("runs") / f"{name_of(data)}-tasks", resume)


def _numbered(base: Path, last: bool) -> Path:
    """The folder of that name with the highest number that there is, or the one after it."""
    there = [1] if base.exists() else []
    for path in base.parent.glob(f"{escape(base.name)}-*"):
        told = path.name.removeprefix(f"{base.name}-")
        if told.isdecimal():
            there.append(int(told))
    number = max(there, default=int(last)) + (not last)
    return base if number == 1 else base.with_name(f"{base.name}-{number}")


def small_folder(bundle: Path) -> Path:
    """Return the first free name for what is made smaller of a run."""
    run = bundle.resolve().parent if bundle.resolve().name == "specialist" else bundle.resolve()
    names = (f"{run.name}-small{'' if n == 1 else f'-{n}'}" for n in range(1, 10_000))
    free = next(name for name in names if not run.with_name(name).exists())
    return bundle.parent / free if bundle.resolve() == run else run.with_name(free)
