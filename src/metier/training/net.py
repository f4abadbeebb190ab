"""A pretrained backbone with a linear head: the form `net`."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from metier.cache import Cache
from metier.memory import freed_kept
from metier.runtime.preprocess import Preprocess
from metier.sources.backbone import Backbone, Inputs
from metier.types import Floats, Form, Source, Table, Task

if TYPE_CHECKING:
    import onnx

    from metier.training.feed import Feed


class Net(nn.Module):
    """Backbone, dropout and a linear head: rows in, scores (rows, outputs) out.

    The head begins at zero, which needs no seed and favours no class.
    """

    def __init__(self, backbone: Backbone, outputs: int) -> None:
        super().__init__()
        self.backbone = backbone
        self.dropout = nn.Dropout(0.0)
        self.head = nn.Linear(backbone.width, outputs)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)

    def forward(self, inputs: Inputs, hidden: Tensor | None = None, at: int = 0) -> Tensor:
        """Return scores, from raw inputs or from activations at boundary `at`."""
        return cast("Tensor", self.head(self.dropout(self.backbone(inputs, hidden, at))))

    def set_head(self, weight: NDArray[Any], bias: NDArray[Any]) -> None:
        """Set the head's weight (outputs, width) and bias (outputs,)."""
        with torch.no_grad():
            self.head.weight.copy_(torch.as_tensor(weight, dtype=torch.float32))
            self.head.bias.copy_(torch.as_tensor(bias, dtype=torch.float32))

    def learn_from(self, boundary: int) -> None:
        """Let everything above a boundary learn, and the head; freeze what lies below."""
        for name, parameter in self.backbone.named_parameters():
            parameter.requires_grad_(self.backbone.level_of(name) >= boundary)
        for parameter in self.head.parameters():
            parameter.requires_grad_(True)

    def train_above(self, boundary: int) -> None:
        """Training mode for what learns; what lies below computes as it will at predict (no
        dropout, fixed batch-norm statistics), which is what makes its activations worth keeping."""
        self.train()
        if boundary == self.backbone.depth:
            self.backbone.eval()
        elif boundary > 0:
            for module in (*self.backbone.stem, *self.backbone.blocks[: boundary - 1]):
                module.eval()


def branch(net: Net, boundary: int) -> Net:
    """Return a copy that may learn above a boundary; the frozen weights below are shared."""
    frozen: Iterable[Tensor] = (
        value
        for name, value in (*net.backbone.named_parameters(), *net.backbone.named_buffers())
        if net.backbone.level_of(name) < boundary
    )
    return copy.deepcopy(net, {id(value): value for value in frozen})


@dataclass(frozen=True)
class NetModel:
    """A net as a model: what it reads, and the trained weights.

    `untouched` is the highest boundary below which the weights are the source's own, so that
    activations which other trials computed can be used again.
    """

    net: Net
    preprocess: Preprocess
    task: Task
    source: Source
    untouched: int = 0
    form: ClassVar[Form] = "net"

    @cached_property
    def parameters(self) -> int:
        return sum(p.numel() for p in self.net.parameters())

    def scores(self, table: Table, cache: Cache | None = None) -> Floats:
        from metier.training.feed import Feed

        device = str(self.net.head.weight.device)
        # Another net that shares the frozen weights may have taken them elsewhere since.
        self.net.to(device)
        feed = Feed(self.net.backbone, self.preprocess, table, cache or Cache(), device)
        return score(self.net, feed, self.untouched if cache is not None else 0)

    def graph(self) -> onnx.ModelProto:
        from metier.deploy.onnx import export_net

        return export_net(self.net.to("cpu"), self.preprocess)

    def save(self, folder: Path) -> None:
        """Write the encoder as `transformers` reads it, the head beside it, and in `net.json` how
        tokens or positions become one feature."""
        from safetensors.torch import save_file

        from metier.sources.loading import quietly

        encoder: Any = self.net.backbone.model
        with quietly():
            # Names as the modules have them: older ones cannot be given to what was cut.
            encoder.save_pretrained(folder, save_original_format=False)
        head = {k: v.detach().contiguous() for k, v in self.net.head.state_dict().items()}
        save_file(head, folder / "head.safetensors")
        backbone = self.net.backbone
        about = {"pooling": backbone.pooling, "normalise": backbone.normalise}
        (folder / "net.json").write_text(json.dumps(about), encoding="utf-8")
        for name, content in self.preprocess.files().items():
            (folder / name).write_bytes(content)


@freed_kept()
def score(net: Net, feed: Feed, at: int) -> Floats:
    """Return scores (n, outputs) of all rows of a feed, entering at a boundary if that pays."""
    from metier.training.batches import budgeted

    at = feed.prepare(at)
    found = np.zeros((len(feed), net.head.out_features), dtype=np.float32)
    net.eval()
    for rows in budgeted(np.arange(len(feed)), feed.costs, feed.portion):
        with torch.inference_mode():
            hidden = feed.hidden(rows, at)
            inputs = {} if at == net.backbone.depth else feed.inputs(rows, light=at > 0)
            scores = net(inputs, hidden, at)
        found[rows] = scores.float().cpu().numpy()
    return found
