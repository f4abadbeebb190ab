"""Low-rank updates beside frozen weights."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, ClassVar, Literal

import torch
from torch import nn

from metier.errors import ChainError, MissingExtraError
from metier.space import Choice, Float, Int, tune
from metier.training.augment import VIEWS
from metier.training.learn import Loss, learn, learned_from, settled_schedule
from metier.training.mixing import mixing
from metier.training.net import NetModel
from metier.training.schedule import Schedule
from metier.training.start import fresh_net, give_head
from metier.types import Form, Modality, Problem, Run, Specialist, Step


@dataclass(frozen=True)
class Lora:
    """Train low-rank updates beside frozen weights (Hu et al., 2021), with the library peft.

    The updates are merged into the weights at the end, so predicting costs nothing more.

    Args:
        rank: rank of each update.
        scale: the update is multiplied by scale / rank.
        blocks: share of the blocks, from the top, that get updates.
        epochs: passes over the rows at most.
        rate: peak learning rate.
        dropout: before the head and inside the updates.
        patience: epochs without a better stopping score before it ends.
        rows: rows a step.
        augment: read changed views of the rows beside the rows themselves: "light" or "strong".
        views: how many views of a row there are, itself included; each epoch reads one.
        mixup: of the Beta distribution by which rows are mixed with others; 0 mixes none.
    """

    rank: int = tune(8, Int(2, 64, log=True))
    scale: float = tune(16.0, Float(4.0, 64.0, log=True))
    blocks: float = tune(1.0, Float(0.3, 1.0))
    epochs: float = tune(6.0, Int(2, 12))
    rate: float = tune(5e-4, Float(1e-5, 1e-2, log=True))
    dropout: float = tune(0.05, Float(0.0, 0.3))
    patience: int = 2
    rows: int = tune(32, Choice((16, 32, 64)))
    augment: Literal["none", "light", "strong"] = tune("none", Choice(("none", "light", "strong")))
    views: int = VIEWS
    mixup: float = tune(0.0, Choice((0.0, 0.2)))
    accepts: ClassVar[tuple[Form, ...]] = ("source", "net")
    gives: ClassVar[Form] = "net"
    modalities: ClassVar[tuple[Modality, ...]] = ("text", "image")

    def __call__(self, start: Specialist, problem: Problem, run: Run) -> Specialist:
        began = time.monotonic()
        depth = fresh_net(start, problem).net.backbone.depth
        boundary = depth - 1 - max(1, round(self.blocks * (depth - 2)))
        model = fresh_net(start, problem, boundary)
        schedule = Schedule.of(self, head_rate=self.rate * 2, weight_decay=0.0)
        if start.model is None:
            give_head(model, learned_from(problem, schedule, run.seed), run)
        adapted = self._adapt(model, boundary, run.seed)
        model.net.dropout.p = self.dropout
        try:
            _, notes = learn(
                model,
                problem,
                run,
                schedule,
                Loss(),
                teach=mixing(self.mixup),
                augment=self.augment,
                views=self.views,
            )
        finally:
            model.net.dropout.p = 0.0
            _merge(model, adapted)
        return start.then(model, Step("lora", asdict(self), time.monotonic() - began, notes))

    def settled(self, notes: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """What the fits on the folds found out: how many epochs, so that none need be held out."""
        return settled_schedule(notes)

    def _adapt(self, model: NetModel, boundary: int, seed: int) -> Any:
        """Put updates beside linear and convolution layers above a boundary; freeze the rest."""
        try:
            from peft import LoraConfig, inject_adapter_in_model
        except ImportError as error:
            raise MissingExtraError("peft", "lora", "the strategy lora") from error
        backbone = model.net.backbone
        lowest = max(boundary, 1) if backbone.blocks else 0
        targets = [
            name
            for name, module in backbone.model.named_modules()
            if isinstance(module, nn.Linear)
            or (isinstance(module, nn.Conv2d) and module.groups == 1)
            if backbone.level_of(f"model.{name}.weight") >= lowest
        ]
        if not targets:
            raise ChainError("lora finds no linear layer in the blocks that are to learn")
        torch.manual_seed(seed)
        for parameter in backbone.parameters():
            parameter.requires_grad_(False)
        settings: dict[str, Any] = {
            "r": self.rank,
            "lora_alpha": self.scale,
            "lora_dropout": self.dropout,
            "target_modules": targets,
        }
        encoder: Any = backbone.model
        inject_adapter_in_model(LoraConfig(**settings), encoder)
        for name in targets:
            _show_geometry(encoder.get_submodule(name))
        return targets


def _show_geometry(layer: Any) -> None:
    """Let an adapter tell what its convolution does: some networks pad their inputs by it."""
    base = layer.get_base_layer()
    for name in ("stride", "padding", "dilation", "kernel_size", "groups"):
        if hasattr(base, name) and not hasattr(layer, name):
            setattr(layer, name, getattr(base, name))


def _merge(model: NetModel, targets: list[str]) -> None:
    """Add each update to the weight it stands beside, and take the adapter layers out again."""
    encoder = model.net.backbone.model
    for name in targets:
        parent, _, leaf = name.rpartition(".")
        owner = encoder.get_submodule(parent)
        layer: Any = owner.get_submodule(leaf)
        layer.merge()
        # peft changes the numbers behind autograd's back, and activations are kept by version.
        torch.autograd.graph.increment_version(layer.get_base_layer().weight)
        setattr(owner, leaf, layer.get_base_layer())
    if hasattr(encoder, "peft_config"):
        del encoder.peft_config
