"""Sealed literals: another buyer's, borrowed; other ones than were signed for; literals in the open.

And the copy that a buyer seals to itself, sealed to a key of the exchange's making.
"""

from __future__ import annotations

import hmac
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from records.document import Signed
from records.errors import EvidenceError, JobRefused, MalformedDocument
from records.job import Job
from records.parties import PartyRecord
from sandbox import parameters
from sandbox.buyer import session
from sandbox.buyer.session import Listing
from sandbox.exchange import jobs
from sandbox.identity import Identity
from sandbox.lifecycle import State
from sandbox.ports import Caller, Catalogue
from sandbox.sql import placeholders
from tests.adversarial.attack import suite
from tests.adversarial.town import Town, shared_town
from tests.adversarial.walls import got_through, standing

QUERY = "SELECT city, SUM(amount) AS s FROM alice.sales WHERE city <> 'somebody''s secret' GROUP BY city"


def borrowed_from_another_buyer(defended: bool) -> bool:
    """Mallory puts the sealed literals of Acme's job, which the exchange shows her, into a job of her own."""
    with (
        shared_town() as town,
        standing(defended, (parameters, "_info", lambda *_: b"one context for all jobs")),
    ):
        acme, hers = (_draft(town, buyer).document for buyer in ("acme", "mallory"))
        assert acme.parameters is not None
        assert hers.parameters is not None
        # To alice as Acme sealed them; the copy that names Mallory is her own, and nobody looks into it.
        keys = (acme.parameters.keys[1], hers.parameters.keys[1])
        assert [key.party for key in keys] == ["alice", "mallory"]
        borrowed = acme.parameters.model_copy(update={"keys": keys})
        return _admitted(town, hers.model_copy(update={"parameters": borrowed}), "do not open with this key")


def others_than_were_signed_for(defended: bool) -> bool:
    """The signed commitment is to other literals: two providers could be shown different ones."""
    with (
        shared_town() as town,
        standing(defended, (hmac, "compare_digest", lambda *_: True)),
    ):
        hers, other = (_draft(town, "mallory").document for _ in range(2))
        assert hers.parameters is not None
        assert other.parameters is not None
        changed = hers.parameters.model_copy(update={"commitment": other.parameters.commitment})
        return _admitted(town, hers.model_copy(update={"parameters": changed}), "commits to")


def left_in_the_signed_text(defended: bool) -> bool:
    """A careless client leaves the literals where they were; backups of the exchange would have them."""
    unhidden: tuple[Any, str, Any] = (placeholders, "extract", lambda query: (query, ()))
    with shared_town() as town, standing(False, unhidden):
        open_text = _draft(town, "acme")
    with shared_town() as town, standing(defended, (jobs, "require_sealed_literals", lambda _: None)):
        submitted = town.session("acme").submit(open_text)
        return got_through(lambda: town.run(submitted), MalformedDocument, "holds no literals")


def buyers_copy_sealed_to_a_key_of_the_exchange(defended: bool) -> bool:
    """The exchange lists an Acme of its own making, to open the copy that Acme seals to itself."""
    with shared_town() as town:
        town.session("acme")
        thief = town.impostor("acme")
        honest = town.run(town.exchange.catalogue(Caller("acme", "buyer")))
        others = [item for item in honest.parties if PartyRecord.unverified(item).document.party != "acme"]
        shown = replace(honest, parties=(*others, thief.record.to_bytes()))

        async def catalogue(_: Caller) -> Catalogue:
            return shown

        lie, wall = (town.exchange, "catalogue", catalogue), (session, "sealing_keys", _as_listed)
        with standing(False, lie), standing(defended, wall):
            job = _draft(town, "acme").document
        return got_through(
            lambda: parameters.unseal(job, "acme", thief.sealing_keys),
            EvidenceError,
            "do not open with this key",
        )


def _as_listed(listing: Listing, products: Iterable[str], buyer: Identity) -> dict[str, bytes]:
    """Take the buyer's own key from the catalogue too."""
    names = {buyer.party, *(listing.products[name].document.provider for name in products)}
    return {name: bytes.fromhex(str(listing.parties[name].document.sealing_key)) for name in names}


def _draft(town: Town, buyer: str) -> Signed[Job]:
    drafting = town.session(buyer).draft(
        QUERY, purpose="research", technique="auto", epsilon=None, max_groups=4, max_price_minor=None
    )
    return town.run(drafting)


def _admitted(town: Town, job: Job, words: str) -> bool:
    signed = job.sign(town.everyone[job.buyer].signer)
    job_id = town.run(town.session(job.buyer).submit(signed))
    return got_through(lambda: town.advance(job_id, State.QUOTED), JobRefused, words)


ATTACKS = suite(
    "literals",
    borrowed_from_another_buyer,
    others_than_were_signed_for,
    left_in_the_signed_text,
    buyers_copy_sealed_to_a_key_of_the_exchange,
)
