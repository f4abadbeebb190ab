"""What a measurement was made with: versions and the processor; never names or paths."""

from __future__ import annotations

import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

PACKAGES = (
    "metier",
    "accelerate",
    "captum",
    "flaml",
    "interpret-core",
    "lightgbm",
    "numpy",
    "onnxruntime",
    "optuna",
    "peft",
    "polars",
    "scikit-learn",
    "sentence-transformers",
    "setfit",
    "tokenizers",
    "torch",
    "transformers",
)


def describe(threads: int) -> dict[str, Any]:
    """Return versions, processor, cores, memory and the threads that were allowed."""
    return {
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "processor": _processor(),
        "cores": cores(),
        "threads": threads,
        "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9),
        "versions": {name: found for name in PACKAGES if (found := _version(name))},
    }


def cores() -> int:
    """Return the processor cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def load() -> float:
    """Return how many processes wanted a core in the last minute: above 0 others were at work."""
    return round(os.getloadavg()[0], 2)


def _version(name: str) -> str | None:
    if name == "metier":
        import metier

        return metier.__version__
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    facts: dict[str, str] = {}
    for line in lines:
        name, _, value = line.partition(":")
        facts.setdefault(name.strip(), value.strip())
    model = facts.get("model name", platform.processor())
    return f"{model} (family {facts.get('cpu family', '?')}, model {facts.get('model', '?')})"
