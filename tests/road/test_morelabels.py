"""What more labels would bring is told of the rows that were learned from."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from metier.road.morelabels import more_labels
from metier.search.choice import choose
from metier.search.clock import Clock
from metier.search.recipe import Recipe
from metier.search.records import Candidate
from tests.search import fakes
from tests.search.conftest import guess

__all__ = ["guess"]


def test_a_network_that_looked_at_a_sample_learned_from_no_more(tmp_path: Path) -> None:
    race = fakes.race(tmp_path, 4000)
    race.show_only(np.sort(np.random.default_rng(0).permutation(4000)[:1000]))
    candidate = Candidate("guess-0", "guess", Recipe("guess", "s", {"right": 0.8}))
    assert race.run_fold(candidate, 0)
    climb = choose(race, [candidate], (0,))
    fakes.SEEN.clear()
    found = more_labels(race, climb, Clock(None), lambda _: 0.0)
    assert found is not None
    whole = race.rows_for(candidate.recipe, race.split.folds[0].train)
    sizes = [point.rows for point in found.points if point.rows <= len(whole)]
    assert sizes == [len(seen) for seen in fakes.SEEN] + [len(whole)]
    assert len(whole) < 1000
