"""What the exchange writes into its log, and what of it each recipient may open (R6, R19)."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, insert, select

from billing import log, notes
from records import canonical, clock, commitments
from records.canonical import Json
from records.commitments import Opening
from records.errors import UnknownObject
from records.job import OpenedField, Receipt
from records.keys import Signer
from sandbox.exchange import tables

BINDING = ("event", "job", "acceptance", "attempt", "cells", "charge")
"""What a node must see of a leaf before it hands out its key (R6)."""
PART = "part."
"""Fields of a release that say who gets how much of the charge; each payee may open its own."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A leaf as it stands in the log."""

    index: int
    leaf: bytes


class Logbook:
    """The exchange's pen: it alone appends leaves and signs checkpoints and receipts."""

    def __init__(self, environment: str, signer: Signer, log_signer: Signer) -> None:
        """`signer` signs receipts, `log_signer` checkpoints; `environment` is the log's origin."""
        self._environment = environment
        self._signer = signer
        self._log_signer = log_signer

    def enter(self, connection: Connection, event: str, at: datetime, fields: Mapping[str, Json]) -> Entry:
        """Append a leaf of salted commitments, and keep their openings beside the log."""
        everything: dict[str, Json] = {
            "event": event,
            "environment": self._environment,
            # R13: exact event times would tell of a provider's load; the log shows the hour.
            "hour": clock.to_text(at.replace(minute=0, second=0, microsecond=0)),
            **fields,
        }
        openings = commitments.open_fields(everything, secrets.token_bytes)
        leaf = canonical.encode(commitments.leaf(openings))
        index = log.append(connection, leaf)
        connection.execute(
            insert(tables.log_field),
            [
                {
                    "leaf_index": index,
                    "name": name,
                    "salt": entry.salt,
                    "value": canonical.encode(entry.value),
                }
                for name, entry in openings.items()
            ],
        )
        return Entry(index, leaf)

    def checkpoint(self, connection: Connection) -> str:
        """Sign the present (size, root), which is written down before it is signed."""
        size = log.size(connection)
        checkpoint = notes.Checkpoint(self._environment, size, log.root(connection, size))
        log.record_checkpoint(connection, checkpoint)
        return notes.sign_checkpoint(checkpoint, self._log_signer).to_bytes().decode()

    def receipt(
        self,
        connection: Connection,
        *,
        recipient: str,
        job_id: str,
        index: int,
        visible: frozenset[str],
        token: bytes | None,
        assumption: str,
        limits: tuple[str, ...],
        at: datetime,
    ) -> bytes:
        """Return a signed receipt that opens the fields in `visible` of leaf `index`."""
        checkpoint = self.checkpoint(connection)
        size = log.size(connection)
        receipt = Receipt(
            environment=self._environment,
            recipient=recipient,
            job_id=job_id,
            leaf=next(log.leaves(connection, index, index + 1)).hex(),
            log_index=index,
            checkpoint=checkpoint,
            inclusion=tuple(item.hex() for item in log.inclusion(connection, index, size)),
            fields=self._opened(connection, index, visible),
            token=token.decode() if token else None,
            log_key=self._log_signer.key.to_json(),
            signing_key=self._signer.key.to_json(),
            assumption=assumption,
            limits=limits,
            issued_at=clock.to_text(at),
        )
        return receipt.sign(self._signer).to_bytes()

    def binding(self, connection: Connection, index: int) -> bytes:
        """Return the openings that tie leaf `index` to one release, for the nodes that check its token."""
        fields = self.fields(connection, index)
        return commitments.encode({name: fields[name] for name in BINDING})

    @staticmethod
    def fields(connection: Connection, index: int) -> dict[str, Opening]:
        """Return all openings of leaf `index`, for the exchange itself and the regulator."""
        rows = connection.execute(
            select(tables.log_field).where(tables.log_field.c.leaf_index == index)
        ).all()
        if not rows:
            raise UnknownObject("no openings are kept for this leaf")
        return {row.name: Opening(row.salt, canonical.decode(row.value)) for row in rows}

    def _opened(self, connection: Connection, index: int, visible: frozenset[str]) -> dict[str, OpenedField]:
        return {
            name: OpenedField(salt=opening.salt.hex(), value_json=canonical.encode(opening.value).decode())
            for name, opening in self.fields(connection, index).items()
            if name in visible
        }


def visible_fields(openings: Mapping[str, Opening], recipient: str, role: str) -> frozenset[str]:
    """Return which fields of a job's leaf `recipient` may open (design: *Who may learn what*).

    The buyer sees everything but how the price was split; a provider sees the use of its product and its
    own part; a regulator sees all.
    """
    if role == "regulator":
        return frozenset(openings)
    visible = {name for name in openings if not name.startswith(PART)}
    visible |= {name for name, opening in openings.items() if _is_part_of(opening, name, recipient)}
    return frozenset(visible - {"charge"} if role in ("provider", "notary") else visible)


def _is_part_of(opening: Opening, name: str, recipient: str) -> bool:
    value = opening.value
    return name.startswith(PART) and isinstance(value, Mapping) and value.get("payee") == recipient
