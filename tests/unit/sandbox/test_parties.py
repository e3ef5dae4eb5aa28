"""The exchange's register: self-signed enrolment, rotation by the old key, revocation at once, all logged."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import Connection

from billing import log
from records.document import Signed
from records.errors import MalformedDocument, NotPermitted, RequestReplayed, SignatureInvalid, UnknownObject
from records.parties import PartyRecord
from sandbox.exchange import parties
from sandbox.exchange.logbook import Logbook
from sandbox.identity import Identity
from tests.unit.sandbox.registered import ENVIRONMENT, NOW, identity, now

EXCHANGE = identity("exchange", "exchange")
LOGBOOK = Logbook(ENVIRONMENT, EXCHANGE.signer, EXCHANGE.log_signer)
BOB = identity("bob")


def enrol(connection: Connection, record: Signed[PartyRecord]) -> Signed[PartyRecord]:
    return parties.enrol(connection, LOGBOOK, record.to_bytes(), ENVIRONMENT, NOW)


def rotate(connection: Connection, event: bytes, record: Signed[PartyRecord]) -> None:
    parties.rotate(connection, LOGBOOK, event, record.to_bytes(), ENVIRONMENT, NOW)


def changed(of: Identity, **changes: Any) -> Signed[PartyRecord]:
    return of.record.document.model_copy(update=changes).sign(of.signer)


def test_a_party_is_enrolled_once_and_logged(connection: Connection) -> None:
    enrol(connection, BOB.record)
    assert parties.active(connection, "bob") == BOB.record
    assert parties.by_tls_key(connection, BOB.record.document.tls_key) == BOB.record
    assert log.size(connection) == 1
    with pytest.raises(RequestReplayed):
        enrol(connection, BOB.record)
    assert log.size(connection) == 1


def test_a_record_is_signed_with_the_key_it_names(connection: Connection) -> None:
    forged = BOB.record.document.sign(identity("mallory").signer)
    with pytest.raises(SignatureInvalid):
        enrol(connection, forged)


@pytest.mark.parametrize("name", ["Bob", "bob/../x", "", "b b"])
def test_a_party_has_a_plain_name(connection: Connection, name: str) -> None:
    with pytest.raises(MalformedDocument):
        enrol(connection, changed(BOB, party=name))


def test_a_record_of_another_environment_or_version_is_refused(connection: Connection) -> None:
    with pytest.raises(MalformedDocument):
        enrol(connection, changed(BOB, environment="production"))
    with pytest.raises(NotPermitted):
        enrol(connection, changed(BOB, version=2))


def test_keys_are_rotated_by_the_old_key(connection: Connection) -> None:
    enrol(connection, BOB.record)
    event, heir = BOB.rotate(now)
    rotate(connection, event.to_bytes(), heir.record)
    assert parties.active(connection, "bob") == heir.record
    with pytest.raises(NotPermitted):
        parties.by_tls_key(connection, BOB.record.document.tls_key)
    assert log.size(connection) == 2
    with pytest.raises((SignatureInvalid, NotPermitted)):
        rotate(connection, event.to_bytes(), heir.record)


def test_an_event_by_another_key_rotates_nothing(connection: Connection) -> None:
    enrol(connection, BOB.record)
    _, heir = BOB.rotate(now)
    mallory = Identity.create(
        "bob", "provider", controller="x", region="CN", environment=ENVIRONMENT, clock=now
    )
    event, thief = mallory.rotate(now)
    for record in (heir.record, thief.record):
        with pytest.raises(SignatureInvalid):
            rotate(connection, event.to_bytes(), record)
    assert parties.active(connection, "bob") == BOB.record


@pytest.mark.parametrize(
    "changes",
    [
        {"role": "notary"},
        {"controller": "another"},
        {"version": 3},
        {"affiliates": ()},
    ],
)
def test_a_rotation_changes_keys_alone(connection: Connection, changes: dict[str, Any]) -> None:
    bob = identity("bob", "provider", affiliates="acme-controller")
    enrol(connection, bob.record)
    event, heir = bob.rotate(now)
    record = changed(heir, **changes)
    named = event.document.model_copy(update={"record_digest": record.digest}).sign(bob.signer)
    with pytest.raises(NotPermitted):
        rotate(connection, named.to_bytes(), record)


def test_a_revoked_party_is_nobody_and_its_name_stays_taken(connection: Connection) -> None:
    enrol(connection, BOB.record)
    parties.revoke(connection, LOGBOOK, "bob", NOW)
    with pytest.raises(UnknownObject):
        parties.active(connection, "bob")
    with pytest.raises(NotPermitted):
        parties.by_tls_key(connection, BOB.record.document.tls_key)
    assert parties.all_active(connection) == []
    assert parties.role(connection, "bob") == "provider"
    event, heir = BOB.rotate(now)
    with pytest.raises(UnknownObject):
        rotate(connection, event.to_bytes(), heir.record)
    with pytest.raises(RequestReplayed):
        enrol(connection, identity("bob", "buyer").record)


def test_a_leaf_of_the_log_names_nobody(connection: Connection) -> None:
    enrol(connection, BOB.record)
    (leaf,) = log.leaves(connection, 0, 1)
    for secret in (b"bob", b"provider", BOB.record.digest.encode()):
        assert secret not in leaf.replace(b'"party"', b"")
