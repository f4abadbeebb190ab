"""Whatever the contract allows is answered as it says, whatever it does not is refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis import GenerationMode

from tests.serving.conftest import Live, live

EXAMPLES = 8


def check_contract(server: Live, mode: GenerationMode, token: str | None = None) -> None:
    """Send requests of every operation, and compare each answer with what the contract says."""
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    place = f"http://127.0.0.1:{server.port}/openapi.json"
    contract = schemathesis.openapi.from_url(place, headers=headers)
    # In a form, one text cannot be told from a list of one.
    image = server.service.reader.image is not None
    excluded = [schemathesis.checks.negative_data_rejection] if image else []
    asked = 0
    for operation in (found.ok() for found in contract.get_all_operations()):

        @settings(
            max_examples=EXAMPLES,
            deadline=None,
            derandomize=True,
            database=None,
            suppress_health_check=list(HealthCheck),
        )
        @given(operation.as_strategy(generation_mode=mode))
        def follow(case: schemathesis.Case) -> None:
            case.call_and_validate(headers=headers, excluded_checks=excluded)

        if mode is GenerationMode.POSITIVE or operation.body:
            follow()
            asked += 1
    assert asked == (6 if mode is GenerationMode.POSITIVE else 1)


@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE])
@pytest.mark.parametrize("name", ["text", "table", "image"])
def test_the_server_keeps_its_contract(
    name: str, mode: GenerationMode, request: pytest.FixtureRequest
) -> None:
    check_contract(request.getfixturevalue(name), mode)


def test_behind_a_door(written: Callable[[str], Path]) -> None:
    with live(written("text"), token="s3cret") as server:
        check_contract(server, GenerationMode.POSITIVE, "s3cret")
