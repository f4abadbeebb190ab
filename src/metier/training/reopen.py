"""A finished run taken up again: from its folder to a specialist that can be worked on."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from metier.deploy.finished import Finished
from metier.deploy.parity import compare
from metier.errors import BundleError, OptionError, ParityError, SourceError
from metier.registry import find
from metier.runtime.manifest import NAME, Manifest, verify
from metier.runtime.session import Bundle, load
from metier.sources.earlier import HASHES, hashes_of
from metier.tasks import named
from metier.training.trial_rows import trial_rows
from metier.training.weights import Known, read_weights
from metier.types import Modality, Model, Specialist, Step, Table

WEIGHTS = "weights"


@dataclass(frozen=True)
class Recorded:
    """A source as a bundle remembers it: enough to name it, not to load it."""

    name: str
    modality: Modality
    digest: str


def reopen(path: str | Path) -> Specialist:
    """Return the specialist of a run folder, ready for further strategies.

    From `weights/` come nets, boosters, linear and fused models. Where it is missing, or holds
    nothing that can be trained further, the model is the finished graph itself; where the graph was
    changed afterwards (quantised), it is the graph with the weights as its origin. The bundle is
    what counts: it is verified before anything is read, and weights that do not predict what it
    predicts are refused.

    A bundle does not know the spread of a numeric target. For further training of a regression, put
    the task of your rows into the problem (`tasks.build`).

    Args:
        path: a run folder or its `specialist/`.

    Raises:
        BundleError: when the bundle is missing or was changed, when the weights are damaged, or
            when they are not those of the bundle.

    >>> reopen("runs/tickets").form  # doctest: +SKIP
    'net'
    """
    bundle = load(path)
    folder = Path(path) if (Path(path) / NAME).exists() else Path(path) / "specialist"
    metric = bundle.manifest.facts.get("metric")
    task = named(bundle.task_kind, bundle.labels, metric if isinstance(metric, str) else None)
    try:
        source = Recorded(**bundle.manifest.source)
        lineage = tuple(Step(**step) for step in bundle.manifest.lineage)
    except TypeError as error:
        raise BundleError(f"{folder / NAME}: source or lineage is incomplete ({error})") from None
    weights = folder.resolve().parent / WEIGHTS
    _refuse_changed(weights, bundle.manifest)
    with trial_rows(bundle) as rows:
        model = read_weights(weights, Known(bundle.preprocess, task, source, rows))
        if model is None or _gives_graph(lineage):
            model = _finished(folder, bundle, model)
        else:
            _refuse_others(model, bundle, rows, weights)
    return Specialist(source, task, model, lineage)


def _refuse_changed(weights: Path, manifest: Manifest) -> None:
    """Compare the files with the hashes that the bundle has of them, before any is read."""
    wanted = manifest.facts.get(HASHES)
    if not isinstance(wanted, Mapping) or not weights.is_dir():
        return
    found = hashes_of(weights)
    changed = sorted(n for n in {*found, *wanted} if found.get(n) != wanted.get(n))
    if changed:
        raise BundleError(
            f"{weights}: are not those of the bundle beside them ({changed[0]} is another); get "
            "the weights again, or take them out to go on from the graph alone"
        )


def _gives_graph(lineage: tuple[Step, ...]) -> bool:
    """Whether the last strategy made a graph, which the weights are only the origin of."""
    try:
        return bool(lineage) and find("strategies", lineage[-1].strategy).gives == "graph"
    except OptionError:  # of a library that is not installed here
        return False


def _finished(folder: Path, bundle: Bundle, origin: Model | None) -> Model:
    import onnx

    content = verify(folder, bundle.manifest)
    if origin is not None:
        return Finished(content, bundle.preprocess, origin.parameters, origin)
    tensors = onnx.load_model_from_string(content).graph.initializer
    parameters = sum(math.prod(tensor.dims) for tensor in tensors)
    return Finished(content, bundle.preprocess, parameters)


def _refuse_others(model: Model, bundle: Bundle, rows: Table, weights: Path) -> None:
    """Compare with the graph: older bundles have no hashes of the weights beside them."""
    try:
        parity = compare(
            model.scores(rows), bundle.scores(rows.columns()), bundle.manifest.decision
        )
    except (ParityError, SourceError) as error:
        raise BundleError(f"{weights}: are not those of the bundle ({error})") from None
    if not parity.holds:
        raise BundleError(
            f"{weights}: are not those of the bundle beside them (scores differ by "
            f"{parity.largest:.3g}); take them out to go on from the graph alone"
        )
