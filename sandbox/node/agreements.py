"""What a node agreed to: the accepted quote, the job behind it, and its own derivation of both."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row

from billing.tariff import ExchangeFees
from records.document import Signed
from records.errors import StateConflict
from records.job import Acceptance, Quote
from sandbox.derivation import derive
from sandbox.identity import Identity
from sandbox.node import attempts, journal
from sandbox.node.decisions import Agreement, VerifiedJob, bound_parts, verify
from sandbox.store import Store

REMEMBERED = 256


class Agreements:
    """The agreements of one node. What was derived once is remembered: it is a function of signed bytes."""

    def __init__(self, store: Store, identity: Identity, first_use: Iterable[str]) -> None:
        """`first_use` are the roles whose keys may be pinned at first sight."""
        self._store = store
        self._identity = identity
        self._first_use = frozenset(first_use)
        self._remembered: OrderedDict[str, Agreement] = OrderedDict()

    def verified(self, connection: Connection, quote: Signed[Quote]) -> VerifiedJob:
        """Return the admitted job behind a quote, its signatures checked against the pins.

        Raises:
            UnknownObject: this node never admitted the job.
            EvidenceError, SignatureInvalid: a key or signature no longer holds.
        """
        request = journal.admitted_request(connection, quote.document.job_digest)
        fees = ExchangeFees(quote.document.fee_basis_points, quote.document.tax_basis_points)
        return verify(connection, request, self._identity.environment, self._first_use, fees)

    def of(self, acceptance_digest: str) -> Agreement:
        """Return what this node agreed to.

        Raises:
            StateConflict: it did not agree to this acceptance.
        """
        known = self._remembered.get(acceptance_digest)
        if known is None:
            with self._store.begin() as connection:
                quote = Quote.unverified(require_agreed(connection, acceptance_digest).quote)
                verified = self.verified(connection, quote)
            derived = derive(verified.job.document, verified.facts)
            known = Agreement(verified, derived, quote, bound_parts(verified, derived, self._identity))
            self._remembered[acceptance_digest] = known
            if len(self._remembered) > REMEMBERED:
                self._remembered.popitem(last=False)
        return known


def require_agreed(connection: Connection, acceptance_digest: str) -> Row[Any]:
    """Return the row of an acceptance.

    Raises:
        StateConflict: this node did not agree to it.
    """
    row = journal.agreed(connection, acceptance_digest)
    if row is None:
        raise StateConflict("this node has not agreed to this acceptance")
    return row


def require_held(connection: Connection, acceptance_digest: str, now: datetime) -> Row[Any]:
    """Return the row of an acceptance that may still run.

    Raises:
        StateConflict: it was consumed or voided, or has expired.
    """
    row = require_agreed(connection, acceptance_digest)
    if row.status != "held":
        raise StateConflict(f"the acceptance is {row.status} at this node: it runs once")
    if attempts.is_past(Acceptance.unverified(row.acceptance).document.expires_at, now):
        raise StateConflict("the acceptance has expired; ask for a new quote")
    return row
