"""What the server counts, in the text format of Prometheus.

With several workers each process counts for itself into a shared folder, and whichever is asked
adds them up; what only a process knows of itself (its queue, its drift) bears its `pid`.
"""

from __future__ import annotations

import os

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    generate_latest,
)
from prometheus_client.multiprocess import MultiProcessCollector

from metier.serving.batching import Batch
from metier.serving.drift import Drift
from metier.serving.limits import Limits

SHARED = "PROMETHEUS_MULTIPROC_DIR"
"""The environment variable that names the folder of several workers."""
CONTENT_TYPE = CONTENT_TYPE_LATEST
SECONDS = (
    0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0,
)  # fmt: skip
ROWS = (1, 2, 4, 8, 16, 32, 64, 128, 256)
LEVELS = {"waiting": 0, "steady": 0, "watch": 1, "alarm": 2}
MOST_LABELS = 200
"""Labels that are counted by name; the predictions of more would be a burden to store."""


class Metrics:
    """The counters of one process."""

    def __init__(self, digest: str, version: str, task: str, limits: Limits) -> None:
        own = self._registry = CollectorRegistry()
        self._requests = Counter(
            "metier_requests", "Requests by route and status.", ["route", "status"], registry=own
        )
        self._seconds = Histogram(
            "metier_request_seconds",
            "Seconds from the head of a request to the end of its answer.",
            ["route"],
            buckets=SECONDS,
            registry=own,
        )
        self._rows = Counter("metier_rows", "Rows by outcome.", ["outcome"], registry=own)
        self._answers = Counter(
            "metier_predictions", "Answered rows by predicted label.", ["label"], registry=own
        )
        self._batch_rows = Histogram(
            "metier_batch_rows", "Rows in a batch.", buckets=ROWS, registry=own
        )
        self._batch_seconds = Histogram(
            "metier_batch_seconds", "Seconds that a batch ran.", buckets=SECONDS, registry=own
        )
        self._waiting = Gauge(
            "metier_queue_rows",
            "Rows that wait for the model.",
            registry=own,
            multiprocess_mode="livesum",
        )
        self._index = Gauge(
            "metier_drift_index",
            "Population stability index of a signal over the last rows.",
            ["signal"],
            registry=own,
            multiprocess_mode="liveall",
        )
        self._level, self._drift_rows, self._unlike = (
            Gauge(f"metier_{name}", told, registry=own, multiprocess_mode="liveall")
            for name, told in (
                ("drift_level", "0 steady (or too few rows), 1 watch, 2 alarm."),
                ("drift_rows", "Rows that the drift is told from."),
                ("unlike_ratio", "Share of the last rows unlike those of training."),
            )
        )
        bound = Gauge(
            "metier_queue_limit_rows",
            "Rows that may wait, in one process.",
            registry=own,
            multiprocess_mode="livemax",
        )
        bound.set(limits.queue)
        about = Gauge(
            "metier_bundle",
            "What is served; always 1.",
            ["digest", "version", "task"],
            registry=own,
            multiprocess_mode="livemax",
        )
        about.labels(digest, version, task).set(1)

    def count_request(self, route: str, status: int, seconds: float) -> None:
        """Count a request that was answered."""
        self._requests.labels(route, str(status)).inc()
        self._seconds.labels(route).observe(seconds)

    def count_batch(self, batch: Batch) -> None:
        """Count a batch that ran, its rows and what they were taken for."""
        found = batch.predictions
        self._batch_rows.observe(batch.rows)
        self._batch_seconds.observe(batch.seconds)
        self._rows.labels("answered").inc(batch.rows - len(found.reasons))
        self._rows.labels("withheld").inc(len(found.withheld))
        self._rows.labels("unreadable").inc(len(found.reasons) - len(found.withheld))
        if len(found.labels) <= MOST_LABELS:
            for answer in found.answers:
                for label in answer if isinstance(answer, list) else [answer]:
                    if isinstance(label, str):
                        self._answers.labels(label).inc()

    def tell_waiting(self, rows: int) -> None:
        """Note how many rows wait."""
        self._waiting.set(rows)

    def tell_drift(self, drift: Drift) -> None:
        """Note how far the last rows are from those of training."""
        self._level.set(LEVELS[drift.level])
        self._drift_rows.set(drift.rows)
        self._unlike.set(drift.unlike)
        for shift in drift.shifts:
            self._index.labels(shift.signal).set(shift.index)

    def render(self) -> bytes:
        """Return all metrics as text, those of the other workers added."""
        registry = self._registry
        if SHARED in os.environ:
            registry = CollectorRegistry()
            MultiProcessCollector(registry)
        return generate_latest(registry)
