"""An analyst's queries are the same whether a provider keeps its tables in PostgreSQL, in DuckDB or in files."""

# ruff: noqa: E501 - one query a line

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import duckdb
import psycopg
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from benchmarks.tpch import data
from benchmarks.tpch.queries import NUMBERS, query
from benchmarks.tpch.terms import terms
from connectors.connector import Connector
from connectors.sources import DuckdbTable, Source
from policies import terms as policy
from records.parties import ColumnRecord, ProductRecord
from sandbox import offered
from sandbox.buyer.client import Buyer
from sandbox.sql import placeholders
from sandbox.sql.catalogue import Catalogue
from sandbox.sql.plan import LocalPart
from sandbox.sql.planner import plan
from tests.integration import sql_market
from tests.unit.connectors.postgresql_server import PostgresqlPlace, running_server

SIGNIFICANT = 9
INDEXED = {"lineitem": ("l_orderkey", "l_partkey"), "partsupp": ("ps_partkey",), "orders": ("o_custkey",)}
MAX_ROWS = 4096
SUMMARY_AND_ROWS = {
    "postgresql": "SELECT city, COUNT(*) AS n, SUM(credit * (1 - credit)) AS s FROM shop.customers GROUP BY city",
    "postgresql-join": "SELECT c.segment, SUM(o.total) AS s, MAX(o.day) AS d FROM shop.customers c JOIN shop.orders o USING (customer) GROUP BY c.segment",
    "postgresql-row-that-fails": "SELECT customer, CAST(credit AS BIGINT) % (customer - 3) AS r FROM shop.customers",
    "postgresql-cannot-say": "SELECT UPPER(city) AS place, COUNT(*) AS n FROM shop.customers WHERE LOWER(segment) = 'home' AND customer > 2 GROUP BY 1",
    "duckdb-file": "SELECT late, AVG(days) AS a, COUNT(*) AS n FROM carrier.parcels WHERE sent > TIMESTAMP '2025-01-02 00:00:00' GROUP BY late",
    "parquet": "SELECT kind, AVG(value) AS a FROM lab.tests GROUP BY kind",
    "postgresql-and-duckdb": "SELECT c.city, COUNT(*) AS n, SUM(p.days) AS d FROM shop.customers c JOIN shop.orders o ON o.customer = c.customer JOIN carrier.parcels p ON p.order_id = o.order_id GROUP BY c.city",
    "postgresql-and-parquet": "SELECT city, COUNT(*) AS n, SUM(area) AS a FROM stores GROUP BY city",
}


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with running_server() as uri:
        yield uri


@pytest.fixture(scope="module")
def buyer(server: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Buyer]:
    folder = tmp_path_factory.mktemp("engines")
    sources: dict[str, dict[str, Source]] = {}
    for provider, owned in sql_market.tables().items():
        sources[provider] = {
            name: _stored(provider, name, rows, folder, server) for name, rows in owned.items()
        }
    with sql_market.cluster(sources) as market:
        yield sql_market.buyer(market)


def _stored(provider: str, name: str, rows: pa.Table, folder: Path, server: str) -> Source:
    """Keep a table where its provider keeps them: PostgreSQL, a DuckDB file, or Parquet."""
    if provider in ("shop", "north"):
        place = PostgresqlPlace(server)
        place.write(rows)
        return place.source()
    if provider == "carrier":
        with duckdb.connect(folder / f"{name}.duckdb") as connection:
            connection.from_arrow(rows).create(name)
        return DuckdbTable(folder / f"{name}.duckdb", name)
    pq.write_table(rows, folder / f"{provider}-{name}.parquet")
    return folder / f"{provider}-{name}.parquet"


@pytest.mark.parametrize("text", SUMMARY_AND_ROWS.values(), ids=SUMMARY_AND_ROWS)
def test_answer_does_not_depend_on_the_engines(text: str, buyer: Buyer) -> None:
    job = buyer.sql(text, purpose=sql_market.PURPOSE, max_groups=sql_market.MAX_GROUPS)
    whole = text if "%" not in text else text.replace("CAST(", "TRY(CAST(").replace("- 3)", "- 3))")
    with sql_market.in_duckdb() as oracle:
        assert _bag(job.run().to_arrow()) == _bag(oracle.sql(whole).to_arrow_table())


@dataclass(frozen=True, slots=True)
class Tpch:
    """The tables of TPC-H on the server, by name, and the same in DuckDB."""

    connectors: Mapping[str, Connector]
    oracle: duckdb.DuckDBPyConnection


@pytest.fixture(scope="module", params=["0.001", pytest.param("0.01", marks=pytest.mark.long)])
def tpch(
    request: pytest.FixtureRequest, server: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Tpch]:
    folder = data.generate(request.param, tmp_path_factory.mktemp("tpch"))
    connectors = {}
    with duckdb.connect() as oracle:
        for product, path in data.files(folder).items():
            table = product.partition(".")[2]
            oracle.read_parquet(str(path)).create(table)
            place = PostgresqlPlace(server)
            place.write(oracle.sql(f"FROM {table}").to_arrow_table())
            with psycopg.connect(server) as connection:
                name = psycopg.sql.Identifier(place.table)
                for key in INDEXED.get(table, ()):
                    statement = psycopg.sql.SQL("CREATE INDEX ON {} ({})")
                    connection.execute(statement.format(name, psycopg.sql.Identifier(key)))
                connection.execute(psycopg.sql.SQL("ANALYZE {}").format(name))
            connectors[table] = place.open()
        yield Tpch(connectors, oracle)


@pytest.mark.parametrize("number", NUMBERS)
@pytest.mark.parametrize("owners", ["three-providers", pytest.param("one-provider", marks=pytest.mark.long)])
def test_parts_of_tpch_are_answered_by_postgresql_itself(number: int, owners: str, tpch: Tpch) -> None:
    for part in _parts(number, tpch.connectors, one="one" if owners == "one-provider" else None):
        tables = {table: tpch.connectors[table] for _, table in part.tables}
        engine = next(iter(tables.values())).joint_engine()
        assert engine is not None
        batches = list(engine.execute_batches(part.sql, tables, timeout_s=60, batch_rows=65_536))
        wanted = tpch.oracle.sql(part.sql).to_arrow_table()
        assert _bag(pa.Table.from_batches(batches)) == _bag(wanted)


def _parts(number: int, connectors: Mapping[str, Connector], one: str | None) -> Sequence[LocalPart]:
    """Return what providers compute for a query, where `one` owns all tables or each its own."""
    text = query(number, "0.01").text
    if one is not None:
        for provider in data.PROVIDERS:
            text = text.replace(f"{provider}.", f"{one}.")
    template, literals = placeholders.extract(text)
    sources = _catalogue(connectors, one)
    return plan(template, sources, technique="auto", max_rows=MAX_ROWS, values=literals).parts


def _catalogue(connectors: Mapping[str, Connector], one: str | None) -> Catalogue:
    records, stated = {}, {}
    for owner, tables in data.PROVIDERS.items():
        for table in tables:
            product = f"{one or owner}.{table}"
            columns = connectors[table].schema()
            records[product] = ProductRecord(
                product=product,
                provider=one or owner,
                version=1,
                lineage="",
                columns=tuple(ColumnRecord(name=column.name, type=column.type) for column in columns),
                snapshot="",
                terms={},
                terms_digest="",
                issued_at="1970-01-01T00:00:00Z",
                environment="test",
            )
            stated[product] = policy.parse(terms(f"{owner}.{table}", "0.01"), product=product)
    return offered.catalogue((), records, stated, ())


def _bag(table: pa.Table) -> Counter[tuple[object, ...]]:
    return Counter(tuple(map(_shown, row.values())) for row in table.to_pylist())


def _shown(value: object) -> object:
    if isinstance(value, float) and math.isfinite(value):
        return f"{value:.{SIGNIFICANT}g}"
    return value
