"""Frozen features of the source, and logistic regression on them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl

from bench.peers import Fitted, Settings
from bench.sets import IMAGE, TEXT, Rows

STRENGTHS = tuple(10.0**e for e in range(-3, 4))
IMAGES_A_BATCH = 32

Encode = Callable[[pl.DataFrame], np.ndarray]


def fit(rows: Rows, settings: Settings) -> Fitted:
    """Features as sentence-transformers or transformers give them; C by 3-fold cross-validation."""
    from sklearn.linear_model import LogisticRegressionCV

    texts = rows.about.modality == "text"
    encode = _of_texts() if texts else _of_images(settings.image_model)
    model = LogisticRegressionCV(
        Cs=list(STRENGTHS),
        cv=3,
        max_iter=500,
        scoring="accuracy",
        l1_ratios=(0.0,),
        use_legacy_attributes=False,
    )
    model.fit(encode(rows.train), rows.train[rows.target].to_list())

    def predict(frame: pl.DataFrame) -> np.ndarray:
        return np.asarray(model.predict(encode(frame)))

    return Fitted(predict, {"C": float(np.ravel(model.C_)[0])})


def _of_texts() -> Encode:
    from sentence_transformers import SentenceTransformer

    from metier.sources.directory import locate

    encoder = SentenceTransformer(str(locate("embedded")), device="cpu")

    def encode(frame: pl.DataFrame) -> np.ndarray:
        found = encoder.encode(frame[TEXT].to_list(), show_progress_bar=False)
        return np.asarray(found)

    return encode


def _of_images(folder: Path) -> Encode:
    import torch
    from PIL import Image
    from transformers import AutoImageProcessor, AutoModel

    processor = AutoImageProcessor.from_pretrained(folder)
    encoder = AutoModel.from_pretrained(folder).eval()

    def encode(frame: pl.DataFrame) -> np.ndarray:
        paths = frame[IMAGE].to_list()
        parts = []
        for start in range(0, len(paths), IMAGES_A_BATCH):
            batch = paths[start : start + IMAGES_A_BATCH]
            images = [Image.open(path).convert("RGB") for path in batch]
            with torch.inference_mode():
                output = encoder(**processor(images, return_tensors="pt"))
            parts.append(output.pooler_output.flatten(1).numpy())
        return np.concatenate(parts)

    return encode
