"""What several claims are measured on: a bundle of metier, and a directory of `transformers`."""

from __future__ import annotations

from pathlib import Path

from bench import processes, sets
from bench.peers import trainer as plain


def make_bundle(rows: sets.Rows, scratch: Path, threads: int) -> Path:
    """Make a specialist whose bundle holds the encoder; how good it is does not matter here."""
    train, test = sets.write(rows, scratch / "data")
    words = ["specialize", str(train), "--target", rows.target, "--test", str(test)]
    words += ["--source", "embedded", "--strategy", "probe", "--trials", "1"]
    cost = processes.run(processes.metier(*words, "--out", str(scratch / "run")), threads)
    if cost.code != 0:
        raise SystemExit(f"making a bundle failed: {cost.said}")
    return scratch / "run" / "specialist"


def make_directory(rows: sets.Rows, folder: Path) -> Path:
    """Write the same encoder with as many labels as `transformers` reads it."""
    plain.be_quiet()
    model, tokenizer = plain.text_model(len(rows.labels))
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder
