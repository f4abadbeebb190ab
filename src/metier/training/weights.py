"""Models read back from the folders that their `save` wrote."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from metier.deploy import additive
from metier.deploy.booster import Booster, Member
from metier.deploy.layers import Constant, Dense, Layer, Terms
from metier.deploy.linear import LinearModel
from metier.errors import BundleError, SourceError
from metier.runtime.both import Both
from metier.runtime.columns import Numbers
from metier.runtime.counts import Tfidf
from metier.runtime.histograms import Histograms
from metier.runtime.preprocess import Preprocess, restore
from metier.types import Model, Source, Table, Task

if TYPE_CHECKING:
    from metier.training.net import NetModel

LARGEST = 2**26
"""Bytes that a JSON file beside the weights may have."""
LAYERS: Mapping[str, Callable[..., Layer]] = {"constant": Constant, "dense": Dense, "terms": Terms}
ROWS = ("weights", "table")
"""Tensors of linear layers with one row for each number or term."""
FAULTS = (
    KeyError,
    TypeError,
    ValueError,
    AttributeError,
    OSError,
    RecursionError,
    StopIteration,
    SourceError,
)
"""What a damaged file makes the readers raise."""


@dataclass(frozen=True)
class Known:
    """What is known of a model before its weights are read; `rows` are some that it can read."""

    preprocess: Preprocess
    task: Task
    source: Source
    rows: Table


def read_weights(folder: Path, known: Known) -> Model | None:
    """Return the model in a folder of weights; None when it holds none that is known.

    Raises BundleError for a link or for a file that is damaged.
    """
    read = _reader(folder)
    if read is None:
        return None
    for path in (folder, *folder.rglob("*")):
        if path.is_symlink():
            raise BundleError(f"{path}: is a link; weights lie in their folder themselves")
    try:
        return read(folder, known)
    except FAULTS as error:
        raise BundleError(
            f"{folder}: cannot be read ({type(error).__name__}: {error}); get the weights again"
        ) from None


Reader = Callable[[Path, Known], Model]


def _reader(folder: Path) -> Reader | None:
    """What reads the weights in a folder, by the file that tells their kind."""
    return next((read for name, read in READERS.items() if (folder / name).is_file()), None)


def read_net(folder: Path, known: Known) -> NetModel:
    """Return the net that `NetModel.save` wrote."""
    import torch

    from metier.sources.backbone import Backbone
    from metier.sources.stored import read_encoder, read_tensors
    from metier.training.net import Net, NetModel

    about = _json(folder / "net.json")
    encoder = read_encoder(folder, about["pooling"] == "pooler")
    found = known.preprocess.encode(known.rows.take([0, 1]).columns()).examples
    arrays = known.preprocess.collate([example for example in found if example is not None])
    probe = {name: torch.from_numpy(array) for name, array in arrays.items() if name != "assign"}
    backbone = Backbone(encoder, about["pooling"], about["normalise"], probe)
    net = Net(backbone, known.task.outputs)
    head = read_tensors(folder / "head.safetensors")
    net.set_head(head["weight"].numpy(), head["bias"].numpy())
    for parameter in net.parameters():
        parameter.requires_grad_(False)
    return NetModel(net, known.preprocess, known.task, known.source)


def read_booster(folder: Path, known: Known) -> Model:
    """Return the boosters that `Booster.save` wrote."""
    about = _json(folder / "boosters.json")
    offset, outputs = tuple(map(float, about["offset"])), int(about["outputs"])
    members = []
    for i, told in enumerate(about["members"]):
        text = (folder / f"booster-{i}.txt").read_text(encoding="utf-8")
        member = Member(text, float(told["weight"]), int(told["first"]))
        wide, last = member.forest.features, member.first + member.forest.outputs
        if wide != width(known.preprocess) or not 0 <= member.first < last <= outputs:
            raise ValueError(f"booster-{i}.txt does not fit the columns and the target")
        members.append(member)
    if outputs != known.task.outputs or len(offset) not in (0, outputs):
        raise ValueError("boosters.json does not fit the target")
    return Booster(known.preprocess, tuple(members), outputs, offset)


def read_linear(folder: Path, known: Known) -> Model:
    """Return the linear model that `LinearModel.save` wrote."""
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    about = _json(folder / "linear.json")
    try:
        tensors = load_file(folder / "linear.safetensors")
    except SafetensorError as error:
        raise ValueError(f"linear.safetensors: {error}") from None
    layer = LAYERS[about["layer"]](**tensors, **about["settings"])
    outputs, wide = known.task.outputs, width(known.preprocess)
    for name, tensor in tensors.items():
        if tensor.shape != ((wide, outputs) if name in ROWS else (outputs,)):
            raise ValueError(
                f"{name} in linear.safetensors does not fit the columns and the target"
            )
    return LinearModel(known.preprocess, layer)


def width(preprocess: Preprocess) -> int:
    """Return how many numbers, or known terms, a row of a model of tables or terms has."""
    if isinstance(preprocess, Numbers):
        return len(preprocess.names)
    if isinstance(preprocess, Tfidf):
        return len(preprocess.vocabulary)
    if isinstance(preprocess, Histograms):
        return preprocess.length
    raise ValueError(f"no model of numbers reads {preprocess.kind}")


def read_additive(folder: Path, known: Known) -> Model:
    """Return the glass box that `Additive.save` wrote."""
    if not isinstance(known.preprocess, Numbers):
        raise ValueError("its preprocessing is not that of a table")
    return additive.restore(known.preprocess, _json(folder / additive.FILE))


def read_fused(folder: Path, known: Known) -> Model:
    """Return the net and the model of tables above it that `Fused.save` wrote."""
    from metier.training.fused import Fused

    whole, table = known.preprocess, folder / "table"
    below = whole.parts[0] if isinstance(whole, Both) else whole
    name = next(name for name in ("boosters.json", "linear.json") if (table / name).is_file())
    numbers = restore(_json(table / name)["preprocess"], table)
    inner = READERS[name](table, replace(known, preprocess=numbers))
    return Fused(read_net(folder, replace(known, preprocess=below)), inner)


READERS: Mapping[str, Reader] = {
    "fused.json": read_fused,
    "boosters.json": read_booster,
    "linear.json": read_linear,
    additive.FILE: read_additive,
    "net.json": read_net,
}
"""What tells the kind of a folder of weights, and what reads it; a fused model has a net, too."""


def _json(path: Path) -> Any:
    if path.stat().st_size > LARGEST:
        raise BundleError(f"{path}: larger than {LARGEST // 2**20} MB; get the weights again")
    return json.loads(path.read_text(encoding="utf-8"))
