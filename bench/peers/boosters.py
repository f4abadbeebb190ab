"""Tables: HistGradientBoosting and LightGBM as they come, FLAML with a minute."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import polars as pl

from bench.peers import Fitted, Settings
from bench.sets import Rows


def fit_histgb(rows: Rows, settings: Settings) -> Fitted:
    """scikit-learn's HistGradientBoosting with its defaults."""
    from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

    kind = HistGradientBoostingClassifier if rows.labels else HistGradientBoostingRegressor
    features = features_of(rows)
    model = kind(random_state=settings.seed).fit(features(rows.train), _targets(rows))
    return Fitted(lambda frame: np.asarray(model.predict(features(frame))))


def fit_lightgbm(rows: Rows, settings: Settings) -> Fitted:
    """LightGBM with its defaults."""
    from lightgbm import LGBMClassifier, LGBMRegressor

    kind = LGBMClassifier if rows.labels else LGBMRegressor
    features = features_of(rows)
    model = kind(random_state=settings.seed, n_jobs=settings.threads, verbose=-1)
    model.fit(features(rows.train), _targets(rows))
    return Fitted(lambda frame: np.asarray(model.predict(features(frame))))


def fit_flaml(rows: Rows, settings: Settings) -> Fitted:
    """FLAML's AutoML within the budget, told the metric that judges."""
    import flaml

    automl: Any = flaml
    features = features_of(rows)
    model = automl.AutoML()
    model.fit(
        features(rows.train),
        _targets(rows),
        task="classification" if rows.labels else "regression",
        metric=rows.about.metric,
        time_budget=settings.budget,
        n_jobs=settings.threads,
        seed=settings.seed,
        verbose=0,
        log_file_name="",
    )
    notes = {"estimator": model.best_estimator}
    return Fitted(lambda frame: np.asarray(model.predict(features(frame))), notes)


def features_of(rows: Rows) -> Callable[[pl.DataFrame], Any]:
    """Return a function from rows to a pandas frame, words as categories of the training rows."""
    import pandas

    words = [name for name in rows.inputs if rows.train[name].dtype == pl.String]
    known = {name: sorted(rows.train[name].drop_nulls().unique()) for name in words}

    def features(frame: pl.DataFrame) -> Any:
        columns = {
            name: pandas.Categorical(frame[name].to_list(), categories=known[name])
            if name in known
            else frame[name].cast(pl.Float64).to_numpy()
            for name in rows.inputs
        }
        return pandas.DataFrame(columns)

    return features


def _targets(rows: Rows) -> np.ndarray:
    values = rows.train[rows.target].to_list()
    return np.array(values, dtype=object if rows.labels else float)
