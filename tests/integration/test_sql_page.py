"""Every SQL example of `docs/sql.md` has the outcome that stands above it, on a local cluster."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import duckdb
import pyarrow as pa
import pytest

from records.errors import JobRefused, ResultWithheld
from sandbox.buyer.client import Buyer, BuyerJob
from tests.architecture.sql_page import clauses
from tests.integration import sql_market

PAGE = Path(__file__).parents[2] / "docs" / "sql.md"
BLOCK = re.compile(r"^```sql\n-- (?P<outcome>[^\n]+)\n(?P<query>.*?)^```$", re.DOTALL | re.MULTILINE)
ANSWERED, FILTERED, WITHHELD = "answered", "answered without small groups", "withheld"
REFUSED = "refused: "
SIGNIFICANT = 6
"""Digits in which doubles agree."""


def _examples() -> list[tuple[int, str, str]]:
    """Return (line, outcome, query) of every example."""
    text = PAGE.read_text()
    return [
        (text.count("\n", 0, block.start("query")) + 1, block["outcome"], block["query"])
        for block in BLOCK.finditer(text)
    ]


EXAMPLES = _examples()


@pytest.fixture(scope="module")
def buyer() -> Iterator[Buyer]:
    with sql_market.cluster() as market:
        yield sql_market.buyer(market)


@pytest.fixture(scope="module")
def oracle() -> Iterator[duckdb.DuckDBPyConnection]:
    with sql_market.in_duckdb() as connection:
        yield connection


@pytest.mark.parametrize(
    ("outcome", "query"), [each[1:] for each in EXAMPLES], ids=[f"line {line}" for line, *_ in EXAMPLES]
)
def test_example_has_the_outcome_that_the_page_says(
    outcome: str, query: str, buyer: Buyer, oracle: duckdb.DuckDBPyConnection
) -> None:
    def job() -> BuyerJob:
        return buyer.sql(query, purpose=sql_market.PURPOSE, max_groups=sql_market.MAX_GROUPS)

    if outcome.startswith(REFUSED):
        with pytest.raises(JobRefused) as refusal:
            job().quote()
        assert outcome.removeprefix(REFUSED) in {reason.clause for reason in refusal.value.reasons}
    elif outcome == WITHHELD:
        with pytest.raises(ResultWithheld):
            job().run()
    else:
        shown, whole = _rows(job().run().to_arrow()), _rows(oracle.sql(query).to_arrow_table())
        assert shown == whole if outcome == ANSWERED else shown < whole
        assert shown


def test_every_sql_block_of_the_page_states_an_outcome() -> None:
    assert PAGE.read_text().count("```sql") == len(EXAMPLES)
    stated = {outcome for _, outcome, _ in EXAMPLES if not outcome.startswith(REFUSED)}
    assert stated == {ANSWERED, FILTERED, WITHHELD}


def test_the_page_names_every_clause_of_the_planner() -> None:
    # The table itself is held equal to the code by `tests/architecture/test_documents.py`.
    assert {clause for clause in clauses() if clause not in PAGE.read_text()} == set()


def _rows(table: pa.Table) -> Counter[tuple[object, ...]]:
    return Counter(tuple(_plain(value) for value in row.values()) for row in table.to_pylist())


def _plain(value: object) -> object:
    """Return a number as a float of six significant digits: the oracle's types need not be ours."""
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal):
        return value
    number = float(value)
    return number if number == 0 or not math.isfinite(number) else float(f"{number:.{SIGNIFICANT}g}")
