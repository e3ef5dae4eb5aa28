"""A registered buyer asks for a job that is another's, by every method that takes a job's id."""

from __future__ import annotations

import functools
from collections.abc import Callable, Coroutine
from typing import Any

from records.errors import UnknownObject, UsufructError
from records.job import Cancellation
from sandbox.exchange import jobs
from sandbox.lifecycle import State
from sandbox.ports import Caller
from tests.adversarial.attack import Attack, suite
from tests.adversarial.town import Town, shared_town
from tests.adversarial.walls import Wall, got_through, standing

MALLORY = Caller("mallory", "buyer")
Call = Callable[[Town, str], Coroutine[Any, Any, object]]


async def _accept(town: Town, job_id: str) -> None:
    forged = town.signed_acceptance(town.quote(job_id), by=town.everyone["mallory"])
    await town.exchange.accept(MALLORY, job_id, forged.to_bytes())


async def _cancel(town: Town, job_id: str) -> None:
    order = Cancellation(
        environment=town._environment, job_id=job_id, buyer="acme", issued_at="2026-01-01T00:00:00.000Z"
    )
    signed = order.sign(town.everyone["mallory"].signer).to_bytes()
    await town.exchange.cancel(MALLORY, job_id, signed)


async def _watch(town: Town, job_id: str) -> None:
    await anext(aiter(town.exchange.watch(MALLORY, job_id, 0)))


async def _fetch(town: Town, job_id: str) -> None:
    await anext(aiter(town.exchange.fetch(MALLORY, job_id, "alice", 0, 0)))


METHODS: dict[str, tuple[State, Call]] = {
    "job": (State.QUOTED, lambda town, job_id: town.exchange.job(MALLORY, job_id)),
    "accept": (State.QUOTED, _accept),
    "cancel": (State.QUOTED, _cancel),
    "watch": (State.QUOTED, _watch),
    "result": (State.SETTLED, lambda town, job_id: town.exchange.result(MALLORY, job_id)),
    "fetch": (State.SETTLED, _fetch),
    "receipt": (State.SETTLED, lambda town, job_id: town.exchange.receipt(MALLORY, job_id)),
}
"""Method → the state in which its job is worth asking for, and the call."""


def another_buyers(method: str, defended: bool) -> bool:
    """Call `method` with another buyer's job."""
    state, call = METHODS[method]
    with shared_town() as town:
        town.session("mallory")
        job_id = town.at(state)
        with standing(defended, *_walls()):
            return got_through(
                lambda: town.run(call(town, job_id)), UsufructError, _WORDS.get(method, "no such job")
            )


def job_ids_probed(defended: bool) -> bool:
    """The answers for another's job and for none differ: somebody can find out who is asking what, when."""

    def told_apart(connection: Any, job_id: str, buyer: str) -> None:
        jobs.snapshot(connection, job_id)
        raise UnknownObject("this job is another's")

    def answer(town: Town, job_id: str) -> str:
        try:
            town.run(town.exchange.job(MALLORY, job_id))
        except UsufructError as refusal:
            return f"{refusal.code}: {refusal}"
        raise AssertionError("the job was shown")

    with shared_town() as town:
        town.session("mallory")
        job_id = town.at(State.QUOTED)
        with standing(defended, (jobs, "require_owner", told_apart)):
            return answer(town, job_id) != answer(town, "01890000-0000-7000-8000-00000000000f")


def _walls() -> tuple[Wall, ...]:
    honest = jobs.documents

    def anybodys(*arguments: Any) -> dict[str, bytes]:
        found = honest(*arguments)
        return {**found, "mallory": found["acme"]} if "acme" in found else found

    return (jobs, "require_owner", lambda *_: None), (jobs, "documents", anybodys)


_WORDS = {"receipt": "no receipt of this job for you"}

ATTACKS = (
    *(
        Attack(f"another-buyers-job-by-{method}", "ownership", functools.partial(another_buyers, method))
        for method in METHODS
    ),
    *suite("ownership", job_ids_probed),
)
