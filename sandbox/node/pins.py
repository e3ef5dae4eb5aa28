"""Whose keys a node trusts (R1): pinned in its configuration, or by the old key's signature.

A buyer may be pinned at first sight where the configuration says so; from then on its key is fixed. The
exchange's word changes nothing here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from sqlalchemy import Connection, insert, select, update

from records.document import Signed
from records.errors import EvidenceError, SignatureInvalid, UnknownObject
from records.keys import VerifyingKey
from records.parties import KeyEvent, PartyRecord
from sandbox.node.tables import pin


def configure(connection: Connection, pins: Mapping[str, str]) -> None:
    """Write down the configured pins {party: key id}; they replace what was there (local confirmation)."""
    for party, key_id in pins.items():
        _put(connection, party, key_id, "configured")


def require(
    connection: Connection, record: Signed[PartyRecord], first_use: Iterable[str] = ()
) -> VerifyingKey:
    """Return the party's key if it is the pinned one; pin it now if its role is in `first_use`.

    Raises:
        EvidenceError: another key is pinned for this name: a swapped key.
        UnknownObject: no pin, and none may be made at first sight.
    """
    document = record.document
    key = document.verifying_key
    row = connection.execute(select(pin.c.key_id).where(pin.c.party == document.party)).one_or_none()
    if row is None:
        if document.role not in first_use:
            raise UnknownObject(
                f"no key is pinned for `{document.party}`; pin it in this node's configuration"
            )
        _put(connection, document.party, key.key_id, "first-use")
    elif row.key_id != key.key_id:
        raise EvidenceError(
            f"the key shown for `{document.party}` is not the pinned one; confirm it, or rotate"
        )
    return key


def rotate(connection: Connection, event: bytes, old: Signed[PartyRecord], new: Signed[PartyRecord]) -> None:
    """Move a pin to a new key on the old key's signature.

    Raises:
        SignatureInvalid: the event is not signed by the pinned key, or does not name the new record.
    """
    key = require(connection, old)
    change = KeyEvent.verified(event, key, old.document.environment).document
    if change.event != "rotate" or change.record_digest != new.digest or change.party != new.document.party:
        raise SignatureInvalid("the key event does not name this record")
    _put(connection, new.document.party, new.document.verifying_key.key_id, "rotated")


def _put(connection: Connection, party: str, key_id: str, source: str) -> None:
    row = connection.execute(select(pin.c.party).where(pin.c.party == party)).one_or_none()
    if row is None:
        connection.execute(insert(pin).values(party=party, key_id=key_id, source=source))
    else:
        connection.execute(update(pin).where(pin.c.party == party).values(key_id=key_id, source=source))
