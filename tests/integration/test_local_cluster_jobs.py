"""A job on its way in a local cluster: steps, cancellation, finding it again, receipts, and who is paid."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import pytest

from policies import terms as policy
from records.clock import utc_now
from records.errors import JobEnded, PeerUnavailable, StateConflict, UnknownObject, UsufructError
from records.job import Receipt, ReleaseToken
from sandbox.buyer.client import Buyer, BuyerJob, ReceiptView, Result
from sandbox.buyer.session import BuyerSession
from sandbox.local import LocalCluster
from sandbox.node import journal
from sandbox.ports import Caller
from tests.integration.airlines import AIRLINES, TERMS, flights, open_cluster

JOINT = "SELECT origin, COUNT(*) AS n, AVG(delay) AS a FROM everyone GROUP BY origin ORDER BY origin"
LOCAL = "SELECT origin, COUNT(*) AS n FROM alice.flights GROUP BY origin ORDER BY origin"
LINE = ["SUBMITTED", "ADMITTED", "QUOTED", "HELD", "EXECUTED", "METERED", "RELEASED", "SETTLED"]


@pytest.fixture(scope="module")
def cluster() -> Iterator[LocalCluster]:
    yield from open_cluster()


@pytest.fixture(scope="module")
def acme(cluster: LocalCluster) -> Buyer:
    return cluster.buyer("acme", funds={"CNY": 1_000_000})


@pytest.fixture(scope="module")
def settled(acme: Buyer) -> tuple[BuyerJob, Result]:
    """A joint job that ran to its end."""
    job = acme.sql(JOINT, purpose="research", max_groups=8)
    return job, job.run()


def statement(cluster: LocalCluster, party: str, role: str) -> dict[str, int]:
    """Return {field: minor units} of a party's account in CNY; nothing where there is none yet."""
    exchange, loop = cluster._exchange, cluster._loop
    document = json.loads(loop.run(exchange.statement(Caller(party, role))))
    accounts = {account["unit"]: account for account in document["accounts"]}
    return {name: value for name, value in accounts.get("CNY", {}).items() if isinstance(value, int)}


def test_a_job_is_watched_step_by_step(acme: Buyer) -> None:
    job = acme.sql(LOCAL, purpose="research")
    job.submit()
    events = list(job.watch())
    assert [event.state for event in events] == LINE
    assert [event.sequence for event in events] == list(range(1, len(LINE) + 1))
    assert job.wait() == job.state == "SETTLED"


def test_a_job_is_found_again_by_its_id(acme: Buyer, settled: tuple[BuyerJob, Result]) -> None:
    job, result = settled
    assert job.id in [each.id for each in acme.jobs()]
    again = acme.job(job.id)
    assert again.query == JOINT
    assert again.result().to_arrow() == result.to_arrow()
    assert again.receipt.verify() == result.receipt.verify()


def test_the_newest_job_comes_first(acme: Buyer) -> None:
    ids = []
    for _ in range(2):
        job = acme.sql(LOCAL, purpose="research")
        job.quote()
        ids.append(job.id)
    assert [job.id for job in acme.jobs()][:2] == ids[::-1]
    for job_id in ids:
        acme.job(job_id).cancel()


def test_nobody_else_finds_a_job(cluster: LocalCluster, settled: tuple[BuyerJob, Result]) -> None:
    other = cluster.buyer("other")
    assert other.jobs() == []
    with pytest.raises(UnknownObject):
        other.job(settled[0].id)
    with pytest.raises(UsufructError):
        cluster._loop.run(cluster._exchange.receipt(Caller("other", "buyer"), settled[0].id))
    with pytest.raises(UnknownObject):
        cluster._loop.run(cluster._exchange.result(Caller("other", "buyer"), settled[0].id))


def test_quoting_again_gives_the_same_quote(acme: Buyer) -> None:
    job = acme.sql(LOCAL, purpose="research")
    assert job.quote().signed == job.quote().signed
    job.cancel()


def test_a_job_is_cancelled_before_acceptance_and_costs_nothing(cluster: LocalCluster, acme: Buyer) -> None:
    before = statement(cluster, "acme", "buyer")
    job = acme.sql(JOINT, purpose="research", max_groups=8)
    job.quote()
    job.cancel()
    assert [event.state for event in job.watch()] == ["SUBMITTED", "ADMITTED", "QUOTED", "CANCELLED"]
    with pytest.raises(JobEnded) as ended:
        job.result()
    assert ended.value.reasons[0].clause == "lifecycle.cancelled"
    with pytest.raises(StateConflict):
        job.cancel()
    assert statement(cluster, "acme", "buyer") == before
    facts = job.receipt.verify()
    assert (facts["event"], facts["job"]) == ("cancelled", job.id)


def test_a_settled_job_is_not_cancelled(settled: tuple[BuyerJob, Result]) -> None:
    with pytest.raises(StateConflict):
        settled[0].cancel()


def test_a_receipt_says_what_was_paid_and_stands_in_the_log(settled: tuple[BuyerJob, Result]) -> None:
    job, result = settled
    facts = result.receipt.verify()
    assert (facts["event"], facts["job"], facts["buyer"]) == ("release", job.id, "acme")
    assert facts["cells"] == result.to_arrow().num_rows * 3
    assert facts["charge"]["total_minor"] <= job.quote().price.amount_minor
    assert facts["environment"].startswith("local.")
    assert not [name for name in facts if name.startswith("part.")]


def test_a_tampered_receipt_does_not_verify(settled: tuple[BuyerJob, Result]) -> None:
    good = settled[1].receipt
    envelope = bytearray(good.envelope)
    for position in range(0, len(envelope), 97):
        envelope[position] ^= 1
        with pytest.raises(UsufructError):
            ReceiptView(bytes(envelope), good._keys).verify()
        envelope[position] ^= 1
    assert ReceiptView(bytes(envelope), good._keys).verify()


def test_a_receipt_of_one_cluster_is_none_of_another(settled: tuple[BuyerJob, Result]) -> None:
    with LocalCluster(providers={}, terms={}) as stranger:
        keys = stranger.buyer("acme")._session.keys
    with pytest.raises(UsufructError):
        ReceiptView(settled[1].receipt.envelope, keys).verify()


def test_a_charge_is_split_to_the_last_fen(cluster: LocalCluster, acme: Buyer) -> None:
    payees = {name: (name, "provider") for name in AIRLINES}
    before = {name: statement(cluster, *who) for name, who in payees.items()}
    paid_before = statement(cluster, "acme", "buyer")["debits_posted_minor"]
    job = acme.sql(JOINT, purpose="insurance-pricing", max_groups=8)
    receipt = Receipt.unverified(job.run().receipt.envelope).document
    assert receipt.token is not None
    charge = ReleaseToken.unverified(receipt.token.encode()).document.charge
    assert sum(charge.split.values()) == charge.total_minor
    assert set(charge.split) == {*AIRLINES, "exchange-fee", "tax"}
    paid = statement(cluster, "acme", "buyer")["debits_posted_minor"] - paid_before
    assert paid == charge.total_minor
    for name, who in payees.items():
        earned = statement(cluster, *who)["credits_posted_minor"]
        assert earned - before[name].get("credits_posted_minor", 0) == charge.split[name]
    assert statement(cluster, "acme", "buyer")["debits_pending_minor"] == 0


def test_a_statement_adds_up(acme: Buyer, settled: tuple[BuyerJob, Result]) -> None:
    (account,) = acme.statement()["accounts"]
    posted = [entry for entry in account["entries"] if entry["kind"] in ("post", "transfer")]
    paid = sum(entry["amount_minor"] for entry in posted if entry["debit"] == account["account"])
    received = sum(entry["amount_minor"] for entry in posted if entry["credit"] == account["account"])
    assert paid == account["debits_posted_minor"]
    assert received == account["credits_posted_minor"] == 1_000_000


def test_a_quote_says_what_is_agreed_to(acme: Buyer) -> None:
    job = acme.sql(JOINT, purpose="research", max_groups=8)
    quote = job.quote()
    text = quote.explain()
    for said in ("secret-sharing", "alice, bob, carol, notary", "collude", "released-size", "R24"):
        assert said in text
    assert quote.price.currency == "CNY"
    assert str(quote.price) in text
    assert (quote.epsilon, quote.half_width, quote.leaks) == (None, None, ())
    assert quote.seconds > 0
    assert quote._repr_html_().startswith("<pre>")
    assert quote.signed.document.charge.total_minor == sum(quote.signed.document.charge.split.values())
    job.cancel()


def test_a_result_is_a_table_in_a_notebook(acme: Buyer, settled: tuple[BuyerJob, Result]) -> None:
    html = settled[1]._repr_html_()
    assert "<table" in html
    assert "0 cells suppressed" in html
    script = 'SELECT COUNT(*) AS "<script>alert(1)</script>" FROM alice.flights'
    assert "<script>" not in acme.sql(script, purpose="research").run()._repr_html_()


def test_products_are_shown_with_terms_and_price(acme: Buyer) -> None:
    (product,) = acme.products("bob.flights")
    assert product.schema["fee"] == "DECIMAL(10,2)"
    assert product.price == {"currency": "CNY", "per_use": 500, "per_cell": 2, "per_compute_second": 3}
    assert any("research" in sentence for sentence in product.terms)
    assert "bob.flights" in product._repr_html_()
    assert acme.collections()["everyone"] == tuple(f"{name}.flights" for name in AIRLINES)


def test_a_twin_has_the_schema_and_says_nothing(acme: Buyer) -> None:
    alice, bob = (acme.products(f"{name}.flights")[0].twin(50) for name in ("alice", "bob"))
    assert list(alice.columns) == list(bob.columns)
    assert len(alice) == 50
    assert not set(alice["origin"]) & {"EWR", "JFK", "LGA"}


def test_the_sdk_works_beside_a_running_loop(acme: Buyer) -> None:
    async def cell() -> Any:
        return acme.sql(LOCAL, purpose="research").run().to_pandas()

    assert len(asyncio.run(cell())) > 0


def test_a_quote_is_accepted_again_when_the_answer_was_lost(acme: Buyer) -> None:
    job = acme.sql(LOCAL, purpose="research")
    quote = job.quote()
    session, loop = acme._session, acme._loop
    loop.run(session.accept(job.id, quote.signed, None))
    loop.run(session.accept(job.id, quote.signed, None))
    assert job.result().to_arrow().num_rows > 0


def test_a_node_that_was_away_at_settlement_fetches_its_receipt_later(
    cluster: LocalCluster, acme: Buyer, monkeypatch: pytest.MonkeyPatch
) -> None:
    node, delivered = cluster._node("alice"), []

    async def away(*_: object) -> None:
        delivered.append("tried")
        raise PeerUnavailable("away")

    with monkeypatch.context() as patch:
        patch.setattr(node, "settle", away)
        job = acme.sql(LOCAL, purpose="research")
        job.run()
    with node._store.read() as connection:
        assert delivered
        assert job.id in journal.jobs_without_receipt(connection).values()
    cluster._loop.run(node.learn_ends())
    with node._store.read() as connection:
        assert job.id not in journal.jobs_without_receipt(connection).values()
        assert journal.held(connection) == []


def test_a_result_opens_after_keys_were_rotated_and_products_registered_anew() -> None:
    tables = {name: flights(name) for name in AIRLINES}
    offers = {name: {"flights": tables[name]} for name in AIRLINES}
    collections = {"everyone": [f"{name}.flights" for name in AIRLINES[:2]]}
    with LocalCluster(
        providers=offers, terms={name: {"flights": TERMS} for name in AIRLINES}, collections=collections
    ) as cluster:
        buyer = cluster.buyer("acme", funds={"CNY": 1_000_000})
        job = buyer.sql(JOINT, purpose="research", max_groups=8)
        result = job.run()
        exchange, loop = cluster._exchange, cluster._loop
        event, heir = buyer._session._identity.rotate(utc_now)
        loop.run(exchange.rotate_key(Caller("acme", "buyer"), event.to_bytes(), heir.record.to_bytes()))
        renewed = policy.parse(TERMS | {"uses": {"total": 99}}, product="alice.flights")
        loop.run(cluster._node("alice").offer(tables["alice"], renewed))
        loop.run(cluster._node("carol").join("carol.flights", "everyone"))
        exchange._quoting._remembered.clear()  # as after a restart
        session = BuyerSession(heir, exchange.record, exchange, utc_now)
        assert loop.run(session.open(job.id)).table == result.to_arrow()
