"""R3: the exchange changes what the buyer accepted, or lets the buyer accept what was never derived."""

from __future__ import annotations

import functools
from collections.abc import Callable

import pyarrow as pa

from records.document import Signed
from records.errors import EvidenceError, JobRefused, RequestExpired, SignatureInvalid
from records.job import KeyHandout, Quote
from sandbox.exchange import jobs
from sandbox.hpke import SealingKey
from sandbox.lifecycle import State
from sandbox.local import EXCHANGE
from sandbox.node import node as nodes
from sandbox.ports import HoldRequest
from sandbox.sealing import SealContext, open_share
from tests.adversarial.attack import Attack, suite
from tests.adversarial.town import CALLER, JOINT, Town, shared_town, stored_share
from tests.adversarial.walls import ANY_SIGNATURE, Wall, got_through, standing

QUOTE_UNCHECKED: Wall = (nodes, "check_quote", lambda *_: None)

Change = Callable[[Quote], dict[str, object]]
CHANGES: dict[str, Change] = {
    "plan": lambda _: {"plan_digest": "sha256:" + 64 * "0"},
    "compute set": lambda quote: {"compute_set": (quote.compute_set[0], quote.compute_set[1], "exchange")},
    "openings": lambda quote: {"openings": (*quote.openings, quote.openings[0])},
    "charge": lambda quote: {"charge": quote.charge.model_copy(update={"total_minor": 10**6})},
    "leaks": lambda _: {"leaks": ("intermediate-sizes",)},
    "nodes": lambda quote: {"nodes": quote.nodes[1:]},
}


def changed_before_acceptance(what: str, defended: bool) -> bool:
    """The buyer's software signs whatever it is shown: the node must derive the job itself."""
    with shared_town() as town:
        job_id = town.at(State.QUOTED, JOINT)
        changed = town.requoted(job_id, **CHANGES[what](town.quote(job_id).document))
        request = HoldRequest(changed.to_bytes(), town.signed_acceptance(changed).to_bytes())
        return _held(defended, town, request, what)


def changed_after_acceptance(defended: bool) -> bool:
    """The buyer accepted one price; the nodes are shown the acceptance beside another."""
    with shared_town() as town:
        job_id = town.at(State.QUOTED)
        acceptance = town.signed_acceptance(town.quote(job_id))
        changed = town.requoted(job_id, **CHANGES["charge"](town.quote(job_id).document))
        request = HoldRequest(changed.to_bytes(), acceptance.to_bytes())
        return _held(defended, town, request, "not the buyer's for this quote")


def forged_acceptance(defended: bool) -> bool:
    """The exchange accepts in the buyer's name."""
    with shared_town() as town:
        quote = town.quote(town.at(State.QUOTED))
        forged = town.signed_acceptance(quote, by=town.everyone[EXCHANGE])
        with standing(defended, ANY_SIGNATURE):
            return got_through(
                lambda: town.run(
                    town.node("alice").hold(CALLER, HoldRequest(quote.to_bytes(), forged.to_bytes()))
                ),
                SignatureInvalid,
                "no signature by a key",
            )


def expired_quote(defended: bool) -> bool:
    """A quote is kept until its price suits, and held long after it expired."""
    with Town() as town:
        quote = town.quote(town.at(State.QUOTED))
        town.pass_time(minutes=15)
        request = HoldRequest(quote.to_bytes(), town.signed_acceptance(quote).to_bytes())
        with standing(defended, QUOTE_UNCHECKED):
            return got_through(
                lambda: town.run(town.node("alice").hold(CALLER, request)), RequestExpired, "has expired"
            )


def result_key_of_the_exchange(defended: bool) -> bool:
    """The exchange puts its own result key into the quote, and reads the result on its way."""
    with shared_town() as town:
        job_id = town.at(State.QUOTED)
        own = SealingKey.generate()
        changed = town.requoted(job_id, result_key=own.public.hex())
        with town.store.begin() as connection:
            jobs.set_quote(connection, job_id, changed.to_bytes())
        town.accept(job_id, changed)
        with standing(defended, QUOTE_UNCHECKED):
            worked = got_through(lambda: town.advance(job_id, State.SETTLED), JobRefused, "result key")
        return worked and _read(town, job_id, changed, own) == {"city": ["A", "B"], "s": [20, 30]}


def _held(defended: bool, town: Town, request: HoldRequest, words: str) -> bool:
    with standing(defended, QUOTE_UNCHECKED):
        return got_through(lambda: town.run(town.node("alice").hold(CALLER, request)), EvidenceError, words)


def _read(town: Town, job_id: str, quote: Signed[Quote], own: SealingKey) -> dict[str, list[object]]:
    handouts = [
        KeyHandout.unverified(item).document for item in town.documents(job_id, "key-handout").values()
    ]
    keys = {item.node: SealingKey(bytes.fromhex(item.release_private_key)) for item in handouts}
    context = SealContext(town.acceptance_digest(job_id), 1, quote.document.plan_digest, "alice", 0)
    with pa.ipc.open_stream(open_share(stored_share(town, job_id, "alice", 0), own, keys, context)) as reader:
        found: dict[str, list[object]] = reader.read_all().to_pydict()
    return found


ATTACKS = (
    *(
        Attack(
            f"changed-{what.replace(' ', '-')}",
            "R3 acceptance",
            functools.partial(changed_before_acceptance, what),
        )
        for what in CHANGES
    ),
    *suite(
        "R3 acceptance",
        changed_after_acceptance,
        forged_acceptance,
        expired_quote,
        result_key_of_the_exchange,
    ),
)
