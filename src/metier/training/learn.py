"""One supervised fit of a net: stopping rows, loss, loop, and what became of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from metier.evidence.uncertainty.calibration import fit_temperature
from metier.training.augment import VIEWS, Augment, augmented
from metier.training.dealing import Deal
from metier.training.folds import inner_folds
from metier.training.loop import Watch, fit
from metier.training.net import NetModel
from metier.training.objectives import Objective, Supervised
from metier.training.schedule import Schedule
from metier.training.standing import Outcome
from metier.training.start import feed_for
from metier.training.weighing import by_content
from metier.types import Problem, Run, Table, Task

STOPPING_SHARE = 0.15
FEWEST_STOPPING = 100
"""With fewer stopping rows than this, or fewer than two a class, the noise would choose the epoch:
all epochs are run."""


@dataclass(frozen=True)
class Loss:
    """How the task's loss is shaped: label smoothing, and class weights against imbalance."""

    smoothing: float = 0.0
    balanced: bool = False


def learn(
    model: NetModel,
    problem: Problem,
    run: Run,
    schedule: Schedule,
    loss: Loss,
    *,
    fresh: bool = False,
    teach: Callable[[Supervised], Objective] | None = None,
    deal: Deal | None = None,
    augment: Augment = "none",
    views: int = VIEWS,
) -> tuple[Outcome, Mapping[str, Any]]:
    """Train what asks for gradients in `model.net`, in place.

    With patience, stopping rows are taken out of the training rows. `fresh` says that the head has
    learned nothing yet, so that it speaks in no unit. `teach` makes the objective from the task's
    own, for a strategy that has more to learn from than labels; `deal` makes the batches, for one
    without patience; `augment` says how much the `views` of each row differ. Returns the outcome
    and the notes that a recipe needs to repeat the fit without a clock and without stopping rows.
    """
    task = problem.task
    targets = task.encode(problem.train)
    fitting, stopping = stopping_rows(problem.train, targets, task, schedule, run.seed)
    train = problem.train if stopping is None else problem.train.take(fitting)
    feed = augmented(feed_for(model, train, run), augment, views, run.seed)
    kept = targets if stopping is None else targets[fitting]
    centre, scale = standardised(kept, task)
    rows = _row_weights(train, kept, task, model, loss.balanced)
    supervised = Supervised(
        task,
        weights=_class_weights(kept, task, model) if loss.balanced and rows is None else None,
        smoothing=loss.smoothing,
        centre=centre,
        scale=scale,
        rows=rows,
    )
    watch = None
    if stopping is not None:
        held = problem.train.take(stopping)
        watch = Watch(feed_for(model, held, run), stopping_score(targets[stopping], supervised))
    if not fresh:
        _enter_units(model, supervised)
    try:
        objective = run.objective(supervised if teach is None else teach(supervised))
        outcome = fit(model.net, feed, kept, objective, schedule, run, watch, deal)
    finally:
        _leave_units(model, supervised)
        for parameter in model.net.parameters():
            parameter.requires_grad_(False)
    notes: dict[str, Any] = {
        "steps": outcome.steps,
        "epochs": round(outcome.epochs, 3),
        "rows": len(kept),
        "cached_at": outcome.boundary,
        "of": model.net.backbone.depth,
        "shortened": outcome.shortened,
        "curve": outcome.curve,
    }
    if outcome.turns:
        notes["turns"] = outcome.turns
    return outcome, notes


def learned_from(problem: Problem, schedule: Schedule, seed: int) -> Problem:
    """Return the problem without the rows that `learn` will stop by: what is fitted before that, a
    head, must not have seen their labels either."""
    targets = problem.task.encode(problem.train)
    fitting, stopping = stopping_rows(problem.train, targets, problem.task, schedule, seed)
    return problem if stopping is None else replace(problem, train=problem.train.take(fitting))


def stopping_rows(
    table: Table, targets: NDArray[Any], task: Task, schedule: Schedule, seed: int
) -> tuple[NDArray[np.int64], NDArray[np.int64] | None]:
    """Rows to learn from and rows to stop by, the last ones or whole groups where the table has a
    time or a group; None when they would be too few to tell, or, as a group is large, so many that
    too few would be left to learn from."""
    n = len(targets)
    wanted, fewest = n * STOPPING_SHARE, max(FEWEST_STOPPING, 2 * task.outputs)
    if schedule.patience <= 0 or wanted < fewest:
        return np.arange(n), None
    if table.roles.time is not None or table.roles.group is not None:
        for fitting, stopping in inner_folds(table, targets, 1, seed, STOPPING_SHARE):
            if fewest <= len(stopping) < 2 * wanted:
                return fitting, stopping
        return np.arange(n), None
    random = np.random.default_rng((seed, n))
    order = random.permutation(n)
    if task.kind in {"binary", "multiclass"}:
        # Each class in its own share, and never its only row.
        groups = [order[targets[order] == label] for label in np.unique(targets)]
        counts = [int(len(g) * STOPPING_SHARE + random.uniform()) for g in groups]
        taken = [g[: min(k, len(g) - 1)] for g, k in zip(groups, counts, strict=True)]
        stopping = np.sort(np.concatenate(taken))
    else:
        stopping = np.sort(order[: round(n * STOPPING_SHARE)])
    return np.setdiff1d(np.arange(n), stopping), stopping


def stopping_score(targets: NDArray[Any], loss: Supervised) -> Any:
    """Return what judges scores of the stopping rows: minus their loss, which is smoother than a
    metric when they are few.

    It is taken at the temperature that fits best, since answers get one in the end: what goes on
    to learn grows too sure of itself long before its answers get worse (Guo et al., 2017).
    """
    wanted = torch.as_tensor(targets)
    plain = replace(loss, weights=None, smoothing=0.0)

    def judge(scores: NDArray[np.float32]) -> float:
        temperature = fit_temperature(scores, targets, loss.task.kind)
        return -float(plain.of(torch.from_numpy(scores) / temperature, wanted))

    return judge


def _class_weights(targets: NDArray[Any], task: Task, model: NetModel) -> torch.Tensor | None:
    """Rows / (classes * rows of the class), as scikit-learn's "balanced"."""
    device = model.net.head.weight.device
    if task.kind in {"binary", "multiclass"}:
        counts = np.bincount(targets, minlength=task.outputs)
        weights = len(targets) / (task.outputs * np.maximum(counts, 1))
        return torch.as_tensor(weights, dtype=torch.float32, device=device)
    return None


def _row_weights(
    train: Table, targets: NDArray[Any], task: Task, model: NetModel, balanced: bool
) -> Mapping[int, float] | None:
    """How much each row counts, by its content; the class weights are then among them."""
    weights = train.weights
    if weights is None:
        return None
    even = _class_weights(targets, task, model) if balanced else None
    if even is not None:
        weights = weights * even.cpu().numpy()[targets]
    return by_content(train.digests, weights)


def standardised(targets: NDArray[Any], task: Task) -> tuple[float, float]:
    """The centre and the spread of a numeric target."""
    if task.kind != "regression":
        return 0.0, 1.0
    values = targets.astype(np.float64)  # the squares of large numbers are beyond float32
    return float(values.mean()), float(values.std()) or 1.0


def _enter_units(model: NetModel, loss: Supervised) -> None:
    """Let the head speak in standard deviations while it learns."""
    head = model.net.head
    model.net.set_head(
        (head.weight / loss.scale).detach().cpu().numpy(),
        ((head.bias - loss.centre) / loss.scale).detach().cpu().numpy(),
    )


def _leave_units(model: NetModel, loss: Supervised) -> None:
    """Let the head speak in the target's own unit again."""
    head = model.net.head
    model.net.set_head(
        (head.weight * loss.scale).detach().cpu().numpy(),
        (head.bias * loss.scale + loss.centre).detach().cpu().numpy(),
    )


def settled_schedule(notes: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the schedule of a frozen recipe from the notes of its fits: the median number of
    epochs whose weights were kept, and no rows to stop by. Steps grow with the rows.
    """
    epochs = sorted(float(note["epochs"]) for note in notes)
    return {"epochs": max(epochs[len(epochs) // 2], 0.1), "patience": 0}
