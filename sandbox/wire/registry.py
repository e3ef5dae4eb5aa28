"""Who is known by which TLS key: the registry that a process authorises its peers by.

A certificate only opens the connection. What counts is the fingerprint of its key: a key that no current
record names may do nothing, whatever its certificate says. So rotation and revocation take effect with the
next message, without restart and without revocation lists.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Protocol

from records.document import Signed
from records.errors import NotPermitted, StateConflict, UnknownObject
from records.parties import PartyRecord


class Directory(Protocol):
    """Looks parties up; an exchange may answer from its store."""

    def by_tls_key(self, tls_key: str) -> PartyRecord:
        """Return the current record that names this key.

        Raises:
            NotPermitted: none does.
        """

    def by_name(self, party: str) -> PartyRecord:
        """Return the current record of a party.

        Raises:
            UnknownObject: not registered, or revoked.
        """


class Registry:
    """A directory in memory, of records that its owner has verified and pinned.

    Readers see either the state before a change or the one after it, from any thread: each change
    builds new maps and exchanges one reference.
    """

    def __init__(self, records: Iterable[Signed[PartyRecord]] = ()) -> None:
        self._state: _State = (MappingProxyType({}), MappingProxyType({}))
        for record in records:
            self.put(record)

    def put(self, signed: Signed[PartyRecord]) -> None:
        """Register a party, or replace its record by a newer version. The same record may come again.

        Raises:
            StateConflict: not newer than what is registered, or a key that another party uses.
            SignatureInvalid: not signed with the key that it names.
        """
        record = signed.document
        signed.envelope.verify({record.verifying_key.key_id: record.verifying_key}, record.payload_type())
        names, keys = self._state
        known = names.get(record.party)
        if known == record:
            return
        if known is not None and known.version >= record.version:
            raise StateConflict(f"a record of `{record.party}` that is as new is registered already")
        holder = keys.get(record.tls_key)
        if holder is not None and holder.party != record.party:
            raise StateConflict(f"the TLS key of `{record.party}` is in use by another party")
        self._replace({**names, record.party: record})

    def revoke(self, party: str) -> None:
        """Forget a party: from now on its keys open nothing."""
        names, _ = self._state
        self._replace({name: record for name, record in names.items() if name != party})

    def by_tls_key(self, tls_key: str) -> PartyRecord:
        """Return the current record that names this key; see `Directory`."""
        record = self._state[1].get(tls_key)
        if record is None:
            raise NotPermitted("the key of this connection is not registered: enrol, or renew after rotation")
        return record

    def by_name(self, party: str) -> PartyRecord:
        """Return the current record of a party; see `Directory`."""
        record = self._state[0].get(party)
        if record is None:
            raise UnknownObject(f"`{party}` is not registered")
        return record

    def _replace(self, names: dict[str, PartyRecord]) -> None:
        keys = {record.tls_key: record for record in names.values()}
        self._state = (MappingProxyType(names), MappingProxyType(keys))


_State = tuple[Mapping[str, PartyRecord], Mapping[str, PartyRecord]]
