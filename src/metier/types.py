"""The values that every room speaks in. Nothing here imports torch when the program runs."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol, runtime_checkable

import numpy as np
import polars as pl
from numpy.typing import NDArray

from metier.runtime.postprocess import TaskKind

if TYPE_CHECKING:
    import onnx
    import torch

    from metier.cache import Cache
    from metier.runtime.preprocess import Preprocess
    from metier.training.objectives import Guard, Objective

Kind = Literal["text", "number", "category", "date", "image"]
Modality = Literal["text", "image", "tabular"]
Form = Literal["source", "net", "booster", "linear", "additive", "graph"]
"""What a specialist is made of: an untouched source, a torch net, a LightGBM booster (perhaps fed
by a net), a linear model on counted or measured inputs (a constant too), a sum of curves over
columns, or a finished graph."""

Floats = NDArray[np.float32]
Rows = NDArray[np.int64]


@dataclass(frozen=True)
class Roles:
    """Which column plays which part. `inputs` keeps the order of the columns in the data."""

    inputs: Mapping[str, Kind]
    target: tuple[str, ...] = ()
    group: str | None = None
    time: str | None = None
    ids: tuple[str, ...] = ()
    sensitive: tuple[str, ...] = ()
    ignored: tuple[str, ...] = ()
    cuts: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    """Where the groups of a sensitive number begin."""
    domain: str | None = None
    """Which domain a row is of; never an input."""
    weight: str | None = None
    """How much each row counts in learning; None counts all alike."""
    dates: Mapping[str, str] = field(default_factory=dict)
    """How dates are written, for each column in which they were text."""
    separator: str | None = None
    """What stands between the labels of a target that was text; None where none were joined."""

    @property
    def modality(self) -> Modality:
        """The modality of the pretrained source that these inputs ask for."""
        kinds = set(self.inputs.values())
        if "image" in kinds:
            return "image"
        return "text" if "text" in kinds else "tabular"


@dataclass(frozen=True)
class Table:
    """Rows with roles; immutable. Image paths in `frame` are relative to `base`."""

    frame: pl.DataFrame
    roles: Roles
    base: Path | None = None

    def __len__(self) -> int:
        return self.frame.height

    def take(self, rows: NDArray[np.integer[Any]] | Sequence[int]) -> Table:
        """Return the given rows, in the given order."""
        chosen = np.asarray(rows, dtype=np.int64)
        taken = replace(self, frame=self.frame[chosen])
        if "digests" in self.__dict__:  # image files need not be read again
            taken.__dict__["digests"] = self.digests[chosen]
        return taken

    @property
    def inputs(self) -> pl.DataFrame:
        """The input columns only: all that a model may see."""
        return self.frame.select(list(self.roles.inputs))

    @property
    def target(self) -> pl.Series | pl.DataFrame:
        """The target column, or the columns of a multi-label target given as several columns."""
        names = list(self.roles.target)
        return self.frame[names[0]] if len(names) == 1 else self.frame.select(names)

    @property
    def weights(self) -> NDArray[np.float64] | None:
        """How much each row counts in learning, (n,); None when all count alike."""
        name = self.roles.weight
        return None if name is None else self.frame[name].cast(pl.Float64).to_numpy()

    def columns(self) -> dict[str, Any]:
        """The inputs as the runtime takes them: name to list; image paths made absolute."""
        found: dict[str, Any] = {}
        for name, kind in self.roles.inputs.items():
            values = self.frame[name].to_list()
            if kind == "image" and self.base is not None:
                values = [None if v is None else str(self.base / v) for v in values]
            found[name] = values
        return found

    @cached_property
    def digests(self) -> NDArray[np.uint64]:
        """One content hash a row, over the inputs (the bytes of image files, not their names)."""
        hashed = np.zeros(len(self), dtype=np.uint64)
        for name, kind in self.roles.inputs.items():
            column = self.frame[name]
            if kind == "image":
                own = np.array([_file_digest(self.base, v) for v in column], dtype=np.uint64)
            else:
                own = column.cast(pl.String).hash(seed=0).to_numpy()
            hashed = hashed * np.uint64(0x9E3779B97F4A7C15) + own
        return hashed


def _file_digest(base: Path | None, name: str | None) -> int:
    if name is None:
        return 0
    path = Path(name) if base is None else base / name
    try:
        content = path.read_bytes()
    except OSError:
        content = str(path).encode()
    return int.from_bytes(hashlib.blake2b(content, digest_size=8).digest(), "little")


@runtime_checkable
class Task(Protocol):
    """One shape of answer. Scores are float32 (n, outputs): logits for classes and labels
    (binary has two columns), the value itself in the target's own unit for regression."""

    @property
    def kind(self) -> TaskKind: ...
    @property
    def labels(self) -> tuple[str, ...]:
        """Label names in the order of the score columns; empty for regression."""
        ...

    @property
    def outputs(self) -> int: ...
    @property
    def metrics(self) -> tuple[str, ...]:
        """Names of metrics, the deciding one first."""
        ...

    def encode(self, table: Table) -> NDArray[Any]:
        """Targets as arrays: int64 (n,) for classes, float32 (n, labels) for multi-label,
        float32 (n,) for regression. Raises DataError for a value that is no label."""
        ...

    def loss(
        self,
        scores: torch.Tensor,
        targets: torch.Tensor,
        weights: torch.Tensor | None = None,
        smoothing: float = 0.0,
    ) -> torch.Tensor:
        """The mean training loss of a batch; `weights` (outputs,) weigh classes."""
        ...


class Model(Protocol):
    """What a specialist predicts with. One class for each `Form`."""

    @property
    def form(self) -> Form: ...
    @property
    def preprocess(self) -> Preprocess:
        """From columns to the arrays that `graph()` takes, at training and at predict."""
        ...

    @property
    def parameters(self) -> int: ...

    def scores(self, table: Table, cache: Cache | None = None) -> Floats:
        """Scores (n, outputs) of the rows of a table, in order."""
        ...

    def graph(self) -> onnx.ModelProto:
        """The model as ONNX: inputs as `preprocess` names them, one output `scores`."""
        ...

    def save(self, folder: Path) -> None:
        """Write the weights for further training (safetensors, LightGBM text, JSON); no pickle."""
        ...


@dataclass(frozen=True)
class Step:
    """One strategy in a lineage: its registered name and its parameters."""

    strategy: str
    parameters: Mapping[str, Any] = field(default_factory=dict)
    seconds: float = 0.0
    notes: Mapping[str, Any] = field(default_factory=dict)


class Source(Protocol):
    """A pretrained start: a text or image network, or a learner for tables."""

    @property
    def name(self) -> str: ...
    @property
    def modality(self) -> Modality: ...
    @property
    def digest(self) -> str:
        """SHA-256 of what `load` reads, so that caches and lineages name exact weights."""
        ...


@dataclass(frozen=True)
class Specialist:
    """A model with a trade, and how it came to be. Frozen: a strategy works on a copy.

    `model` is None for the generalist that every chain starts from.
    """

    source: Source
    task: Task
    model: Model | None = None
    lineage: tuple[Step, ...] = ()

    @property
    def form(self) -> Form:
        return "source" if self.model is None else self.model.form

    def scores(self, table: Table, cache: Cache | None = None) -> Floats:
        """Scores (n, outputs). Raises ValueError for a generalist, which has learned nothing."""
        if self.model is None:
            raise ValueError("the generalist has learned no task yet: apply a strategy first")
        return self.model.scores(table, cache)

    def then(self, model: Model, step: Step) -> Specialist:
        """Return the specialist that `step` made of this one."""
        return replace(self, model=model, lineage=(*self.lineage, step))


@dataclass(frozen=True)
class Problem:
    """All that a strategy may see. There is no test split here, on purpose.

    `train` is for fitting; a strategy that stops early takes its stopping rows out of it.
    """

    task: Task
    train: Table


def nothing_to_report(step: int, value: float) -> None:
    """The report of a run that nobody watches."""


def same_objective(objective: Objective) -> Objective:
    """The wrapper of a run whose objective nobody changes."""
    return objective


@dataclass(frozen=True)
class Run:
    """The context of one fit.

    `deadline` is a time.monotonic() instant after which the fit must have ended.
    `folder` keeps checkpoints; None keeps none. `report(step, value)` tells the study how it goes
    (higher is better) and may raise Pruned. `objective` wraps the task's objective; `guard` notices
    when learning from it leads nowhere.
    """

    cache: Cache
    seed: int = 0
    device: str = "cpu"
    deadline: float | None = None
    folder: Path | None = None
    report: Callable[[int, float], None] = nothing_to_report
    objective: Callable[[Objective], Objective] = same_objective
    guard: Guard | None = None

    def with_objective(self, wrap: Callable[[Objective], Objective]) -> Run:
        """Return a run in which `wrap` is applied around the objective so far."""
        before = self.objective
        return replace(self, objective=lambda objective: wrap(before(objective)))

    def with_guard(self, guard: Guard | None) -> Run:
        """Return a run in which `guard` watches the fit."""
        return replace(self, guard=guard)

    def in_folder(self, folder: Path | None) -> Run:
        """Return a run that keeps its checkpoints in another folder."""
        return replace(self, folder=folder)


@runtime_checkable
class Strategy(Protocol):
    """Specialist -> Specialist. A frozen dataclass; its fields are its parameters.

    `accepts` and `gives` are forms, `modalities` the inputs it is for. A technique has them on its
    class; a chain finds them from its steps, and what wraps another from what it wraps.
    """

    @property
    def accepts(self) -> tuple[Form, ...]: ...
    @property
    def gives(self) -> Form: ...
    @property
    def modalities(self) -> tuple[Modality, ...]: ...

    def __call__(self, start: Specialist, problem: Problem, run: Run) -> Specialist: ...


@dataclass(frozen=True)
class Finding:
    """One claim, as data: a value with its interval and the number of rows behind it.

    `verdict` is the claim in plain words; `rows` are row numbers a person can open (0-based, in
    the file given); `level` is how much it matters.
    """

    name: str
    verdict: str
    value: float | None = None
    low: float | None = None
    high: float | None = None
    n: int | None = None
    level: Literal["info", "warning", "problem"] = "info"
    rows: tuple[int, ...] = ()
    details: Mapping[str, Any] = field(default_factory=dict)


def batches_of(n: int, size: int) -> Iterator[slice]:
    """Slices that cover `n` rows in order, `size` at a time."""
    for start in range(0, n, size):
        yield slice(start, min(start + size, n))
