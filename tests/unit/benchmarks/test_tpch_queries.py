"""The 22 queries and the terms they run under: transcribed rightly, and granting no column too many."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pytest
import sqlglot
import yaml
from sqlglot import exp

from benchmarks.tpch import data, queries
from benchmarks.tpch.terms import COLUMNS, PROTECTED_UNITS, terms
from policies.columns import ColumnUse, check_use
from policies.terms import Terms, parse

SCALE = "0.01"
OWNERS = {name: product for product, columns in COLUMNS.items() for name in columns}
PUBLISHED = {
    4: [("1-URGENT", 93), ("2-HIGH", 103), ("3-MEDIUM", 109), ("4-NOT SPECIFIED", 102), ("5-LOW", 128)],
    6: [(Decimal("1193053.2253"),)],
    7: [
        ("FRANCE", "GERMANY", 1995, Decimal("268068.5774")),
        ("FRANCE", "GERMANY", 1996, Decimal("303862.2980")),
        ("GERMANY", "FRANCE", 1995, Decimal("621159.4882")),
        ("GERMANY", "FRANCE", 1996, Decimal("379095.8854")),
    ],
    8: [(1995, 0.0), (1996, 0.0)],
    14: [(pytest.approx(15.486546, abs=1e-6),)],
    17: [(None,)],
    18: [
        ("Customer#000000667", 667, 29158, date(1995, 10, 21), Decimal("439687.23"), Decimal(305)),
        ("Customer#000000178", 178, 6882, date(1997, 4, 9), Decimal("422359.65"), Decimal(303)),
    ],
    19: [(Decimal("22923.0280"),)],
}
"""Answers at SF 0.01 that DuckDB publishes with its own generator and its own text of the queries."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return data.generate(SCALE, tmp_path_factory.mktemp("tpch"))


@pytest.fixture(scope="module")
def tables(folder: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    with data.connect(folder) as connection:
        yield connection


def _terms(product: str, *, protect_customers: bool = False) -> Terms:
    return parse(terms(product, SCALE, protect_customers=protect_customers), product=product)


@pytest.mark.parametrize("number", queries.NUMBERS)
def test_every_query_has_an_answer_at_the_scale_of_the_goals(
    number: int, tables: duckdb.DuckDBPyConnection
) -> None:
    assert tables.sql(queries.query(number, SCALE).text).fetchall()


@pytest.mark.parametrize("number", PUBLISHED)
def test_answers_are_those_that_were_published(number: int, tables: duckdb.DuckDBPyConnection) -> None:
    assert tables.sql(queries.query(number, SCALE).text).fetchall() == PUBLISHED[number]


def test_tables_are_made_once(folder: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in folder.iterdir()}
    assert data.generate(SCALE, folder.parent) == folder
    assert {path: path.stat().st_mtime_ns for path in folder.iterdir()} == before
    assert list(folder.parent.iterdir()) == [folder]


def test_a_query_says_what_it_reads_and_how_its_result_is_ordered() -> None:
    tenth = queries.query(10, SCALE)
    assert tenth.products == ("carrier.lineitem", "shop.customer", "shop.orders", "supply.nation")
    assert (tenth.order, tenth.limit) == (("revenue",), 20)
    assert "LIMIT" not in tenth.unlimited
    assert queries.query(6, SCALE).order == ()


@pytest.mark.parametrize(("scale", "fraction"), [("0.01", "* 0.01"), ("0.1", "* 0.001"), ("1", "* 0.0001")])
def test_the_fraction_of_the_eleventh_query_depends_on_the_scale(scale: str, fraction: str) -> None:
    assert f"{fraction}\n" in queries.query(11, scale).text


def test_exactly_the_columns_that_some_query_reads_have_grants() -> None:
    read: set[str] = set()
    for number in queries.NUMBERS:
        tree = sqlglot.parse_one(queries.query(number, SCALE).text, dialect=queries.DIALECT)
        read |= {column.name for column in tree.find_all(exp.Column)}
    # What a query names itself is no column of a table: those have the prefix of their table.
    prefixes = {name.partition("_")[0] + "_" for name in OWNERS}
    of_tables = {name for name in read if name[: name.find("_") + 1] in prefixes}
    assert of_tables - {"c_count"} - {"o_year", "l_year"} == set(OWNERS)


def test_single_values_are_shown_of_the_columns_alone_that_a_query_shows_row_by_row() -> None:
    plain = {name for name, product in OWNERS.items() if _permits(product, name, "output")}
    second = {"s_acctbal", "s_name", "n_name", "p_partkey", "p_mfgr", "s_address", "s_phone", "s_comment"}
    assert plain == second


@pytest.mark.parametrize(
    ("column", "use", "after", "permitted"),
    [
        ("c_phone", "output", (), False),
        ("c_phone", "output", ("group",), True),
        ("c_mktsegment", "filter", (), True),
        ("c_mktsegment", "group", (), False),
        ("l_extendedprice", "output", ("aggregate:sum",), True),
        ("l_extendedprice", "output", ("aggregate:max",), False),
        ("l_extendedprice", "filter", (), False),
        ("o_custkey", "join", (), True),
        ("o_custkey", "output", ("join",), False),
        ("s_suppkey", "output", ("join",), True),
    ],
)
def test_a_column_is_used_as_its_queries_use_it_and_not_otherwise(
    column: str, use: str, after: tuple[str, ...], permitted: bool
) -> None:
    assert _permits(OWNERS[column], column, use, after) is permitted


@pytest.mark.parametrize(
    ("product", "column"), [("carrier.lineitem", "l_comment"), ("shop.orders", "o_clerk")]
)
def test_a_column_outside_the_queries_has_no_use_at_all(product: str, column: str) -> None:
    assert not any(_permits(product, column, use) for use in ("output", "filter", "join", "group", "order"))


def test_customers_are_the_unit_where_they_are_protected() -> None:
    for product in COLUMNS:
        protected = _terms(product, protect_customers=True)
        assert protected.unit_columns == tuple(filter(None, [PROTECTED_UNITS.get(product)]))
        assert not _terms(product).names_unit


@pytest.mark.parametrize("product", COLUMNS)
def test_terms_survive_being_written_as_yaml(product: str) -> None:
    written = yaml.safe_dump(terms(product, SCALE), sort_keys=False)
    assert parse(written, product=product) == _terms(product)


@pytest.mark.parametrize("product", COLUMNS)
def test_what_terms_declare_of_a_table_is_true(product: str, tables: duckdb.DuckDBPyConnection) -> None:
    def found(aggregate: str, groups: str = "") -> tuple[Any, ...]:
        return max(tables.table(product).aggregate(aggregate, groups).fetchall())

    stated = _terms(product)
    stated.require_columns(column for column, *_ in tables.execute(f"DESCRIBE {product}").fetchall())
    facts = stated.public
    (rows,) = found("COUNT(*)")
    assert facts.rows is not None
    assert rows <= facts.rows
    for key in facts.keys:
        assert found(f"COUNT(DISTINCT ({', '.join(key)}))") == (rows,)
    for column in facts.ranges:
        bounds = facts.range_of(column)
        assert bounds is not None
        for value in found(f"MIN({column}), MAX({column})"):
            assert bounds.contains(Decimal(value) if isinstance(value, int) else value)
    for column, most in facts.most.items():
        assert found("COUNT(*)", column) <= (most,)
    for column, size in facts.bytes.items():
        assert found(f"MAX(strlen({column}))") <= (size,)


def _permits(product: str, column: str, use: str, after: tuple[str, ...] = ()) -> bool:
    return check_use(_terms(product), ColumnUse(product, column, use, after)) is None
