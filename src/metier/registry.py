"""Names of everything that can be chosen, loaded only when asked for.

A built-in is one line here; a third party registers an entry point in the group
``metier.<room>`` and edits nothing.
"""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import entry_points
from typing import Any

from metier.errors import OptionError, suggest

BUILT_IN: dict[str, dict[str, str]] = {
    "strategies": {
        "majority": "metier.strategies.majority:Majority",
        "mean": "metier.strategies.majority:Mean",
        "classical": "metier.strategies.classical:Classical",
        "generalist": "metier.strategies.generalist:Generalist",
        "probe": "metier.strategies.probe:Probe",
        "finetune": "metier.strategies.finetune:Finetune",
        "lora": "metier.strategies.lora:Lora",
        "multitask": "metier.strategies.multitask:Multitask",
        "contrast": "metier.strategies.contrast:Contrast",
        "scratch": "metier.strategies.scratch:Scratch",
        "boost": "metier.strategies.boost:Boost",
        "linear": "metier.strategies.linear:Linear",
        "ebm": "metier.strategies.ebm:Ebm",
        "fuse": "metier.strategies.fuse:Fuse",
        "prune": "metier.strategies.prune:Prune",
        "distill": "metier.strategies.distill:Distill",
        "adversarial": "metier.strategies.adversarial:Adversarial",
        "defensive_distillation": "metier.strategies.defensive_distillation:DefensiveDistillation",
        "trim": "metier.strategies.trim:Trim",
        "thin": "metier.strategies.thin:Thin",
        "quantize": "metier.strategies.quantize:Quantize",
        "reweigh": "metier.strategies.reweigh:Reweigh",
        "constrain": "metier.strategies.constrain:Constrain",
        "threshold": "metier.strategies.threshold:Threshold",
        "oversample": "metier.strategies.oversample:Oversample",
        "synthesize": "metier.strategies.synthesize:Synthesize",
        "pseudolabel": "metier.strategies.pseudolabel:Pseudolabel",
        "align": "metier.strategies.align:Align",
        "consistency": "metier.strategies.consistency:Consistency",
        "pretrain": "metier.strategies.pretrain:Pretrain",
    },
    "tasks": {
        "binary": "metier.tasks.classify:Classify",
        "multiclass": "metier.tasks.classify:Classify",
        "multilabel": "metier.tasks.classify:Multilabel",
        "regression": "metier.tasks.regress:Regress",
    },
}

ONE = {"strategies": "strategy", "tasks": "task"}
"""What one thing of a room is called."""


def names(room: str) -> list[str]:
    """Return the names registered in a room, built-in ones first."""
    return [*BUILT_IN.get(room, {}), *(e.name for e in entry_points(group=f"metier.{room}"))]


def find(room: str, name: str) -> Any:
    """Return the object registered under a name. Raises OptionError, naming the near ones."""
    address = BUILT_IN.get(room, {}).get(name)
    if address is not None:
        module, _, attribute = address.partition(":")
        return getattr(import_module(module), attribute)
    for entry in entry_points(group=f"metier.{room}"):
        if entry.name == name:
            return entry.load()
    raise OptionError(f"unknown {ONE[room]} {name!r}{suggest(name, names(room))}")
