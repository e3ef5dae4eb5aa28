"""What a job reads: collections and products that a query names, each product once."""

from __future__ import annotations

import pytest

from records.errors import UnknownObject
from sandbox.buyer import session
from sandbox.buyer.session import Listing, sealing_keys
from tests.unit.sandbox.registered import identity, membership, product

PROVIDERS = ("alice", "bob", "carol")
LISTING = Listing(
    products={f"{name}.flights": product(name) for name in PROVIDERS},
    collections={"everyone": tuple(membership(name).document for name in ("bob", "alice"))},
    parties={name: identity(name).record for name in PROVIDERS},
)


@pytest.mark.parametrize(
    ("sources", "collections", "products"),
    [
        (("carol.flights",), (), ("carol.flights",)),
        (("everyone",), ("everyone",), ("alice.flights", "bob.flights")),
        (
            ("everyone", "carol.flights"),
            ("everyone",),
            ("alice.flights", "bob.flights", "carol.flights"),
        ),
        (("everyone", "alice.flights"), ("everyone",), ("alice.flights", "bob.flights")),
    ],
)
def test_members_and_named_products_are_read_once(
    sources: tuple[str, ...], collections: tuple[str, ...], products: tuple[str, ...]
) -> None:
    assert session._read(LISTING, sources) == (collections, products)


@pytest.mark.parametrize("source", ["nobody", "alice.nothing", "alice"])
def test_what_is_not_on_offer_is_unknown(source: str) -> None:
    with pytest.raises(UnknownObject):
        session._read(LISTING, ("everyone", source))


def test_literals_are_sealed_to_the_providers_that_are_read_and_to_the_buyer() -> None:
    buyer = identity("acme", "buyer")
    keys = sealing_keys(LISTING, ("alice.flights", "carol.flights"), buyer)
    assert {name: key.hex() for name, key in keys.items()} == {
        name: each.record.document.sealing_key
        for name, each in (("alice", identity("alice")), ("carol", identity("carol")), ("acme", buyer))
    }
