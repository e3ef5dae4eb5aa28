"""R9, R10, R12: what a result may tell, and what asking costs when it tells nothing."""

from __future__ import annotations

from contextlib import suppress

import pandas as pd
from sqlalchemy import func, select

from billing import accounts
from mpc.comparison import at_least
from mpc.conversion import any_of
from mpc.party import Party
from mpc.sharing import Arithmetic
from policies.disclosure import MinUnits
from records.errors import JobEnded, ResultWithheld
from records.job import Cancellation
from sandbox.exchange import tables
from sandbox.gate import shares
from sandbox.lifecycle import State
from sandbox.node import uses
from sandbox.node.node import Node
from sandbox.ports import Caller
from tests.adversarial.attack import suite
from tests.adversarial.town import CALLER, JOINT, LOCAL, Town, sales
from tests.adversarial.walls import Wall, standing

THREE_BESIDE_FORTY = {"alice": sales(A=20, V=3), "bob": sales(A=25, V=40)}
ONE_ROW = {"alice": sales(A=20, V=1), "bob": sales(A=25)}
ALL_SMALL = {"alice": sales(A=3), "bob": sales(A=3)}
EVERY_GROUP: Wall = (MinUnits, "holds", lambda *_: True)
"""At a provider's own node every group is large enough."""


def _total_alone(party: Party, rule: MinUnits, counts: Arithmetic) -> Arithmetic:
    return at_least(party, counts.sum(axis=0), rule.threshold)


def _any_row(party: Party, _: MinUnits, counts: Arithmetic) -> Arithmetic:
    return any_of(party, at_least(party, counts, 1))


def own_part_subtracted(defended: bool) -> bool:
    """Bob has 40 of a city's 43 rows: if the sum is shown, he learns the sum of Alice's three."""
    return _shown(defended, THREE_BESIDE_FORTY, JOINT, (shares, "meets", _total_alone))


def key_of_one_row_jointly(defended: bool) -> bool:
    """A city in which one person lives is told by its name alone, whatever its sum."""
    return _shown(defended, ONE_ROW, JOINT, (shares, "meets", _any_row))


def key_of_one_row_locally(defended: bool) -> bool:
    """The same, on the tables of one provider."""
    return _shown(defended, ONE_ROW, LOCAL, EVERY_GROUP)


def withheld_result_for_free(defended: bool) -> bool:
    """A buyer asks again and again for what is withheld: each answer tells that a group is small."""
    with Town(tables=ALL_SMALL) as town, standing(defended, (Node, "_consume", lambda *_: None)):
        _run_until_withheld(town)
        return _spent(town) == 0


def bytes_of_a_withheld_result(defended: bool) -> bool:
    """The exchange keeps the sealed bytes of a withheld result, to have them opened some day."""
    with Town(tables=ALL_SMALL) as town:
        with standing(defended, EVERY_GROUP):
            _run_until_withheld(town)
        with town.store.read() as connection:
            kept = connection.execute(select(func.count()).select_from(tables.sealed_chunk)).scalar_one()
        return bool(kept)


def cancelled_after_execution(defended: bool) -> bool:
    """A buyer cancels as soon as it was computed, and has its use back."""
    with Town() as town:
        job_id = town.at(State.EXECUTED)
        order = Cancellation(
            environment=town._environment, job_id=job_id, buyer="acme", issued_at="2026-01-01T00:00:00.000Z"
        )
        signed = order.sign(town.everyone["acme"].signer).to_bytes()
        town.run(town.exchange.cancel(Caller("acme", "buyer"), job_id, signed))
        with standing(defended, (uses, "consume", uses.give_back)):
            with suppress(JobEnded):
                town.advance(job_id, State.SETTLED)
            return _spent(town) == 0


def destroyed_after_execution(defended: bool) -> bool:
    """An exchange in league with the buyer sees how many cells there are, and then voids: no use."""
    with Town() as town:
        job_id = town.at(State.EXECUTED)
        with standing(defended, (uses, "consume", uses.give_back)):
            town.run(town.node("alice").destroy(CALLER, town.acceptance_digest(job_id), 1))
            return _spent(town) == 0


def _shown(defended: bool, rows: dict[str, pd.DataFrame], query: str, wall: Wall) -> bool:
    with Town(tables=rows) as town:
        job_id = town.submit(query)
        with standing(defended, wall):
            town.advance(job_id, State.SETTLED)
        cities = town.run(town.session().open(job_id)).table["city"].to_pylist()
        if "A" not in cities:
            raise AssertionError("the large group is missing too")
        return "V" in cities


def _run_until_withheld(town: Town) -> None:
    with suppress(ResultWithheld):
        town.advance(town.submit(LOCAL), State.SETTLED)


def _spent(town: Town) -> int:
    with town.node("alice")._store.read() as connection:
        return accounts.balance(connection, "total", "uses:alice.sales").debits_posted


ATTACKS = (
    *suite("R9 units in a union", own_part_subtracted),
    *suite("R10 suppression", key_of_one_row_jointly, key_of_one_row_locally),
    *suite(
        "R12 no oracles",
        withheld_result_for_free,
        bytes_of_a_withheld_result,
        cancelled_after_execution,
        destroyed_after_execution,
    ),
)
