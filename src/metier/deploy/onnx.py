"""Torch nets as ONNX graphs."""

from __future__ import annotations

import tempfile
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import onnx

from metier.errors import ParityError
from metier.runtime.preprocess import Example, Preprocess

if TYPE_CHECKING:
    from torch import Tensor, nn

OPSET = 18
"""What the TorchScript exporter writes; its graphs are the ones that quantise (the exporter that
replaces it writes graphs whose shapes onnxruntime's quantiser cannot infer)."""


def export_net(net: nn.Module, preprocess: Preprocess, output: str = "scores") -> onnx.ModelProto:
    """Return a net as a graph with the inputs that `preprocess` names and one output.

    Weights are shared with nothing afterwards. Text lengths and all batch sizes stay free. Raises
    ParityError for a network that ONNX cannot say.
    """
    import torch

    arrays = preprocess.collate(_samples(preprocess))
    names = list(arrays)
    net.eval()
    with (
        tempfile.TemporaryDirectory() as folder,
        torch.no_grad(),
        warnings.catch_warnings(),
    ):
        path = Path(folder) / "model.onnx"
        warnings.simplefilter("ignore")
        try:
            torch.onnx.export(
                _positional(net, names),
                tuple(torch.from_numpy(arrays[name]) for name in names),
                path,
                input_names=names,
                output_names=[output],
                dynamic_axes=_free_axes(names, output),
                opset_version=OPSET,
                dynamo=False,
            )
        except OSError:
            raise
        except Exception as error:
            # The pass is anybody's code, and the exporter raises whatever that stumbles over.
            reason = " ".join(str(error).split())[:200] or type(error).__name__
            raise ParityError(f"the network cannot be exported to ONNX ({reason})") from error
        return onnx.load(path)


def _samples(preprocess: Preprocess) -> list[Example]:
    """Two examples that exercise padding: texts of unlike length, or grey images."""
    from metier.runtime.images import Image

    if isinstance(preprocess, Image):
        height, width = preprocess.size
        return [(np.zeros((3, height, width), dtype=np.float32),)] * 2
    texts = ["one two three four five six", "one"]
    columns = cast("Any", preprocess).columns
    encoded = preprocess.encode({name: texts for name in columns})
    return [example for example in encoded.examples if example is not None]


def _positional(net: nn.Module, names: list[str]) -> nn.Module:
    from torch import nn

    class Positional(nn.Module):
        """The same net with its inputs as an exporter wants them."""

        def __init__(self) -> None:
            super().__init__()
            self.net = net

        def forward(self, *values: Tensor) -> Any:
            return self.net(dict(zip(names, values, strict=True)))

    return Positional().eval()


def _free_axes(names: list[str], output: str) -> dict[str, dict[int, str]]:
    windows = "windows" if "assign" in names else "rows"
    axes: dict[str, dict[int, str]] = {output: {0: "rows"}}
    for name in names:
        if name == "assign":
            axes[name] = {0: "rows", 1: windows}
        elif name == "pixel_values":
            axes[name] = {0: "rows"}
        else:
            axes[name] = {0: windows, 1: "length"}
    return axes
