"""Which values a session may reveal, and the ledger of those it did (R8).

The manifest is part of what the buyer accepted and every node checked. Openings happen in its order, each
once; what it lacks is refused before anything is sent.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias, get_args

from mpc.prg import Shape
from records.errors import EvidenceError, MalformedDocument

Receivers: TypeAlias = Literal["parties", "buyer"]


@dataclass(frozen=True, slots=True)
class Opening:
    """One value that is revealed: to whom, and its shape (`None` in a manifest: any)."""

    id: str
    receivers: Receivers
    shape: Shape | None

    def __post_init__(self) -> None:
        if not self.id or self.receivers not in get_args(Receivers):
            raise MalformedDocument("an opening has an id, and `parties` or `buyer` as receivers")


@dataclass(frozen=True, slots=True)
class Manifest:
    """The openings that were accepted, in order."""

    openings: tuple[Opening, ...] = ()

    def __post_init__(self) -> None:
        if len({opening.id for opening in self.openings}) != len(self.openings):
            raise MalformedDocument("a manifest names each opening once")


class Ledger:
    """The openings of one session so far, held against its manifest."""

    def __init__(self, manifest: Manifest) -> None:
        self._manifest = manifest
        self._entries: list[Opening] = []

    @property
    def entries(self) -> tuple[Opening, ...]:
        """What was opened, in order, with the shapes that were."""
        return tuple(self._entries)

    def post(self, opening_id: str, receivers: Receivers, shape: Shape) -> None:
        """Record an opening that is about to happen.

        Raises:
            EvidenceError: the manifest lacks it, names it at another place, or with other receivers or
                another shape; or it already happened.
        """
        if any(entry.id == opening_id for entry in self._entries):
            raise EvidenceError(f"the opening `{opening_id}` already happened; each is accepted once")
        wanted = next((entry for entry in self._manifest.openings if entry.id == opening_id), None)
        if wanted is None:
            raise EvidenceError(f"the manifest lacks the opening `{opening_id}`; it was not accepted")
        if self._manifest.openings[len(self._entries)] is not wanted:
            raise EvidenceError(f"the opening `{opening_id}` is out of the order of the manifest")
        if wanted.receivers != receivers:
            raise EvidenceError(f"the opening `{opening_id}` was accepted for other receivers")
        if wanted.shape is not None and wanted.shape != shape:
            raise EvidenceError(f"the opening `{opening_id}` was accepted with another shape")
        self._entries.append(Opening(opening_id, receivers, shape))

    def finish(self) -> None:
        """Return if every opening of the manifest happened.

        Raises:
            EvidenceError: one did not.
        """
        missing = self._manifest.openings[len(self._entries) :]
        if missing:
            raise EvidenceError(f"the accepted opening `{missing[0].id}` did not happen; void the attempt")
