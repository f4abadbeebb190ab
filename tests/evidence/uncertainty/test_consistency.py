"""Could calibrated claims have met with these outcomes?"""

from __future__ import annotations

import numpy as np
import pytest

from metier.evidence.uncertainty.consistency import consistency
from metier.runtime.postprocess import Decision


def drawn(n: int, seed: int, kind: str, truth_at: float) -> tuple[np.ndarray, np.ndarray]:
    """Logits, and outcomes drawn from them at a temperature."""
    random = np.random.default_rng(seed)
    logits = 2 * random.normal(size=(n, 2 if kind == "binary" else 4))
    rule = Decision(kind, tuple("abcd"[: logits.shape[1]]), temperature=truth_at)  # type: ignore[arg-type]
    shares = rule.probabilities(logits)
    if kind == "multilabel":
        return logits, (random.random(shares.shape) < shares).astype(np.float32)
    return logits, (random.random((n, 1)) > shares.cumsum(axis=1)).sum(axis=1)


@pytest.mark.parametrize("kind", ["binary", "multiclass", "multilabel"])
def test_calibrated_claims_are_rejected_as_often_as_the_level_says(kind: str) -> None:
    labels = ("a", "b") if kind == "binary" else tuple("abcd")
    ps = []
    for seed in range(60):
        logits, y = drawn(300, seed, kind, 1.0)
        found = consistency(y, logits, Decision(kind, labels), seed=seed, draws=200)  # type: ignore[arg-type]
        assert found is not None and found.value is not None
        ps.append(found.value)
    assert np.mean(np.array(ps) < 0.05) < 0.15
    assert 0.3 < np.mean(ps) < 0.7


def test_claims_that_are_too_sure_are_rejected() -> None:
    logits, y = drawn(1000, 0, "binary", 2.5)
    found = consistency(y, logits, Decision("binary", ("a", "b")), draws=400)
    assert found is not None and found.value is not None
    assert found.value < 0.01 and found.level == "warning" and found.details["p"] == found.value
    assert "do not mean what they say" in found.verdict


def test_numbers_have_no_claims() -> None:
    assert consistency(np.ones(9), np.ones((9, 1)), Decision("regression")) is None
