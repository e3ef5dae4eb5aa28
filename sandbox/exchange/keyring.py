"""Which keys the exchange accepts signatures by: those of the party's present record (R1)."""

from __future__ import annotations

from typing import TypeVar

from records.document import Document, Signed
from records.errors import EvidenceError
from sandbox.exchange import parties
from sandbox.store import Store

D = TypeVar("D", bound=Document)


class Keyring:
    """Verifies parties' documents against the register."""

    def __init__(self, store: Store, environment: str) -> None:
        """`environment` is what every document must belong to."""
        self._store = store
        self._environment = environment

    def verified(self, kind: type[D], party: str, envelope: bytes) -> Signed[D]:
        """Return the document, signed by `party`; one that names a node must name that party.

        Raises:
            SignatureInvalid, MalformedDocument: as `Document.verified`.
            EvidenceError: it speaks for another node.
        """
        with self._store.read() as connection:
            key = parties.active(connection, party).document.verifying_key
        signed = kind.verified(envelope, key, self._environment)
        if getattr(signed.document, "node", party) != party:
            raise EvidenceError(f"`{party}` signed a `{kind.kind}` for another node")
        return signed
