"""Where a fit stands: all that changes while it goes on, to be written down and taken up again."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from metier.training.checkpoint import Checkpoint
from metier.training.net import Net
from metier.training.schedule import Schedule, grouped


@dataclass
class Outcome:
    """What a fit did: steps taken and planned, epochs of the weights kept, and its curves."""

    steps: int = 0
    planned: int = 0
    epochs: float = 0.0
    curve: list[tuple[int, float, float | None]] = field(default_factory=list)
    seconds: float = 0.0
    boundary: int = 0
    shortened: bool = False
    """Whether the deadline cut the schedule short: the fit is then one that a clock decided."""
    turns: list[dict[str, Any]] = field(default_factory=list)
    """What the run's guard saw each time that the fit went back, and after how many epochs."""


class Standing:
    """The weights that a fit changes, what its optimizer knows of them, their running mean and the
    best ones so far, and the steps that were taken.

    Args:
        net: what learns; of it, the parameters that ask for gradients and the batch-norm statistics
            above the boundary `lowest` change.
        schedule: how parameters are grouped, and whether weights are averaged.
        lowest: the deepest boundary below which nothing learns.
    """

    def __init__(self, net: Net, schedule: Schedule, lowest: int) -> None:
        groups = grouped(net, schedule)
        self.optimizer = torch.optim.AdamW(groups, fused=True)
        self.device = net.head.weight.device
        self.learning: list[torch.Tensor] = [p for group in groups for p in group["params"]]
        statistics = _statistics(net, lowest, ("running_mean", "running_var"))
        self.normed = bool(statistics)
        self.kept = [*self.learning, *statistics]
        self.counts = _statistics(net, lowest, ("num_batches_tracked",))
        self.averages = [p.detach().clone() for p in self.kept] if schedule.average else []
        self.best: list[torch.Tensor] = []
        self.best_score = -math.inf
        self.best_epoch = 0.0
        self.bad = 0
        """Epochs since the best one."""
        self.step = 0
        self.outcome = Outcome()

    @property
    def done(self) -> float:
        """The share of the planned steps that were taken."""
        return self.step / self.outcome.planned

    def follow(self, average: float) -> None:
        """Let the running mean, if there is one, follow the weights; faster at the beginning."""
        if not self.averages:
            return
        share = 1 - min(average, (1 + self.step) / (10 + self.step))
        with torch.no_grad():
            floats = list(zip(self.averages, self.kept, strict=True))
            torch._foreach_lerp_([a for a, _ in floats], [p for _, p in floats], share)

    def weights(self) -> list[torch.Tensor]:
        """A copy of the weights that learn."""
        return [p.detach().clone() for p in self.kept]

    def wear(self, weights: Sequence[torch.Tensor]) -> None:
        """Give the net some weights, in place; none leaves it as it is."""
        if weights:
            _assign(self.kept, weights)

    def judged(self, score: float, epoch: float) -> None:
        """Note how good the weights of the net are, and keep them when no others were as good."""
        if score > self.best_score:
            self.best_score, self.best_epoch, self.bad = score, epoch, 0
            self.best = self.weights()
        else:
            self.bad += 1

    def fingerprint(self) -> str:
        """A hash of the weights that learn."""
        whole = hashlib.blake2b(digest_size=16)
        for tensor in self.kept:
            whole.update(tensor.detach().cpu().contiguous().numpy().tobytes())
        return whole.hexdigest()

    def written(self, mark: str) -> Checkpoint:
        """All of it as a checkpoint of the fit called `mark`; the tensors go on learning."""
        tensors: dict[str, torch.Tensor] = {"random": torch.get_rng_state()}
        if self.device.type == "cuda":
            tensors["random.cuda"] = torch.cuda.get_rng_state(self.device)
        for name, held in (
            ("kept", self.kept),
            ("count", self.counts),
            ("average", self.averages),
            ("best", self.best),
        ):
            tensors.update({f"{name}.{i}": t.detach() for i, t in enumerate(held)})
        for i, parameter in enumerate(self.learning):
            for key, value in self.optimizer.state[parameter].items():
                tensors[f"optimizer.{i}.{key}"] = value
        facts = {
            "mark": mark,
            "step": self.step,
            "planned": self.outcome.planned,
            "shortened": self.outcome.shortened,
            "turns": self.outcome.turns,
            "curve": list(self.outcome.curve),
            "best_score": self.best_score if self.best else None,
            "best_epoch": self.best_epoch,
            "bad": self.bad,
        }
        return Checkpoint(tensors, facts)

    def return_to(self, found: Checkpoint) -> None:
        """Stand where a checkpoint of the same fit was written, whatever device it was read to."""
        tensors, facts = found.tensors, found.facts
        _assign(self.kept, [tensors[f"kept.{i}"] for i in range(len(self.kept))])
        _assign(self.counts, [tensors[f"count.{i}"] for i in range(len(self.counts))])
        self.averages = self._beside("average", tensors) if self.averages else []
        self.best, self.best_score = [], -math.inf
        if facts["best_score"] is not None:
            self.best = self._beside("best", tensors)
            self.best_score = facts["best_score"]
        for i, parameter in enumerate(self.learning):
            self.optimizer.state[parameter] = {
                key: tensors[f"optimizer.{i}.{key}"].to(parameter.device)
                for key in ("step", "exp_avg", "exp_avg_sq")
                if f"optimizer.{i}.{key}" in tensors
            }
        self.step, self.bad = facts["step"], facts["bad"]
        self.best_epoch = facts["best_epoch"]
        self.outcome.planned, self.outcome.shortened = facts["planned"], facts["shortened"]
        self.outcome.turns = list(facts["turns"])
        self.outcome.curve = [(int(s), float(t), v) for s, t, v in facts["curve"]]
        torch.set_rng_state(tensors["random"].cpu())
        if self.device.type == "cuda" and "random.cuda" in tensors:
            torch.cuda.set_rng_state(tensors["random.cuda"].cpu(), self.device)

    def _beside(self, name: str, tensors: Mapping[str, torch.Tensor]) -> list[torch.Tensor]:
        """The tensors of a name, each on the device of the weight that it belongs to."""
        return [tensors[f"{name}.{i}"].to(own.device) for i, own in enumerate(self.kept)]


def _assign(into: Sequence[torch.Tensor], values: Sequence[torch.Tensor]) -> None:
    with torch.no_grad():
        for target, value in zip(into, values, strict=True):
            target.copy_(value)


def _statistics(net: Net, lowest: int, names: tuple[str, ...]) -> list[torch.Tensor]:
    """The batch-norm statistics of these names that training changes: those above the boundary."""
    return [
        buffer
        for name, buffer in net.backbone.named_buffers()
        if name.endswith(names) and net.backbone.level_of(name) >= lowest
    ]
