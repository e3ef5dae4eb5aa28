"""Products and collections on offer, each by its provider's signature."""

from __future__ import annotations

from sqlalchemy import Connection, func, insert, select, update

from policies import terms as policy
from records.document import Signed
from records.errors import MalformedDocument, NotPermitted, RequestReplayed, UnknownObject
from records.ids import require_name, require_product_name
from records.parties import CollectionMembership, ProductRecord
from sandbox.exchange import parties
from sandbox.exchange.tables import collection_member, product


def register(connection: Connection, record: bytes, caller: str, environment: str) -> Signed[ProductRecord]:
    """Add a product or its next version.

    Raises:
        NotPermitted: the product is another party's.
        MalformedDocument: the terms do not parse, are not the product's, or are not listable.
        RequestReplayed: the version is not the next one.
    """
    signed = ProductRecord.verified(
        record, parties.active(connection, caller).document.verifying_key, environment
    )
    document = signed.document
    require_product_name(document.product)
    if document.provider != caller or document.product.split(".")[0] != caller:
        raise NotPermitted(f"only its provider registers `{document.product}`")
    terms = policy.parse(document.terms)
    if terms.product != document.product or terms.digest != document.terms_digest:
        raise MalformedDocument(f"`terms` are not those of `{document.product}`, or their digest is wrong")
    names = [column.name for column in document.columns]
    if not names or len(set(names)) != len(names):
        raise MalformedDocument("`columns` must be named, each once")
    present = connection.execute(
        select(func.max(product.c.version)).where(product.c.product == document.product)
    ).scalar_one()
    if document.version != (present or 0) + 1:
        raise RequestReplayed(f"the next version of `{document.product}` is {(present or 0) + 1}")
    connection.execute(
        insert(product).values(
            product=document.product, version=document.version, record_digest=signed.digest, record=record
        )
    )
    return signed


def join(connection: Connection, membership: bytes, caller: str, environment: str) -> None:
    """Add a product to a collection; the first member proposes it and fixes its columns.

    Raises:
        NotPermitted: the product is another party's.
        MalformedDocument: the columns differ from the product's, or from the collection's.
    """
    key = parties.active(connection, caller).document.verifying_key
    document = CollectionMembership.verified(membership, key, environment).document
    require_name(document.collection, "a collection")
    if document.provider != caller or document.product.split(".")[0] != caller:
        raise NotPermitted(f"only its provider lets `{document.product}` join")
    if document.columns != newest(connection, document.product).document.columns:
        raise MalformedDocument(f"the membership's columns are not those of `{document.product}`")
    for member in members(connection, document.collection):
        if member.document.columns != document.columns:
            raise MalformedDocument(f"the columns differ from those of `{document.collection}`")
        if member.document.product == document.product:
            # The same product again: signed anew, after a rotation of keys.
            connection.execute(
                update(collection_member)
                .where(collection_member.c.product == document.product)
                .where(collection_member.c.collection == document.collection)
                .values(membership=membership)
            )
            return
        if member.document.provider == document.provider:
            raise NotPermitted("a provider has one product in a collection; let the other one leave first")
    connection.execute(
        insert(collection_member).values(
            collection=document.collection, product=document.product, membership=membership
        )
    )


def newest(connection: Connection, name: str) -> Signed[ProductRecord]:
    """Return the newest version of a product.

    Raises:
        UnknownObject: there is none.
    """
    row = connection.execute(
        select(product.c.record).where(product.c.product == name).order_by(product.c.version.desc()).limit(1)
    ).one_or_none()
    if row is None:
        raise UnknownObject(f"no product `{name}`; `usufruct catalogue` lists what is on offer")
    return ProductRecord.unverified(row.record)


def by_digest(connection: Connection, record_digest: str) -> Signed[ProductRecord]:
    """Return the version of a product that has this digest.

    Raises:
        UnknownObject: there is none.
    """
    row = connection.execute(
        select(product.c.record).where(product.c.record_digest == record_digest)
    ).one_or_none()
    if row is None:
        raise UnknownObject("no product at this version; read the catalogue again")
    return ProductRecord.unverified(row.record)


def all_products(connection: Connection) -> list[Signed[ProductRecord]]:
    """Return the newest version of every product, by name."""
    names = connection.execute(select(product.c.product).distinct().order_by(product.c.product)).scalars()
    return [newest(connection, name) for name in names.all()]


def members(connection: Connection, collection: str) -> list[Signed[CollectionMembership]]:
    """Return the memberships of a collection, by product; empty where there is no such collection."""
    rows = connection.execute(
        select(collection_member.c.membership)
        .where(collection_member.c.collection == collection)
        .order_by(collection_member.c.product)
    )
    return [CollectionMembership.unverified(row.membership) for row in rows]


def all_memberships(connection: Connection) -> list[Signed[CollectionMembership]]:
    """Return all memberships, by collection and product."""
    rows = connection.execute(
        select(collection_member.c.membership).order_by(
            collection_member.c.collection, collection_member.c.product
        )
    )
    return [CollectionMembership.unverified(row.membership) for row in rows]
