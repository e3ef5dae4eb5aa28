"""What nodes were asked with stays: neither new versions nor new members change a job from then on."""

from __future__ import annotations

import pytest
from sqlalchemy import Connection

from billing.tariff import ExchangeFees
from records.errors import JobRefused
from sandbox.exchange import jobs, parties, registrations
from sandbox.exchange.logbook import Logbook
from sandbox.exchange.quoting import Quoting
from tests.unit.sandbox.registered import ENVIRONMENT, NOW, identity, job, membership, product
from tests.unit.sandbox.test_derivation import offered

EXCHANGE = identity("exchange", "exchange")
FEES = ExchangeFees(0, 0)
PARTIES = (
    *(identity(name) for name in ("alice", "bob", "carol")),
    identity("notary", "notary"),
    identity("acme", "buyer"),
)
PLAIN = {
    "unit": {"none": "made-up data"},
    "columns": {"origin": {"reveal": ["plain"]}},
}
JOINED = (
    "SELECT e.origin, COUNT(*) AS n FROM everyone AS e"
    " WHERE e.origin IN (SELECT c.origin FROM carol.flights AS c) GROUP BY e.origin"
)


@pytest.fixture
def submitted(connection: Connection) -> tuple[Connection, str]:
    """A job over a collection of alice's and bob's products, and carol's by its name."""
    logbook = Logbook(ENVIRONMENT, EXCHANGE.signer, EXCHANGE.log_signer)
    for party in PARTIES:
        parties.enrol(connection, logbook, party.record.to_bytes(), ENVIRONMENT, NOW)
    products = [offered(name, **PLAIN) for name in ("alice", "bob", "carol")]
    for each in products:
        registrations.register(connection, each.to_bytes(), each.document.provider, ENVIRONMENT)
    for name in ("alice", "bob"):
        registrations.join(connection, membership(name).to_bytes(), name, ENVIRONMENT)
    of = job(products=products, query=JOINED, collections=("everyone",))
    key = identity("acme", "buyer").record.document.verifying_key
    return connection, jobs.submit(connection, of.to_bytes(), key, ENVIRONMENT, NOW)


def quoting() -> Quoting:
    """Return one that remembers nothing, as after a restart."""
    return Quoting(ENVIRONMENT, EXCHANGE.signer, FEES)


def test_a_member_that_joins_later_is_no_part_of_the_job(submitted: tuple[Connection, str]) -> None:
    connection, job_id = submitted
    derived, request = quoting().derive(connection, job_id)
    quoting().fix_records(connection, job_id, request)
    registrations.join(connection, membership("carol").to_bytes(), "carol", ENVIRONMENT)
    again, same = quoting().derive(connection, job_id)
    assert again == derived
    assert sorted(same.memberships) == sorted(request.memberships)


def test_before_the_nodes_are_asked_it_would_be(submitted: tuple[Connection, str]) -> None:
    connection, job_id = submitted
    derived, _ = quoting().derive(connection, job_id)
    registrations.join(connection, membership("carol").to_bytes(), "carol", ENVIRONMENT)
    again, _ = quoting().derive(connection, job_id)
    assert again.plan.digest != derived.plan.digest


def test_a_new_version_is_no_part_of_a_job_that_the_nodes_were_asked_with(
    submitted: tuple[Connection, str],
) -> None:
    connection, job_id = submitted
    derived, request = quoting().derive(connection, job_id)
    newer = product("carol", version=2).to_bytes()
    registrations.register(connection, newer, "carol", ENVIRONMENT)
    with pytest.raises(JobRefused):
        quoting().derive(connection, job_id)
    quoting().fix_records(connection, job_id, request)
    assert quoting().derive(connection, job_id)[0] == derived
