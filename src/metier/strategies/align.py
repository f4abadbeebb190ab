"""Domain adaptation: labelled rows of one domain, rows without labels of another."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Literal

import torch

from metier.errors import ChainError
from metier.registry import find
from metier.space import Choice, Float, tune
from metier.training.adapted import Adapted
from metier.training.around import (
    FormInnerGives,
    FormsInnerTakes,
    as_one_step,
    has_late_head,
    inner_of,
    learned_within,
    rows_for,
    without_stopping,
)
from metier.training.beside import Accompanied, Beside
from metier.training.net import NetModel
from metier.training.norms import batch_norms, renormalised
from metier.training.objectives import Objective
from metier.training.start import feed_for, fresh_net, give_head
from metier.training.unlabelled.alignment import (
    Apart,
    Rival,
    aligned,
    confusion,
    coral,
    mmd,
    recoloured,
)
from metier.training.unlabelled.likeness import features_of, flattened, likeness
from metier.training.weighing import weighed
from metier.types import Modality, Problem, Run, Specialist, Step, Strategy, Table

NAME = "align"
Method = Literal["auto", "coral", "mmd", "dann", "mcc", "adabn", "weight"]
METHODS = ("coral", "mmd", "dann", "mcc", "adabn", "weight")


@dataclass(frozen=True)
class Align:
    """Let an inner strategy learn for a domain of which there are rows, but no labels.

    Methods: "coral" brings means and covariances of the features together (Sun and Saenko, 2016),
    "mmd" their distributions (Long et al., 2015), "dann" makes them such that nothing tells the
    domains apart (Ganin et al., 2016), "mcc" makes answers to unlabelled rows less confused (Jin et
    al., 2020), "adabn" gives batch norms the statistics of the domain (Li et al., 2016), "weight"
    weighs labelled rows by how common they are in it (Shimodaira, 2000). Around a probe "coral" is
    in closed form: the head is fitted on recoloured features.

    It runs all epochs of the inner strategy: rows to stop by would be of the wrong domain.

    Args:
        inner: what learns; boost for tables and finetune for the rest when None.
        method: "auto" takes "weight" for tables, "adabn" for networks with batch norms, "coral"
            around what fits its head to finished features, as a probe and contrast do, and "mcc"
            for the others.
        weight: of the loss that aligns.
        rows: unlabelled rows of a step.
        unlabeled: the rows of the domain.
    """

    inner: Strategy | None = None
    method: Literal["auto", "coral", "mmd", "dann", "mcc", "adabn", "weight"] = tune(
        "auto", Choice(METHODS)
    )
    weight: float = tune(0.5, Float(0.05, 3.0, log=True))
    rows: int = 32
    unlabeled: Table | None = field(default=None, compare=False, repr=False)

    accepts = FormsInnerTakes("source", "net", "booster")
    gives = FormInnerGives()
    modalities: ClassVar[tuple[Modality, ...]] = ("text", "image", "tabular")

    def __call__(self, start: Specialist, problem: Problem, run: Run) -> Specialist:
        """Align while the inner strategy learns.

        Raises ChainError without unlabelled rows, and for a method that does not fit the network.
        """
        unlabeled = rows_for(NAME, self.unlabeled, problem.train)
        inner = inner_of(self.inner, start.source.modality)
        method = self._method(start, problem, inner)
        own = replace(self, inner=inner)
        if method == "weight":
            return own._weighed(start, problem, unlabeled, run)
        if method == "adabn":
            return own._renormalised(start, problem, unlabeled, run)
        if _is_probe(inner):
            return own._recoloured(start, problem, unlabeled, run)
        if method == "dann":
            # What tells the domains apart is no part of a checkpoint: such a fit begins anew.
            run = run.in_folder(None)
        wrap = self._wrapping(method, start, problem, unlabeled, run)
        patient = replace(self, inner=without_stopping(inner))
        aligned = run.with_objective(wrap)
        return learned_within(NAME, patient, start, problem, aligned, {NAME: {"method": method}})

    def _method(self, start: Specialist, problem: Problem, inner: Strategy) -> Method:
        """What is done for these inputs. Raises ChainError for what does not fit them."""
        tabular = start.source.modality == "tabular"
        normed = not tabular and bool(batch_norms(fresh_net(start, problem).net.backbone))
        method = self.method
        if method == "auto":
            classes = problem.task.kind in ("binary", "multiclass")
            answers = classes and not _is_probe(inner) and not has_late_head(inner)
            fitting: Method = "mcc" if answers else "coral"
            return "weight" if tabular else "adabn" if normed else fitting
        if method != "weight" and (tabular or inner.gives != "net"):
            raise ChainError(f"align: {method} needs a network; take the method 'weight'")
        if method not in ("weight", "adabn") and "source" not in inner.accepts:
            raise ChainError("align wraps what trains a network on the task")
        if method == "adabn" and not normed:
            raise ChainError("align: this network has no batch norms; take another method")
        if method == "mcc" and problem.task.kind not in ("binary", "multiclass"):
            raise ChainError("align: mcc needs one class of several; take another method")
        if method == "mcc" and has_late_head(inner):
            raise ChainError(
                "align: mcc reads answers, and what it wraps has no head until its features have "
                "learned; take another method"
            )
        if _is_probe(inner) and method not in ("coral", "adabn", "weight"):
            raise ChainError(f"align: {method} changes features, and a probe leaves them")
        return method

    def _wrapping(
        self, method: Method, start: Specialist, problem: Problem, unlabeled: Table, run: Run
    ) -> Callable[[Objective], Objective]:
        """What goes around the objective of the strategy that learns."""
        frozen = fresh_net(start, problem)
        beside = Beside(feed_for(frozen, unlabeled, run), self.rows, run.seed)
        apart: Apart
        if method == "dann":
            apart = Rival(frozen.net.backbone.width, run.seed, run.device)
        else:
            apart = {"coral": coral, "mmd": mmd, "mcc": confusion}[method]
        both = aligned(apart, self.weight)
        return lambda inner: Accompanied(inner, beside, both)

    def _weighed(
        self, start: Specialist, problem: Problem, unlabeled: Table, run: Run
    ) -> Specialist:
        """Learn from labelled rows as common as they are in the domain."""
        shift = likeness(start, problem, unlabeled, run)
        notes: dict[str, Any] = {"method": "weight"}
        if shift is not None:
            weights = flattened(shift.weights)
            notes |= {"effective": shift.effective, "heaviest": float(weights.max())}
            problem = replace(problem, train=weighed(problem.train, weights))
        return learned_within(NAME, self, start, problem, run, {NAME: notes})

    def _renormalised(
        self, start: Specialist, problem: Problem, unlabeled: Table, run: Run
    ) -> Specialist:
        """Learn with the batch statistics of the labelled rows, answer with those of the domain."""
        began = time.monotonic()
        frozen = fresh_net(start, problem)
        known = renormalised(frozen, problem.train, run)
        if start.model is None:
            begin = replace(start, source=Adapted(start.source, known.net.backbone))
        else:
            begin = replace(start, model=known)
        made = inner_of(self.inner, start.source.modality)(begin, problem, run)
        if not isinstance(made.model, NetModel):
            raise ChainError("align: adabn needs a network to come out of what it wraps")
        model = replace(renormalised(made.model, unlabeled, run), source=start.source)
        made = replace(made, source=start.source, model=model)
        notes = {NAME: {"method": "adabn", "norms": len(batch_norms(model.net.backbone))}}
        return as_one_step(NAME, self, start, made, time.monotonic() - began, notes)

    def _recoloured(
        self, start: Specialist, problem: Problem, unlabeled: Table, run: Run
    ) -> Specialist:
        """Fit the head of a probe on features that have the covariance of the domain."""
        began = time.monotonic()
        probe: Any = self.inner
        model = fresh_net(start, problem)
        own, others = (torch.from_numpy(f) for f in features_of(start, problem, unlabeled, run))
        features = recoloured(own, others).numpy()
        head = give_head(model, problem, run, balanced=probe.balanced, features=features)
        inner = Step("probe", {"balanced": probe.balanced}, notes={"strength": head.strength})
        made = start.then(model, inner)
        notes = {NAME: {"method": "coral"}}
        return as_one_step(NAME, self, start, made, time.monotonic() - began, notes)


def _is_probe(inner: Strategy) -> bool:
    return isinstance(inner, find("strategies", "probe"))
