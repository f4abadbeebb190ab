"""Signs of masked gradients, from scores of attacks that are put down by hand."""

from __future__ import annotations

from dataclasses import replace

from metier.evidence.compare import Comparison
from metier.evidence.robustness.curves import Assault
from metier.evidence.robustness.masking import signs
from metier.types import Finding


def assault(family: str, radius: float, score: float, flat: float = 0.0) -> Assault:
    change = Comparison("accuracy", score - 0.9, -1.0, 0.0, 0.001, 200, "worse", score, 0.9)
    sees = "scores" if family == "square" else "gradients"
    told = Finding("accuracy", "", score, score - 0.05, score + 0.05, 200)
    return Assault(f"{family} {radius}", "", family, sees, radius, told, change, (), flat)


def names(*assaults: Assault) -> list[str]:
    return [each.name for each in signs(assaults)]


def test_a_fair_fight_has_no_sign() -> None:
    fair = (
        assault("fgsm", 4, 0.4),
        assault("pgd", 1, 0.7),
        assault("pgd", 4, 0.2),
        assault("pgd", 8, 0.05),
        assault("square", 4, 0.35),
    )
    (found,) = signs(fair)
    assert found.name == "masked_gradients" and found.level == "info" and found.n == 200


def test_each_sign_is_found() -> None:
    assert names(assault("pgd", 4, 0.6), assault("square", 4, 0.4)) == [
        "masked_gradients[black box stronger]"
    ]
    assert names(assault("fgsm", 4, 0.3), assault("pgd", 4, 0.6)) == [
        "masked_gradients[single step stronger]"
    ]
    assert names(assault("pgd", 1, 0.6), assault("pgd", 8, 0.6)) == [
        "masked_gradients[more room no stronger]"
    ]
    assert names(assault("pgd", 4, 0.6, flat=0.8)) == ["masked_gradients[vanishing gradients]"]


def test_nothing_left_to_break_is_no_sign() -> None:
    assert names(assault("pgd", 1, 0.0), assault("pgd", 8, 0.0)) == ["masked_gradients"]


def test_of_numbers_more_error_is_what_breaks() -> None:
    def erring(family: str, radius: float, error: float) -> Assault:
        plain = assault(family, radius, error)
        change = replace(plain.change, metric="rmse", difference=1.0 - error, a=error, b=1.0)
        return replace(plain, change=change)

    fair = (erring("fgsm", 4, 1.2), erring("pgd", 1, 1.1), erring("pgd", 4, 3.0))
    assert names(*fair) == ["masked_gradients"]
    assert names(erring("fgsm", 4, 3.0), erring("pgd", 4, 1.2)) == [
        "masked_gradients[single step stronger]"
    ]
    assert names(erring("pgd", 1, 1.4), erring("pgd", 8, 1.4)) == [
        "masked_gradients[more room no stronger]"
    ]


def test_without_gradients_there_is_nothing_to_say() -> None:
    assert names(assault("square", 4, 0.4)) == [] and names() == []
