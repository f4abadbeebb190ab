"""Words replaced by neighbours until the answer is wrong, within the bound."""

from __future__ import annotations

from collections.abc import Callable
from math import ceil
from typing import Any

import numpy as np
import pytest
import torch

from metier.cache import Cache
from metier.evidence.robustness.aims import Aim
from metier.runtime.postprocess import Decision
from metier.strategies.finetune import Finetune
from metier.tasks import build
from metier.training.attacks.substitution import substitute
from metier.training.neighbours import neighbours
from metier.types import Problem, Run, Specialist


@pytest.fixture(scope="module", params=["bert", "long"])
def learned(
    request: Any, tiny_sources: dict[str, Any], tiny_table: Callable[..., Any]
) -> tuple[Any, Any]:
    source = tiny_sources[request.param]
    table = tiny_table(source, 80, "binary")
    task = build("binary", table)
    tune = Finetune(train="all", epochs=4, rate=2e-3, patience=0)
    return tune(Specialist(source, task), Problem(task, table), Run(Cache())), table


def test_words_are_replaced_within_the_bound_and_answers_turn(learned: tuple[Any, Any]) -> None:
    made, table = learned
    model = made.model
    text, net = model.preprocess, model.net
    examples = text.encode(table.columns()).examples
    used = np.unique(np.concatenate([window for each in examples for window in each]))
    known = neighbours(text, net.backbone, used, most=3, least=-1.0)
    scores = made.scores(table)
    truth = scores.argmax(axis=1)  # what it answers itself, so that every row can be broken
    aim = Aim(truth, Decision("binary", made.task.labels))
    found = substitute(net, text, known, examples, aim, share=0.4, tried=4)
    turned = aim.wrong(_scores(net, text, found))
    assert turned.mean() > 0.1
    assert (aim.harm(_scores(net, text, found)) >= aim.harm(scores) - 1e-4).all()
    for before, after in zip(examples, found, strict=True):
        words = sum(int(known.words(torch.from_numpy(w)[None]).sum()) for w in before)
        changed = [
            (int(a), int(b))
            for old, new in zip(before, after, strict=True)
            for a, b in zip(old, new, strict=True)
            if a != b
        ]
        assert len(changed) <= ceil(0.4 * words)
        assert all(b in known.ids[a].tolist() for a, b in changed)


def test_what_is_wrong_already_is_left_as_it_is(learned: tuple[Any, Any]) -> None:
    made, table = learned
    text, net = made.model.preprocess, made.model.net
    examples = text.encode(table.columns()).examples[:20]
    used = np.unique(np.concatenate([window for each in examples for window in each]))
    known = neighbours(text, net.backbone, used, least=-1.0)
    wrong = 1 - made.scores(table)[:20].argmax(axis=1)
    found = substitute(net, text, known, examples, Aim(wrong, Decision("binary", ("a", "b"))))
    for before, after in zip(examples, found, strict=True):
        assert all((a == b).all() for a, b in zip(before, after, strict=True))


def _scores(net: Any, text: Any, examples: Any) -> np.ndarray:
    found = []
    for example in examples:
        arrays = text.collate([example])
        with torch.no_grad():
            found.append(net.eval()({k: torch.from_numpy(v) for k, v in arrays.items()}).numpy())
    return np.concatenate(found)
