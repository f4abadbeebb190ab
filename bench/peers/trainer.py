"""Plain fine-tuning with the Trainer of transformers, as its own tutorials do it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from bench.peers import FEW, Fitted, Settings
from bench.sets import IMAGE, TEXT, Rows

BATCH = 32
RATES = {"text": 5e-5, "image": 5e-4}
"""The Trainer's own default for texts. For images the better of two on a quarter of hymenoptera's
training rows that was held out (60 rows, one seed): 0.90, against 0.82 at 5e-5."""
LONGEST = 256


class Photos(Sequence[dict[str, Any]]):
    """Images opened and scaled when they are asked for."""

    def __init__(self, paths: Sequence[str], labels: Sequence[int], processor: Any) -> None:
        self.paths, self.labels, self.processor = paths, labels, processor

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, row: Any) -> Any:
        from PIL import Image

        image = Image.open(self.paths[row]).convert("RGB")
        pixels = self.processor(image, return_tensors="pt")["pixel_values"][0]
        return {"pixel_values": pixels, "labels": self.labels[row]}


def fit(rows: Rows, settings: Settings) -> Fitted:
    """All weights, AdamW, linear decay; 3 epochs, or 10 when rows are few; no checkpoints."""
    from transformers import set_seed

    set_seed(settings.seed)
    texts = rows.about.modality == "text"
    model, make, collate = _text(rows) if texts else _image(rows, settings.image_model)
    epochs = 10 if rows.train.height < FEW else 3
    trainer = make_trainer(
        model,
        make(rows.train, rows.codes()),
        collate,
        epochs=epochs,
        rate=RATES[rows.about.modality],
        seed=settings.seed,
        scratch=settings.scratch,
    )
    trainer.train()
    labels = np.asarray(rows.labels)

    def predict(frame: pl.DataFrame) -> np.ndarray:
        scores = trainer.predict(make(frame, [0] * frame.height)).predictions
        return np.asarray(labels[np.asarray(scores).argmax(axis=1)])

    return Fitted(predict, {"epochs": epochs, "rate": RATES[rows.about.modality]})


def make_trainer(
    model: Any,
    data: Any,
    collate: Any,
    *,
    epochs: float,
    rate: float,
    seed: int,
    scratch: Path,
    callbacks: Sequence[Any] = (),
) -> Any:
    """Return a Trainer with its defaults but for batches of 32, no files and no progress bar."""
    from transformers import PrinterCallback, Trainer, TrainingArguments

    arguments = TrainingArguments(
        output_dir=str(scratch),
        num_train_epochs=epochs,
        per_device_train_batch_size=BATCH,
        per_device_eval_batch_size=BATCH,
        learning_rate=rate,
        save_strategy="no",
        logging_strategy="no",
        report_to="none",
        disable_tqdm=True,
        use_cpu=True,
        seed=seed,
    )
    trainer = Trainer(
        model=model,
        args=arguments,
        train_dataset=data,
        data_collator=collate,
        callbacks=list(callbacks),
    )
    trainer.remove_callback(PrinterCallback)
    return trainer


def be_quiet() -> None:
    """Silence the notes and progress bars of transformers."""
    from transformers.utils import logging

    logging.set_verbosity_error()
    logging.disable_progress_bar()


def text_model(outputs: int) -> tuple[Any, Any]:
    """Return the embedded encoder with a new classification head, and its tokenizer."""
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    from metier.sources.directory import locate

    folder = locate("embedded")
    model = AutoModelForSequenceClassification.from_pretrained(folder, num_labels=outputs)
    return model, AutoTokenizer.from_pretrained(folder)


def tokenised(tokenizer: Any, texts: Sequence[str], codes: Sequence[int]) -> list[dict[str, Any]]:
    """Return one dictionary a text, unpadded."""
    found = tokenizer(list(texts), truncation=True, max_length=LONGEST, padding=False)
    names = list(found)
    return [
        {**{name: found[name][row] for name in names}, "labels": code}
        for row, code in enumerate(codes)
    ]


def _text(rows: Rows) -> tuple[Any, Callable[..., Any], Any]:
    from transformers import DataCollatorWithPadding

    model, tokenizer = text_model(len(rows.labels))

    def make(frame: pl.DataFrame, codes: Sequence[int]) -> list[dict[str, Any]]:
        return tokenised(tokenizer, frame[TEXT].to_list(), codes)

    return model, make, DataCollatorWithPadding(tokenizer)


def _image(rows: Rows, folder: Path) -> tuple[Any, Callable[..., Any], Any]:
    from transformers import (
        AutoImageProcessor,
        AutoModelForImageClassification,
        default_data_collator,
    )

    model = AutoModelForImageClassification.from_pretrained(
        folder, num_labels=len(rows.labels), ignore_mismatched_sizes=True
    )
    processor = AutoImageProcessor.from_pretrained(folder)

    def make(frame: pl.DataFrame, codes: Sequence[int]) -> Photos:
        return Photos(frame[IMAGE].to_list(), list(codes), processor)

    return model, make, default_data_collator
