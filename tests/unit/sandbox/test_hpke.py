"""Sealing to a key: only that key opens it, only for the purpose it was sealed for."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from records.errors import EvidenceError, MalformedDocument
from sandbox import hpke
from sandbox.hpke import PRIVATE_BYTES, PUBLIC_BYTES, SealingKey

KEY, OTHER = SealingKey.generate(), SealingKey.generate()


@settings(deadline=None, max_examples=25)
@given(st.binary(max_size=300), st.binary(max_size=60))
def test_what_is_sealed_opens(plaintext: bytes, info: bytes) -> None:
    assert KEY.open(hpke.seal(plaintext, KEY.public, info), info) == plaintext


def test_no_two_seals_are_equal() -> None:
    assert hpke.seal(b"x", KEY.public, b"") != hpke.seal(b"x", KEY.public, b"")


def test_another_key_or_purpose_does_not_open() -> None:
    sealed = hpke.seal(b"x", KEY.public, b"result")
    for key, info in ((OTHER, b"result"), (KEY, b"release"), (KEY, b"")):
        with pytest.raises(EvidenceError):
            key.open(sealed, info)


@settings(deadline=None, max_examples=25)
@given(st.data())
def test_changed_or_cut_bytes_do_not_open(data: st.DataObject) -> None:
    sealed = bytearray(hpke.seal(b"twelve bytes", KEY.public, b""))
    position = data.draw(st.integers(0, len(sealed) - 1))
    with pytest.raises(EvidenceError):
        KEY.open(bytes(sealed[:position]), b"")
    sealed[position] ^= data.draw(st.integers(1, 255))
    with pytest.raises(EvidenceError):
        KEY.open(bytes(sealed), b"")


def test_half_a_key_does_not_open() -> None:
    # Both problems stand between the sealed bytes and whoever solves one of them.
    sealed = hpke.seal(b"x", KEY.public, b"")
    for mixed in (KEY.private[:64] + OTHER.private[64:], OTHER.private[:64] + KEY.private[64:]):
        with pytest.raises(EvidenceError):
            SealingKey(mixed).open(sealed, b"")


def test_sizes_are_those_of_the_raw_encodings() -> None:
    assert len(KEY.public) == PUBLIC_BYTES
    assert len(KEY.private) == PRIVATE_BYTES
    assert SealingKey(KEY.private).public == KEY.public


@pytest.mark.parametrize(
    "public", [b"", bytes(PUBLIC_BYTES - 1), bytes(PUBLIC_BYTES + 1), b"\xff" * PUBLIC_BYTES]
)
def test_what_is_no_public_key_is_refused(public: bytes) -> None:
    with pytest.raises(MalformedDocument):
        hpke.seal(b"x", public, b"")


def test_what_is_no_private_key_is_refused() -> None:
    with pytest.raises(MalformedDocument):
        SealingKey(bytes(PRIVATE_BYTES - 1))


def test_a_private_key_is_not_written_out() -> None:
    assert KEY.private.hex() not in repr(KEY)
    assert repr(KEY) == "SealingKey(private)"
