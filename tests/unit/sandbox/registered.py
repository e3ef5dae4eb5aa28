"""Identities and signed records of parties, products and jobs, as they come in from outside."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

from policies import terms as policy
from records import clock, ids
from records.document import Signed
from records.job import Acceptance, Charge, Job, OpeningRecord, Quote, RecordPin
from records.parties import CollectionMembership, ColumnRecord, ProductRecord, Role
from sandbox.identity import Identity

ENVIRONMENT = "test"
NOW = datetime(2026, 1, 31, 12, 0, 0, tzinfo=UTC)
LATER = NOW + timedelta(hours=1)
COLUMNS = (ColumnRecord(name="origin", type="VARCHAR"), ColumnRecord(name="delay", type="BIGINT"))
TERMS: dict[str, Any] = {
    "purposes": ["research"],
    "buyers": {"allow": ["*"]},
    "columns": {
        "origin": {"reveal": ["plain"]},
        "delay": {"reveal": ["after-aggregate"], "functions": ["sum", "avg", "count"]},
    },
    "price": {"currency": "CNY", "per_use": 500, "per_cell": 2},
}


def now() -> datetime:
    """Return the moment at which these tests stand."""
    return NOW


@cache
def identity(name: str, role: Role = "provider", controller: str = "", affiliates: str = "") -> Identity:
    """Return a party's identity; the same arguments give the same keys."""
    return Identity.create(
        name,
        role,
        controller=controller or f"{name}-controller",
        affiliates=tuple(affiliates.split()),
        region="CN",
        environment=ENVIRONMENT,
        clock=now,
    )


def product(provider: str, table: str = "flights", version: int = 1, **changes: Any) -> Signed[ProductRecord]:
    """Return a product's record, signed by its provider; `changes` replace fields."""
    name = f"{provider}.{table}"
    terms = policy.parse(TERMS, product=name)
    fields: dict[str, Any] = {
        "environment": ENVIRONMENT,
        "product": name,
        "provider": provider,
        "version": version,
        "lineage": name,
        "columns": COLUMNS,
        "snapshot": f"sha256:{version:064d}",
        "terms": terms.to_json(),
        "terms_digest": terms.digest,
        "issued_at": clock.to_text(NOW),
    }
    return ProductRecord(**fields | changes).sign(identity(provider).signer)


def membership(provider: str, collection: str = "everyone", **changes: Any) -> Signed[CollectionMembership]:
    """Return a provider's signature that its flights belong to a collection."""
    fields: dict[str, Any] = {
        "environment": ENVIRONMENT,
        "collection": collection,
        "product": f"{provider}.flights",
        "provider": provider,
        "columns": COLUMNS,
        "issued_at": clock.to_text(NOW),
    }
    return CollectionMembership(**fields | changes).sign(identity(provider).signer)


def job(buyer: str = "acme", products: Sequence[Signed[ProductRecord]] = (), **changes: Any) -> Signed[Job]:
    """Return a buyer's signed job; `changes` replace fields."""
    me = identity(buyer, "buyer")
    fields: dict[str, Any] = {
        "environment": ENVIRONMENT,
        "job_id": ids.uuid7(NOW, secrets.token_bytes),
        "buyer": buyer,
        "idempotency_key": secrets.token_hex(16),
        "query": "SELECT COUNT(*) AS n FROM alice.flights",
        "collections": (),
        "products": tuple(
            RecordPin(name=each.document.product, record_digest=each.digest) for each in products
        ),
        "purpose": "research",
        "technique": "auto",
        "epsilon": None,
        "max_groups": 16,
        "max_price_minor": None,
        "result_key": str(me.record.document.sealing_key),
        "issued_at": clock.to_text(NOW),
        "expires_at": clock.to_text(LATER),
    }
    return Job(**fields | changes).sign(me.signer)


def quote(of: Signed[Job], **changes: Any) -> Signed[Quote]:
    """Return a quote for a job, signed by the exchange; `changes` replace fields."""
    fields: dict[str, Any] = {
        "environment": ENVIRONMENT,
        "job_digest": of.digest,
        "plan_digest": "sha256:plan",
        "technique": "local",
        "nodes": ("alice",),
        "compute_set": (),
        "party_records": (),
        "assumption": "none",
        "limits": (),
        "leaks": (),
        "fee_basis_points": 0,
        "tax_basis_points": 0,
        "openings": (OpeningRecord(opening_id="result", receivers="buyer", shape=()),),
        "epsilon": None,
        "half_width": None,
        "charge": Charge(currency="CNY", total_minor=502, split={"alice": 502}),
        "compute_ms": 100,
        "wire_bytes": 0,
        "rounds": 0,
        "seconds": "0.1",
        "result_key": of.document.result_key,
        "issued_at": clock.to_text(NOW),
        "expires_at": clock.to_text(LATER),
    }
    return Quote(**fields | changes).sign(identity("exchange", "exchange").signer)


def acceptance(of: Signed[Quote], buyer: str = "acme", **changes: Any) -> Signed[Acceptance]:
    """Return the buyer's acceptance of a quote; `changes` replace fields."""
    fields: dict[str, Any] = {
        "environment": ENVIRONMENT,
        "quote_digest": of.digest,
        "job_digest": of.document.job_digest,
        "buyer": buyer,
        "issued_at": clock.to_text(NOW),
        "expires_at": clock.to_text(LATER),
    }
    return Acceptance(**fields | changes).sign(identity(buyer, "buyer").signer)
