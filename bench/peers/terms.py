"""No transfer: TF-IDF of words and pairs of words, logistic regression."""

from __future__ import annotations

import numpy as np
import polars as pl

from bench.peers import Fitted, Settings
from bench.sets import TEXT, Rows

STRENGTHS = (1.0, 10.0, 100.0)


def fit(rows: Rows, settings: Settings) -> Fitted:
    """Choose C by 3-fold cross-validation, the vocabulary fitted inside each fold."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import GridSearchCV
    from sklearn.pipeline import make_pipeline

    plain = make_pipeline(
        TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True), LogisticRegression(max_iter=300)
    )
    grid = {"logisticregression__C": list(STRENGTHS)}
    search = GridSearchCV(plain, grid, cv=3, n_jobs=1)
    search.fit(rows.train[TEXT].to_list(), rows.train[rows.target].to_list())

    def predict(frame: pl.DataFrame) -> np.ndarray:
        return np.asarray(search.predict(frame[TEXT].to_list()))

    return Fitted(predict, {"C": search.best_params_["logisticregression__C"]})
