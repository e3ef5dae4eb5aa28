"""Random queries over random markets have DuckDB's answers, or are refused by name; most are answered."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import pyarrow as pa
import pytest

from tests.integration.differential.cluster import cluster
from tests.integration.differential.engine import engine
from tests.integration.differential.harness import ALL, Answer, Tally, run
from tests.integration.differential.oracle import Oracle, difference
from tests.integration.differential.queries import query
from tests.integration.differential.resolver import resolver
from tests.integration.differential.schemas import Market, market

SEED = 7000
FEW = 15
"""Of fewer cases a share says little."""
MOST_WITHHELD = 2
LEAST_ANSWERED = 0.65
LEAST_ANSWERED_OF_A_CONSTRUCT = 0.25


@pytest.fixture(scope="module")
def tally() -> Tally:
    return run(SEED, 192, engine)


def assert_equal(tally: Tally) -> None:
    assert not tally.differing, f"{tally.differing[0].detail}\n{tally.differing[0].case.describe()}"
    # A value beyond a bound that the plan took for granted, because nobody declared one.
    assert tally.verdicts[ALL]["withheld"] <= MOST_WITHHELD


def test_the_engine_answers_as_duckdb(tally: Tally) -> None:
    assert_equal(tally)


def test_most_queries_of_every_construct_are_answered(tally: Tally) -> None:
    assert tally.answered() >= LEAST_ANSWERED, tally.clauses
    shares = {name: tally.answered(name) for name, counts in tally.verdicts.items() if counts.total() >= FEW}
    assert len(shares) > 25
    assert {name: share for name, share in shares.items() if share < LEAST_ANSWERED_OF_A_CONSTRUCT} == {}


def test_a_resolved_query_means_the_same() -> None:
    tally = run(SEED, 120, resolver)
    assert_equal(tally)
    assert tally.answered() >= 0.95, tally.clauses


def test_a_cluster_answers_as_duckdb() -> None:
    tally = run(SEED + 500, 36, cluster)
    assert_equal(tally)
    assert tally.answered() >= LEAST_ANSWERED, tally.clauses


@pytest.mark.long
def test_thousands_of_answers_are_duckdbs() -> None:
    tally = run(SEED + 1000, 3000, engine)
    assert_equal(tally)
    assert tally.answered() >= LEAST_ANSWERED, tally.clauses


@contextmanager
def forgetful(market: Market) -> Iterator[Answer]:
    """Answer from rows of which the last of each table is missing."""
    tables = tuple(
        replace(table, rows=table.rows.slice(0, max(0, table.rows.num_rows - 1))) for table in market.tables
    )
    with Oracle(replace(market, tables=tables)) as rows:
        yield rows.answer


def test_a_missing_row_is_found() -> None:
    # Control: a comparison that finds nothing here would find nothing anywhere.
    tally = run(SEED, 120, forgetful)
    assert tally.verdicts[ALL]["differs"] > tally.verdicts[ALL].total() / 4


@pytest.mark.parametrize(
    ("ours", "theirs", "ordered"),
    [
        ([1, 2], [2, 1], True),
        ([1, 1, 2], [1, 2, 2], False),
        ([0], [None], False),
        ([], [None], False),
        ([1.0], [1.0 + 1e-5], False),
        ([1], [1.0], False),
        ([True], [1], False),
    ],
)
def test_unequal_tables_differ(ours: list[object], theirs: list[object], ordered: bool) -> None:
    assert difference(pa.table({"x": ours}), pa.table({"x": theirs}), ordered=ordered) is not None


def test_equal_tables_do_not_differ() -> None:
    table = pa.table({"x": [1.5, None, 2.5]})
    assert difference(table, table, ordered=True) is None
    assert difference(table, table.take([2, 0, 1]), ordered=False) is None


def test_a_seed_gives_the_same_case_again() -> None:
    first, again = market(3), market(3)
    assert first.describe() == again.describe()
    assert [query(first, number) for number in range(20)] == [query(again, number) for number in range(20)]
