"""Products and collections on offer: by their provider's signature, one version after the other."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import Connection

from records.errors import MalformedDocument, NotPermitted, RequestReplayed, SignatureInvalid, UnknownObject
from records.parties import ColumnRecord
from sandbox.exchange import parties, registrations
from sandbox.exchange.logbook import Logbook
from tests.unit.sandbox.registered import COLUMNS, ENVIRONMENT, NOW, identity, membership, product

EXCHANGE = identity("exchange", "exchange")
LOGBOOK = Logbook(ENVIRONMENT, EXCHANGE.signer, EXCHANGE.log_signer)
OTHER_COLUMNS = (*COLUMNS[:1], ColumnRecord(name="delay", type="DOUBLE"))


@pytest.fixture
def register(connection: Connection) -> Connection:
    for name in ("alice", "bob"):
        parties.enrol(connection, LOGBOOK, identity(name).record.to_bytes(), ENVIRONMENT, NOW)
    return connection


def offer(connection: Connection, provider: str = "alice", caller: str = "", **changes: Any) -> None:
    record = product(provider, **changes).to_bytes()
    registrations.register(connection, record, caller or provider, ENVIRONMENT)


def join(connection: Connection, provider: str = "alice", caller: str = "", **changes: Any) -> None:
    envelope = membership(provider, **changes).to_bytes()
    registrations.join(connection, envelope, caller or provider, ENVIRONMENT)


def test_versions_come_one_after_the_other(register: Connection) -> None:
    offer(register)
    offer(register, version=2)
    assert registrations.newest(register, "alice.flights").document.version == 2
    for version in (0, 1, 2, 4):
        with pytest.raises(RequestReplayed, match="is 3"):
            offer(register, version=version)


def test_every_version_is_found_by_its_digest(register: Connection) -> None:
    offer(register)
    offer(register, version=2)
    first = product("alice")
    assert registrations.by_digest(register, first.digest) == first
    with pytest.raises(UnknownObject):
        registrations.by_digest(register, "sha256:none")


def test_a_provider_offers_its_own_products_only(register: Connection) -> None:
    with pytest.raises(SignatureInvalid):
        offer(register, caller="bob")
    with pytest.raises(NotPermitted):
        offer(register, provider="alice", product="bob.flights")
    with pytest.raises(UnknownObject):
        offer(register, provider="carol")


@pytest.mark.parametrize(
    "changes",
    [
        {"terms_digest": "sha256:other"},
        {"terms": {}},
        {"columns": ()},
        {"columns": COLUMNS[:1] * 2},
        {"environment": "production"},
        {"product": "alice"},
    ],
)
def test_a_record_that_contradicts_itself_is_refused(register: Connection, changes: dict[str, Any]) -> None:
    with pytest.raises((MalformedDocument, NotPermitted)):
        offer(register, **changes)


def test_terms_of_another_product_are_refused(register: Connection) -> None:
    other = product("alice", "hotels").document
    with pytest.raises(MalformedDocument):
        offer(register, terms=other.terms, terms_digest=other.terms_digest)


def test_a_collection_has_the_columns_of_its_first_member(register: Connection) -> None:
    offer(register)
    offer(register, "bob", columns=OTHER_COLUMNS)
    join(register)
    join(register)
    with pytest.raises(MalformedDocument):
        join(register, "bob")
    with pytest.raises(MalformedDocument, match="`everyone`"):
        join(register, "bob", columns=OTHER_COLUMNS)
    assert [item.document.product for item in registrations.members(register, "everyone")] == [
        "alice.flights"
    ]


def test_a_provider_lets_its_own_products_join_only(register: Connection) -> None:
    offer(register)
    with pytest.raises(SignatureInvalid):
        join(register, "alice", "bob")
    with pytest.raises(UnknownObject):
        join(register, "bob")


def test_a_provider_has_one_product_in_a_collection(register: Connection) -> None:
    # The planner takes no collection with two: a second one would make it unusable for everybody.
    offer(register)
    offer(register, "alice", table="hotels")
    join(register)
    with pytest.raises((NotPermitted, MalformedDocument)):
        join(register, product="alice.hotels")


def test_a_collection_is_no_product(register: Connection) -> None:
    offer(register)
    with pytest.raises(MalformedDocument):
        join(register, collection="alice.flights")


def test_the_catalogue_lists_the_newest_of_each(register: Connection) -> None:
    offer(register, "bob")
    offer(register)
    offer(register, version=2)
    listed = [(item.document.product, item.document.version) for item in registrations.all_products(register)]
    assert listed == [("alice.flights", 2), ("bob.flights", 1)]
    with pytest.raises(UnknownObject):
        registrations.newest(register, "carol.flights")
