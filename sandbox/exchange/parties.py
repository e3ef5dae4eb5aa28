"""The exchange's register of parties: enrolment, rotation and revocation of keys, each a leaf in the log."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from sqlalchemy import Connection, insert, select, update

from billing.tariff import EXCHANGE_FEE, TAX
from records.document import Signed
from records.errors import NotPermitted, RequestReplayed, SignatureInvalid, UnknownObject
from records.ids import require_name
from records.parties import KeyEvent, PartyRecord
from sandbox.exchange.logbook import Logbook
from sandbox.exchange.tables import party


def active(connection: Connection, name: str) -> Signed[PartyRecord]:
    """Return the party's present record.

    Raises:
        UnknownObject: no such party, or its keys are revoked.
    """
    row = connection.execute(
        select(party.c.record).where(party.c.party == name, party.c.status == "active")
    ).one_or_none()
    if row is None:
        raise UnknownObject(f"no active party `{name}`")
    return PartyRecord.unverified(row.record)


def by_tls_key(connection: Connection, tls_key: str) -> Signed[PartyRecord]:
    """Return the present record that names this TLS key.

    Raises:
        NotPermitted: none does: not enrolled, rotated away, or revoked.
    """
    row = connection.execute(
        select(party.c.record).where(party.c.tls_key == tls_key, party.c.status == "active")
    ).one_or_none()
    if row is None:
        raise NotPermitted("the key of this connection is not registered: enrol, or renew after rotation")
    return PartyRecord.unverified(row.record)


def all_active(connection: Connection, roles: Iterable[str] | None = None) -> list[Signed[PartyRecord]]:
    """Return the present records of all parties (of `roles`), by name."""
    query = select(party.c.record).where(party.c.status == "active").order_by(party.c.party)
    if roles is not None:
        query = query.where(party.c.role.in_(list(roles)))
    return [PartyRecord.unverified(row.record) for row in connection.execute(query)]


def key_events(connection: Connection, names: Iterable[str] | None = None) -> list[bytes]:
    """Return the changes of keys of parties (of `names`), each party's in their order."""
    query = select(party.c.key_event).where(party.c.key_event.is_not(None))
    if names is not None:
        query = query.where(party.c.party.in_(list(names)))
    return [row.key_event for row in connection.execute(query.order_by(party.c.party, party.c.version))]


def is_known(connection: Connection, name: str) -> bool:
    """Tell whether a party was ever registered under this name."""
    return connection.execute(select(party.c.party).where(party.c.party == name).limit(1)).first() is not None


def role(connection: Connection, name: str) -> str:
    """Return the role under which a party is, or was, registered.

    Raises:
        UnknownObject: no such party.
    """
    row = connection.execute(select(party.c.role).where(party.c.party == name).limit(1)).one_or_none()
    if row is None:
        raise UnknownObject(f"no party `{name}`")
    return str(row.role)


def enrol(
    connection: Connection, logbook: Logbook, record: bytes, environment: str, now: datetime
) -> Signed[PartyRecord]:
    """Register a new party by its self-signed record.

    Raises:
        SignatureInvalid: the record is not signed with the key that it names.
        RequestReplayed: the name is taken; keys are changed by rotation.
    """
    signed = _self_signed(record, environment)
    document = signed.document
    require_name(document.party, "a party")
    if document.party in (EXCHANGE_FEE, TAX):
        raise NotPermitted(f"`{document.party}` is the name of a line of every charge; choose another")
    if document.version != 1:
        raise NotPermitted("a party enrols with version 1 of its record")
    if is_known(connection, document.party):
        raise RequestReplayed(f"the party `{document.party}` is enrolled; change keys by rotation")
    _insert(connection, signed)
    logbook.enter(connection, "party-enrolled", now, _facts(signed))
    return signed


def rotate(
    connection: Connection, logbook: Logbook, event: bytes, record: bytes, environment: str, now: datetime
) -> Signed[PartyRecord]:
    """Replace a party's keys: the event by the old key, the record by the new one (R1).

    Raises:
        SignatureInvalid: one of the two signatures is wrong.
        NotPermitted: role, controller or version do not continue the old record.
    """
    new = _self_signed(record, environment)
    old = active(connection, new.document.party)
    change = KeyEvent.verified(event, old.document.verifying_key, environment).document
    named = (change.event, change.party, change.former_key, change.new_key, change.record_digest)
    keys = (old.document.signing_key, new.document.signing_key)
    if named != ("rotate", old.document.party, *keys, new.digest):
        raise SignatureInvalid("the key event does not lead from the present record to this one")
    if _standing(old.document) != _standing(new.document) or new.document.version != old.document.version + 1:
        raise NotPermitted("a rotation keeps role, controller and affiliates, and adds one to the version")
    _retire(connection, old, "superseded")
    _insert(connection, new, event)
    logbook.enter(connection, "party-rotated", now, _facts(new) | {"previous": old.digest})
    return new


def revoke(connection: Connection, logbook: Logbook, name: str, now: datetime) -> None:
    """Revoke a party's keys: at once, nothing it signs or sends is accepted any more."""
    old = active(connection, name)
    _retire(connection, old, "revoked")
    logbook.enter(connection, "party-revoked", now, _facts(old))


def _standing(record: PartyRecord) -> tuple[str, str, frozenset[str]]:
    """Return what R2 rests on; it is declared once, and no rotation changes it."""
    return record.role, record.controller, frozenset(record.affiliates)


def _self_signed(record: bytes, environment: str) -> Signed[PartyRecord]:
    claimed = PartyRecord.unverified(record).document
    return PartyRecord.verified(record, claimed.verifying_key, environment)


def _insert(connection: Connection, signed: Signed[PartyRecord], event: bytes | None = None) -> None:
    document = signed.document
    connection.execute(
        insert(party).values(
            party=document.party,
            version=document.version,
            role=document.role,
            tls_key=document.tls_key,
            record=signed.to_bytes(),
            key_event=event,
            status="active",
        )
    )


def _retire(connection: Connection, signed: Signed[PartyRecord], status: str) -> None:
    connection.execute(
        update(party)
        .where(party.c.party == signed.document.party, party.c.version == signed.document.version)
        .values(status=status)
    )


def _facts(signed: Signed[PartyRecord]) -> dict[str, str]:
    document = signed.document
    return {
        "party": document.party,
        "role": document.role,
        "controller": document.controller,
        "record": signed.digest,
        "signing_key": document.verifying_key.key_id,
    }
