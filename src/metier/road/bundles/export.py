"""A finished bundle in the shape that another program wants."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

from metier.errors import OptionError, suggest
from metier.report.snippet import plain_snippet
from metier.runtime.manifest import NAME
from metier.runtime.session import Bundle, load

CARD = "README.md"
SNIPPET = "predict.py"


def export_bundle(
    path: str | Path,
    format: str,
    out: str | Path | None = None,
    warn: Callable[[str], None] = lambda told: None,
) -> Path:
    """Write a bundle in another shape and return the folder.

    Everything is written aside and renamed: the folder is complete or not there.

    Args:
        path: a run folder or its `specialist/`.
        format: "onnx", "transformers" or "web".
        out: the new folder; `FORMAT` beside the bundle when None.
        warn: told in one line what the other shape answers otherwise.

    Raises:
        OptionError: for an unknown format, a folder that is in use, or a bundle that has no such
            shape, saying why.
        BundleError: when the bundle is not whole.
    """
    if format not in FORMATS:
        raise OptionError(f"--format {format}: unknown{suggest(format, FORMATS)}")
    bundle, folder = load(path), specialist_of(Path(path))
    if format in ALIKE and bundle.manifest.decision.groups is not None:
        raise OptionError(
            f"--format {format}: this specialist answers by a threshold for each group, and "
            f"{ALIKE[format]}; take --format onnx, or make one without --allow-group-thresholds"
        )
    target = folder.resolve().parent / format if out is None else Path(out)
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise OptionError(f"--out {target}: is there already; give another folder or remove it")
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".writing-") as aside:
        stage = Path(aside) / format
        stage.mkdir()
        told = FORMATS[format](bundle, folder, stage)
        if target.exists():
            target.rmdir()
        os.replace(stage, target)
    if told is not None:
        warn(told)
    return target


def specialist_of(path: Path) -> Path:
    """Return the folder of the bundle itself, given it or its run folder."""
    return path if (path / NAME).exists() else path / "specialist"


def _onnx(bundle: Bundle, folder: Path, stage: Path) -> None:
    """The files as they are, and the ten lines that predict with them without metier."""
    for name in (NAME, *bundle.manifest.files):
        shutil.copyfile(folder / name, stage / name)
    snippet = plain_snippet(bundle.manifest.to_json())
    (stage / SNIPPET).write_text(snippet, encoding="utf-8")


def _transformers(bundle: Bundle, folder: Path, stage: Path) -> None:
    """A stock class of transformers with the weights of the run."""
    from metier.deploy.hub import INSTEAD, Known, Parts, write_transformers
    from metier.training.net import NetModel
    from metier.training.reopen import reopen
    from metier.training.trial_rows import trial_rows

    model = reopen(folder).model
    if not isinstance(model, NetModel):
        raise OptionError(f"--format transformers: {_why_no_net(bundle, folder)}; {INSTEAD}")
    net = model.net
    with trial_rows(bundle) as rows:
        columns = rows.columns()
        examples = [each for each in bundle.preprocess.encode(columns).examples if each]
        known = Known(bundle.preprocess.collate(examples), bundle.scores(columns))
    write_transformers(
        Parts(
            encoder=net.backbone.model,
            weight=net.head.weight,
            bias=net.head.bias,
            pooling=net.backbone.pooling,
            normalise=net.backbone.normalise,
            preprocess=bundle.preprocess,
        ),
        bundle.manifest.decision,
        ", ".join(bundle.manifest.facts.get("target", ())) or "value",
        known,
        (folder / CARD).read_text(encoding="utf-8"),
        stage,
    )


def _why_no_net(bundle: Bundle, folder: Path) -> str:
    if bundle.preprocess.kind not in ("text", "image"):
        return "this specialist is no text or image network, and pipelines know no other"
    if not (folder.resolve().parent / "weights").is_dir():
        return "there is no weights/ beside the bundle to make it from"
    return "the graph of this bundle is not the network that its weights/ hold"


def _web(bundle: Bundle, folder: Path, stage: Path) -> str | None:
    """A page that answers in the browser."""
    from metier.deploy.web import write_web

    whole = folder.resolve()
    name = whole.parent.name if whole.name == "specialist" else whole.name
    return write_web(bundle, folder, stage, name=name)


Write = Callable[[Bundle, Path, Path], str | None]
ALIKE = {
    "transformers": "a pipeline reads nothing that tells the groups",
    "web": "the page asks nobody which group they are of",
}
"""Formats that answer everybody alike, and why they cannot do otherwise."""
FORMATS: Mapping[str, Write] = {"onnx": _onnx, "transformers": _transformers, "web": _web}
