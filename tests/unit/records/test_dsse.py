"""Envelopes: the type is signed with the payload, and only named keys count."""

from __future__ import annotations

import base64
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from records import canonical, dsse
from records.dsse import Envelope, pre_authentication_encoding
from records.errors import MalformedDocument, SignatureInvalid
from records.keys import VerifyingKey
from tests.unit.records.signers import signer

KIND = "application/vnd.usufruct.test.v1+json"
ALICE, MALLORY = signer(), signer()
KEYS = {ALICE.key.key_id: ALICE.key}
PAIRS = st.tuples(st.text(st.characters(codec="utf-8")), st.binary())


@given(st.dictionaries(st.text("abc"), st.integers(-9, 9)))
def test_a_sealed_payload_travels_and_verifies(payload: dict[str, int]) -> None:
    envelope = dsse.parse(dsse.seal(KIND, payload, ALICE).to_bytes())
    assert envelope.verify(KEYS, KIND) == ALICE.key.key_id
    assert canonical.decode(envelope.payload) == payload
    assert envelope.digest == canonical.digest(payload)


@given(PAIRS, PAIRS)
def test_two_messages_never_share_an_encoding(first: tuple[str, bytes], second: tuple[str, bytes]) -> None:
    same = pre_authentication_encoding(*first) == pre_authentication_encoding(*second)
    assert same == (first == second)


@given(st.data())
def test_one_changed_byte_does_not_verify(data: st.DataObject) -> None:
    whole = dsse.seal(KIND, {"amount": 1}, ALICE)
    position = data.draw(st.integers(0, len(whole.payload) - 1))
    flip = data.draw(st.integers(1, 255))
    payload = bytearray(whole.payload)
    payload[position] ^= flip
    with pytest.raises(SignatureInvalid):
        Envelope(KIND, bytes(payload), whole.signatures).verify(KEYS, KIND)


def test_a_document_of_one_type_is_none_of_another() -> None:
    envelope = dsse.seal(KIND, {"a": 1}, ALICE)
    other = "application/vnd.usufruct.other.v1+json"
    with pytest.raises(SignatureInvalid):
        envelope.verify(KEYS, other)
    renamed = Envelope(other, envelope.payload, envelope.signatures)
    with pytest.raises(SignatureInvalid):
        renamed.verify(KEYS, other)


def test_the_control_without_the_type_in_the_signature_is_fooled() -> None:
    # What DSSE defends against: a signature over the payload alone serves every type.
    payload = canonical.encode({"a": 1})
    ALICE.key.verify(ALICE.sign(payload), payload)


def test_another_key_does_not_sign_for_this_one() -> None:
    envelope = dsse.seal(KIND, {"a": 1}, MALLORY)
    with pytest.raises(SignatureInvalid):
        envelope.verify(KEYS, KIND)
    claimed = Envelope(KIND, envelope.payload, ((ALICE.key.key_id, envelope.signatures[0][1]),))
    with pytest.raises(SignatureInvalid):
        claimed.verify(KEYS, KIND)


def test_a_foreign_signature_beside_a_good_one_is_no_harm() -> None:
    envelope = dsse.seal(KIND, {"a": 1}, ALICE)
    both = Envelope(KIND, envelope.payload, (("unknown", b"x"), *envelope.signatures))
    assert both.verify(KEYS, KIND) == ALICE.key.key_id


def test_no_signature_verifies_nothing() -> None:
    with pytest.raises(SignatureInvalid):
        Envelope(KIND, b"{}", ()).verify(KEYS, KIND)


def _with(**changes: object) -> bytes:
    entry = {"keyid": "k", "sig": "AAAA"}
    document = {"payload": "e30=", "payloadType": KIND, "signatures": [entry]} | changes
    return json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def test_a_minimal_envelope_parses() -> None:
    assert dsse.parse(_with()).payload == b"{}"


@pytest.mark.parametrize(
    "changes",
    [
        {"extra": 1},
        {"payload": 5},
        {"payload": "e30"},
        {"payload": "e3 0="},
        {"payload": "e3_0"},
        {"payload": "é30="},
        {"signatures": []},
        {"signatures": [{"keyid": "k", "sig": "AAAA"}] * 9},
        {"signatures": [{"sig": "AAAA"}]},
        {"signatures": [{"keyid": "k", "sig": "AAAA", "cert": ""}]},
        {"signatures": {"keyid": "k", "sig": "AAAA"}},
    ],
)
def test_what_is_no_envelope_is_refused(changes: dict[str, object]) -> None:
    with pytest.raises(MalformedDocument):
        dsse.parse(_with(**changes))


def test_one_payload_has_one_base64_spelling() -> None:
    whole = dsse.seal(KIND, {"a": 12}, ALICE)
    text = base64.b64encode(whole.payload).decode()
    assert text.endswith("=")
    other = text[:-2] + chr(ord(text[-2]) + 1) + "="
    assert base64.b64decode(other) == whole.payload
    with pytest.raises(MalformedDocument):
        dsse.parse(whole.to_bytes().replace(text.encode(), other.encode()))


@pytest.mark.parametrize("text", ["", "ed25519", "rsa:00", "ed25519:00", "ed25519:" + "zz" * 32])
def test_what_is_no_key_is_refused(text: str) -> None:
    with pytest.raises(MalformedDocument):
        VerifyingKey.from_json(text)


def test_a_key_is_written_and_read() -> None:
    assert VerifyingKey.from_json(ALICE.key.to_json()) == ALICE.key
    assert ALICE.key.key_id.startswith("ed25519:")
    assert ALICE.key.key_id != MALLORY.key.key_id
