"""Several tables of one provider answer one query as one DuckDB that holds them all."""

# ruff: noqa: E501 - one query a line

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from connectors import local_query, pushed_query
from connectors.connector import Connector
from connectors.locked_database import Limits
from connectors.pushed_query import Relation
from connectors.sources import open_source
from records.errors import LimitExceeded, MalformedDocument, NotPermitted, SourceUnreadable, UnknownObject
from tests.unit.connectors.postgresql_server import PostgresqlPlace, running_server

ORDERS = pa.table({"id": [1, 2, 3, 4], "buyer": [10, 10, 20, None], "Total": [5, 7, 9, 11]})
BUYERS = pa.table({"id": [10, 20, 30], "name": ["ada", "bob", "eve"], "city": ["x", "y", "y"]})
LINES = pa.table({"order_id": [1, 1, 2, 3], "part": ["p", "q", "p", "r"], "quantity": [1, 2, 3, 4]})
QUERIES = (
    "SELECT o.id, b.name FROM orders AS o JOIN buyers AS b ON o.buyer = b.id WHERE b.city = 'x' AND o.total > 5 ORDER BY o.id",
    "SELECT name, sum(quantity) AS q FROM orders AS o, buyers AS b, lines WHERE o.buyer = b.id AND o.id = order_id AND part <> 'r' GROUP BY name ORDER BY name",
    "SELECT b.name, count(o.id) AS n FROM buyers AS b LEFT JOIN orders AS o ON o.buyer = b.id AND o.total > 6 WHERE b.id < 30 GROUP BY b.name ORDER BY 1",
    "SELECT o.id FROM orders AS o RIGHT JOIN buyers AS b ON o.buyer = b.id WHERE o.id IS NULL OR b.id = 10 ORDER BY 1",
    "SELECT name FROM buyers AS b WHERE EXISTS (SELECT 1 FROM orders AS o WHERE o.buyer = b.id AND o.total > 8)",
    "SELECT b.name, u.top FROM buyers AS b, LATERAL (SELECT max(o.total) AS top FROM orders AS o WHERE o.buyer = b.id) AS u ORDER BY 1",
    "WITH spent AS (SELECT buyer, sum(total) AS s FROM orders GROUP BY buyer) SELECT name, s FROM spent JOIN buyers ON buyer = id WHERE s > 9 ORDER BY name",
    "SELECT id FROM orders UNION ALL SELECT id FROM buyers ORDER BY 1",
    "SELECT o.id, (SELECT count(*) FROM lines WHERE order_id = o.id) AS n FROM orders AS o WHERE o.total > (SELECT avg(total) FROM orders) ORDER BY 1",
    "SELECT * FROM orders AS o JOIN lines AS l ON o.id = l.order_id WHERE o.id = 1 ORDER BY part",
    "SELECT a.id FROM orders AS a, orders AS b, buyers WHERE a.total > 5 AND b.total < 6 AND buyers.id = a.buyer ORDER BY 1",
    "SELECT count(*) AS n FROM orders, buyers",
    "SELECT orders.id FROM orders SEMI JOIN lines ON orders.id = lines.order_id WHERE orders.total > 5 ORDER BY 1",
)


@pytest.fixture(scope="module")
def tables(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Connector]]:
    folder: Path = tmp_path_factory.mktemp("tables")
    pq.write_table(ORDERS, folder / "orders.parquet")
    opened = {
        "orders": open_source(folder / "orders.parquet"),
        "buyers": open_source(BUYERS),
        "lines": open_source(LINES.to_pandas()),
    }
    yield opened
    for source in opened.values():
        source.close()


@pytest.mark.parametrize("query", QUERIES)
def test_answer_is_that_of_one_database(query: str, tables: dict[str, Connector]) -> None:
    plain = duckdb.connect()
    for name, rows in {"orders": ORDERS, "buyers": BUYERS, "lines": LINES}.items():
        plain.from_arrow(rows).create(name)
    found = local_query.execute(query, tables)
    assert [tuple(row.values()) for row in found.to_pylist()] == plain.execute(query).fetchall()


def test_one_table_is_answered_by_its_own_engine(tables: dict[str, Connector]) -> None:
    one = {"orders": tables["orders"]}
    assert local_query.execute("SELECT sum(total) AS s FROM orders", one).to_pylist() == [{"s": 32}]


class TestWhatGoesAlong:
    RELATIONS = {"o": Relation("r_o", ("id", "buyer")), "b": Relation("r_b", ("id", "name"))}  # noqa: RUF012

    def filters(self, query: str) -> dict[str, list[str]]:
        tree = pushed_query.bind(query, self.RELATIONS)
        found = local_query.single_table_filters(tree, list(self.RELATIONS.values()))
        return {name: [each.sql("duckdb") for each in conditions] for name, conditions in found.items()}

    def test_conjuncts_of_inner_joins_go_to_their_table(self) -> None:
        query = "SELECT 1 AS x FROM o JOIN b ON o.buyer = b.id WHERE o.id > 1 AND name = 'x' AND o.id < b.id"
        assert self.filters(query) == {"r_o": ["id > 1"], "r_b": ["name = 'x'"]}

    @pytest.mark.parametrize(
        "query",
        [
            "SELECT 1 AS x FROM o LEFT JOIN b ON o.buyer = b.id WHERE b.name IS NULL",
            "SELECT 1 AS x FROM o JOIN b ON o.buyer = b.id WHERE o.id > 1 OR name = 'x'",
            "SELECT 1 AS x FROM o AS p, o AS q, b WHERE p.id > 1",
            "SELECT 1 AS x FROM o, b WHERE EXISTS (SELECT 1 FROM o WHERE id > 1)",
            "SELECT id FROM o WHERE id > 1 UNION SELECT id FROM b WHERE id > 1",
            "SELECT 1 AS x FROM o, (SELECT 1 AS buyer FROM b) AS u WHERE buyer = 1",
            "SELECT 1 AS x FROM o, b WHERE 1 = 0",
        ],
    )
    def test_nothing_goes_where_it_could_change_the_answer(self, query: str) -> None:
        assert self.filters(query) == {}

    def test_only_named_columns_are_read(self) -> None:
        tree = pushed_query.bind("SELECT count(*) AS n, max(NAME) AS m FROM o, b", self.RELATIONS)
        assert local_query.needed_columns(tree, self.RELATIONS["b"]) == ("name",)
        assert local_query.needed_columns(tree, self.RELATIONS["o"]) == ("id",)


@pytest.mark.parametrize(
    ("query", "error"),
    [
        ("SELECT id FROM orders, nosuch", NotPermitted),
        ("SELECT id FROM main.table_0, buyers", NotPermitted),
        ("SELECT sql FROM duckdb_views(), buyers", NotPermitted),
        ("SELECT nosuch FROM orders, buyers", UnknownObject),
        ("SELECT id FROM orders, buyers", MalformedDocument),
        ("SELECT orders.total * 9223372036854775807 AS x FROM orders, buyers", SourceUnreadable),
    ],
)
def test_refusals_are_those_of_a_connector(
    query: str, error: type[Exception], tables: dict[str, Connector]
) -> None:
    with pytest.raises(error):
        local_query.execute(query, tables)


def test_named_sub_query_cannot_stand_for_a_relation(tables: dict[str, Connector]) -> None:
    query = "WITH table_1 AS (SELECT 1 AS id FROM orders) SELECT max(b.id) AS m FROM buyers AS b, table_1"
    assert local_query.execute(query, tables).to_pylist() == [{"m": 30}]


def test_rows_that_do_not_fit_in_memory_are_refused(tables: dict[str, Connector]) -> None:
    wide = open_source(pa.table({"id": range(400_000), "text": [f"{i:0100d}" for i in range(400_000)]}))
    with pytest.raises(LimitExceeded):
        local_query.execute(
            "SELECT max(w.text) AS m FROM wide AS w JOIN orders ON orders.id = w.id",
            {"wide": wide, "orders": tables["orders"]},
            limits=Limits(memory_mib=8, threads=1),
        )


def test_two_names_that_differ_in_case_alone_are_refused(tables: dict[str, Connector]) -> None:
    with pytest.raises(MalformedDocument, match="one name"):
        local_query.execute("SELECT 1 AS x FROM t", {"t": tables["orders"], "T": tables["buyers"]})


class TestWhatAnEngineCannotSay:
    @pytest.fixture(scope="class")
    @classmethod
    def stored(cls) -> Iterator[dict[str, Connector]]:
        with running_server() as uri:
            opened = {}
            for name, rows in {"orders": ORDERS, "buyers": BUYERS}.items():
                place = PostgresqlPlace(uri)
                place.write(rows)
                opened[name] = place.open()
            yield opened

    @pytest.mark.parametrize(
        ("query", "wanted"),
        [
            # LOWER is refused as it is translated, a cast from BOOLEAN by PostgreSQL's own analysis.
            ("SELECT lower(name) AS v FROM buyers WHERE upper(city) = 'Y' AND id > 20", ["eve"]),
            ("SELECT upper(name) AS v FROM buyers JOIN orders ON buyer = buyers.id WHERE total > 8", ["BOB"]),
            ("SELECT regexp_matches(name, 'a') AS v FROM buyers ORDER BY id LIMIT 1", [True]),
            ("SELECT bool_and(total > 1)::BIGINT + true::BIGINT AS v FROM orders", [2]),
            ("SELECT TRY(CAST(name AS BIGINT)) AS v FROM buyers WHERE id = 10", [None]),
        ],
    )
    def test_is_computed_beside_it(
        self, query: str, wanted: list[object], stored: dict[str, Connector]
    ) -> None:
        named = {name: source for name, source in stored.items() if name in query}
        if len(named) == 1:
            [(name, source)] = named.items()
            with pytest.raises(NotPermitted):
                source.execute(query, name)
        found = local_query.execute(query, named)
        assert [row["v"] for row in found.to_pylist()] == wanted

    def test_filters_that_it_can_say_go_along(self, stored: dict[str, Connector]) -> None:
        asked: list[str] = []
        source = Listening(stored["buyers"], asked)
        query = "SELECT lower(name) AS v FROM buyers WHERE upper(city) = 'Y' AND id > 20"
        assert local_query.execute(query, {"buyers": source}).to_pylist() == [{"v": "eve"}]
        assert asked[-1] == 'SELECT "id", "name", "city" FROM "buyers" WHERE "id" > 20'

    def test_what_no_source_takes_is_refused(self, stored: dict[str, Connector]) -> None:
        with pytest.raises(NotPermitted):
            local_query.execute(
                "SELECT pg_read_file('/etc/passwd') AS v FROM buyers", {"buyers": stored["buyers"]}
            )


class Listening:
    """A connector that writes down what it is asked."""

    def __init__(self, source: Connector, asked: list[str]) -> None:
        self._source = source
        self._asked = asked
        self.schema = source.schema
        self.snapshot = source.snapshot
        self.verify_unchanged = source.verify_unchanged
        self.execute = source.execute
        self.joint_engine = source.joint_engine
        self.close = source.close

    def execute_batches(
        self, sql: str, table: str, *, timeout_s: float = 60.0, batch_rows: int = 65_536
    ) -> Iterator[pa.RecordBatch]:
        self._asked.append(sql)
        return self._source.execute_batches(sql, table, timeout_s=timeout_s, batch_rows=batch_rows)
