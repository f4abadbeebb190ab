"""What metier does, as functions: the command line and programs call the same ones."""

from __future__ import annotations

from metier.api.looking import check, rank, sources, strategies
from metier.api.making import Result, compress, meta, multitask, specialize
from metier.api.using import audit, compare, evaluate, explain, export, label, predict, robustness

__all__ = [
    "Result",
    "audit",
    "check",
    "compare",
    "compress",
    "evaluate",
    "explain",
    "export",
    "label",
    "meta",
    "multitask",
    "predict",
    "rank",
    "robustness",
    "sources",
    "specialize",
    "strategies",
]
