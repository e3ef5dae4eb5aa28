"""A node's products: sources it opens, and the signed records under which they are on offer."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import cast

import pyarrow as pa
from pydantic import JsonValue
from sqlalchemy import Connection, insert, select

from connectors import local_query
from connectors.connector import Connector
from connectors.sources import Source, open_source
from policies.terms import Terms
from records import clock
from records.document import Signed
from records.errors import PeerUnavailable, UnknownObject
from records.ids import require_product_name
from records.keys import Signer
from records.parties import CollectionMembership, ColumnRecord, ProductRecord
from sandbox.node.declared import require_declared
from sandbox.node.tables import node_product
from sandbox.sql.plan import LocalPart

SALT_BYTES = 32


class Shelf:
    """The opened sources of one provider, by product."""

    def __init__(self) -> None:
        """Nothing is open yet."""
        self._open: dict[str, Connector] = {}

    def open(self, product: str, source: Source) -> Connector:
        """Open a source under a product's name, in place of an earlier one.

        Raises:
            SourceUnreadable: it cannot be read as a table.
        """
        connector = open_source(source)
        self._close(product)
        self._open[product] = connector
        return connector

    def run(self, part: LocalPart) -> Iterator[pa.RecordBatch]:
        """Run one part of a plan in the provider's own engine; there is at least one batch.

        Raises:
            UnknownObject: a product is not open here.
            LimitExceeded, SourceUnreadable: see `Connector.execute_batches`.
        """
        if not self._open.keys() >= set(part.products):
            raise UnknownObject("a product of the query is not open at this node")
        tables = {table: self._open[product] for product, table in part.tables}
        return local_query.execute_batches(part.sql, tables)

    def verify_unchanged(self, product: str, digest: str) -> None:
        """Return if the source still has the content it was registered with.

        Raises:
            SourceUnreadable: it changed, or is gone.
            PeerUnavailable: it is not open yet: the node has just been started.
        """
        if product not in self._open:
            raise PeerUnavailable(f"`{product}` is not open at its node yet: try again")
        self._open[product].verify_unchanged(digest)

    def close(self) -> None:
        """Close all sources."""
        for product in list(self._open):
            self._close(product)

    def _close(self, product: str) -> None:
        if product in self._open:
            self._open.pop(product).close()


def register(
    connection: Connection,
    connector: Connector,
    terms: Terms,
    signer: Signer,
    environment: str,
    now: datetime,
) -> Signed[ProductRecord]:
    """Return the product's signed record: the present one, or a next version if content or terms changed.

    The snapshot in it is a commitment under a salt that stays here (R16).

    Raises:
        MalformedDocument: the terms name columns that the source lacks, or declare what it does not keep.
        LimitExceeded, SourceUnreadable: see `require_declared`.
    """
    require_product_name(terms.product)
    columns = tuple(ColumnRecord(name=column.name, type=column.type) for column in connector.schema())
    terms.require_columns([column.name for column in columns])
    content = connector.snapshot().digest
    row = connection.execute(
        select(node_product)
        .where(node_product.c.product == terms.product)
        .order_by(node_product.c.version.desc())
        .limit(1)
    ).one_or_none()
    if row is not None:
        present = ProductRecord.unverified(row.record)
        same = (present.document.terms_digest, present.document.columns) == (terms.digest, columns)
        # After a rotation of keys the record is signed anew, as its next version.
        same = same and present.envelope.signatures[0][0] == signer.key.key_id
        if same and row.snapshot_digest == content:
            return present
    require_declared(connector, terms)
    salt = secrets.token_bytes(SALT_BYTES)
    record = ProductRecord(
        environment=environment,
        product=terms.product,
        provider=terms.provider,
        version=row.version + 1 if row is not None else 1,
        lineage=terms.product,
        columns=columns,
        snapshot="sha256:" + hmac.new(salt, content.encode(), hashlib.sha256).hexdigest(),
        terms=cast("dict[str, JsonValue]", terms.to_json()),
        terms_digest=terms.digest,
        issued_at=clock.to_text(now),
    ).sign(signer)
    connection.execute(
        insert(node_product).values(
            product=terms.product,
            version=record.document.version,
            record_digest=record.digest,
            record=record.to_bytes(),
            snapshot_salt=salt,
            snapshot_digest=content,
        )
    )
    return record


def membership(
    record: ProductRecord, collection: str, signer: Signer, now: datetime
) -> Signed[CollectionMembership]:
    """Return the provider's signature that its product belongs to a collection."""
    return CollectionMembership(
        environment=record.environment,
        collection=collection,
        product=record.product,
        provider=record.provider,
        columns=record.columns,
        issued_at=clock.to_text(now),
    ).sign(signer)


def registered_content(connection: Connection, record_digest: str) -> str:
    """Return the digest of the content that a product's record commits to.

    Raises:
        UnknownObject: no such record at this node.
    """
    row = connection.execute(
        select(node_product.c.snapshot_digest).where(node_product.c.record_digest == record_digest)
    ).one_or_none()
    if row is None:
        raise UnknownObject("this node registered no product with this record")
    return str(row.snapshot_digest)


def require_registered_content(
    connection: Connection, shelf: Shelf, records: Iterable[Signed[ProductRecord]]
) -> None:
    """Return if this node's own sources still are what their products were registered with.

    Raises:
        SourceUnreadable, PeerUnavailable: see `Shelf.verify_unchanged`.
        UnknownObject: see `registered_content`.
    """
    for record in records:
        shelf.verify_unchanged(record.document.product, registered_content(connection, record.digest))


def newest(connection: Connection, product: str) -> Signed[ProductRecord]:
    """Return this node's newest record of a product.

    Raises:
        UnknownObject: there is none.
    """
    row = connection.execute(
        select(node_product.c.record)
        .where(node_product.c.product == product)
        .order_by(node_product.c.version.desc())
        .limit(1)
    ).one_or_none()
    if row is None:
        raise UnknownObject(f"`{product}` is not registered at this node")
    return ProductRecord.unverified(row.record)
