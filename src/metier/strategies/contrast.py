"""Contrastive fine-tuning: rows of one class are drawn together, then a head is fitted."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from metier.errors import ChainError, Pruned
from metier.space import Choice, Float, Int, tune
from metier.training.augment import VIEWS
from metier.training.dealing import evenly
from metier.training.fewshot.contrasting import Contrasted
from metier.training.fewshot.labelnames import with_names
from metier.training.fewshot.prototypes import fit_prototypes
from metier.training.folds import inner_folds
from metier.training.heads import Head, bound_folds, fit_head
from metier.training.learn import Loss, learn
from metier.training.net import NetModel
from metier.training.schedule import Schedule
from metier.training.start import feed_for, fresh_net
from metier.types import Floats, Form, Modality, Problem, Run, Specialist, Step

Heads = Literal["auto", "linear", "prototype"]
HEADS: tuple[Heads, ...] = ("linear", "prototype")
Right = NDArray[np.float64]
FOR_THE_CHECK = 0.4
"""The share of the time that is left which the look at rows left out may take."""
FOR_FEATURES = 0.85
"""The share of the time after it that features may learn: a head has to follow."""
LATE = 1.0
"""The strength of a head when there is no time to choose one."""
TOKENS = 1 << 14
"""What a batch may cost: pairs are found within a batch, so that it should be large."""


@dataclass(frozen=True)
class Contrast:
    """Draw rows of one class together and push the others apart, then fit a head on the features.

    For few labels (the idea of SetFit: Tunstall et al., 2022), without a list of pairs: each step
    takes a batch of several classes with several rows of each, and learns from all pairs in it.
    Names of labels that are words are read as one more row of their class. Half of the rows are
    left out first: where the untouched features answer clearly more of them right, they stay
    untouched.

    Args:
        pull: "neighbours" (Khosla et al., 2020) or "pairs".
        temperature: of "neighbours".
        blocks: share of the blocks, from the top, that learn.
        epochs: passes over the rows.
        rate: peak learning rate of the top block.
        layer_decay: each block learns at this share of the rate of the one above.
        weight_decay: decoupled weight decay.
        average: decay of the moving average of the weights; 0 for none.
        rows: rows a step.
        each: rows of a class in a step.
        names: read the names of labels as rows, where they are words and the inputs are texts.
        head: "linear" (logistic regression) or "prototype" (the nearest class mean); "auto" takes
            what answers more of the rows left out right.
        augment: read changed views of the rows beside the rows themselves: "light" or "strong".
        views: how many views of a row there are, itself included; each epoch reads one.
        check: look at rows left out before the features are changed.
    """

    pull: Literal["neighbours", "pairs"] = tune("neighbours", Choice(("neighbours", "pairs")))
    temperature: float = tune(0.1, Float(0.03, 0.3, log=True))
    blocks: float = tune(0.34, Float(0.15, 1.0))
    epochs: float = tune(10.0, Int(4, 30))
    rate: float = tune(1e-4, Float(2e-5, 1e-3, log=True))
    layer_decay: float = tune(1.0, Float(0.7, 1.0))
    weight_decay: float = 0.01
    average: float = 0.0
    rows: int = tune(64, Choice((32, 64, 128)))
    each: int = tune(2, Choice((2, 4)))
    names: bool = tune(True, Choice((False, True)))
    head: Literal["auto", "linear", "prototype"] = tune("auto", Choice(HEADS))
    augment: Literal["none", "light", "strong"] = tune("none", Choice(("none", "light", "strong")))
    views: int = VIEWS
    check: bool = True
    late_head: ClassVar[bool] = True
    accepts: ClassVar[tuple[Form, ...]] = ("source", "net")
    gives: ClassVar[Form] = "net"
    modalities: ClassVar[tuple[Modality, ...]] = ("text", "image")

    def __call__(self, start: Specialist, problem: Problem, run: Run) -> Specialist:
        """Raises ChainError for regression: there is no class to draw together."""
        began = time.monotonic()
        task = problem.task
        if task.kind == "regression":
            raise ChainError("contrast draws rows of one class together: a number has none")
        if run.deadline is not None and began > run.deadline:
            raise Pruned("out of time")
        own: Contrast = self
        notes: dict[str, Any] = {}
        if self.check and self.epochs:
            own, notes = self._checked(start, problem, run)
        model, learned, told = own._net(start, problem, _shortened(run, FOR_FEATURES))
        features = feed_for(model, learned.train, run).features()
        head = own._head(features, learned, run)
        model.net.set_head(head.weight, head.bias)
        found = {"contrasted": own.epochs > 0, "named": own.names, "head": own.head}
        notes = {**notes, **told, **found, "strength": head.strength}
        step = Step("contrast", asdict(self), time.monotonic() - began, notes)
        return start.then(model, step)

    def settled(self, notes: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """What the fits on the folds found out: whether to change the features, whether to read
        the names, and which head to fit."""
        heads = Counter(str(note["head"]) for note in notes)
        return {
            "epochs": self.epochs if _mostly(notes, "contrasted") else 0.0,
            "names": _mostly(notes, "named"),
            "head": heads.most_common(1)[0][0],
            "check": False,
        }

    def _checked(
        self, start: Specialist, problem: Problem, run: Run
    ) -> tuple[Contrast, dict[str, Any]]:
        """The strategy without what clearly lost on rows that it did not see, and what was seen.

        What is asked for stays unless it is behind by more than a standard error: with half of the
        rows it had less to learn from than it will have.
        """
        table, task = problem.train, problem.task
        targets = task.encode(table)
        folds = inner_folds(table, targets, 1, run.seed, share=0.5)
        if not folds:
            return self, {}
        learning, judging = folds[0]
        part, held = Problem(task, table.take(learning)), table.take(judging)
        folder = None if run.folder is None else run.folder / "check"
        short = replace(_shortened(run, FOR_THE_CHECK), folder=folder)

        def right(way: Contrast) -> tuple[Contrast, Right]:
            """The better head of a way, and which rows left out it answers right."""
            model, learned, _ = way._net(start, part, short)
            seen, unseen = (feed_for(model, t, short).features() for t in (learned.train, held))
            heads: tuple[Heads, ...] = HEADS if way.head == "auto" else (way.head,)
            found = []
            for head in heads:
                own = replace(way, head=head)
                fitted = own._head(seen, learned, short)
                scores = unseen @ fitted.weight.T + fitted.bias
                found.append((own, _right(scores, targets[judging])))
            return max(found, key=lambda item: float(item[1].mean()))

        still, plain = right(replace(self, epochs=0.0))
        if self.names and with_names(table, task) is not None:
            unnamed = right(replace(self, epochs=0.0, names=False))
            if _clearly_better(unnamed[1], plain):
                still, plain = unnamed
        notes: dict[str, Any] = {"left_out": len(judging), "right_untouched": float(plain.mean())}
        try:
            changed, drawn = right(replace(self, names=still.names))
        except Pruned as reason:
            return still, {**notes, "unchanged": str(reason)}
        notes["right_contrasted"] = float(drawn.mean())
        return still if _clearly_better(plain, drawn) else changed, notes

    def _net(
        self, start: Specialist, problem: Problem, run: Run
    ) -> tuple[NetModel, Problem, Mapping[str, Any]]:
        """The net, its features changed unless there are no epochs; what they learned from."""
        named = with_names(problem.train, problem.task) if self.names else None
        learned = problem if named is None else replace(problem, train=named)
        if not self.epochs:
            return fresh_net(start, learned), learned, {}
        model = fresh_net(start, learned, self._boundary(start))
        targets = learned.task.encode(learned.train)
        _, notes = learn(
            model,
            learned,
            run,
            Schedule.of(self, patience=0),
            Loss(),
            teach=lambda supervised: Contrasted(supervised, self.pull, self.temperature),
            deal=evenly(_codes(targets), self.rows, self.each, TOKENS, run.seed),
            augment=self.augment,
            views=self.views,
        )
        return model, learned, notes

    def _head(self, features: Floats, problem: Problem, run: Run) -> Head:
        task, weights = problem.task, problem.train.weights
        targets = task.encode(problem.train)
        if self.head == "prototype":
            return fit_prototypes(features, targets, task.kind, task.outputs, weights)
        # What was learned would be lost without a head: late, one is fitted without choosing.
        late = run.deadline is not None and time.monotonic() > run.deadline
        return fit_head(
            features,
            targets,
            task.kind,
            task.outputs,
            seed=run.seed,
            weights=weights,
            folds=bound_folds(problem.train, targets, run.seed),
            strength=LATE if late else None,
            deadline=None if late else run.deadline,
        )

    def _boundary(self, start: Specialist) -> int:
        source: Any = start.source
        backbone = start.model.net.backbone if isinstance(start.model, NetModel) else source.load()
        depth: int = backbone.depth
        if self.blocks >= 1.0:
            return 0
        return max(0, depth - 1 - max(1, round(self.blocks * (depth - 2))))


def _shortened(run: Run, share: float) -> Run:
    """The context of what may take a share of the time that is left."""
    if run.deadline is None:
        return run
    now = time.monotonic()
    return replace(run, deadline=now + share * (run.deadline - now))


def _codes(targets: NDArray[Any]) -> NDArray[np.int64]:
    """A number a row; rows with the same answer, or the same set of labels, have the same one."""
    axis = 0 if targets.ndim == 2 else None
    return np.unique(targets, axis=axis, return_inverse=True)[1].reshape(-1).astype(np.int64)


def _right(scores: Floats, targets: NDArray[Any]) -> Right:
    """Which rows are answered right, (rows,); of several labels, the share."""
    if targets.ndim == 2:
        return np.asarray(((scores > 0) == (targets > 0)).mean(axis=1))
    return np.asarray(scores.argmax(axis=1) == targets, dtype=np.float64)


def _clearly_better(one: Right, other: Right) -> bool:
    """Whether it leads on the same rows by more than a standard error."""
    lead = one - other
    return bool(lead.mean() > lead.std() / np.sqrt(len(lead)))


def _mostly(notes: Sequence[Mapping[str, Any]], what: str) -> bool:
    return 2 * sum(bool(note[what]) for note in notes) >= len(notes)
