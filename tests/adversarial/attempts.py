"""R3 and R4: the keys of an attempt, and how often one may run. The exchange carries all words."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from sqlalchemy import Connection

from records.errors import ResultWithheld, SignatureInvalid, StateConflict
from records.job import AttemptKeys, SealedResult
from sandbox.derivation import Derived
from sandbox.lifecycle import State
from sandbox.local import EXCHANGE
from sandbox.node import attempts, journal
from sandbox.node import node as nodes
from sandbox.node.agreements import require_agreed
from sandbox.node.attempts import Attempts
from sandbox.node.keys import AttemptSecrets, attempt_context
from tests.adversarial.attack import suite
from tests.adversarial.town import CALLER, JOINT, LOCAL, Town, sales, shared_town
from tests.adversarial.walls import ANY_SIGNATURE, Wall, got_through, standing

CONFIRMATION_BYTES = 32
SOLD_ONCE: Wall = (nodes, "require_held", lambda connection, digest, _: require_agreed(connection, digest))


def man_in_the_middle(defended: bool) -> bool:
    """The exchange hands Alice link keys of its own as Bob's, to read the shares she sends him."""
    with shared_town() as town:
        job_id = town.at(State.HELD, JOINT)
        digest = town.acceptance_digest(job_id)
        own = X25519PrivateKey.generate()
        keys = prepared(town, job_id)
        swapped = AttemptKeys.unverified(keys["bob"]).document.model_copy(
            update={"link_key": own.public_key().public_bytes_raw().hex()}
        )
        shown = {**keys, "bob": swapped.sign(town.everyone[EXCHANGE].signer).to_bytes()}
        with standing(defended, ANY_SIGNATURE):
            try:
                _execute(town, "alice", digest, shown)
            except SignatureInvalid:
                return False
            except StateConflict:
                pass  # Bob never answers; what Alice said to him is what the attacker wants
        derived = _derived(town, job_id)
        terms = {name: item.digest for name, item in derived.terms.items()}
        context = attempt_context(digest, 1, derived.plan.digest, terms, derived.nodes)
        alice = bytes.fromhex(AttemptKeys.unverified(keys["alice"]).document.link_key)
        attacker = AttemptSecrets("bob", own, {"alice": alice}, context)
        return ("alice", "bob", attacker._proof("alice", "alice")) in town.frames


def differing_views(defended: bool) -> bool:
    """Bob works from other terms of Alice's table than the rest: shares would be made for two jobs."""
    with Town() as town:
        job_id = town.at(State.HELD, JOINT)
        bob = town.node("bob")._attempts
        honest = bob._secrets

        def other_view(
            key: tuple[str, int], derived: Derived, peers: dict[str, AttemptKeys]
        ) -> AttemptSecrets:
            looser = derived.terms["alice.sales"].model_copy(update={"purposes": ("research", "marketing")})
            return honest(key, replace(derived, terms={**derived.terms, "alice.sales": looser}), peers)

        bob._secrets = other_view  # type: ignore[method-assign]
        keys = prepared(town, job_id)
        unconfirmed: Wall = (AttemptSecrets, "confirm", lambda *_: None)
        with standing(defended, unconfirmed):
            ends = execute_everywhere(town, town.acceptance_digest(job_id), keys)
        if defended and not any("has another view of this attempt" in str(end) for end in ends):
            raise AssertionError(f"stopped, but by: {ends}")
        return any(len(frame) > CONFIRMATION_BYTES for _, _, frame in town.frames)


def third_attempt(defended: bool) -> bool:
    """The exchange has the job computed until its result suits."""
    with shared_town() as town:
        digest = town.acceptance_digest(town.at(State.HELD))
        node = town.node("alice")
        for number in (1, 2):
            town.run(node.prepare(CALLER, digest, number))
        with standing(defended, (attempts, "MAX_ATTEMPTS", 100)):
            return got_through(
                lambda: town.run(node.prepare(CALLER, digest, 3)), StateConflict, "not the next attempt"
            )


def second_run_after_withholding(defended: bool) -> bool:
    """The exchange runs an acceptance again whose use is consumed: an oracle for the price of one use."""
    with Town(tables={"alice": sales(A=3), "bob": sales(A=3)}) as town:
        job_id = town.submit(LOCAL)
        with suppress(ResultWithheld):
            town.advance(job_id, State.SETTLED)
        with standing(defended, SOLD_ONCE):
            return _runs_again(town, job_id)


def second_run_after_release(defended: bool) -> bool:
    """The exchange runs an acceptance again whose result was released: two results for one price.

    The control is a node that forgot both that the use is consumed and that the key is gone.
    """
    honest = journal.last_attempt

    def forgetful(connection: Connection, acceptance_digest: str) -> Any:
        row = honest(connection, acceptance_digest)
        return SimpleNamespace(**row._asdict() | {"status": "sealed"}) if row is not None else None

    with shared_town() as town:
        job_id = town.at(State.SETTLED)
        with standing(defended, SOLD_ONCE, (journal, "last_attempt", forgetful)):
            return _runs_again(town, job_id)


def attempt_resumed_after_restart(defended: bool) -> bool:
    """A node is killed and started again; the exchange wants the old attempt to go on under its old keys.

    The control is a node that brings its link key over the restart.
    """
    with Town() as town:
        job_id = town.at(State.HELD)
        keys = prepared(town, job_id)
        node = town.node("alice")
        old = node._attempts
        node._attempts = Attempts(node._identity, node._store, old._open_mesh, node._shelf.run, town._now)
        if not defended:
            node._attempts._live.update(old._live)
        return got_through(
            lambda: _execute(town, "alice", town.acceptance_digest(job_id), keys),
            StateConflict,
            "the attempt was lost",
        )


def release_of_an_earlier_attempt(defended: bool) -> bool:
    """After the second attempt began, the exchange has the key of the first handed out: two results open."""
    with shared_town() as town:
        job_id = town.at(State.METERED)
        node = town.node("alice")
        keeps_keys: Wall = (journal, "destroy_keys_before", lambda *_: None)
        with standing(defended, keeps_keys):
            town.run(node.prepare(CALLER, town.acceptance_digest(job_id), 2))
            request = town.release_request(job_id, "alice")
            return got_through(
                lambda: town.run(node.release(CALLER, request)), StateConflict, "has not sealed the result"
            )


def _runs_again(town: Town, job_id: str) -> bool:
    node, digest = town.node("alice"), town.acceptance_digest(job_id)
    town.rewrite(job_id, State.HELD, attempt=2)

    def again() -> None:
        keys = town.run(node.prepare(CALLER, digest, 2))
        statement = town.run(node.execute(CALLER, digest, 2, (keys,)))
        if SealedResult.unverified(statement).document.attempt != 2:
            raise AssertionError("the old result was sent again")

    return got_through(again, StateConflict, "it runs once")


def prepared(town: Town, job_id: str) -> dict[str, bytes]:
    """Have all nodes prepare the first attempt; return their keys."""
    digest = town.acceptance_digest(job_id)
    town.rewrite(job_id, State.HELD, attempt=1)
    return {
        name: town.run(town.node(name).prepare(CALLER, digest, 1))
        for name in town.quote(job_id).document.nodes
    }


def _execute(town: Town, node: str, digest: str, keys: Mapping[str, bytes]) -> bytes:
    return town.run(town.node(node).execute(CALLER, digest, 1, tuple(keys.values())))


def execute_everywhere(town: Town, digest: str, keys: Mapping[str, bytes]) -> list[bytes | BaseException]:
    """Run the first attempt at all nodes; return what each came to."""

    async def all_at_once() -> list[bytes | BaseException]:
        envelopes = tuple(keys.values())
        runs = [town.node(name).execute(CALLER, digest, 1, envelopes) for name in keys]
        return await asyncio.gather(*runs, return_exceptions=True)

    return town.run(all_at_once())


def _derived(town: Town, job_id: str) -> Derived:
    with town.store.read() as connection:
        return town.quoting.derive(connection, job_id)[0]


ATTACKS = (
    *suite("R3 link keys", man_in_the_middle, differing_views),
    *suite(
        "R4 attempts",
        third_attempt,
        second_run_after_withholding,
        second_run_after_release,
        attempt_resumed_after_restart,
        release_of_an_earlier_attempt,
    ),
)
