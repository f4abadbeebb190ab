"""FGSM and PGD: within the radius, harmful, and at least as strong as those of others."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from metier.cache import Cache
from metier.evidence.robustness.aims import Aim
from metier.evidence.robustness.pixels import Pixels
from metier.runtime.postprocess import Decision
from metier.strategies.finetune import Finetune
from metier.tasks import build
from metier.training.attacks.pgd import (
    Budget,
    answering,
    as_at_predict,
    entering,
    fgsm,
    leaving,
    losses,
    pgd,
)
from metier.types import Problem, Run, Specialist

CLASSES = Decision("multiclass", ("a", "b", "c"))


class Small(nn.Module):
    """A convolutional net of three classes on pixels of 12 x 12."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 8, 3, stride=2)
        self.last = nn.Linear(8 * 25, 3)

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        return self.last(torch.tanh(self.first(pixels - 0.5)).flatten(1))


@pytest.fixture(scope="module")
def learned() -> tuple[Small, torch.Tensor, np.ndarray]:
    """A net that has learned which colour is strongest, with its pictures and their classes."""
    torch.manual_seed(0)
    truth = torch.randint(3, (160,))
    pixels = 0.35 + 0.3 * torch.rand((160, 3, 12, 12))
    pixels[torch.arange(160), truth] += 0.01 + 0.09 * torch.rand((160, 1, 1))
    net = Small()
    optimizer = torch.optim.Adam(net.parameters(), 1e-2)
    for _ in range(80):
        loss = nn.functional.cross_entropy(net(pixels), truth)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return net.eval(), pixels, truth.numpy()


def robust(net: Any, pixels: torch.Tensor, truth: np.ndarray) -> float:
    with torch.no_grad():
        return float((net(pixels).argmax(1).numpy() == truth).mean())


@pytest.mark.parametrize("radius", [2 / 255, 8 / 255])
def test_it_stays_within_the_radius_and_within_a_picture(radius: float, learned: Any) -> None:
    net, pixels, truth = learned
    pixels = pixels.clone()
    pixels[:, :, 0] = 1.0
    for moved in (
        fgsm(net, pixels, Aim(truth, CLASSES), radius),
        pgd(net, pixels, Aim(truth, CLASSES), Budget(radius, 7, restarts=3), seed=1),
    ):
        assert float((moved.pixels - pixels).abs().max()) <= radius + 1e-6
        assert float(moved.pixels.min()) >= 0 and float(moved.pixels.max()) <= 1


def test_more_steps_and_more_room_break_more(learned: Any) -> None:
    net, pixels, truth = learned
    aim = Aim(truth, CLASSES)
    clean = robust(net, pixels, truth)
    once = robust(net, fgsm(net, pixels, aim, 6 / 255).pixels, truth)
    many = [
        robust(net, pgd(net, pixels, aim, Budget(r / 255, 20)).pixels, truth) for r in (2, 6, 12)
    ]
    assert clean > 0.95 > many[0] > many[1] > many[2]
    assert many[1] <= once


def test_a_row_that_is_wrong_already_is_left_alone(learned: Any) -> None:
    net, pixels, truth = learned
    wrong = (truth + 1) % 3
    moved = pgd(net, pixels, Aim(wrong, CLASSES), Budget(8 / 255, 5))
    with torch.no_grad():
        missed = net(pixels).argmax(1).numpy() != wrong
    assert missed.mean() > 0.9 and bool((moved.pixels[missed] == pixels[missed]).all())


def test_the_same_seed_gives_the_same_attack(learned: Any) -> None:
    net, pixels, truth = learned
    budget = Budget(3 / 255, 5, restarts=3)
    one, two, other = (
        pgd(net, pixels, Aim(truth, CLASSES), budget, seed).pixels for seed in (1, 1, 2)
    )
    assert bool((one == two).all()) and not bool((one == other).all())


def test_a_saturated_softmax_hides_nothing(learned: Any) -> None:
    """Scores blown up by 1000 have no cross-entropy gradient in 32 bits; the margin has one."""
    net, pixels, truth = learned

    def blown(given: torch.Tensor) -> torch.Tensor:
        return 1e4 * net(given)

    aim = Aim(truth, CLASSES)
    plain = pgd(net, pixels, aim, Budget(6 / 255, 20, restarts=2))
    found = pgd(blown, pixels, aim, Budget(6 / 255, 20, restarts=2))
    assert found.flat > 0.5 and plain.flat < 0.05
    assert robust(net, found.pixels, truth) <= robust(net, plain.pixels, truth) + 0.05
    once = fgsm(blown, pixels, aim, 6 / 255)
    assert robust(net, once.pixels, truth) > robust(net, found.pixels, truth) + 0.2


TAGS = Decision("multilabel", ("a", "b"), thresholds=(0.2, 0.55))
"""Its first label is given well below one half, so that it looks wrong by its score alone."""


def test_what_was_answered_wrong_is_kept_when_labels_have_thresholds() -> None:
    torch.manual_seed(0)
    pixels = 0.5 + 0.02 * torch.randn((40, 3, 8, 8))
    aim = Aim(np.tile(np.float32([1, 0]), (40, 1)), TAGS)

    def answer(given: torch.Tensor) -> torch.Tensor:
        score = 400 * (given.mean(dim=(1, 2, 3)) - 0.505)
        return torch.stack([torch.full_like(score, -0.5), score], dim=1)

    assert not aim.wrong(answer(pixels).numpy()).any()
    moved = pgd(answer, pixels, aim, Budget(4 / 255, 20))
    assert aim.wrong(answer(moved.pixels).numpy()).all()


def test_the_margin_of_labels_runs_from_their_thresholds() -> None:
    scores = torch.tensor([[-0.5, -0.5]], requires_grad=True)
    losses(scores, torch.tensor([[1.0, 0.0]]), TAGS, margin=True).sum().backward()
    assert scores.grad is not None
    first, second = scores.grad[0].tolist()
    assert -0.5 < first < 0 < 0.5 < second


@pytest.mark.parametrize("radius", [3, 6])
def test_it_is_at_least_as_strong_as_that_of_the_robustness_toolbox(
    radius: int, learned: Any
) -> None:
    art = pytest.importorskip("art.attacks.evasion")
    estimators = pytest.importorskip("art.estimators.classification")
    net, pixels, truth = learned
    theirs = estimators.PyTorchClassifier(
        net, nn.CrossEntropyLoss(), (3, 12, 12), 3, clip_values=(0.0, 1.0), device_type="cpu"
    )
    steps, limit = 20, radius / 255
    attack = art.ProjectedGradientDescentPyTorch(
        theirs,
        eps=limit,
        eps_step=2.5 * limit / steps,
        max_iter=steps,
        num_random_init=2,
        batch_size=160,
        verbose=False,
    )
    found = attack.generate(pixels.numpy(), np.eye(3)[truth])
    ours = pgd(net, pixels, Aim(truth, CLASSES), Budget(limit, steps, restarts=2))
    assert np.abs(found - pixels.numpy()).max() <= limit + 1e-6
    assert robust(net, ours.pixels, truth) <= robust(net, torch.from_numpy(found), truth)
    once = art.FastGradientMethod(theirs, eps=limit, batch_size=160).generate(
        pixels.numpy(), np.eye(3)[truth]
    )
    own = fgsm(net, pixels, Aim(truth, CLASSES), limit)
    assert robust(net, own.pixels, truth) <= robust(net, torch.from_numpy(once), truth)


@pytest.mark.parametrize("kind", ["multiclass", "multilabel", "regression"])
def test_pixels_of_a_network_mean_pixels_of_its_picture(
    kind: Any, tiny_sources: dict[str, Any], tiny_table: Callable[..., Any]
) -> None:
    source = tiny_sources["mobilenet"]
    table = tiny_table(source, 30, kind)
    task = build(kind, table)
    tune = Finetune(train="all", epochs=1, patience=0)
    made = tune(Specialist(source, task), Problem(task, table), Run(Cache()))
    model: Any = made.model
    pixels = Pixels.of(model.preprocess)
    seen = torch.from_numpy(pixels.read(model.preprocess, table.columns()["image"]))
    scores = model.scores(table)
    answer = answering(model.net.eval(), pixels)
    np.testing.assert_allclose(answer(seen).detach().numpy(), scores, atol=1e-3, rtol=1e-4)
    inputs = entering(seen, pixels)
    np.testing.assert_allclose(inputs.numpy(), pixels.inputs(seen.numpy()), atol=1e-6)
    np.testing.assert_allclose(leaving(inputs, pixels).numpy(), seen.numpy(), atol=1e-6)
    aim = Aim(task.encode(table), Decision(kind, task.labels))
    moved = pgd(answer, seen, aim, Budget(8 / 255, 3))
    harm = [aim.harm(answer(each).detach().numpy()).mean() for each in (seen, moved.pixels)]
    assert harm[1] > harm[0]


def test_a_net_goes_on_as_it_was(learned: Any) -> None:
    net = nn.Sequential(nn.Linear(2, 2), nn.Dropout(), nn.BatchNorm1d(2))
    net.train()
    net[1].eval()
    with as_at_predict(net):
        assert not any(module.training for module in net.modules())
    assert [module.training for module in net] == [True, False, True]
