"""Invitations in the exchange's store: hashes of one-time tokens, and the record each was used for."""

from __future__ import annotations

from sqlalchemy import insert, select, update

from records import clock
from records.errors import NotPermitted
from sandbox.exchange.tables import invitation
from sandbox.store import Store
from sandbox.wire.enrolment import InvitationEntry


class StoredInvitations:
    """Implements `sandbox.wire.enrolment.InvitationStore`."""

    def __init__(self, store: Store) -> None:
        """Keep invitations in `store`."""
        self._store = store

    async def add(self, entry: InvitationEntry) -> None:
        """Store a new invitation."""
        with self._store.begin() as connection:
            connection.execute(
                insert(invitation).values(
                    token_hash=entry.token_hash,
                    party=entry.party,
                    role=entry.role,
                    expires_at=clock.to_text(entry.expires_at),
                )
            )

    async def find(self, token_hash: str) -> InvitationEntry | None:
        """Return the invitation of this token, used or not."""
        with self._store.read() as connection:
            row = connection.execute(
                select(invitation).where(invitation.c.token_hash == token_hash)
            ).one_or_none()
        if row is None:
            return None
        return InvitationEntry(row.token_hash, row.party, row.role, clock.from_text(row.expires_at))

    async def use(self, token_hash: str, record_digest: str) -> None:
        """Bind the token to a record; again for the same record is no second use.

        Raises:
            NotPermitted: it is bound to another record.
        """
        with self._store.begin() as connection:
            used = connection.execute(
                select(invitation.c.record_digest).where(invitation.c.token_hash == token_hash)
            ).scalar_one()
            if used not in (None, record_digest):
                raise NotPermitted("this invitation was used: ask for a new one")
            connection.execute(
                update(invitation)
                .where(invitation.c.token_hash == token_hash)
                .values(record_digest=record_digest)
            )
