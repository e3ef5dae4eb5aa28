"""Whose keys a node trusts (R1): configured, first seen where allowed, rotated by the old key."""

from __future__ import annotations

import pytest
from sqlalchemy import Connection

from records.errors import EvidenceError, SignatureInvalid, UnknownObject
from sandbox.identity import Identity
from sandbox.node import pins
from tests.unit.sandbox.registered import ENVIRONMENT, identity, now

BOB, ACME = identity("bob"), identity("acme", "buyer")
IMPOSTOR = Identity.create("bob", "provider", controller="x", region="CN", environment=ENVIRONMENT, clock=now)


def key_id(of: Identity) -> str:
    return of.record.document.verifying_key.key_id


def test_a_configured_key_is_trusted_and_no_other(connection: Connection) -> None:
    pins.configure(connection, {"bob": key_id(BOB)})
    assert pins.require(connection, BOB.record) == BOB.record.document.verifying_key
    with pytest.raises(EvidenceError, match="`bob`"):
        pins.require(connection, IMPOSTOR.record)


def test_a_party_without_a_pin_is_unknown(connection: Connection) -> None:
    for roles in ((), ("buyer",)):
        with pytest.raises(UnknownObject, match="`bob`"):
            pins.require(connection, BOB.record, first_use=roles)


def test_a_buyer_is_pinned_when_first_seen(connection: Connection) -> None:
    pins.require(connection, ACME.record, first_use=["buyer"])
    pins.require(connection, ACME.record)
    swapped = Identity.create(
        "acme", "buyer", controller="x", region="CN", environment=ENVIRONMENT, clock=now
    )
    with pytest.raises(EvidenceError):
        pins.require(connection, swapped.record, first_use=["buyer"])


def test_a_first_use_writes_nothing_for_other_roles(connection: Connection) -> None:
    for _ in range(2):
        with pytest.raises(UnknownObject):
            pins.require(connection, ACME.record, first_use=["provider"])


def test_an_officer_confirms_another_key_locally(connection: Connection) -> None:
    pins.configure(connection, {"bob": key_id(BOB)})
    pins.configure(connection, {"bob": key_id(IMPOSTOR)})
    pins.require(connection, IMPOSTOR.record)
    with pytest.raises(EvidenceError):
        pins.require(connection, BOB.record)


def test_a_pin_moves_on_the_old_keys_signature(connection: Connection) -> None:
    pins.configure(connection, {"bob": key_id(BOB)})
    event, heir = BOB.rotate(now)
    with pytest.raises(EvidenceError):
        pins.require(connection, heir.record)
    pins.require(connection, heir.record, key_events=[event.to_bytes()])
    pins.require(connection, heir.record)
    with pytest.raises(EvidenceError):
        pins.require(connection, BOB.record, key_events=[event.to_bytes()])


def test_a_pin_follows_a_chain_of_rotations(connection: Connection) -> None:
    pins.configure(connection, {"bob": key_id(BOB)})
    first, heir = BOB.rotate(now)
    second, grandchild = heir.rotate(now)
    with pytest.raises(EvidenceError):
        pins.require(connection, grandchild.record, key_events=[second.to_bytes()])
    pins.require(connection, grandchild.record, key_events=[first.to_bytes(), second.to_bytes()])
    with pytest.raises(EvidenceError):
        pins.require(connection, heir.record)


def test_a_pin_does_not_move_on_another_keys_signature(connection: Connection) -> None:
    pins.configure(connection, {"bob": key_id(BOB)})
    foreign, heir = IMPOSTOR.rotate(now)
    with pytest.raises(EvidenceError):
        pins.require(connection, heir.record, key_events=[foreign.to_bytes()])
    event, own = BOB.rotate(now)
    forged = event.document.model_copy(update={"new_key": heir.record.document.signing_key})
    with pytest.raises(SignatureInvalid):
        pins.require(connection, heir.record, key_events=[forged.sign(IMPOSTOR.signer).to_bytes()])
    with pytest.raises(EvidenceError):
        pins.require(connection, heir.record, key_events=[event.to_bytes()])
    pins.require(connection, BOB.record)
    assert own.record.digest != heir.record.digest


def test_another_partys_rotation_moves_nothing(connection: Connection) -> None:
    pins.configure(connection, {"bob": key_id(BOB)})
    event, heir = BOB.rotate(now)
    renamed = event.document.model_copy(update={"party": "carol"}).sign(BOB.signer)
    with pytest.raises(EvidenceError):
        pins.require(connection, heir.record, key_events=[renamed.to_bytes()])


def test_who_was_first_seen_as_a_buyer_is_no_provider(connection: Connection) -> None:
    pins.require(connection, ACME.record, first_use=["buyer"])
    promoted = ACME.record.document.model_copy(update={"role": "provider"}).sign(ACME.signer)
    with pytest.raises(EvidenceError, match="role"):
        pins.require(connection, promoted, first_use=["buyer"])
