"""What a buyer gets from an exchange in one process is what DuckDB says of all rows, less what is hidden."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import yaml

from records.errors import JobRefused, ResultWithheld
from sandbox.buyer.client import Buyer, Result
from sandbox.local import LocalCluster
from tests.integration.airlines import AIRLINES, TERMS, answer, flights, open_cluster, uneven, union

EVERYONE = union(*(flights(airline) for airline in AIRLINES))


@pytest.fixture(scope="module")
def cluster() -> Iterator[LocalCluster]:
    yield from open_cluster()


@pytest.fixture(scope="module")
def acme(cluster: LocalCluster) -> Buyer:
    return cluster.buyer("acme", funds={"CNY": 10_000_000})


def run(buyer: Buyer, query: str, max_groups: int = 24) -> Result:
    return buyer.sql(query, purpose="research", max_groups=max_groups).run()


def rows(result: Result) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = result.to_arrow().to_pylist()
    return found


def same(found: list[dict[str, Any]], expected: list[dict[str, Any]]) -> None:
    """Compare row by row; quotients to the last but few bits, everything else exactly."""
    assert len(found) == len(expected)
    for ours, theirs in zip(found, expected, strict=True):
        assert list(ours) == list(theirs)
        for name, value in theirs.items():
            assert ours[name] == (pytest.approx(value) if isinstance(value, float) else value), name


UNION = [
    """SELECT origin, COUNT(*) AS n, SUM(delay) AS s, AVG(delay) AS a, COUNT(delay) AS c
       FROM everyone GROUP BY origin ORDER BY origin NULLS LAST""",
    """SELECT day, cancelled, COUNT(*) AS n, SUM(fee) AS fees
       FROM everyone GROUP BY day, cancelled ORDER BY day DESC, cancelled NULLS FIRST""",
    """SELECT fee, COUNT(*) AS n, SUM(distance) AS d, AVG(distance) AS a
       FROM everyone WHERE origin IN ('EWR', 'a''b') AND day >= '2026-01-02'
       GROUP BY fee ORDER BY fee NULLS LAST""",
    """SELECT COUNT(*) AS n, AVG(fee) AS fee, AVG(delay) AS delay
       FROM everyone WHERE delay BETWEEN -30 AND 100 OR cancelled""",
    """SELECT origin, AVG(delay) AS a FROM everyone
       WHERE NOT origin LIKE 'E%' AND origin IS NOT NULL GROUP BY origin ORDER BY a DESC LIMIT 2""",
]
LOCAL = [
    """SELECT origin, COUNT(*) AS n, MIN(delay) AS low, MAX(delay) AS high, AVG(delay) AS a,
       VAR_SAMP(delay) AS v
       FROM everyone GROUP BY origin ORDER BY n DESC, origin NULLS LAST LIMIT 4""",
    """SELECT origin, day, cancelled FROM everyone WHERE day = '2026-01-03' AND origin = '北京'
       ORDER BY origin, day, cancelled NULLS LAST LIMIT 7""",
    "SELECT SUM(fee) AS fees, COUNT(*) AS n FROM everyone WHERE cancelled IS NULL",
]


@pytest.mark.parametrize("query", UNION)
def test_a_collection_answers_as_one_table(acme: Buyer, query: str) -> None:
    result = run(acme, query)
    same(rows(result), answer(query, EVERYONE))
    assert result.suppressed == 0


@pytest.mark.parametrize("query", LOCAL)
def test_a_product_answers_in_its_own_domain(acme: Buyer, query: str) -> None:
    job = acme.sql(query.replace("everyone", "bob.flights"), purpose="research")
    assert "local" in job.quote().explain()
    same(rows(job.run()), answer(query, flights("bob")))


def test_types_come_out_as_they_went_in(acme: Buyer) -> None:
    query = (
        "SELECT day, SUM(fee) AS fees, COUNT(*) AS n, AVG(delay) AS a FROM everyone GROUP BY day ORDER BY day"
    )
    table = run(acme, query).to_arrow()
    assert [str(kind) for kind in table.schema.types] == [
        "date32[day]",
        "decimal128(38, 2)",
        "int64",
        "double",
    ]
    assert table["fees"][0].as_py() == sum(
        (row["fee"] for row in EVERYONE.to_pylist() if row["fee"] and str(row["day"]) == "2026-01-01"),
        Decimal(0),
    )
    assert run(acme, query).to_pandas().shape == (4, 4)


def test_small_groups_vanish_with_their_key(acme: Buyer) -> None:
    result = run(acme, "SELECT origin, COUNT(*) AS n FROM uneven GROUP BY origin ORDER BY origin")
    assert rows(result) == [{"origin": name, "n": 60} for name in ("BLANK", "LARGE", "VOID")]
    assert result.suppressed == 0


def test_a_group_of_one_provider_mostly_vanishes(acme: Buyer) -> None:
    # 21 flights from MINE, one without alice: bob would know it, and so would alice of bob's.
    assert any(row["origin"] == "MINE" for row in uneven("bob").to_pylist())
    with pytest.raises(ResultWithheld):
        run(acme, "SELECT COUNT(*) AS n FROM uneven WHERE origin = 'MINE'")


def test_a_few_values_are_null_and_counted(acme: Buyer) -> None:
    query = "SELECT origin, COUNT(*) AS n, SUM(delay) AS s, COUNT(delay) AS c FROM uneven GROUP BY origin"
    result = run(acme, query + " ORDER BY origin")
    assert rows(result) == [
        {"origin": "BLANK", "n": 60, "s": None, "c": None},
        {"origin": "LARGE", "n": 60, "s": 3 * sum(range(20)), "c": 60},
        {"origin": "VOID", "n": 60, "s": None, "c": 0},  # none at all is nothing to hide
    ]
    assert result.suppressed == 2
    assert "2 cells suppressed" in result._repr_html_()
    assert result.receipt.verify()["cells"] == 3 * 4 - 2


def test_a_product_of_its_own_hides_few_values_as_well(acme: Buyer) -> None:
    query = "SELECT origin, COUNT(*) AS n, SUM(delay) AS s FROM alice.uneven GROUP BY origin ORDER BY origin"
    result = run(acme, query)
    assert rows(result) == [
        {"origin": "BLANK", "n": 20, "s": None},
        {"origin": "LARGE", "n": 20, "s": sum(range(20))},
        {"origin": "MINE", "n": 20, "s": sum(range(20))},
        {"origin": "VOID", "n": 20, "s": None},
    ]
    assert result.suppressed == 1


WITHHELD = {
    "no group is large": (
        "SELECT origin, COUNT(*) AS n FROM uneven WHERE origin = 'SMALL' GROUP BY origin",
        8,
    ),
    "no row passes": ("SELECT COUNT(*) AS n FROM everyone WHERE origin = 'nowhere'", 8),
    "more groups than asked for": ("SELECT day, COUNT(*) AS n FROM everyone GROUP BY day", 3),
    "a key too long for shares": ("SELECT origin, COUNT(*) AS n FROM named GROUP BY origin", 8),
    "no value may be shown": ("SELECT SUM(delay) AS s FROM uneven WHERE origin = 'BLANK'", 8),
    "no row of a product": ("SELECT COUNT(*) AS n FROM alice.flights WHERE origin = 'nowhere'", 8),
    "more rows than the terms let out": ("SELECT origin, day FROM bob.rationed", 8),
}


@pytest.fixture(scope="module")
def withheld(acme: Buyer) -> dict[str, tuple[ResultWithheld, int]]:
    """Run each query; return what was raised and what it cost."""
    found = {}
    for name, (query, max_groups) in WITHHELD.items():
        before = _spent(acme)
        with pytest.raises(ResultWithheld) as raised:
            run(acme, query, max_groups)
        found[name] = raised.value, _spent(acme) - before
    return found


def _spent(buyer: Buyer) -> int:
    (account,) = buyer.statement()["accounts"]
    return int(account["debits_posted_minor"] + account["debits_pending_minor"])


@pytest.mark.parametrize("cause", WITHHELD)
def test_a_withheld_result_says_one_thing_and_costs_nothing(
    withheld: dict[str, tuple[ResultWithheld, int]], cause: str
) -> None:
    raised, spent = withheld[cause]
    assert raised.reasons == withheld["no group is large"][0].reasons
    assert len(raised.reasons) == 1
    assert spent == 0


def test_a_withheld_result_consumes_a_use(cluster: LocalCluster) -> None:
    buyer = cluster.buyer("curious", funds={"CNY": 100_000})
    for _ in range(2):
        with pytest.raises(ResultWithheld):
            run(buyer, "SELECT COUNT(*) AS n FROM alice.rationed WHERE origin = 'nowhere'")
    job = buyer.sql("SELECT COUNT(*) AS n FROM alice.rationed", purpose="research")
    with pytest.raises(JobRefused, match=r"uses\.total: wanted one more use, limit 2"):
        job.quote()


def test_tables_and_terms_come_as_frames_mappings_and_files(tmp_path: Path) -> None:
    parquet, terms = tmp_path / "bob.parquet", tmp_path / "bob.yaml"
    pq.write_table(flights("bob"), parquet)
    terms.write_text(yaml.safe_dump(TERMS))
    with LocalCluster(
        providers={"alice": {"flights": flights("alice").to_pandas()}, "bob": {"flights": parquet}},
        terms={"alice": {"flights": TERMS}, "bob": {"flights": terms}},
    ) as cluster:
        buyer = cluster.buyer("acme", funds={"CNY": 100_000})
        for airline in ("alice", "bob"):
            query = "SELECT cancelled, COUNT(*) AS n FROM everyone GROUP BY cancelled ORDER BY n DESC"
            found = rows(run(buyer, query.replace("everyone", f"{airline}.flights")))
            same(found, answer(query, flights(airline)))
