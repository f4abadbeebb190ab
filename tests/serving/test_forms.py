"""Forms come out as they were put in, or are refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metier.serving.forms import read_form
from metier.serving.limits import Refused
from tests.serving.conftest import form


@given(st.lists(st.tuples(st.sampled_from(["files", "rows"]), st.binary(max_size=200)), min_size=1))
def test_fields_come_back_byte_for_byte(fields: list[tuple[str, bytes]]) -> None:
    body, kind = form(*fields, boundary="a-boundary-that-no-content-has")
    assert read_form(body, kind["Content-Type"]) == fields


@given(st.binary(max_size=300))
def test_what_is_no_form_is_refused(body: bytes) -> None:
    with pytest.raises(Refused) as refused:
        read_form(body, "multipart/form-data; boundary=line")
    assert refused.value.status == 422


@pytest.mark.parametrize("kind", ["multipart/form-data", "multipart/form-data; boundary="])
def test_a_form_needs_a_boundary(kind: str) -> None:
    with pytest.raises(Refused, match="boundary"):
        read_form(b"--line--\r\n", kind)


def test_broken_forms_do_not_fill_the_log(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(Refused):
        read_form(b"no form", "multipart/form-data; boundary=line")
    assert capfd.readouterr().err == ""


def test_a_form_that_is_cut_off_is_refused() -> None:
    body, kind = form(("files", b"a picture"))
    for size in range(len(body) - 4):
        with pytest.raises(Refused):
            read_form(body[:size], kind["Content-Type"])
