"""A pretrained network as a stem, ordered blocks and a pooled feature, whatever its architecture.

Most networks of `transformers` hold their blocks in one ModuleList. That list, and what runs before
it (the stem), are found by watching one forward pass. The network can then be *entered* at any
boundary with activations computed before: every module below the boundary is told to hand on the
given activations, and the model's own code does the rest (masks, positions, the final norm), so no
architecture is written again here. The split is checked on that first pass: a network for which
entering does not give what the whole pass gives is kept whole (boundaries 0 and `depth` only).

Boundaries: 0 is the raw input; 1 lies after the stem; 1 + k after k blocks; `depth` is the feature.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn

Pooling = Literal["mean", "cls", "max", "pooler", "spatial"]
Inputs = Mapping[str, Tensor]


class _Reached(Exception):
    """Carries the activations out of a pass that need not go on."""

    def __init__(self, hidden: Tensor) -> None:
        super().__init__()
        self.hidden = hidden


class Backbone(nn.Module):
    """A pretrained network that gives one feature vector a row.

    Args:
        model: a `transformers` model without a task head.
        pooling: "mean", "cls" and "max" over the tokens under the attention mask; "pooler" takes
            the model's own pooled output; "spatial" averages the positions of a feature map.
        normalise: scale features to length 1 (as sentence embedding models ask for).
        probe: small inputs for the first pass, which finds and checks the split.
    """

    def __init__(self, model: nn.Module, pooling: Pooling, normalise: bool, probe: Inputs) -> None:
        super().__init__()
        self.model = model
        self.pooling = pooling
        self.normalise = normalise
        split = _find_split(model, probe)
        self._stem, self._blocks, self._tuples = split.stem, split.blocks, split.tuples
        self._doors: tuple[str, ...] = ()
        with torch.no_grad():
            model.eval()
            self.width = int(self(probe).shape[-1])
            if not self._find_doors(split, probe):
                self._stem, self._blocks, self._tuples = (), (), ()
        self._early = self._used_below_the_top(probe)

    @property
    def stem(self) -> list[nn.Module]:
        """What runs before the blocks."""
        return [self.get_submodule(name) for name in self._stem]

    @property
    def blocks(self) -> list[nn.Module]:
        """The blocks in the order of the pass, lowest first; empty when it cannot be split."""
        return [self.get_submodule(name) for name in self._blocks]

    @property
    def list_of_blocks(self) -> str:
        """The name in `model` of the list that holds the blocks; empty when it cannot be split."""
        first = self._blocks[0] if self._blocks else ""
        return first.removeprefix("model.").rpartition(".")[0]

    @property
    def depth(self) -> int:
        """The boundary at which the feature lies."""
        return len(self._blocks) + 2

    def level_of(self, parameter: str) -> int:
        """The lowest boundary that lies below a parameter (by name): 0 for the stem and for what
        all blocks share (relative positions), 1 + k for block k, `depth` - 1 for what comes after
        the blocks."""
        for k, name in enumerate(self._blocks):
            if parameter.startswith(f"{name}."):
                return 1 + k
        stem = any(parameter.startswith(f"{name}.") for name in self._stem)
        return 0 if not self._blocks or stem or parameter in self._early else self.depth - 1

    def frozen_depth(self) -> int:
        """The highest boundary below which no parameter learns."""
        learning = [self.level_of(n) for n, p in self.named_parameters() if p.requires_grad]
        return min(learning, default=self.depth)

    def forward(self, inputs: Inputs, hidden: Tensor | None = None, at: int = 0) -> Tensor:
        """Return features (rows, width), from raw inputs or from activations `hidden` at `at`."""
        if at == self.depth and hidden is not None:
            return hidden
        if at == 0 or hidden is None:
            return self._pool(self._run(inputs), inputs)
        with self._entered(at, hidden):
            return self._pool(self._run(inputs), inputs)

    def activations(
        self, inputs: Inputs, at: int, hidden: Tensor | None = None, start: int = 0
    ) -> Tensor:
        """Return the activations at boundary `at`: (windows, length, width) for text,
        (n, channels, height, width) or (n, tokens, width) for images, (rows, width) at `depth`.
        With `hidden` the pass is entered at boundary `start`."""
        if at == self.depth:
            feature: Tensor = self(inputs, hidden, start)
            return feature
        if at == 0:
            raise ValueError("the raw input is no activation")
        blocks = self.blocks
        with self._entered(start, hidden):
            module, before = (blocks[at - 1], True) if at - 1 < len(blocks) else (blocks[-1], False)
            with _stopping(module, before):
                try:
                    self._run(inputs)
                except _Reached as reached:
                    return reached.hidden
        raise RuntimeError(f"boundary {at} was never reached")

    def _run(self, inputs: Inputs) -> Any:
        given = {k: _channels_last(v) for k, v in inputs.items() if k != "assign"}
        return self.model(**given, return_dict=True)

    def _pool(self, output: Any, inputs: Inputs) -> Tensor:
        feature = _pooled(self.pooling, output, inputs)
        if "assign" in inputs:
            feature = inputs["assign"] @ feature
        return nn.functional.normalize(feature) if self.normalise else feature

    def _entered(self, at: int, hidden: Tensor | None) -> AbstractContextManager[None]:
        doors = [self.get_submodule(name) for name in self._doors]
        passed = self.blocks[: at - 1]
        handed = None if hidden is None else _channels_last(hidden)
        return _handing_on(doors, passed, self._tuples, handed)

    def _find_doors(self, split: _Split, probe: Inputs) -> bool:
        """Find the modules of the stem that must hand on what is entered with: all of them, or,
        where one computes something beside (relative positions), the last one alone."""
        for doors in (split.stem, split.stem_end):
            self._doors = doors
            if doors and self._split_holds(probe):
                return True
        self._doors = ()
        return False

    def _split_holds(self, probe: Inputs) -> bool:
        whole = self(probe)
        middle = 1 + len(self._blocks) // 2
        for at in {1, middle, self.depth - 1}:
            try:
                hidden = self.activations(probe, at)
                if not _by_row(hidden, probe):
                    return False
                entered = self(probe, hidden, at)
            except (TypeError, ValueError, IndexError, KeyError, RuntimeError):
                return False  # its blocks hand on more than one activation
            if not torch.allclose(whole, entered, atol=1e-5, rtol=1e-4):
                return False
        return True

    def _used_below_the_top(self, probe: Inputs) -> frozenset[str]:
        """Names of the parameters outside the blocks that the output of the blocks depends on."""
        if not self._blocks:
            return frozenset()
        outside = {
            name: parameter
            for name, parameter in self.named_parameters()
            if not any(name.startswith(f"{block}.") for block in self._blocks)
        }
        asked = [parameter.requires_grad for parameter in outside.values()]
        for parameter in outside.values():
            parameter.requires_grad_(True)
        with torch.enable_grad():
            top = self.activations(probe, self.depth - 1)
            found: Sequence[Tensor | None] = torch.autograd.grad(
                top.sum(), list(outside.values()), allow_unused=True
            )
        for parameter, before in zip(outside.values(), asked, strict=True):
            parameter.requires_grad_(before)
        return frozenset(n for n, g in zip(outside, found, strict=True) if g is not None)


@dataclass(frozen=True)
class _Split:
    """Names of the stem's outermost modules, of the one of them whose output enters the first
    block, and of the blocks; and how long a tuple each block gives (0: a bare tensor)."""

    stem: tuple[str, ...] = ()
    stem_end: tuple[str, ...] = ()
    blocks: tuple[str, ...] = ()
    tuples: tuple[int, ...] = ()


def _channels_last(value: Tensor) -> Tensor:
    """Lay images out with their channels last, in which convolutions on a processor take half to
    three quarters of the time. What is expanded from one number only stands for a shape."""
    if value.dim() != 4 or value.stride(0) == 0 or torch.compiler.is_compiling():
        return value
    return value.contiguous(memory_format=torch.channels_last)


def _pooled(pooling: Pooling, output: Any, inputs: Inputs) -> Tensor:
    if pooling == "pooler":
        return _tensor(output.pooler_output).flatten(1)
    hidden = _tensor(output.last_hidden_state)
    if pooling == "spatial":
        return hidden.flatten(2).mean(2) if hidden.dim() == 4 else hidden.mean(1)
    if pooling == "cls":
        return hidden[:, 0]
    mask = inputs["attention_mask"].unsqueeze(-1).to(hidden.dtype)
    if pooling == "max":
        return (hidden * mask + (mask - 1.0) * 1e9).amax(1)
    return (hidden * mask).sum(1) / mask.sum(1).clamp(min=1e-9)


def _by_row(hidden: Tensor, probe: Inputs) -> bool:
    """Whether activations have a row for each row of the inputs, and for texts a place for each
    token: some architectures (XLNet) put the tokens first."""
    given = probe["input_ids"].shape if "input_ids" in probe else probe["pixel_values"].shape[:1]
    return hidden.shape[: len(given)] == given


def _tensor(value: Any) -> Tensor:
    if not isinstance(value, Tensor):
        raise TypeError(f"expected activations, got {type(value).__name__}")
    return value


def _find_split(model: nn.Module, probe: Inputs) -> _Split:
    """Watch one pass for what runs before the blocks, and for what the blocks give."""
    lists = [
        (name, module)
        for name, module in model.named_modules()
        if isinstance(module, nn.ModuleList) and len(module) > 1
    ]
    if not lists:
        return _Split()
    # The outermost list holds the blocks; inner ones are parts of a block.
    chosen, blocks = min(lists, key=lambda item: (item[0].count("."), -len(item[1])))
    watched = _Watched()
    handles = [blocks[0].register_forward_pre_hook(watched.enter, with_kwargs=True)]
    for name, module in model.named_modules():
        if name:
            handles.append(module.register_forward_hook(watched.after(name)))
    try:
        with torch.no_grad():
            model.eval()
            model(**{k: v for k, v in probe.items() if k != "assign"}, return_dict=True)
    finally:
        for handle in handles:
            handle.remove()
    names = [f"{chosen}.{i}" for i in range(len(blocks))]
    stem = watched.outermost()
    if not stem or any(name not in watched.gives for name in names):
        return _Split()
    end = [name for name in stem if watched.finished[name] is watched.entering]
    prefix = "model."
    return _Split(
        tuple(prefix + name for name in stem),
        tuple(prefix + name for name in end[-1:]),
        tuple(prefix + name for name in names),
        tuple(watched.gives[name] for name in names),
    )


class _Watched:
    """What was seen of one pass: modules that finished before the first block and their outputs,
    what entered the first block, and how long a tuple each module gave."""

    def __init__(self) -> None:
        self.finished: dict[str, Any] = {}
        self.gives: dict[str, int] = {}
        self.entering: Any = None

    def enter(self, _: nn.Module, args: Any, kwargs: Any) -> None:
        self.entering = args[0] if args else kwargs["hidden_states"]

    def after(self, name: str) -> Callable[[nn.Module, Any, Any], None]:
        def note(_: nn.Module, __: Any, output: Any) -> None:
            if self.entering is None:
                self.finished[name] = output
            self.gives[name] = len(output) if isinstance(output, tuple) else 0

        return note

    def outermost(self) -> list[str]:
        """Names of what gave a tensor and is no part of another finished module."""
        return [
            name
            for name, output in self.finished.items()
            if isinstance(output, Tensor)
            and not any(name.startswith(f"{other}.") for other in self.finished)
        ]


@contextmanager
def _handing_on(
    stem: Sequence[nn.Module],
    passed: Sequence[nn.Module],
    tuples: Sequence[int],
    hidden: Tensor | None,
) -> Iterator[None]:
    """Make the stem and the lower blocks hand on `hidden` instead of computing."""
    if hidden is None:
        yield
        return
    replaced = [*stem, *passed]
    wraps = [0] * len(stem) + list(tuples[: len(passed)])
    try:
        for module, wrap in zip(replaced, wraps, strict=True):
            handed = (hidden, *[None] * (wrap - 1)) if wrap else hidden
            module.forward = _constant(handed)
        yield
    finally:
        for module in replaced:
            del module.forward


def _constant(value: Any) -> Callable[..., Any]:
    def forward(*_: Any, **__: Any) -> Any:
        return value

    return forward


@contextmanager
def _stopping(module: nn.Module, before: bool) -> Iterator[None]:
    """Leave the pass at a module, with its input or with its output."""

    def enter(_: nn.Module, args: Any, kwargs: Any) -> None:
        raise _Reached(args[0] if args else kwargs["hidden_states"])

    def leave(_: nn.Module, __: Any, output: Any) -> None:
        raise _Reached(output[0] if isinstance(output, tuple) else output)

    if before:
        handle = module.register_forward_pre_hook(enter, with_kwargs=True)
    else:
        handle = module.register_forward_hook(leave)
    try:
        yield
    finally:
        handle.remove()
