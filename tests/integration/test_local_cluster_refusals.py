"""What is refused before any row is read: by whom, under which clause, and what would pass."""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from records.errors import InputError, JobRefused, MalformedDocument, UnknownObject
from records.money import Money
from sandbox.buyer.client import Buyer
from sandbox.local import LocalCluster
from tests.integration.airlines import AIRLINES, TERMS, flights, open_cluster

COUNTS = "SELECT origin, COUNT(*) AS n FROM everyone GROUP BY origin"
ALICE = "SELECT origin, COUNT(*) AS n FROM alice.flights GROUP BY origin"


@pytest.fixture(scope="module")
def cluster() -> Iterator[LocalCluster]:
    yield from open_cluster()


@pytest.fixture(scope="module")
def acme(cluster: LocalCluster) -> Buyer:
    return cluster.buyer("acme", funds={"CNY": 1_000_000})


def ask(buyer: Buyer, query: str, **options: Any) -> None:
    chosen: dict[str, Any] = {"purpose": "research", "max_groups": 8} | options
    buyer.sql(query, **chosen).quote()


@dataclass(frozen=True)
class Refused:
    """A query that is refused: who says so, by which clause, what was wanted, what the limit is."""

    query: str
    provider: str
    clause: str
    wanted: str
    limit: str
    options: tuple[tuple[str, Any], ...] = ()


REFUSED = [
    Refused(ALICE, "alice", "purposes", "ads", "insurance-pricing, research", (("purpose", "ads"),)),
    Refused(
        "SELECT tail, COUNT(*) AS n FROM alice.flights GROUP BY tail",
        "alice",
        "columns.tail.reveal",
        "group",
        "never",
    ),
    Refused(
        "SELECT COUNT(*) AS n FROM alice.flights WHERE distance > 3",
        "alice",
        "columns.distance.reveal",
        "filter",
        "after-aggregate",
    ),
    Refused(
        "SELECT MIN(fee) AS low FROM alice.flights",
        "alice",
        "columns.fee.functions",
        "aggregate:min",
        "avg, count, sum",
    ),
    Refused("SELECT delay FROM bob.flights", "bob", "columns.delay.reveal", "output", "after-aggregate"),
    Refused(ALICE, "alice", "privacy.epsilon_per_job", "ε = 1", "none", (("epsilon", "1"),)),
    Refused(
        COUNTS, "planner", "sql.technique", "technique `local`", "`secret-sharing`", (("technique", "local"),)
    ),
    Refused(
        "SELECT COUNT(*) AS n FROM alice.flights a JOIN bob.flights b ON a.day = b.day",
        "planner",
        "sql.join",
        "a join on `day`",
        "not supported",
    ),
    Refused(ALICE, "exchange", "price", "at most 1 CNY", "", (("max_price", 1),)),
]


@pytest.mark.parametrize("case", REFUSED, ids=lambda case: f"{case.provider}:{case.clause}")
def test_a_refusal_names_who_refuses_what_and_what_would_pass(acme: Buyer, case: Refused) -> None:
    with pytest.raises(JobRefused) as refusal:
        ask(acme, case.query, **dict(case.options))
    reason = next(reason for reason in refusal.value.reasons if reason.clause == case.clause)
    assert reason.provider == case.provider
    assert case.wanted in reason.wanted
    assert case.limit in reason.limit
    assert reason.remedy


def test_every_provider_of_a_collection_speaks(acme: Buyer) -> None:
    with pytest.raises(JobRefused) as refusal:
        ask(acme, COUNTS, purpose="ads")
    assert [reason.provider for reason in refusal.value.reasons] == list(AIRLINES)


def test_all_failing_clauses_come_at_once(acme: Buyer) -> None:
    with pytest.raises(JobRefused) as refusal:
        ask(acme, "SELECT tail, MIN(fee) AS low FROM alice.flights GROUP BY tail", purpose="ads")
    clauses = {reason.clause for reason in refusal.value.reasons}
    assert clauses == {"purposes", "columns.tail.reveal", "columns.fee.functions"}


def test_a_buyer_on_the_list_of_the_denied_is_refused(cluster: LocalCluster) -> None:
    mallory = cluster.buyer("mallory", funds={"CNY": 10_000})
    with pytest.raises(JobRefused) as refusal:
        ask(mallory, ALICE)
    assert refusal.value.reasons[0].clause == "buyers.deny"


@pytest.mark.parametrize(
    ("query", "clause"),
    [
        ("SELECT COUNT(*) AS n FROM alice.flights a JOIN bob.flights b ON a.day < b.day", "sql.join"),
        ("SELECT origin, COUNT(*) AS n FROM everyone GROUP BY ROLLUP(origin)", "sql.group"),
        (f"{COUNTS} ORDER BY origin LIMIT 3 OFFSET 2", "sql.offset"),
        ("SELECT LIST(origin) AS origins FROM everyone", "sql.aggregate"),
        ("SELECT COUNT(*) AS n FROM everyone, LATERAL (SELECT 1) x", "sql.from"),
        ("DELETE FROM alice.flights", "sql.statement"),
        ("SELECT read_text('/etc/passwd') FROM alice.flights", "sql.function"),
    ],
)
def test_what_the_dialect_lacks_is_refused_with_a_rewrite(acme: Buyer, query: str, clause: str) -> None:
    with pytest.raises(JobRefused) as refusal:
        ask(acme, query)
    reason = refusal.value.reasons[0]
    assert (reason.provider, reason.clause) == ("planner", clause)
    assert reason.remedy


@pytest.mark.parametrize(
    "query", ["SELECT COUNT(*) AS n FROM nowhere", "SELECT COUNT(*) AS n FROM alice.nothing"]
)
def test_what_is_not_on_offer_is_unknown(acme: Buyer, query: str) -> None:
    with pytest.raises(UnknownObject):
        ask(acme, query)


@pytest.mark.parametrize(
    ("query", "options"),
    [
        ("SELECT COUNT(nothing) AS n FROM alice.flights", {}),
        ("SELECT COUNT(*) AS n FROM everyone WHERE delay > 'x'", {}),
        ("SELECT SUM(origin) AS n FROM everyone", {}),
        (COUNTS, {"max_groups": 0}),
    ],
)
def test_a_query_that_cannot_be_one_is_not_offered_again_later(
    acme: Buyer, query: str, options: dict[str, Any]
) -> None:
    # It is the buyer's to mend: no job that failed, and no advice to send the same once more.
    with pytest.raises((InputError, JobRefused)) as refusal:
        ask(acme, query, **options)
    assert "later" not in str(refusal.value)


def test_a_price_above_the_buyers_word_is_not_accepted(acme: Buyer) -> None:
    job = acme.sql(ALICE, purpose="research")
    with pytest.raises(JobRefused) as refusal:
        job.run(max_price=1)
    assert refusal.value.reasons[0].clause == "max_price"
    assert job.state == "QUOTED"
    with pytest.raises(MalformedDocument, match="CNY"):
        job.run(max_price=Money(1_000_000, "EUR"))
    job.cancel()
    assert job.wait() == "CANCELLED"


@pytest.mark.parametrize("funds", [{}, {"CNY": 1}, {"EUR": 1_000_000}])
def test_a_buyer_without_the_money_is_refused_after_acceptance(
    cluster: LocalCluster, funds: dict[str, int]
) -> None:
    poor = cluster.buyer(f"poor-{len(funds)}-{'-'.join(funds).lower()}", funds=funds)
    job = poor.sql(ALICE, purpose="research")
    with pytest.raises(JobRefused) as refusal:
        job.run()
    (reason,) = refusal.value.reasons
    assert (reason.provider, reason.clause) == ("exchange", "funds")
    assert job.state == "REFUSED"
    assert job.receipt.verify()["event"] == "refused"


def test_spent_uses_are_refused(cluster: LocalCluster) -> None:
    buyer = cluster.buyer("frequent", funds={"CNY": 100_000})
    query = "SELECT cancelled, COUNT(*) AS n FROM carol.rationed GROUP BY cancelled"
    for _ in range(2):
        buyer.sql(query, purpose="research").run()
    with pytest.raises(JobRefused) as refusal:
        ask(buyer, query)
    (reason,) = refusal.value.reasons
    assert (reason.provider, reason.clause, reason.limit) == ("carol", "uses.total", "2")


def test_a_use_that_was_quoted_and_cancelled_is_not_spent(cluster: LocalCluster) -> None:
    buyer = cluster.buyer("hesitant", funds={"CNY": 100_000})
    query = "SELECT cancelled, COUNT(*) AS n FROM bob.rationed GROUP BY cancelled"
    for _ in range(3):
        job = buyer.sql(query, purpose="research")
        job.quote()
        job.cancel()
        assert job.wait() == "CANCELLED"
    buyer.sql(query, purpose="research").run()


def test_refusals_hold_no_literal_of_the_query(acme: Buyer) -> None:
    with pytest.raises(JobRefused) as refusal:
        ask(acme, "SELECT tail FROM alice.flights WHERE origin = 'personal-datum'", purpose="ads")
    assert "personal-datum" not in f"{refusal.value} {refusal.value._repr_html_()}"


def test_a_refusal_is_a_table_in_a_notebook(acme: Buyer) -> None:
    with pytest.raises(JobRefused) as refusal:
        ask(acme, ALICE, purpose="ads")
    html = refusal.value._repr_html_()
    for text in ("alice", "purposes", "ads", "insurance-pricing, research", "state one of these purposes"):
        assert f"<td>{text}</td>" in html


def _open(folder: Path, monkeypatch: pytest.MonkeyPatch, provider: str, terms: Any) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    with LocalCluster(providers={provider: {"flights": flights("alice", 5)}}, terms=terms):
        pass


@pytest.mark.parametrize(
    ("provider", "terms", "text"),
    [
        ("alice", {}, "`alice.flights` has no terms"),
        ("alice", {"alice": {}}, "`alice.flights` has no terms"),
        ("alice", {"alice": {"other": TERMS}}, "`alice.flights` has no terms"),
        ("alice", {"alice": {"flights": TERMS | {"purpose": ["research"]}}}, "purpose"),
        ("alice", {"alice": {"flights": TERMS | {"columns": {"salary": {"reveal": ["plain"]}}}}}, "salary"),
        ("alice", {"alice": {"flights": TERMS | {"approval": "manual"}}}, "approval"),
        pytest.param(
            "Alice",
            {"Alice": {"flights": TERMS}},
            "a provider is",
        ),
    ],
)
def test_a_table_that_cannot_be_offered_opens_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, provider: str, terms: Any, text: str
) -> None:
    before = threading.active_count()
    with pytest.raises(MalformedDocument, match=text):
        _open(tmp_path, monkeypatch, provider, terms)
    assert list(tmp_path.iterdir()) == []
    assert threading.active_count() == before
