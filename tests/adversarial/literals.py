"""Sealed literals: another buyer's, borrowed; other ones than were signed for; literals in the open."""

from __future__ import annotations

import hmac
from typing import Any

from records.document import Signed
from records.errors import JobRefused, MalformedDocument
from records.job import Job
from sandbox import parameters
from sandbox.exchange import jobs
from sandbox.lifecycle import State
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
        acme = _draft(town, "acme").document
        hers = _draft(town, "mallory").document.model_copy(update={"parameters": acme.parameters})
        return _admitted(town, hers, "do not open with this key")


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
)
