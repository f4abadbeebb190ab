"""SetFit (Tunstall et al., 2022): contrastive pairs first, then a linear head."""

from __future__ import annotations

import numpy as np
import polars as pl

from bench.peers import Fitted, Settings
from bench.sets import TEXT, Rows

PAIRS = 20
"""Pairs a row, as in the paper (R = 20): all pairs of 77 classes would take days here."""


def fit(rows: Rows, settings: Settings) -> Fitted:
    """The library's defaults (one epoch, batches of 16) with 20 pairs a row."""
    from datasets import Dataset
    from setfit import SetFitModel, Trainer, TrainingArguments

    from metier.sources.directory import locate

    model = SetFitModel.from_pretrained(str(locate("embedded")), labels=rows.labels, device="cpu")
    data = Dataset.from_dict({"text": rows.train[TEXT].to_list(), "label": rows.codes()})
    arguments = TrainingArguments(
        output_dir=str(settings.scratch),
        num_iterations=PAIRS,
        save_strategy="no",
        logging_strategy="no",
        report_to="none",
        show_progress_bar=False,
        seed=settings.seed,
    )
    Trainer(model=model, args=arguments, train_dataset=data).train()

    def predict(frame: pl.DataFrame) -> np.ndarray:
        return np.asarray(model.predict(frame[TEXT].to_list(), show_progress_bar=False))

    return Fitted(predict, {"pairs": PAIRS})
