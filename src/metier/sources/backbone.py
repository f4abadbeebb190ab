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
from contextlib import contextmanager
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
        self._stem, self._blocks, self._tuples = _find_split(model, probe)
        with torch.no_grad():
            model.eval()
            self.width = int(self(probe).shape[-1])
            if self._blocks and not self._split_holds(probe):
                self._stem, self._blocks, self._tuples = (), (), ()

    @property
    def stem(self) -> list[nn.Module]:
        """What runs before the blocks."""
        return [self.get_submodule(name) for name in self._stem]

    @property
    def blocks(self) -> list[nn.Module]:
        """The blocks in the order of the pass, lowest first; empty when it cannot be split."""
        return [self.get_submodule(name) for name in self._blocks]

    @property
    def depth(self) -> int:
        """The boundary at which the feature lies."""
        return len(self._blocks) + 2

    def level_of(self, parameter: str) -> int:
        """The lowest boundary that lies below a parameter (by name): 0 for the stem, 1 + k for
        block k, `depth` - 1 for what comes after the blocks."""
        for k, name in enumerate(self._blocks):
            if parameter.startswith(f"{name}."):
                return 1 + k
        if not self._blocks or any(parameter.startswith(f"{name}.") for name in self._stem):
            return 0
        return self.depth - 1

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
        with _handing_on(self.stem, self.blocks[: at - 1], self._tuples, hidden):
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
        with _handing_on(self.stem, blocks[: start - 1], self._tuples, hidden):
            module, before = (blocks[at - 1], True) if at - 1 < len(blocks) else (blocks[-1], False)
            with _stopping(module, before):
                try:
                    self._run(inputs)
                except _Reached as reached:
                    return reached.hidden
        raise RuntimeError(f"boundary {at} was never reached")

    def _run(self, inputs: Inputs) -> Any:
        return self.model(**{k: v for k, v in inputs.items() if k != "assign"}, return_dict=True)

    def _pool(self, output: Any, inputs: Inputs) -> Tensor:
        feature = _pooled(self.pooling, output, inputs)
        if "assign" in inputs:
            feature = inputs["assign"] @ feature
        return nn.functional.normalize(feature) if self.normalise else feature

    def _split_holds(self, probe: Inputs) -> bool:
        whole = self(probe)
        middle = 1 + len(self._blocks) // 2
        for at in {1, middle, self.depth - 1}:
            try:
                entered = self(probe, self.activations(probe, at), at)
            except (TypeError, ValueError, IndexError, KeyError, RuntimeError):
                return False  # its blocks hand on more than one activation
            if not torch.allclose(whole, entered, atol=1e-5, rtol=1e-4):
                return False
        return True


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


def _tensor(value: Any) -> Tensor:
    if not isinstance(value, Tensor):
        raise TypeError(f"expected activations, got {type(value).__name__}")
    return value


def _find_split(
    model: nn.Module, probe: Inputs
) -> tuple[tuple[str, ...], tuple[str, ...], tuple[int, ...]]:
    """Return the names of the stem's modules and of the blocks, and how long a tuple each block
    gives (0: a bare tensor)."""
    lists = [
        (name, module)
        for name, module in model.named_modules()
        if isinstance(module, nn.ModuleList) and len(module) > 1
    ]
    if not lists:
        return (), (), ()
    # The outermost list holds the blocks; inner ones are parts of a block.
    chosen, blocks = min(lists, key=lambda item: (item[0].count("."), -len(item[1])))
    finished: list[tuple[str, bool]] = []
    gives: dict[str, int] = {}
    entered = False
    handles = []

    def before_blocks(_: nn.Module, __: Any) -> None:
        nonlocal entered
        entered = True

    def after(name: str) -> Callable[[nn.Module, Any, Any], None]:
        def note(_: nn.Module, __: Any, output: Any) -> None:
            if not entered:
                finished.append((name, isinstance(output, Tensor)))
            if name.startswith(f"{chosen}."):
                gives[name] = len(output) if isinstance(output, tuple) else 0

        return note

    handles.append(blocks[0].register_forward_pre_hook(before_blocks))
    for name, module in model.named_modules():
        if name:
            handles.append(module.register_forward_hook(after(name)))
    try:
        with torch.no_grad():
            model.eval()
            model(**{k: v for k, v in probe.items() if k != "assign"}, return_dict=True)
    finally:
        for handle in handles:
            handle.remove()
    done = {name for name, _ in finished}
    stem = [
        name
        for name, gives_tensor in finished
        if gives_tensor and not any(name.startswith(f"{other}.") for other in done)
    ]
    names = [f"{chosen}.{i}" for i in range(len(blocks))]
    if not stem or any(name not in gives for name in names):
        return (), (), ()
    prefix = "model."
    return (
        tuple(prefix + name for name in stem),
        tuple(prefix + name for name in names),
        tuple(gives[name] for name in names),
    )


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
