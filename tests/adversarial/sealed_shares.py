"""R5: shares on their way. The exchange swaps them, or a seat delivers another copy than the other holder."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import pyarrow as pa
from sqlalchemy import update

from mpc.sharing import from_bytes, to_bytes
from records import canonical
from records.errors import EvidenceError, JobEnded
from records.job import AttemptKeys, Quote, SealedResult
from sandbox import outcome
from sandbox.buyer import opening, session
from sandbox.buyer.opening import OpenedResult, VerifiedRelease
from sandbox.exchange import effects, tables
from sandbox.gate.layout import Layout, words_by_column
from sandbox.hpke import SealingKey
from sandbox.lifecycle import State
from sandbox.node import attempts, handing_out, journal
from sandbox.node.computation import Computed
from sandbox.outcome import AgreedOutcome
from sandbox.ports import Blob, Caller, ReleasedResult
from sandbox.sealing import SealContext, open_share, seal_share
from sandbox.sql.plan import Plan
from tests.adversarial.attack import suite
from tests.adversarial.town import CALLER, JOINT, Town, shared_town, stored_share
from tests.adversarial.walls import Wall, got_through, standing

Columns = Mapping[str, Sequence[object]]
Change = Callable[[Computed, Plan], Computed]

FORGED: Columns = {"city": ["A"], "s": [666]}
HERS: Columns = {"city": ["A", "B"], "s": [1045, 1045]}


def _believed(_: Quote, statements: Mapping[str, SealedResult]) -> AgreedOutcome:
    first = next(iter(statements.values()))
    return AgreedOutcome(first.verdict, first.cells)


def _first_copy(
    plan: Plan,
    release: VerifiedRelease,
    ciphertexts: Mapping[tuple[str, int], bytes],
    buyer: SealingKey,
    literals: Sequence[str],
) -> OpenedResult:
    token = release.token.document
    shares: dict[int, bytes] = {}
    for (node, index), ciphertext in sorted(ciphertexts.items()):
        context = SealContext(token.acceptance_digest, token.attempt, plan.digest, node, index)
        shares.setdefault(index, open_share(ciphertext, buyer, release.release_keys, context))
    return opening._local(shares) if plan.technique == "local" else opening._joint(plan, shares, literals)


async def _unread(exchange: Any, caller: Caller, job_id: str, blob: Blob) -> bytes:
    return b"".join([chunk async for chunk in exchange.fetch(caller, job_id, blob.node, blob.index, 0)])


NOT_COMPARED: Wall = (effects, "agreed_outcome", _believed)
CARELESS_BUYER: Wall = (session, "open_result", _first_copy)


def share_swapped_in_the_store(defended: bool) -> bool:
    """All keys to seal with are public: the exchange seals a table of its own in place of the node's."""
    with shared_town() as town:
        job_id = town.at(State.SETTLED)
        _seal_another(town, job_id)
        with standing(defended, (session, "collect", _unread), CARELESS_BUYER):
            return _is_believed(town, job_id, "the node")


def share_swapped_with_its_digest(defended: bool) -> bool:
    """As above, and the exchange also announces the forged bytes' size and digest to the buyer."""
    with shared_town() as town:
        job_id = town.at(State.SETTLED)
        forged = _seal_another(town, job_id)
        honest = town.exchange.result

        async def announced(caller: Caller, job_id: str) -> ReleasedResult:
            found = await honest(caller, job_id)
            changes = {"size": len(forged), "ciphertext_digest": canonical.digest_bytes(forged)}
            return replace(found, blobs=tuple(replace(blob, **changes) for blob in found.blobs))  # type: ignore[arg-type]

        lying: Wall = (town.exchange, "result", announced)
        with standing(False, lying), standing(defended, CARELESS_BUYER):
            return _is_believed(town, job_id, "the node")


def other_copy_than_the_second_holder(defended: bool) -> bool:
    """Alice seals and signs another share than the notary, who holds it too: the sums are hers to choose."""
    with shared_town() as town:
        job_id = town.at(State.HELD, JOINT)
        with standing(False, _cheating(town, _other_share)), standing(defended, NOT_COMPARED):
            return got_through(lambda: town.advance(job_id, State.METERED), JobEnded, "different digests")


def other_copy_under_the_same_digest(defended: bool) -> bool:
    """Alice signs the right share and seals another: until it is opened, nobody can tell but the buyer."""
    with shared_town() as town:
        job_id = town.at(State.HELD, JOINT)
        with town.store.read() as connection:
            plan = town.quoting.derive(connection, job_id)[0].plan

        def another(share: bytes, buyer: bytes, keys: Mapping[str, bytes], context: SealContext) -> bytes:
            hers = (context.node, context.index) == ("alice", 1)
            return seal_share(_thousand_more(share, plan) if hers else share, buyer, keys, context)

        with standing(False, (attempts, "seal_share", another)):
            town.advance(job_id, State.SETTLED)
        with standing(defended, CARELESS_BUYER):
            return _is_believed(town, job_id, "different copies", HERS)


def share_held_back(defended: bool) -> bool:
    """Alice delivers one of her two shares: the buyer would pay for a result that cannot be checked."""
    with shared_town() as town:
        job_id = town.at(State.HELD, JOINT)
        with standing(False, _cheating(town, _one_less)), standing(defended, NOT_COMPARED):
            return got_through(lambda: town.advance(job_id, State.METERED), JobEnded, "sealed other shares")


def share_held_back_in_league(defended: bool) -> bool:
    """The same, with an exchange that books it: Bob is asked for his key, and the buyer would have to pay."""
    with shared_town() as town:
        job_id = town.at(State.HELD, JOINT)
        with standing(False, _cheating(town, _one_less), NOT_COMPARED):
            town.advance(job_id, State.METERED)
        request = town.release_request(job_id, "bob")
        with standing(defended, (handing_out, "agreed_outcome", _believed)):
            return got_through(
                lambda: town.run(town.node("bob").release(CALLER, request)),
                EvidenceError,
                "sealed other shares",
            )


def frames_denied(defended: bool) -> bool:
    """Alice signs for other frames than she sent: an audit by replay would have nothing to hold her to."""
    with shared_town() as town:
        job_id = town.at(State.HELD, JOINT)
        unchecked: Wall = (outcome, "_require_one_transcript", lambda *_: None)
        with standing(False, _cheating(town, _other_frames)), standing(defended, unchecked):
            return got_through(
                lambda: town.advance(job_id, State.METERED), JobEnded, "signed different frames"
            )


def opened_before_the_token(defended: bool) -> bool:
    """Buyer, exchange and Alice together open the result with her key alone: unpaid, and against Bob's word.

    The control wraps each share under its own node's key only.
    """

    def wrapped_alone(share: bytes, buyer: bytes, keys: Mapping[str, bytes], context: SealContext) -> bytes:
        return seal_share(share, buyer, {"alice": keys["alice"]}, context)

    with shared_town() as town:
        job_id = town.at(State.HELD, JOINT)
        with standing(defended, (attempts, "seal_share", wrapped_alone)):
            town.advance(job_id, State.EXECUTED)
        digest, plan_digest = town.acceptance_digest(job_id), town.quote(job_id).document.plan_digest
        alice = town.node("alice")
        row = _attempt(town, digest)
        keys = {"alice": alice._attempts.release_key(row)}
        sealed = SealedResult.unverified(row.result).document
        index = sealed.shares[0].index

        def open_it() -> bytes:
            context = SealContext(digest, 1, plan_digest, "alice", index)
            buyer = town.everyone["acme"].keys.sealing
            return open_share(stored_share(town, job_id, "alice", index), buyer, keys, context)

        return got_through(open_it, EvidenceError, "exactly the nodes")


def _attempt(town: Town, digest: str) -> Any:
    with town.node("alice")._store.read() as connection:
        return journal.attempt(connection, digest, 1)


def _cheating(town: Town, change: Change) -> Wall:
    alice = town.node("alice")._attempts
    honest: Any = alice._compute

    def compute(key: Any, agreement: Any, *rest: Any) -> Computed:
        return change(honest(key, agreement, *rest), agreement.derived.plan)

    return alice, "_compute", compute


def _other_frames(computed: Computed, _: Plan) -> Computed:
    first, *rest = computed.transcript
    return replace(computed, transcript=(first.model_copy(update={"digest": "sha256:00"}), *rest))


def _one_less(computed: Computed, _: Plan) -> Computed:
    return replace(computed, shares=computed.shares[:1])


def _other_share(computed: Computed, plan: Plan) -> Computed:
    first, *others = computed.shares
    return replace(computed, shares=(replace(first, data=_thousand_more(first.data, plan)), *others))


def _thousand_more(share: bytes, plan: Plan) -> bytes:
    words = from_bytes(share, Layout.of(plan).result_shape).copy()
    place = next(place for column, place in words_by_column(plan) if column.kind == "number")
    words[:, place] += 1000
    return to_bytes(words)


def _seal_another(town: Town, job_id: str) -> bytes:
    quote = town.quote(job_id).document
    keys = [AttemptKeys.unverified(item).document for item in town.documents(job_id, "attempt-keys").values()]
    forged = seal_share(
        forged_table(),
        bytes.fromhex(quote.result_key),
        {item.node: bytes.fromhex(item.release_key) for item in keys},
        SealContext(town.acceptance_digest(job_id), 1, quote.plan_digest, "alice", 0),
    )
    with town.store.begin() as connection:
        connection.execute(
            update(tables.sealed_chunk).where(tables.sealed_chunk.c.job_id == job_id).values(data=forged)
        )
    return forged


def forged_table() -> bytes:
    """Return `FORGED` as a node would put it into a share."""
    table = pa.table(FORGED)
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return bytes(sink.getvalue().to_pybytes())


def _is_believed(town: Town, job_id: str, words: str, table: Columns = FORGED) -> bool:
    def read() -> None:
        if town.run(town.session().open(job_id)).table.to_pydict() != table:
            raise AssertionError("the buyer read something else")

    return got_through(read, EvidenceError, words)


ATTACKS = suite(
    "R5 sealed result",
    share_swapped_in_the_store,
    share_swapped_with_its_digest,
    other_copy_than_the_second_holder,
    other_copy_under_the_same_digest,
    share_held_back,
    share_held_back_in_league,
    frames_denied,
    opened_before_the_token,
)
