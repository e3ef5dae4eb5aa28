"""What a buyer holds an exchange to: its own signatures, and the records that an accepted quote names."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import TypeVar

from billing.tariff import ExchangeFees
from records.document import Document, Signed
from records.errors import EvidenceError, SignatureInvalid
from records.job import Job, Quote
from records.parties import CollectionMembership, PartyRecord, ProductRecord
from sandbox.derivation import Facts
from sandbox.hpke import SealingKey
from sandbox.identity import Identity
from sandbox.ports import ReleasedResult

D = TypeVar("D", bound=Document)


def own(kind: type[D], envelope: bytes, identity: Identity) -> Signed[D]:
    """Return a document that this party signed, with its present key or one from before a rotation.

    Raises:
        SignatureInvalid: it did not.
    """
    present, *former = identity.own_keys
    for key in former:
        with suppress(SignatureInvalid):
            return kind.verified(envelope, key, identity.environment)
    return kind.verified(envelope, present, identity.environment)


def require_listed(parties: Mapping[str, Signed[PartyRecord]], quote: Quote) -> None:
    """Return if a quote names the very records of nodes that the catalogue shows.

    Raises:
        EvidenceError: it names another one.
    """
    for pin in quote.party_records:
        if pin.name not in parties or parties[pin.name].digest != pin.record_digest:
            raise EvidenceError(f"the quote names another `{pin.name}` than the catalogue shows")


def quoted_on(released: ReleasedResult, job: Job, quote: Quote, buyer: PartyRecord) -> Facts:
    """Return the records that a job was quoted on: those very ones that quote and job name by digest.

    Memberships are not signed for again: `derive` demands that they are the products that the job names.

    Raises:
        EvidenceError: the exchange shows others.
    """
    nodes = {
        (record.document.party, record.digest): record.document
        for record in map(PartyRecord.unverified, released.party_records)
    }
    pins = [(pin.name, pin.record_digest) for pin in quote.party_records]
    products = [ProductRecord.unverified(envelope) for envelope in released.product_records]
    shown = {(item.document.product, item.digest) for item in products}
    if not set(pins) <= set(nodes) or shown != {(pin.name, pin.record_digest) for pin in job.products}:
        raise EvidenceError("the exchange shows other records than the accepted quote names")
    return Facts(
        parties={name: nodes[name, digest] for name, digest in pins} | {job.buyer: buyer},
        products={item.document.product: item.document for item in products},
        memberships=[CollectionMembership.unverified(item).document for item in released.memberships],
        fees=ExchangeFees(quote.fee_basis_points, quote.tax_basis_points),
    )


def result_key(quote: Quote, identity: Identity) -> SealingKey:
    """Return the key that a result is sealed to, of before a rotation too.

    Raises:
        EvidenceError: it is not this party's.
    """
    for key in identity.sealing_keys:
        if key.public.hex() == quote.result_key:
            return key
    raise EvidenceError("the result is sealed to a key that this buyer does not have")
