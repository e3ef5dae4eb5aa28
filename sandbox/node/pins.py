"""Whose keys a node trusts (R1): pinned in its configuration, or by the old key's signature.

A buyer may be pinned at first sight where the configuration says so; from then on its key is fixed. The
exchange's word changes nothing here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from sqlalchemy import Connection, insert, select, update

from records.document import Signed
from records.errors import EvidenceError, UnknownObject
from records.keys import VerifyingKey
from records.parties import KeyEvent, PartyRecord
from sandbox.node.tables import pin


def configure(connection: Connection, pins: Mapping[str, str]) -> None:
    """Write down the configured pins {party: key id}; they replace what was there (local confirmation)."""
    for party, key_id in pins.items():
        _put(connection, party, key_id, "configured", None)


def require(
    connection: Connection,
    record: Signed[PartyRecord],
    *,
    first_use: Iterable[str] = (),
    key_events: Iterable[bytes] = (),
) -> VerifyingKey:
    """Return the party's key if it is the pinned one, or if the pinned one signed it over to this one.

    A party without a pin is pinned now, if its role is in `first_use`.

    Raises:
        EvidenceError: another key is pinned for this name: a swapped key.
        UnknownObject: no pin, and none may be made at first sight.
    """
    document = record.document
    key = document.verifying_key
    row = connection.execute(select(pin).where(pin.c.party == document.party)).one_or_none()
    if row is None:
        if document.role not in first_use:
            raise UnknownObject(
                f"no key is pinned for `{document.party}`; pin it in this node's configuration"
            )
        _put(connection, document.party, key.key_id, "first-use", document.role)
    elif row.role not in (None, document.role):
        # Seen first as a buyer, it does not come to sit among the compute parties.
        raise EvidenceError(f"`{document.party}` was pinned in another role; confirm it in the configuration")
    elif row.key_id != key.key_id:
        if _followed(row.key_id, document, key_events) != key.key_id:
            raise EvidenceError(
                f"the key shown for `{document.party}` is not the pinned one; confirm it, or rotate"
            )
        _put(connection, document.party, key.key_id, "rotated", row.role)
    return key


def _followed(pinned: str, record: PartyRecord, key_events: Iterable[bytes]) -> str:
    """Return the key id that a chain of rotations, each signed with the key before, leads to from a pin."""
    for envelope in key_events:
        claimed = KeyEvent.unverified(envelope).document
        if claimed.party != record.party or claimed.event != "rotate" or claimed.new_key is None:
            continue
        former = VerifyingKey.from_json(claimed.former_key)
        if former.key_id == pinned:
            KeyEvent.verified(envelope, former, record.environment)
            pinned = VerifyingKey.from_json(claimed.new_key).key_id
    return pinned


def _put(connection: Connection, party: str, key_id: str, source: str, role: str | None) -> None:
    values = {"key_id": key_id, "source": source, "role": role}
    row = connection.execute(select(pin.c.party).where(pin.c.party == party)).one_or_none()
    if row is None:
        connection.execute(insert(pin).values(party=party, **values))
    else:
        connection.execute(update(pin).where(pin.c.party == party).values(**values))
