"""Signed documents: strict fields, the expected type, the expected environment, the expected key."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from records import canonical, dsse
from records.document import Document
from records.errors import MalformedDocument, Reason, SignatureInvalid
from records.job import Acceptance, Cancellation, Charge, ReasonRecord, ReleaseToken, VoidStatement
from tests.unit.records.signers import signer

BUYER, MALLORY = signer(), signer()
CANCELLATION = Cancellation(environment="test", job_id="j", buyer="acme", issued_at="t")
CHARGE: dict[str, Any] = {"currency": "CNY", "total_minor": 5, "split": {"alice": 5}}
TOKEN: dict[str, Any] = {
    "environment": "test",
    "job_id": "j",
    "acceptance_digest": "d",
    "attempt": 1,
    "sealed": [{"node": "alice", "statement_digest": "s"}],
    "cells": 3,
    "charge": CHARGE,
    "log_index": 0,
    "checkpoint": "c",
    "issued_at": "t",
    "expires_at": "t",
}


def test_a_signed_document_travels_and_verifies() -> None:
    signed = CANCELLATION.sign(BUYER)
    again = Cancellation.verified(signed.to_bytes(), BUYER.key, "test")
    assert again == signed
    assert again.digest == CANCELLATION.digest


@given(st.text(st.characters(codec="utf-8")), st.integers(0, 1 << 50))
def test_every_document_reads_back(text: str, number: int) -> None:
    document = VoidStatement(
        environment="test", acceptance_digest=text, attempt=number, node=text, issued_at=text
    )
    assert VoidStatement.verified(document.sign(BUYER).to_bytes(), BUYER.key, "test").document == document


def test_another_key_is_refused() -> None:
    with pytest.raises(SignatureInvalid):
        Cancellation.verified(CANCELLATION.sign(MALLORY).to_bytes(), BUYER.key, "test")


def test_another_environment_is_refused() -> None:
    with pytest.raises(MalformedDocument):
        Cancellation.verified(CANCELLATION.sign(BUYER).to_bytes(), BUYER.key, "production")


def test_a_document_of_another_kind_is_refused() -> None:
    envelope = CANCELLATION.sign(BUYER).to_bytes()
    with pytest.raises(MalformedDocument):
        Acceptance.verified(envelope, BUYER.key, "test")


def test_the_same_fields_under_another_type_do_not_verify() -> None:
    envelope = dsse.seal("application/vnd.usufruct.stop-order.v1+json", CANCELLATION.to_json(), BUYER)
    renamed = dsse.Envelope(Cancellation.payload_type(), envelope.payload, envelope.signatures)
    with pytest.raises(SignatureInvalid):
        Cancellation.verified(renamed.to_bytes(), BUYER.key, "test")


def test_a_token_parses() -> None:
    assert ReleaseToken.from_payload(canonical.encode(TOKEN)).charge.split == {"alice": 5}


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"extra": 1}, "extra"),
        ({"cells": "3"}, "cells"),
        ({"cells": True}, "cells"),
        ({"cells": None}, "cells"),
        ({"charge": CHARGE | {"tip": 1}}, "charge.tip"),
        ({"charge": CHARGE | {"split": {"alice": "5"}}}, "charge.split.alice"),
        ({"sealed": "alice"}, "sealed"),
        ({"job_id": 7}, "job_id"),
        ({"environment": None}, "environment"),
    ],
)
def test_a_field_of_another_shape_is_refused_by_name(changes: dict[str, Any], field: str) -> None:
    with pytest.raises(MalformedDocument, match=rf"`release-token`: {field}: "):
        ReleaseToken.from_payload(canonical.encode(TOKEN | changes))


@pytest.mark.parametrize("field", TOKEN)
def test_a_missing_field_is_refused_by_name(field: str) -> None:
    rest = {name: value for name, value in TOKEN.items() if name != field}
    with pytest.raises(MalformedDocument, match=field):
        ReleaseToken.from_payload(canonical.encode(rest))


def test_a_float_is_refused() -> None:
    payload = canonical.encode(TOKEN).replace(b'"cells":3', b'"cells":3.0')
    with pytest.raises(MalformedDocument, match="float"):
        ReleaseToken.from_payload(payload)


def test_messages_hold_no_value() -> None:
    with pytest.raises(MalformedDocument) as refusal:
        ReleaseToken.from_payload(canonical.encode(TOKEN | {"cells": "secret-salary"}))
    assert "secret" not in str(refusal.value)
    assert refusal.value.__cause__ is None


def test_documents_do_not_change() -> None:
    for field in Cancellation.model_fields:
        with pytest.raises(ValueError, match="frozen"):
            setattr(CANCELLATION, field, "other")


def _kinds(base: type[Document]) -> list[type[Document]]:
    return [kind for child in base.__subclasses__() for kind in (child, *_kinds(child))]


def test_no_two_documents_share_a_type() -> None:
    types = [kind.payload_type() for kind in _kinds(Document)]
    assert len(set(types)) == len(types)


def test_a_reason_reads_back() -> None:
    reason = Reason("alice", "purposes", "ads", "research", "state another purpose")
    assert ReasonRecord.of(reason).reason() == reason


def test_a_charge_is_plain_json() -> None:
    assert Charge(**CHARGE).to_json() == CHARGE
