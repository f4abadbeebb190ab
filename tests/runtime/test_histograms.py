"""Colour and gradient histograms."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import PIL.Image
import pytest

from metier.runtime.histograms import Histograms
from metier.runtime.preprocess import restore

COLOURS = 72 + 96


def striped(vertical: bool) -> PIL.Image.Image:
    stripes = np.zeros((64, 64, 3), np.uint8)
    stripes[:, ::8] = stripes[:, 1::8] = stripes[:, 2::8] = stripes[:, 3::8] = 255
    return PIL.Image.fromarray(stripes if vertical else stripes.transpose(1, 0, 2).copy())


def test_length_and_dtype():
    histograms = Histograms("file")
    found = histograms.features(striped(True))
    assert found.shape == (histograms.length,)
    assert found.dtype == np.float32
    assert np.isfinite(found).all()


def test_colours_are_shares():
    found = Histograms("file").features(PIL.Image.new("RGB", (9, 9), (255, 0, 0)))
    assert (found[:72] ** 2).sum() == pytest.approx(1)
    assert np.count_nonzero(found[:COLOURS]) == 1 + 4 * 3
    assert not found[COLOURS:].any()


def test_gradients_tell_directions_and_not_brightness():
    histograms = Histograms("file")
    upright, lying = (histograms.features(striped(v))[COLOURS:] for v in (True, False))
    votes = [v.reshape(-1, 9).sum(axis=0).argmax() for v in (upright, lying)]
    assert votes[0] in (0, 8)
    assert votes[1] == 4
    dim = PIL.Image.fromarray(np.asarray(striped(True)) // 2)
    np.testing.assert_allclose(histograms.features(dim)[COLOURS:], upright, atol=1e-3)


def test_unreadable_rows_and_spec(tmp_path: Path):
    path = tmp_path / "a.png"
    striped(True).save(path)
    histograms = Histograms("file", size=16)
    found = histograms.encode({"file": [None, str(path)]})
    assert found.examples[0] is None
    assert found.reasons == {0: "no image given"}
    assert histograms.collate([e for e in found.examples if e is not None])["features"].shape == (
        1,
        histograms.length,
    )
    assert restore(histograms.spec(), tmp_path) == histograms
    with pytest.raises(ValueError):
        Histograms("file", size=20)
