from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from metier.cache import Cache
from metier.strategies.probe import Probe
from metier.training.heads import fit_head
from metier.training.net import NetModel
from metier.types import Specialist, Table

from .conftest import in_groups

Learn = Callable[..., Specialist]
Tables = Callable[..., Table]


@pytest.mark.parametrize("kind", ["binary", "multiclass", "multilabel", "regression"])
def test_it_is_the_head_on_the_untouched_features(
    kind: str, tiny_sources: dict[str, Any], tiny_table: Tables, learn: Learn
) -> None:
    source = tiny_sources["vit"]
    table = tiny_table(source, 60, kind)
    specialist = learn(Probe(), table, kind, source)
    assert isinstance(specialist.model, NetModel)
    assert specialist.model.untouched == source.load().depth
    from metier.training.feed import Feed

    features = Feed(source.load(), source.preprocess("image"), table, Cache()).features()
    targets = specialist.task.encode(table)
    head = fit_head(features, targets, specialist.task.kind, specialist.task.outputs)
    wanted = features @ head.weight.T + head.bias
    np.testing.assert_allclose(
        specialist.scores(table), wanted, atol=1e-4 * max(1.0, float(np.abs(wanted).max()))
    )
    (step,) = specialist.lineage
    assert step.strategy == "probe" and step.notes == {"strength": head.strength}


def test_it_learns_what_the_features_tell(
    tiny_sources: dict[str, Any], tiny_table: Tables, learn: Learn
) -> None:
    for name in ("bert", "vit"):
        table = tiny_table(tiny_sources[name], 120, "binary")
        fit, held = table.take(range(80)), table.take(range(80, 120))
        specialist = learn(Probe(), fit, "binary", tiny_sources[name])
        truth = specialist.task.encode(held)
        assert (specialist.scores(held).argmax(1) == truth).mean() > 0.8, name


def test_the_strength_is_chosen_by_groups(
    tiny_sources: dict[str, Any], tiny_table: Tables, learn: Learn
) -> None:
    source = tiny_sources["vit"]
    table = in_groups(tiny_table(source, 40, "binary"), "target")
    alone = replace(table, roles=replace(table.roles, group=None))
    by_group, by_row = (learn(Probe(), t, "binary", source) for t in (table, alone))
    chosen = [made.lineage[0].notes["strength"] for made in (by_group, by_row)]
    assert chosen[0] < chosen[1]


def test_features_are_computed_once_for_all_probes(
    tiny_sources: dict[str, Any], tiny_table: Tables, tmp_path: Any
) -> None:
    from metier.tasks import build
    from metier.types import Problem, Run

    source = tiny_sources["bert"]
    table = tiny_table(source, 40, "binary")
    task, cache = build("binary", table), Cache(tmp_path)
    size: list[int] = []
    for balanced in (False, True):
        start = Specialist(source, task)
        Probe(balanced=balanced)(start, Problem(task, table), Run(cache)).scores(table, cache)
        size.append(sum(path.stat().st_size for path in tmp_path.glob("*.bin")))
    assert size[0] == size[1] > 0
