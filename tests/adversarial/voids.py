"""R7: one node's key is either handed out or destroyed, and money comes back on its signed word alone."""

from __future__ import annotations

from typing import Any

from records.errors import EvidenceError, StateConflict
from records.job import VoidStatement
from sandbox.exchange.metering import Metering
from sandbox.lifecycle import State
from sandbox.node import attempts, journal
from sandbox.ports import Caller, ReleaseRequest
from tests.adversarial.attack import suite
from tests.adversarial.town import CALLER, Town, shared_town
from tests.adversarial.walls import Wall, got_through, standing

ONLY_SAYS_SO: tuple[Wall, ...] = (
    (attempts, "destroy", lambda *_: None),
    (journal, "destroy_keys_before", lambda *_: None),
)
"""A node that signs that its key is destroyed, and keeps it."""


def void_after_the_key_was_handed_out(defended: bool) -> bool:
    """The buyer has the key; then the exchange wants it signed that nobody got it, for the money back."""
    with shared_town() as town:
        job_id = town.at(State.METERED)
        node = town.node("alice")
        town.run(node.release(CALLER, town.release_request(job_id, "alice")))
        with standing(defended, *ONLY_SAYS_SO):
            return got_through(
                lambda: town.run(node.destroy(CALLER, town.acceptance_digest(job_id), 1)),
                StateConflict,
                "not in a state",
            )


def key_after_the_void(defended: bool) -> bool:
    """The charge is reversed on the node's word; then the key is asked for with the token, still valid."""
    with shared_town() as town:
        job_id = town.at(State.METERED)
        node = town.node("alice")
        request = town.release_request(job_id, "alice")
        with standing(defended, *ONLY_SAYS_SO):
            town.run(node.destroy(CALLER, town.acceptance_digest(job_id), 1))
            return got_through(
                lambda: town.run(node.release(CALLER, request)), StateConflict, "has not sealed the result"
            )


def charge_reversed_on_another_attempts_void(defended: bool) -> bool:
    """A node refuses its key, and shows a void statement that it once signed for another job."""
    with Town() as town:
        former = town.acceptance_digest(town.at(State.METERED))
        old = town.run(town.node("alice").destroy(CALLER, former, 1))
        job_id = town.at(State.METERED)
        town.between["alice"] = _Stubborn(town.node("alice"), old)
        believed: Wall = (
            Metering,
            "verified_void",
            lambda _, __, envelope, *___: VoidStatement.unverified(envelope),
        )
        with standing(defended, believed):
            return got_through(
                lambda: town.advance(job_id, State.FAILED), EvidenceError, "for another attempt"
            )


class _Stubborn:
    """A node that hands nothing out, and always shows the same void statement."""

    def __init__(self, node: Any, statement: bytes) -> None:
        self._node = node
        self._statement = statement

    def __getattr__(self, name: str) -> Any:
        return getattr(self._node, name)

    async def release(self, caller: Caller, request: ReleaseRequest) -> bytes:
        raise StateConflict("no key from here")

    async def destroy(self, caller: Caller, acceptance_digest: str, attempt: int) -> bytes:
        return self._statement


ATTACKS = suite(
    "R7 void", void_after_the_key_was_handed_out, key_after_the_void, charge_reversed_on_another_attempts_void
)
