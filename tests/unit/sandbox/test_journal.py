"""A node's journal: said once, agreed to once, attempts that only move on, keys that are destroyed."""

from __future__ import annotations

from itertools import pairwise

import pytest
from sqlalchemy import Connection

from records.errors import EvidenceError, StateConflict, UnknownObject
from sandbox.node import attempts, journal
from sandbox.ports import AdmissionRequest
from tests.unit.sandbox.registered import acceptance, job, quote

REQUEST = AdmissionRequest(b"job", (b"p1", b"p2"), (b"product",), ())
ORDER = ("prepared", "started", "sealed", "handed-out")


def prepared(connection: Connection, number: int = 1, acceptance_digest: str = "a") -> None:
    journal.add_attempt(connection, acceptance_digest, number, b"protected key", b"keys")


def change(connection: Connection, was: str, to: str) -> None:
    journal.change_attempt(connection, "a", 1, (was,), status=to)


def test_numbers_only_grow(connection: Connection) -> None:
    assert [journal.next_number(connection, "sequence") for _ in range(3)] == [1, 2, 3]
    assert journal.next_number(connection, "other") == 1


def test_a_decision_is_kept_with_the_bytes_it_was_made_on(connection: Connection) -> None:
    assert journal.admission(connection, "digest") is None
    journal.keep_admission(connection, "digest", REQUEST, b"admission")
    assert journal.admission(connection, "digest") == b"admission"
    assert journal.admitted_request(connection, "digest") == REQUEST


def test_a_job_never_admitted_is_unknown(connection: Connection) -> None:
    with pytest.raises(UnknownObject):
        journal.admitted_request(connection, "digest")


def test_a_job_is_agreed_to_once(connection: Connection) -> None:
    of = quote(job())
    first = acceptance(of)
    journal.keep_agreed(connection, "job", of, first, b"hold")
    row = journal.agreed(connection, first.digest)
    assert row is not None
    assert (row.hold, row.status) == (b"hold", "held")
    second = acceptance(of, issued_at="2026-01-31T12:00:01.000Z")
    assert second.digest != first.digest
    with pytest.raises(EvidenceError):
        journal.keep_agreed(connection, "job", of, second, b"hold")


def test_what_is_voided_is_not_held(connection: Connection) -> None:
    of = acceptance(quote(job()))
    journal.keep_agreed(connection, "job", quote(job()), of, b"hold")
    assert len(journal.held(connection)) == 1
    journal.set_status(connection, of.digest, "void")
    assert journal.held(connection) == []


def test_an_attempt_that_was_not_prepared_is_no_attempt(connection: Connection) -> None:
    with pytest.raises(StateConflict):
        journal.attempt(connection, "a", 1)
    assert journal.last_attempt(connection, "a") is None


@pytest.mark.parametrize("at", range(len(ORDER)))
@pytest.mark.parametrize("was", ORDER)
def test_an_attempt_moves_on_from_where_it_is_only(connection: Connection, at: int, was: str) -> None:
    prepared(connection)
    for before, after in pairwise(ORDER[: at + 1]):
        change(connection, before, after)
    if was == ORDER[at]:
        change(connection, was, "destroyed")
        assert journal.attempt(connection, "a", 1).status == "destroyed"
    else:
        with pytest.raises(StateConflict):
            change(connection, was, "destroyed")
        assert journal.attempt(connection, "a", 1).status == ORDER[at]


def test_a_handed_out_key_is_not_declared_destroyed(connection: Connection) -> None:
    prepared(connection)
    change(connection, "prepared", "handed-out")
    with pytest.raises(StateConflict):
        attempts.destroy(connection, "a", 1, b"never handed out")
    assert journal.attempt(connection, "a", 1).void_statement is None


@pytest.mark.parametrize("status", ["prepared", "started", "sealed", "withheld", "destroyed"])
def test_a_key_that_was_kept_is_destroyed_with_a_statement(connection: Connection, status: str) -> None:
    prepared(connection)
    change(connection, "prepared", status)
    attempts.destroy(connection, "a", 1, b"never handed out")
    row = journal.attempt(connection, "a", 1)
    assert (row.status, row.release_private, row.void_statement) == ("destroyed", None, b"never handed out")


def test_earlier_keys_and_bytes_are_destroyed_before_a_new_attempt(connection: Connection) -> None:
    for number in (1, 2):
        prepared(connection, number)
        journal.keep_blobs(connection, "a", number, {0: b"zero", 1: b"one"})
    prepared(connection, 1, "other")
    journal.destroy_keys_before(connection, "a", 2)
    first, second = (journal.attempt(connection, "a", number) for number in (1, 2))
    assert (first.status, first.release_private) == ("destroyed", None)
    assert (second.status, second.release_private) == ("prepared", b"protected key")
    assert journal.blobs(connection, "a", 1) == {}
    assert journal.blobs(connection, "a", 2) == {0: b"zero", 1: b"one"}
    assert journal.attempt(connection, "other", 1).release_private is not None
    last = journal.last_attempt(connection, "a")
    assert last is not None
    assert last.attempt == 2


def test_the_largest_checkpoint_is_the_last(connection: Connection) -> None:
    assert journal.last_checkpoint(connection) == (0, "")
    for size in (3, 7, 5):
        journal.keep_checkpoint(connection, size, f"note {size}")
    journal.keep_checkpoint(connection, 7, "another note of this size")
    assert journal.last_checkpoint(connection) == (7, "note 7")
