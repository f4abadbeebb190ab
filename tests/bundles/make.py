"""Make the bundles of a version: `python -m tests.bundles.make v1`, in a checkout.

They are kept as they are: a later version that cannot load them has broken its promise. Run this
for a new format only, under a new name.
"""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

import metier
from metier.api import specialize
from metier.sources.text import open_text
from metier.strategies.probe import Probe
from tests import tiny
from tests.made import make_bundle

HERE = Path(__file__).resolve().parent
ODD_TEXTS = ["", "my card is lost", "REFUND please!", "never seen words", "lost " * 60]
ODD_ROWS: list[dict[str, Any]] = [
    {"size": 0.5, "colour": "red", "day": "2024-02-29"},
    {"size": None, "colour": None, "day": None},
    {"size": "no number", "colour": "never seen", "day": "2031-12-31T08:30:00"},
    {"size": -1e9, "colour": "blue", "day": "2023-06-01"},
]


def rows() -> pl.DataFrame:
    """Rows of three classes, with gaps, a category and a date."""
    random = np.random.default_rng(0)
    size, noise = random.normal(size=(2, 160))
    colour = random.choice(["red", "green", "blue"], 160)
    strength = size + (colour == "red") + 0.3 * noise
    return pl.DataFrame(
        {
            "size": [None if i % 17 == 0 else v for i, v in enumerate(size.tolist())],
            "colour": colour,
            "day": [f"2024-{1 + i % 12:02d}-{1 + i % 28:02d}" for i in range(160)],
            "grade": np.array(["low", "middle", "high"])[np.digitize(strength, [-0.3, 0.9])],
        }
    )


def keep(version: str, kind: str, run: Path, questions: list[Any]) -> None:
    """Copy the bundle and write down what it answers."""
    folder = HERE / f"{version}-{kind}"
    shutil.copytree(run / "specialist", folder / "specialist")
    bundle = metier.load(folder)
    found = bundle.predict(questions)
    assert found.probabilities is not None
    content = {
        "digest": bundle.digest,
        "rows": questions,
        "answers": found.answers,
        "probabilities": found.probabilities.tolist(),
    }
    text = json.dumps(content, indent=1, ensure_ascii=False)
    (folder / "answers.json").write_text(text + "\n", encoding="utf-8")


def main(version: str) -> None:
    """Learn them and keep them."""
    with tempfile.TemporaryDirectory() as aside:
        work = Path(aside)
        sizes = {"hidden_size": 16, "num_hidden_layers": 2, "intermediate_size": 16}
        source = str(tiny.save_bert(work / "bert", **sizes))
        table = tiny.labelled_texts(120, "binary", seed=1)
        named = replace(open_text(source), name="tiny")
        # A network of random weights would not win a run, so this one is written without.
        run = make_bundle(work / "text", Probe(), table, "binary", named, temperature=1.3)
        keep(version, "text", run, ODD_TEXTS)
        given: dict[str, Any] = {"sources": [source], "trials": 1}
        made = specialize(table.frame, target="target", out=work / "terms", **given)
        keep(version, "terms", made.folder, ODD_TEXTS)
        made = specialize(rows(), target="grade", trials=1, out=work / "table")
        keep(version, "table", made.folder, ODD_ROWS)


if __name__ == "__main__":
    main(*sys.argv[1:])
