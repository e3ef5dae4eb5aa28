from __future__ import annotations

import logging

import grpc
import pytest
from hypothesis import given
from hypothesis import strategies as st

from records import errors as tree
from records.errors import JobRefused, MalformedDocument, Reason, RefusedError, UsufructError
from sandbox.wire.errors import CATALOGUE, MAX_ERROR_BYTES, Failure, describe


def _all_classes(kind: type[UsufructError]) -> set[type[UsufructError]]:
    found = {kind}
    for child in kind.__subclasses__():
        found |= _all_classes(child)
    return found


OURS = {kind for kind in _all_classes(UsufructError) if kind.__module__ == tree.__name__}
REASON = Reason("alice", "min_units", "3", "10", "group more coarsely")


def test_the_catalogue_names_every_class_but_the_root() -> None:
    assert set(CATALOGUE) == OURS - {UsufructError}


def test_codes_are_unique() -> None:
    assert len({kind.code for kind in OURS}) == len(OURS)


@pytest.mark.parametrize("kind", list(CATALOGUE))
def test_every_class_crosses_and_comes_back_as_itself(kind: type[UsufructError]) -> None:
    refused = issubclass(kind, RefusedError)
    error = kind((REASON, REASON)) if refused else kind("say what to do next")
    failure = Failure.from_bytes(describe(error, "/m").to_bytes())
    back = failure.to_exception("bob")
    assert type(back) is kind
    assert str(back) == str(error)
    assert failure.status is CATALOGUE[kind].status
    assert failure.public_text == CATALOGUE[kind].text
    if isinstance(back, RefusedError):
        assert back.reasons == (REASON, REASON)


def test_no_entry_is_taken_for_a_dead_peer() -> None:
    # The client repeats UNAVAILABLE and reports DEADLINE_EXCEEDED as silence.
    silent = {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.OK}
    assert silent.isdisjoint(entry.status for entry in CATALOGUE.values())


@pytest.mark.parametrize(
    "error", [KeyError("patient 4711"), UsufructError("patient 4711"), ValueError("patient 4711")]
)
def test_what_is_not_ours_crosses_as_an_incident_alone(
    error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG):
        failure = describe(error, "/sandbox.rpc.v1.NodeService/AdmitJob")
    assert failure.status is grpc.StatusCode.INTERNAL
    assert failure.public_text == "internal error"
    assert b"4711" not in failure.to_bytes()
    assert "4711" not in caplog.text
    assert failure.incident in caplog.text
    assert type(error).__name__ in caplog.text
    assert failure.incident in str(failure.to_exception("bob"))


def test_control_the_plain_text_would_have_shown_the_value() -> None:
    assert "4711" in repr(KeyError("patient 4711"))


@given(st.integers(1, 400), st.integers(0, 400))
def test_many_reasons_stay_within_the_limit(count: int, width: int) -> None:
    reasons = tuple(Reason("alice", f"c{n}", "w" * width, "l", "r") for n in range(count))
    data = describe(JobRefused(reasons), "/m").to_bytes()
    assert len(data) <= MAX_ERROR_BYTES
    back = Failure.from_bytes(data).to_exception("bob")
    assert isinstance(back, JobRefused)
    assert back.reasons == reasons[: len(back.reasons)]
    assert back.reasons


@pytest.mark.parametrize(
    "data",
    [b"", b"[]", b'{"code":"x"}', b'{"code":"x","incident":"","reasons":[1],"text":""}', b"\xff"],
)
def test_a_foreign_error_does_not_parse(data: bytes) -> None:
    with pytest.raises(MalformedDocument):
        Failure.from_bytes(data)


def test_a_peer_cannot_name_a_class_outside_the_catalogue() -> None:
    assert type(Failure("SystemExit", "x").to_exception("bob")) is UsufructError
