"""A receipt is checked offline, with public keys alone; whatever is changed in it shows."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import Connection

from records import canonical, clock
from records.errors import EvidenceError, MalformedDocument, SignatureInvalid, UsufructError
from records.job import Charge, NodeStatement, OpenedField, Receipt, ReleaseToken
from sandbox import receipt as receipts
from sandbox.exchange.logbook import Logbook, visible_fields
from sandbox.receipt import ExchangeKeys
from tests.unit.sandbox.registered import ENVIRONMENT, NOW, identity

EXCHANGE = identity("exchange", "exchange")
LOGBOOK = Logbook(ENVIRONMENT, EXCHANGE.signer, EXCHANGE.log_signer)
KEYS = ExchangeKeys(ENVIRONMENT, EXCHANGE.signer.key, EXCHANGE.log_signer.key)
FACTS: dict[str, Any] = {
    "job": "j",
    "acceptance": "a",
    "cells": 9,
    "charge": {"currency": "CNY", "total_minor": 12},
    "part.0": {"payee": "alice", "amount_minor": 10},
    "part.1": {"payee": "bob", "amount_minor": 2},
    "buyer": "acme",
}
TOKEN: dict[str, Any] = {
    "environment": ENVIRONMENT,
    "job_id": "j",
    "acceptance_digest": "a",
    "attempt": 1,
    "sealed": (NodeStatement(node="alice", statement_digest="s"),),
    "cells": 9,
    "charge": Charge(currency="CNY", total_minor=12, split={"alice": 10, "bob": 2}),
    "log_index": 3,
    "checkpoint": "c",
    "issued_at": clock.to_text(NOW),
    "expires_at": clock.to_text(NOW),
}


def token(**changes: Any) -> bytes:
    return ReleaseToken(**TOKEN | changes).sign(EXCHANGE.signer).to_bytes()


def receipt(
    connection: Connection, recipient: str = "acme", role: str = "buyer", token: bytes | None = None
) -> Receipt:
    """Enter a release as leaf 3 of 6, and write a receipt of it."""
    for number in range(3):
        LOGBOOK.enter(connection, "party-enrolled", NOW, {"party": f"p{number}"})
    entry = LOGBOOK.enter(connection, "release", NOW, FACTS)
    for number in range(2):
        LOGBOOK.enter(connection, "party-enrolled", NOW, {"party": f"q{number}"})
    openings = LOGBOOK.fields(connection, entry.index)
    envelope = LOGBOOK.receipt(
        connection,
        recipient=recipient,
        job_id="j",
        index=entry.index,
        visible=visible_fields(openings, recipient, role),
        token=token,
        assumption="",
        limits=(),
        at=NOW,
    )
    return Receipt.unverified(envelope).document


def signed(document: Receipt) -> bytes:
    return document.sign(EXCHANGE.signer).to_bytes()


def test_a_receipt_proves_its_facts(connection: Connection) -> None:
    verified = receipts.verify(signed(receipt(connection, token=token())), KEYS)
    assert verified.facts["charge"] == FACTS["charge"]
    assert verified.facts["environment"] == ENVIRONMENT
    assert verified.facts["hour"] == "2026-01-31T12:00:00.000Z"
    assert not {"part.0", "part.1"} & set(verified.facts)


@pytest.mark.parametrize(
    ("recipient", "role", "seen"),
    [
        ("acme", "buyer", {"charge"}),
        ("alice", "provider", {"part.0"}),
        ("notary", "notary", set()),
        ("state", "regulator", {"charge", "part.0", "part.1"}),
    ],
)
def test_a_receipt_opens_its_recipients_fields_alone(
    connection: Connection, recipient: str, role: str, seen: set[str]
) -> None:
    document = receipt(connection, recipient, role)
    facts = receipts.verify(signed(document), KEYS).facts
    assert {name for name in facts if name.startswith(("part.", "charge"))} == seen
    for hidden in {"charge", "part.0", "part.1"} - seen:
        assert hidden not in document.fields


def _field(document: Receipt, name: str, **changes: str) -> Receipt:
    fields = dict(document.fields)
    fields[name] = fields[name].model_copy(update=changes)
    return document.model_copy(update={"fields": fields})


CHANGES: dict[str, Callable[[Receipt], Receipt]] = {
    "a value": lambda it: _field(it, "cells", value_json="8"),
    "a salt": lambda it: _field(it, "cells", salt=secrets.token_hex(16)),
    "a field more": lambda it: it.model_copy(
        update={"fields": {**it.fields, "discount": OpenedField(salt="00" * 16, value_json="1")}}
    ),
    "two fields exchanged": lambda it: it.model_copy(
        update={"fields": {**it.fields, "cells": it.fields["job"], "job": it.fields["cells"]}}
    ),
    "the index": lambda it: it.model_copy(update={"log_index": it.log_index + 1}),
    "the leaf": lambda it: it.model_copy(
        update={"leaf": canonical.encode({"cells": "sha256:" + "0" * 64}).hex()}
    ),
    "the proof": lambda it: it.model_copy(update={"inclusion": it.inclusion[:-1]}),
    "the checkpoint": lambda it: it.model_copy(
        update={"checkpoint": it.checkpoint.replace("\n6\n", "\n7\n")}
    ),
    "the leaf's form": lambda it: it.model_copy(update={"leaf": "no hex"}),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_changed_receipt_does_not_verify_even_signed_by_the_exchange(
    connection: Connection, change: str
) -> None:
    document = receipt(connection)
    receipts.verify(signed(document), KEYS)
    changed = CHANGES[change](document)
    assert changed != document
    with pytest.raises(UsufructError):
        receipts.verify(signed(changed), KEYS)


def test_a_receipt_by_another_key_does_not_verify(connection: Connection) -> None:
    document = receipt(connection)
    mallory = identity("mallory", "exchange")
    with pytest.raises(SignatureInvalid):
        receipts.verify(document.sign(mallory.signer).to_bytes(), KEYS)
    with pytest.raises(SignatureInvalid):
        receipts.verify(signed(document), replace(KEYS, signing=mallory.signer.key))
    with pytest.raises(UsufructError):
        receipts.verify(signed(document), replace(KEYS, log=mallory.log_signer.key))


def test_a_receipt_of_a_local_cluster_is_none_of_a_real_exchange(connection: Connection) -> None:
    with pytest.raises(MalformedDocument, match="environment"):
        receipts.verify(signed(receipt(connection)), replace(KEYS, environment="production"))


@pytest.mark.parametrize(
    "changes",
    [
        {"log_index": 2},
        {"job_id": "other"},
        {"cells": 8},
        {"acceptance_digest": "b"},
        {"charge": Charge(currency="CNY", total_minor=13, split={"alice": 13})},
    ],
)
def test_a_token_that_says_otherwise_than_the_log_does_not_verify(
    connection: Connection, changes: dict[str, Any]
) -> None:
    with pytest.raises(EvidenceError):
        receipts.verify(signed(receipt(connection, token=token(**changes))), KEYS)


def test_a_token_by_another_key_does_not_verify(connection: Connection) -> None:
    forged = ReleaseToken(**TOKEN).sign(identity("mallory").signer).to_bytes()
    with pytest.raises(SignatureInvalid):
        receipts.verify(signed(receipt(connection, token=forged)), KEYS)
