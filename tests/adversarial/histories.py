"""R6: an exchange that signs two histories of its log, or takes leaves back."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import cast

from billing import log, merkle, notes
from records.errors import EvidenceError, RequestExpired
from records.job import ReleaseToken
from sandbox.lifecycle import State
from sandbox.local import EXCHANGE
from sandbox.node import handing_out
from sandbox.ports import Caller, NodePort, ReleaseRequest
from tests.adversarial.attack import suite
from tests.adversarial.town import CALLER, JOINT, Town
from tests.adversarial.walls import Wall, got_through, standing

HEAD_START_S = 0.2
REWRITTEN = b'{"event":"something else"}'


async def _unasked(*_: object) -> None:
    return None


async def _only_bob(
    token: ReleaseToken, _: object, peers: Mapping[str, NodePort], caller: Caller, __: object
) -> None:
    await peers["bob"].compare_checkpoints(caller, token.checkpoint)


HISTORY_UNCHECKED: Wall = (handing_out, "check_history", lambda *_: None)
PEERS_UNASKED: Wall = (handing_out, "compare_with_peers", _unasked)


class History:
    """A log of the attacker's making, signed with the exchange's true log key."""

    def __init__(self, town: Town, leaves: Sequence[bytes]) -> None:
        self._town = town
        self._leaves = leaves

    def request(self, honest: ReleaseRequest) -> ReleaseRequest:
        """Return `honest` with a token that stands in this history instead."""
        size, leaf = len(self._leaves), honest.leaf
        root = merkle.root(size, self._node_at)
        checkpoint = notes.Checkpoint(self._town._environment, size, root)
        index = self._leaves.index(leaf)
        changes = {
            "checkpoint": notes.sign_checkpoint(checkpoint, self._town.everyone[EXCHANGE].log_signer)
            .to_bytes()
            .decode(),
            "log_index": index,
        }
        token = ReleaseToken.unverified(honest.token).document.model_copy(update=changes)
        known = min(honest.known_size, size)
        return replace(
            honest,
            token=token.sign(self._town.everyone[EXCHANGE].signer).to_bytes(),
            inclusion=tuple(merkle.inclusion_proof(index, size, self._node_at)),
            consistency=tuple(merkle.consistency_proof(known, size, self._node_at)),
        )

    def _node_at(self, level: int, index: int) -> bytes:
        if level == 0:
            return merkle.leaf_hash(self._leaves[index])
        return merkle.node_hash(self._node_at(level - 1, 2 * index), self._node_at(level - 1, 2 * index + 1))


def rewritten_log(defended: bool) -> bool:
    """A leaf that the node has seen is changed afterwards; the log is as long as it should be."""
    with Town() as town:
        town.at(State.SETTLED)
        job_id = town.at(State.METERED)
        return _second_history(defended, town, job_id, [REWRITTEN, *_leaves(town)[1:]])


def rolled_back_log(defended: bool) -> bool:
    """The exchange restores a backup from before the first charge, and goes on as if it had never been."""
    with Town() as town:
        before = len(_leaves(town))
        town.at(State.SETTLED)
        job_id = town.at(State.METERED)
        last = town.release_request(job_id, "alice").leaf
        return _second_history(defended, town, job_id, [*_leaves(town)[:before], last])


def two_histories_for_two_nodes(defended: bool) -> bool:
    """Alice and Bob, who have seen nothing of the log before, are each shown another one."""
    with Town() as town:
        job_id = town.at(State.METERED, JOINT)
        town.run(town.node("alice").release(CALLER, town.release_request(job_id, "alice")))
        forged = History(town, [REWRITTEN, *_leaves(town)[1:]]).request(town.release_request(job_id, "bob"))
        with standing(defended, PEERS_UNASKED):
            return got_through(
                lambda: town.run(town.node("bob").release(CALLER, forged)), EvidenceError, "another history"
            )


def fork_raced_past_the_check(defended: bool) -> bool:
    """While Alice asks Bob about one history, she is asked for another job's key under a second one."""
    with Town() as town:
        first, second = town.at(State.METERED, JOINT), town.at(State.METERED, JOINT)
        alice, bob = town.node("alice"), town.node("bob")
        honest = town.release_request(first, "alice")
        forged = History(town, [REWRITTEN, *_leaves(town)[1:]]).request(town.release_request(second, "alice"))
        meanwhile: list[asyncio.Task[bytes]] = []

        class SlowBob:
            """Answers after the second request has gone as far as it can."""

            async def compare_checkpoints(self, caller: Caller, checkpoint: str) -> str:
                town.between.clear()
                meanwhile.append(asyncio.create_task(alice.release(CALLER, forged)))
                await asyncio.wait(meanwhile, timeout=HEAD_START_S)
                return await bob.compare_checkpoints(caller, checkpoint)

        async def both() -> None:
            town.between["bob"] = cast("NodePort", SlowBob())
            await alice.release(CALLER, honest)
            await meanwhile[0]

        with standing(defended, HISTORY_UNCHECKED, (handing_out, "compare_with_peers", _only_bob)):
            return got_through(lambda: town.run(both()), RequestExpired, "from an older checkpoint")


def _second_history(defended: bool, town: Town, job_id: str, leaves: Sequence[bytes]) -> bool:
    forged = History(town, leaves).request(town.release_request(job_id, "alice"))
    with standing(defended, HISTORY_UNCHECKED):
        return got_through(
            lambda: town.run(town.node("alice").release(CALLER, forged)), EvidenceError, "consisten"
        )


def _leaves(town: Town) -> list[bytes]:
    with town.store.read() as connection:
        return list(log.leaves(connection, 0, log.size(connection)))


ATTACKS = suite(
    "R6 checkpoint",
    rewritten_log,
    rolled_back_log,
    two_histories_for_two_nodes,
    fork_raced_past_the_check,
)
