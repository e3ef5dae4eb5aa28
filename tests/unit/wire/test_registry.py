from __future__ import annotations

import pytest

from records.clock import utc_now
from records.document import Signed
from records.errors import NotPermitted, SignatureInvalid, StateConflict, UnknownObject
from sandbox.identity import Identity
from sandbox.wire.registry import Registry


def _identity(party: str) -> Identity:
    return Identity.create(party, "provider", controller="c", region="CN", environment="test", clock=utc_now)


def test_a_party_is_found_by_name_and_by_key() -> None:
    alice = _identity("alice")
    registry = Registry([alice.record])
    assert registry.by_name("alice") == registry.by_tls_key(alice.record.document.tls_key)


def test_rotation_replaces_the_key() -> None:
    alice = _identity("alice")
    registry = Registry([alice.record])
    _, heir = alice.rotate(utc_now)
    registry.put(heir.record)
    assert registry.by_tls_key(heir.record.document.tls_key).version == 2
    with pytest.raises(NotPermitted):
        registry.by_tls_key(alice.record.document.tls_key)


def test_an_older_record_does_not_come_back() -> None:
    alice = _identity("alice")
    _, heir = alice.rotate(utc_now)
    registry = Registry([heir.record])
    with pytest.raises(StateConflict):
        registry.put(alice.record)
    with pytest.raises(StateConflict):
        registry.put(_identity("alice").record)


def test_the_same_record_may_come_again() -> None:
    alice = _identity("alice")
    registry = Registry([alice.record])
    registry.put(alice.record)
    assert registry.by_name("alice") == alice.record.document


def test_two_parties_never_share_a_key() -> None:
    alice, bob = _identity("alice"), _identity("bob")
    stolen = bob.record.document.model_copy(update={"tls_key": alice.record.document.tls_key})
    registry = Registry([alice.record])
    with pytest.raises(StateConflict):
        registry.put(stolen.sign(bob.signer))


def test_a_record_that_its_own_key_did_not_sign_is_refused() -> None:
    alice, bob = _identity("alice"), _identity("bob")
    with pytest.raises(SignatureInvalid):
        Registry([Signed(alice.record.document, alice.record.document.sign(bob.signer).envelope)])


def test_a_revoked_party_is_unknown() -> None:
    alice = _identity("alice")
    registry = Registry([alice.record])
    registry.revoke("alice")
    with pytest.raises(UnknownObject):
        registry.by_name("alice")
    with pytest.raises(NotPermitted):
        registry.by_tls_key(alice.record.document.tls_key)
