"""Cutting structures and whole blocks out of a network, so that it is smaller and not masked."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from metier.errors import ChainError
from metier.sources.backbone import Backbone
from metier.sources.cut import KEPT_BLOCKS, drop, recount
from metier.sources.loading import FAULTS, quietly
from metier.training.net import Net, NetModel

Sort = Literal["heads", "units", "channels"]
Kept = NDArray[np.int64]
"""Numbers of the structures that stay, ascending."""


@dataclass(frozen=True)
class Part:
    """A run of layers with structures inside that nothing else sees.

    Names are those of modules in the backbone's model.

    Args:
        sort: what its structures are.
        makers: layers whose outputs they are.
        through: batch norms and depthwise convolutions that they pass on their way.
        taker: the layer whose inputs they are.
        count: how many structures there are.
        size: outputs of a maker that one structure has (the width of a head, or 1).
        copies: how many times a maker gives all structures (queries, keys and values in one).
        blocks: the numbers of the lowest and of the highest block that it lies in; None where the
            network has no blocks.
    """

    sort: Sort
    makers: tuple[str, ...]
    through: tuple[str, ...]
    taker: str
    count: int
    size: int = 1
    copies: int = 1
    blocks: tuple[int, int] | None = None


def cut(model: nn.Module, part: Part, kept: Kept) -> None:
    """Take all structures but the kept ones out of a model, in place. Tensors that it shares with
    other models stay as they are."""
    columns = _columns(part, kept)
    width = part.count * part.size
    rows = np.concatenate([columns + copy * width for copy in range(part.copies)])
    for name in part.makers:
        _keep_outputs(model.get_submodule(name), rows)
    for name in part.through:
        _keep_outputs(model.get_submodule(name), columns)
    _keep_inputs(model.get_submodule(part.taker), columns)
    if part.sort == "heads":
        owner = model.get_submodule(part.makers[-1].rpartition(".")[0])
        recount(owner, width, len(columns), part.size)


def silence(model: nn.Module, part: Part, kept: Kept) -> None:
    """Let the taker of a part read zeros for all structures but the kept ones, in place."""
    taker: Any = model.get_submodule(part.taker)
    weight = taker.weight.detach().clone()
    gone = np.setdiff1d(np.arange(part.count * part.size), _columns(part, kept))
    weight[:, torch.from_numpy(gone)] = 0.0
    taker.weight = nn.Parameter(weight, requires_grad=taker.weight.requires_grad)


def twin(backbone: Backbone) -> Backbone:
    """Return a copy of the modules that shares all tensors."""
    shared = {id(v): v for v in (*backbone.parameters(), *backbone.buffers())}
    return copy.deepcopy(backbone, shared)


def _columns(part: Part, kept: Kept) -> Kept:
    return (kept[:, None] * part.size + np.arange(part.size)).ravel()


def _keep_outputs(module: nn.Module, rows: Kept) -> None:
    changed: Any = module
    for name in ("weight", "bias", "running_mean", "running_var"):
        _select(module, name, 0, rows)
    if isinstance(module, nn.Linear):
        changed.out_features = len(rows)
    elif isinstance(module, nn.Conv2d):
        changed.out_channels = len(rows)
        if module.groups > 1:  # each channel by itself
            changed.groups = changed.in_channels = len(rows)
    else:
        changed.num_features = len(rows)


def _keep_inputs(module: nn.Module, columns: Kept) -> None:
    changed: Any = module
    _select(module, "weight", 1, columns)
    if isinstance(module, nn.Linear):
        changed.in_features = len(columns)
    else:
        changed.in_channels = len(columns)


def _select(module: nn.Module, name: str, axis: int, index: Kept) -> None:
    old = getattr(module, name, None)
    if old is None:
        return
    new = old.detach().index_select(axis, torch.from_numpy(index).to(old.device))
    if isinstance(old, nn.Parameter):
        new = nn.Parameter(new, requires_grad=old.requires_grad)
    setattr(module, name, new)


def droppable(backbone: Backbone, probe: Mapping[str, Tensor]) -> list[int]:
    """Return the numbers of the blocks that give what they take in shape, so that they can go."""
    shapes: list[tuple[Any, Any]] = []

    def note(_: nn.Module, args: Any, kwargs: Any, output: Any) -> None:
        given = args[0] if args else kwargs["hidden_states"]
        gives = output[0] if isinstance(output, tuple) else output
        shapes.append((given.shape, gives.shape))

    handles = [b.register_forward_hook(note, with_kwargs=True) for b in backbone.blocks]
    try:
        with torch.no_grad():
            backbone.eval()
            backbone(probe)
    finally:
        for handle in handles:
            handle.remove()
    found = [k for k, (given, gives) in enumerate(shapes) if given == gives]
    return found if len(backbone.blocks) > 1 else []


def keep_blocks(backbone: Backbone, kept: Sequence[int], probe: Mapping[str, Tensor]) -> Backbone:
    """Return a backbone with only these of its blocks, in their order; it shares all tensors with
    the one given.

    The configuration tells how many blocks are left. Where that does not describe the network (its
    blocks differ), it lists the kept ones under `kept_blocks`; see `drop_listed`.

    Raises:
        ChainError: when the network does not run without the others.
    """
    model = twin(backbone).model
    if len(kept) == len(backbone.blocks):
        return rebuilt(backbone, model, probe)
    config: Any = model.config
    place = backbone.list_of_blocks
    listed = getattr(config, KEPT_BLOCKS, None)
    if not listed and _can_tell(model, place, kept, len(backbone.blocks)):
        _tell(config, kept)
    else:
        before = listed[place] if listed else range(len(backbone.blocks))
        setattr(config, KEPT_BLOCKS, {place: [before[k] for k in kept]})
    drop(model, place, kept)
    return rebuilt(backbone, model, probe)


def rebuilt(backbone: Backbone, model: nn.Module, probe: Mapping[str, Tensor]) -> Backbone:
    """Return a backbone like another one around a model that was cut.

    Raises:
        ChainError: when the model does not run.
    """
    try:
        return Backbone(model, backbone.pooling, backbone.normalise, probe)
    except (RuntimeError, ValueError, IndexError, TypeError, KeyError) as error:
        reason = " ".join(str(error).split())[:100]
        raise ChainError(f"this network does not run without what was cut: {reason}") from error


def operated(model: NetModel, backbone: Backbone) -> NetModel:
    """Return a model with another backbone under a head of the same numbers."""
    head = model.net.head
    net = Net(backbone, head.out_features).to(head.weight.device)
    net.set_head(head.weight.detach().cpu().numpy(), head.bias.detach().cpu().numpy())
    stem = 1 if backbone.blocks else 0
    return replace(model, net=net, untouched=min(model.untouched, stem))


def _can_tell(model: nn.Module, place: str, kept: Sequence[int], blocks: int) -> bool:
    """Whether the architecture of fewer blocks is the network that keeping these ones gives."""
    config: Any = copy.deepcopy(model.config)
    if getattr(config, "num_hidden_layers", None) != blocks:
        return False
    _tell(config, kept)
    try:
        with quietly(), torch.device("meta"):
            built: Any = type(model)(type(config).from_dict(config.to_dict()))
    except FAULTS:
        return False  # something else in it counts the blocks too
    wanted = [_names(model.get_submodule(f"{place}.{k}")) for k in kept]
    return wanted == [_names(block) for block in built.get_submodule(place)]


def _names(module: nn.Module) -> list[str]:
    return [name for name, _ in (*module.named_parameters(), *module.named_buffers())]


def _tell(config: Any, kept: Sequence[int]) -> None:
    types = getattr(config, "layer_types", None)
    config.num_hidden_layers = len(kept)
    if types:
        config.layer_types = [types[k] for k in kept]
