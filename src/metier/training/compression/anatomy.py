"""Which parts of a network can be cut out: attention heads, feed-forward units, channels.

No architecture is named here. One pass is watched, and what looks like a part from the order and
the widths of its layers is tried: a part is one when cutting a structure out of it gives what
silencing that structure gives. What does not hold (a residual sum, a norm over the structures, a
bias for each head) is left whole.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from metier.errors import ChainError
from metier.sources.backbone import Backbone
from metier.sources.cut import head_size
from metier.training.compression.surgery import Kept, Part, cut, silence, twin


@dataclass(frozen=True)
class _Call:
    """One layer of a pass, with what it was given."""

    name: str
    module: nn.Module
    given: Any


def find_parts(backbone: Backbone, probe: Mapping[str, Tensor]) -> list[Part]:
    """Return the parts of a network; empty when nothing can be cut out of it.

    Args:
        backbone: the network.
        probe: the inputs of a few rows, for the passes that find and try the parts.
    """
    calls = _watch(backbone, probe)
    placed: dict[tuple[str, ...], Part] = {}
    for part in (*_linear_parts(backbone, calls), *_channel_parts(calls)):
        layers = (*part.makers, *part.through, part.taker)
        levels = [backbone.level_of(f"model.{name}.weight") for name in layers]
        if not backbone.blocks:
            placed.setdefault(part.makers, part)
        elif min(levels) >= 1 and max(levels) < backbone.depth - 1:
            spans = (min(levels) - 1, max(levels) - 1)
            placed.setdefault(part.makers, replace(part, blocks=spans))
    inside = [part for part in placed.values() if not _reaches(part)]
    across = [part for part in placed.values() if _reaches(part)]
    return [
        *_holding(backbone, inside, probe),
        *(part for part in across if _hold(backbone, [part], probe)),
    ]


def _reaches(part: Part) -> bool:
    """Whether a part goes from one block into another, where residual sums may see it."""
    return part.blocks is not None and part.blocks[0] < part.blocks[1]


def _holding(backbone: Backbone, parts: list[Part], probe: Mapping[str, Tensor]) -> list[Part]:
    """The parts that hold, found by halves: most often all of them do."""
    if not parts or _hold(backbone, parts, probe):
        return parts
    half = len(parts) // 2
    if not half:
        return []
    return [
        *_holding(backbone, parts[:half], probe),
        *_holding(backbone, parts[half:], probe),
    ]


def _hold(backbone: Backbone, parts: Sequence[Part], probe: Mapping[str, Tensor]) -> bool:
    """Whether some structures can be cut out of each part. Which and how many differs from part to
    part, since two parts of one residual sum could be cut alike."""
    if any(part.count < 2 for part in parts):
        return False
    random = np.random.default_rng(0)
    kept = []
    for part in parts:
        gone = max(1, part.count // int(random.integers(2, 9)))
        kept.append(np.sort(random.permutation(part.count)[gone:]))
    try:
        cut_out(backbone, list(zip(parts, kept, strict=True)), probe)
    except ChainError:
        return False
    return True


def cut_out(
    backbone: Backbone, cuts: Sequence[tuple[Part, Kept]], probe: Mapping[str, Tensor]
) -> Backbone:
    """Return a network with the kept structures of these parts; it shares all other tensors.

    Raises:
        ChainError: when it does not give what the network gives whose other structures are silent.
    """
    smaller = twin(backbone)
    for part, kept in cuts:
        cut(smaller.model, part, kept)
    with torch.no_grad():
        try:
            got = smaller.eval()(probe)
        except (RuntimeError, ValueError, IndexError, TypeError) as error:
            reason = " ".join(str(error).split())[:100]
            raise ChainError(f"something else sees what is to be cut out ({reason})") from error
        silent = twin(backbone)
        for part, kept in cuts:
            silence(silent.model, part, kept)
        wanted = silent.eval()(probe)
    if not torch.allclose(got, wanted, atol=1e-5, rtol=1e-4):
        raise ChainError("something else sees what is to be cut out of this network")
    return smaller


def _watch(backbone: Backbone, probe: Mapping[str, Tensor]) -> list[_Call]:
    """The layers of one pass in their order."""
    calls: list[_Call] = []

    def noting(name: str) -> Callable[..., None]:
        def note(module: nn.Module, args: tuple[Any, ...]) -> None:
            calls.append(_Call(name, module, args[0] if args else None))

        return note

    leaves = [(n, m) for n, m in backbone.model.named_modules() if next(m.children(), None) is None]
    handles = [module.register_forward_pre_hook(noting(name)) for name, module in leaves]
    try:
        with torch.no_grad():
            backbone.eval()
            backbone(probe)
    finally:
        for handle in handles:
            handle.remove()
    return calls


def _linear_parts(backbone: Backbone, calls: Sequence[_Call]) -> list[Part]:
    """Attention and feed-forward parts, from the linear layers in their order."""
    found: list[Part] = []
    group: list[_Call] = []
    for call in calls:
        if not isinstance(call.module, nn.Linear):
            continue
        if group and call.given is group[0].given:
            group.append(call)
            continue
        if any(call.module is other.module for other in group):
            continue  # queries and keys of the positions, through the same layers
        found.extend(_part_between(backbone, group, call))
        group = [call]
    return found


def _part_between(backbone: Backbone, group: Sequence[_Call], taker: _Call) -> list[Part]:
    """The part between layers that read the same and the layer that reads what they gave."""
    widths = {_linear(call).out_features for call in group}
    if len(widths) != 1:
        return []
    width, wanted = widths.pop(), _linear(taker).in_features
    if width % wanted or _linear(group[0]).in_features != _linear(taker).out_features:
        return []
    copies = width // wanted
    makers = tuple(call.name for call in group)
    if (len(group), copies) in ((3, 1), (1, 3)):
        owner = backbone.model.get_submodule(makers[-1].rpartition(".")[0])
        size = head_size(backbone.model, owner)
        if not size or wanted % size:
            return []
        return [Part("heads", makers, (), taker.name, wanted // size, size, copies)]
    if len(group) * copies <= 2:
        return [Part("units", makers, (), taker.name, wanted, 1, copies)]
    return []


def _linear(call: _Call) -> nn.Linear:
    assert isinstance(call.module, nn.Linear)
    return call.module


def _channel_parts(calls: Sequence[_Call]) -> list[Part]:
    """Channels between two convolutions, passing only what treats each channel by itself."""
    found = []
    for start, call in enumerate(calls):
        module = call.module
        if not isinstance(module, nn.Conv2d) or module.groups != 1:
            continue
        channels, through = module.out_channels, []
        for after in calls[start + 1 :]:
            if _passes(after.module, channels):
                through.append(after.name)
            elif isinstance(after.module, nn.Conv2d):
                if after.module.groups == 1 and after.module.in_channels == channels:
                    part = Part("channels", (call.name,), tuple(through), after.name, channels)
                    found.append(part)
                break
            elif any(True for _ in after.module.parameters()):
                break
    return found


def _passes(module: nn.Module, channels: int) -> bool:
    if isinstance(module, nn.Conv2d):
        return module.groups == module.in_channels == module.out_channels == channels
    return isinstance(module, nn.BatchNorm2d) and module.num_features == channels
