"""R8: all three seats run code that opens a provider's rows; their ledgers stop it before a byte is sent."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mpc.manifest import Ledger
from mpc.opening import open_to_parties
from mpc.party import Party
from records.errors import EvidenceError, JobEnded
from sandbox.gate import shares
from sandbox.gate.layout import RESULT
from sandbox.gate.shares import Gated
from sandbox.joint.run import JointInput
from sandbox.lifecycle import State
from sandbox.node import computation
from tests.adversarial.attack import suite
from tests.adversarial.attempts import execute_everywhere, prepared
from tests.adversarial.sealed_shares import NOT_COMPARED
from tests.adversarial.town import JOINT, shared_town
from tests.adversarial.walls import Wall, got_through, standing

FIRST = "the first opening that was accepted"
ANY_OPENING: Wall = (Ledger, "post", lambda *_: None)


def opening_that_was_not_accepted(defended: bool) -> bool:
    """The seats open Alice's sums under a name of their own."""
    return _peek(defended, "peek", "the manifest lacks the opening")


def opening_under_an_accepted_name(defended: bool) -> bool:
    """The seats open Alice's sums in the place of what they may open first."""
    return _peek(defended, FIRST, "accepted with another shape")


def opening_of_the_result_to_the_seats(defended: bool) -> bool:
    """The seats open to themselves what was accepted for the buyer."""
    return _peek(defended, RESULT, "out of the order")


def ledger_beside_the_manifest(defended: bool) -> bool:
    """The seats sign a ledger of other openings than were accepted; the exchange compares."""
    with shared_town() as town:
        job_id = town.at(State.HELD, JOINT)
        other: Wall = (computation, "ledger_digest", lambda _: "sha256:" + 64 * "0")
        with standing(False, other), standing(defended, NOT_COMPARED):
            return got_through(lambda: town.advance(job_id, State.METERED), JobEnded, "opened something else")


def _peek(defended: bool, name: str, words: str) -> bool:
    seen: list[set[int]] = []
    honest = shares.gate

    def curious(party: Party, plan: Any, rules: Any, inputs: Sequence[JointInput]) -> Gated:
        table = inputs[0].table
        sums = next(column.name for column in table.shape.columns.values() if column.kind == "number")
        opened = open_to_parties(party, table.number(sums), opening_id)
        seen.append({int(word) for word in opened.reshape(-1)})
        return honest(party, plan, rules, inputs)

    with shared_town() as town:
        job_id = town.at(State.HELD, JOINT)
        opening_id = town.quote(job_id).document.openings[0].opening_id if name == FIRST else name
        keys = prepared(town, job_id)
        with standing(False, (shares, "gate", curious)), standing(defended, ANY_OPENING):
            ends = execute_everywhere(town, town.acceptance_digest(job_id), keys)
    if defended and not any(isinstance(end, EvidenceError) and words in str(end) for end in ends):
        raise AssertionError(f"stopped, but by: {ends}")
    return len(seen) == 3 and all({20, 30} <= words for words in seen)


ATTACKS = suite(
    "R8 openings",
    opening_that_was_not_accepted,
    opening_under_an_accepted_name,
    opening_of_the_result_to_the_seats,
    ledger_beside_the_manifest,
)
