"""Sealed literals: they open for the parties of their job alone, and for all of them to the same values."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from records.errors import EvidenceError
from records.job import Job, SealedParameters
from sandbox import parameters
from sandbox.hpke import SealingKey
from sandbox.parameters import seal, unseal
from tests.unit.sandbox.registered import job, product

ALICE, BOB = SealingKey.generate(), SealingKey.generate()
PUBLIC = {"alice": ALICE.public, "bob": BOB.public}
JOB = job(products=[product("alice"), product("bob")]).document


def with_sealed(values: tuple[str, ...], **changes: Any) -> Job:
    return JOB.model_copy(update={"parameters": seal(values, PUBLIC, JOB.job_id), **changes})


def altered(of: Job, **changes: Any) -> Job:
    assert of.parameters is not None
    return of.model_copy(update={"parameters": of.parameters.model_copy(update=changes)})


@given(st.lists(st.text(max_size=40), max_size=8).map(tuple))
@settings(max_examples=25)
def test_every_provider_opens_what_was_sealed(values: tuple[str, ...]) -> None:
    of = with_sealed(values)
    assert unseal(of, "alice", [ALICE]) == unseal(of, "bob", [BOB]) == values


def test_a_job_without_literals_has_no_values() -> None:
    assert unseal(JOB, "alice", [ALICE]) == ()


def test_a_provider_that_rotated_its_key_opens_with_a_former_one() -> None:
    assert unseal(with_sealed(("x",)), "alice", [SealingKey.generate(), ALICE]) == ("x",)


def test_others_open_nothing() -> None:
    of = with_sealed(("x",))
    for party, key in (("carol", ALICE), ("alice", BOB), ("bob", ALICE)):
        with pytest.raises(EvidenceError):
            unseal(of, party, [key])


def test_parameters_moved_to_another_job_do_not_open() -> None:
    with pytest.raises(EvidenceError):
        unseal(with_sealed(("x",), job_id="another"), "alice", [ALICE])


@pytest.mark.parametrize("field", ["ciphertext", "commitment"])
def test_changed_parameters_do_not_open(field: str) -> None:
    of, other = with_sealed(("x",)), with_sealed(("y",))
    assert other.parameters is not None
    with pytest.raises(EvidenceError):
        unseal(altered(of, **{field: getattr(other.parameters, field)}), "alice", [ALICE])
    with pytest.raises(EvidenceError):
        unseal(altered(of, **{field: "%"}), "alice", [ALICE])


def test_the_size_tells_the_length_of_the_literals_by_256_bytes_only() -> None:
    def size(values: tuple[str, ...]) -> int:
        sealed: SealedParameters | None = with_sealed(values).parameters
        assert sealed is not None
        return len(base64.b64decode(sealed.ciphertext))

    assert {size(("x" * length,)) for length in range(150)} == {size(("",))}
    assert (size(("x" * 600,)) - size(("",))) % parameters.PADDED_TO_BYTES == 0
