"""The routes: what they answer, what they refuse, and what they never tell."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import PIL.Image
import pytest

from metier.runtime.session import load
from metier.serving.limits import Limits
from tests.serving.conftest import Live, ask, eventually, form, live

QUIET = Limits(rows=4, body=2000, queue=8)


def png(colour: str = "red") -> bytes:
    out = io.BytesIO()
    PIL.Image.new("RGB", (8, 6), colour).save(out, "PNG")
    return out.getvalue()


def test_rows_are_answered_in_order_as_the_bundle_answers_them(
    text: Live, written: Callable[[str], Path]
) -> None:
    rows = ["lost card", "invoice invoice", "", "money"]
    found = text.ask("/predict", {"rows": [{"text": row, "other": 1} for row in rows]})
    bundle = load(written("text")).predict(rows)
    assert found.status == 200 and found.json["warnings"] == list(bundle.warnings)
    assert bundle.warnings == ("1 row has no text and got the answer of an empty one",)
    assert [row["prediction"] for row in found.json["predictions"]] == bundle.answers
    assert bundle.probabilities is not None
    for row, shares in zip(found.json["predictions"], bundle.probabilities, strict=True):
        assert row["reason"] is None
        assert list(row["probabilities"]) == list(bundle.labels)
        assert list(row["probabilities"].values()) == pytest.approx(list(shares), abs=1e-6)


def test_numbers_have_no_probabilities_and_missing_columns_a_warning(table: Live) -> None:
    found = table.ask("/predict", {"rows": [{"size": 3}, {"size": None}]}).json
    assert [row["prediction"] for row in found["predictions"]] == [2.0, -1.0]
    assert found["predictions"][0]["probabilities"] is None
    assert found["warnings"] == ["missing columns read as empty: 'colour'"]


def test_cells_that_the_model_does_not_know_are_told_of(table: Live) -> None:
    rows = [{"size": 3, "colour": "pink"}, {"size": 3, "colour": "red"}, {"colour": "grey"}]
    (told,) = table.ask("/predict", {"rows": rows}).json["warnings"]
    assert told == table.service.bundle.predict(rows).warnings[0] and "'colour' (2)" in told
    assert table.ask("/predict", {"rows": rows[1:2]}).json["warnings"] == []


def test_each_group_has_its_own_threshold_and_strangers_are_told_of(
    written: Callable[[str], Path],
) -> None:
    people = ("f", "m", "x", None)
    rows = [{"text": text, "sex": who} for text in ("card", "money", "") for who in people]
    bundle = load(written("grouped"))
    found = bundle.predict(rows)
    with live(written("grouped")) as server:
        told = server.ask("/predict", {"rows": rows}).json
        assert [row["prediction"] for row in told["predictions"]] == found.answers
        assert found.answers[4:6] == ["billing", "card"], "else the groups would decide nothing"
        strangers = "6 rows of a missing or unknown group decided by the common threshold"
        assert strangers in found.warnings[0] and strangers in told["warnings"]
        columns = server.ask("/metadata").json["columns"]
        assert [column["name"] for column in columns] == ["text", "sex"]
        assert "sex" in json.dumps(server.ask("/openapi.json").json["paths"])


def test_images_come_as_files_and_each_row_has_its_own_fate(image: Live) -> None:
    body, kind = form(("files", png()), ("files", b"no image"), ("files", png("blue")))
    found = image.ask("/predict", body, headers=kind)
    first, broken, last = found.json["predictions"]
    assert found.status == 200 and first["prediction"] and last["prediction"]
    assert broken == {"prediction": None, "probabilities": None, "reason": "not an image"}


@pytest.mark.parametrize("secret", ["/etc/passwd", "photo.png", "file:///etc/hostname"])
def test_paths_of_images_are_refused(image: Live, secret: str) -> None:
    asked = image.ask("/predict", {"rows": [{"file": secret}]})
    assert asked.status == 415 and "files" in asked.json["error"]
    body, kind = form(("files", png()), ("rows", json.dumps([{"file": secret}]).encode()))
    ignored = image.ask("/predict", body, headers=kind)
    plain, _ = form(("files", png()))
    without = image.ask("/predict", plain, headers=kind)
    assert ignored.json["predictions"] == without.json["predictions"]
    named, _ = form(("files", secret.encode()))
    assert image.ask("/predict", named, headers=kind).json["predictions"][0]["prediction"] is None


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (b"", "not JSON"),
        (b"[" * 100_000, "not JSON"),
        (b'{"rows": [{"text": NaN}]}', "not JSON"),
        (b"[]", "list of objects"),
        (b'{"rows": {}}', "list of objects"),
        (b'{"rows": ["a"]}', "list of objects"),
        (b'{"rows": []}', "no rows"),
        (b'{"rows": [{}]}', "none of the columns: 'text'"),
        (b'{"rows": [{"text": 7}]}', "'text' must be a text or null"),
        (b'{"rows": [{"text": {"path": "x"}}]}', "'text' must be a text or null"),
        (b'{"rows": [{"text": "a"}], "covrage": 0.9}', "unknown field 'covrage': beside `rows`"),
        (b'{"rows": [' + b",".join([b'{"text": "a"}'] * 257) + b"]}", "may have 256"),
    ],
)
def test_what_is_no_row_is_refused_in_one_line(text: Live, body: bytes, told: str) -> None:
    found = text.ask("/predict", body, headers={"Content-Type": "application/json"})
    assert found.status == 422 and told in found.json["error"]
    assert "\n" not in found.json["error"]


@pytest.mark.parametrize("size", [b"1e400", b"-1e400", b"1" + b"0" * 400])
def test_numbers_beyond_all_numbers_are_refused(table: Live, size: bytes) -> None:
    body = b'{"rows": [{"size": ' + size + b"}]}"
    found = table.ask("/predict", body, headers={"Content-Type": "application/json"})
    assert found.status == 422
    assert found.json["error"] == "row 0: 'size' is larger than numbers can be"


def test_health_is_told_without_a_body_too(text: Live) -> None:
    found = text.ask("/health", method="HEAD")
    assert (found.status, found.content) == (200, b"")


def test_half_characters_and_other_odd_texts_are_read(text: Live) -> None:
    body = json.dumps({"rows": [{"text": "card \ud83d"}, {"text": "\0"}, {"text": None}]})
    assert text.ask("/predict", json.loads(body)).status == 200


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", ""])
def test_other_kinds_of_bodies_are_refused(text: Live, image: Live, kind: str) -> None:
    for server, needed in ((text, "application/json"), (image, "multipart/form-data")):
        found = server.ask("/predict", b"rows=1", headers={"Content-Type": kind})
        assert found.status == 415 and needed in found.json["error"]


def test_unknown_places_and_methods_are_told_as_json(text: Live) -> None:
    assert text.ask("/nowhere").json == {"error": "not found"}
    wrong = text.ask("/predict")
    assert (wrong.status, wrong.headers["allow"]) == (405, "POST")


def test_limits_are_kept(written: Callable[[str], Path]) -> None:
    with live(written("text"), QUIET) as server:
        many = server.ask("/predict", {"rows": [{"text": "a"}] * 5})
        assert (many.status, many.json["error"]) == (422, "5 rows, and a request may have 4")
        large = server.ask("/predict", {"rows": [{"text": "a" * 3000}]})
        assert large.status == 413 and large.headers["connection"] == "close"
        assert server.ask("/predict", {"rows": [{"text": "a"}] * 4}).status == 200
        assert server.service.bodies.held == 0


def test_a_token_opens_everything_but_the_empty_page(written: Callable[[str], Path]) -> None:
    rows = {"rows": [{"text": "card"}]}
    with live(written("text"), token="s3cret") as server:
        for path in ("/metadata", "/metrics", "/drift", "/openapi.json", "/nowhere"):
            assert server.ask(path).status == 401
        for wrong in ("Bearer s3cre", "Bearer s3crets", "Basic s3cret", "s3cret", "Bearer \xe9"):
            found = server.ask("/predict", rows, headers={"Authorization": wrong})
            assert found.status == 401 and found.headers["www-authenticate"] == "Bearer"
        right = {"Authorization": "Bearer s3cret"}
        assert server.ask("/predict", rows, headers=right).status == 200
        assert server.ask("/openapi.json", headers=right).status == 200
        assert server.ask("/").status == server.ask("/health").status == 200
        assert "card" not in server.ask("/").content.decode()


def test_no_answer_names_a_path_of_this_machine(
    text: Live, image: Live, table: Live, written: Callable[[str], Path]
) -> None:
    body, kind = form(("files", b"GIF89a broken"), ("files", b"\x89PNG\r\n\x1a\n" + b"0" * 40))
    found = [image.ask("/predict", body, headers=kind), text.ask("/predict", b"{")]
    for server in (text, image, table):
        found += [server.ask(p) for p in ("/metadata", "/metrics", "/openapi.json", "/drift", "/x")]
    root = str(written("text").parent)
    for answer in found:
        told = answer.content.decode()
        assert root not in told
        assert not re.search(r"/(home|tmp|usr|root|work|private|Users)/|site-packages|\.py\b", told)


def test_metadata_tells_what_a_client_needs(text: Live, table: Live) -> None:
    found = text.ask("/metadata").json
    assert found["task"] == "binary" and found["labels"] == ["card", "billing"]
    assert [column["name"] for column in found["columns"]] == ["text"]
    assert re.fullmatch("[0-9a-f]{64}", found["digest"])
    size, colour = table.ask("/metadata").json["columns"]
    assert (size["low"], size["high"]) == (0.0, 9.0) and colour["values"] == ["blue", "red"]


def test_a_source_that_was_a_directory_keeps_only_its_name() -> None:
    from metier.serving.service import _last_part

    given = ["embedded", "org/model", "/home/me/models/bert", "C:\\models\\bert", "../a/bert"]
    assert [_last_part(name) for name in given] == ["embedded", "org/model", "bert", "bert", "bert"]


def test_a_fault_of_the_server_is_not_spelled_out(written: Callable[[str], Path]) -> None:
    def break_down(columns: Any, asked: Any) -> Any:
        raise ValueError("secret /home/me")

    with live(written("text")) as server:
        server.service.batcher._predict = break_down
        found = server.ask("/predict", {"rows": [{"text": "a"}]})
        assert found.status == 500 and "secret" not in found.content.decode()
        assert ask(server.port, "/health").status == 200


def test_counters_count(written: Callable[[str], Path]) -> None:
    with live(written("text")) as server:
        server.ask("/predict", {"rows": [{"text": "card"}, {"text": "card"}]})
        server.ask("/nowhere")
        wanted = {
            'metier_requests_total{route="/predict",status="200"} 1.0',
            'metier_requests_total{route="other",status="404"} 1.0',
            'metier_rows_total{outcome="answered"} 2.0',
            'metier_predictions_total{label="card"} 2.0',
            "metier_batch_rows_count 1.0",
            "metier_queue_rows 0.0",
            "metier_drift_rows 2.0",
            "metier_drift_level 0.0",
        }

        def missing() -> set[str]:
            told = server.ask("/metrics")
            assert told.headers["content-type"].startswith("text/plain")
            return wanted - set(told.content.decode().splitlines())

        # What was answered is counted just after it was sent.
        assert eventually(lambda: not missing()), missing()
