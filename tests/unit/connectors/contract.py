"""What every source does alike, whatever its engine: one class, subclassed by the tests of each kind.

Answers are compared with DuckDB's over the same rows in memory: columns, types and values.
"""

# ruff: noqa: S608, DTZ001, E501 - queries are the subject, one a line; TIMESTAMP has no zone

from __future__ import annotations

import datetime
import threading
from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import ClassVar, Protocol

import pyarrow as pa
import pytest

from connectors.connector import Column, Connector
from connectors.sources import open_source
from records.errors import (
    InputError,
    LimitExceeded,
    MalformedDocument,
    NotPermitted,
    SourceUnreadable,
    StateConflict,
    UnknownObject,
)

PLANTED = "topsecret"
ROWS = pa.table(
    {
        "Id": pa.array([1, 2, 3, 4, 5], pa.int64()),
        "name": pa.array(["ada", "it's", "a,b", None, "航班 é; -- \U0001f600"]),
        "delay": pa.array([1.5, None, -2.0, 40.0, 0.0]),
        "day": pa.array([datetime.date(2013, 1, day) for day in (31, 2, 3, 4)] + [None]),
        "seen": pa.array(
            [datetime.datetime(2013, 1, 1, 5, minute, 7, 500_000) for minute in range(4)] + [None],
            pa.timestamp("us"),
        ),
        "late": pa.array([True, False, None, True, True]),
        "big": pa.array([2**62, 2**62, 2**62, -1, None], pa.int64()),
    }
)
COLUMNS = (
    Column("Id", "BIGINT"),
    Column("name", "VARCHAR"),
    Column("delay", "DOUBLE"),
    Column("day", "DATE"),
    Column("seen", "TIMESTAMP"),
    Column("late", "BOOLEAN"),
    Column("big", "BIGINT"),
)
AMOUNTS = pa.table(
    {
        "id": pa.array([1, 2, 3], pa.int64()),
        "price": pa.array([Decimal("0.10"), Decimal("9999999.99"), None], pa.decimal128(9, 2)),
        "wide": pa.array([Decimal("9" * 30 + ".1234"), Decimal("-0.0001"), None], pa.decimal128(38, 4)),
    }
)
QUERIES = {
    "rows": "SELECT * FROM t ORDER BY Id",
    "cases-of-names": 'SELECT ID, "NAME" AS "Name it" FROM t ORDER BY iD',
    "quotes": """SELECT Id, 'it''s; -- "x" /* y */' AS "a ""b"" ; -- c" FROM t WHERE name = 'it''s' ORDER BY 1""",
    "unicode": "SELECT Id, length(name) AS n, name || '–é' AS s FROM t WHERE name <> '航' ORDER BY Id",
    "nulls": "SELECT Id, name IS NULL AS a, coalesce(delay, -1) AS b, nullif(Id, 2) AS c FROM t ORDER BY Id",
    "aggregates": "SELECT count(*) AS n, count(delay) AS k, sum(Id) AS s, avg(delay) AS m, min(name) AS lo,"
    " max(day) AS hi, count(DISTINCT late) AS d, sum(delay) AS f FROM t",
    "spread": "SELECT var_samp(delay) AS v, stddev_samp(Id) AS s, median(Id) AS m, avg(Id) AS a FROM t",
    "wide-sum": "SELECT sum(big) AS s, avg(big) AS a FROM t",
    "empty-aggregates": "SELECT sum(Id) AS s, count(*) AS n, max(name) AS x FROM t WHERE Id > 9",
    "groups": "SELECT late, count(*) AS n, sum(delay) AS s FROM t GROUP BY late HAVING count(*) > 0"
    " ORDER BY late",
    "filtered-aggregate": "SELECT count(*) FILTER (WHERE delay > 0) AS n, count_if(late) AS k FROM t",
    "nulls-last": "SELECT delay FROM t ORDER BY delay",
    "nulls-last-descending": "SELECT delay, Id FROM t ORDER BY delay DESC, Id",
    "nulls-first": "SELECT name FROM t ORDER BY name NULLS FIRST",
    "byte-order": "SELECT name, name < 'b' AS b FROM t ORDER BY name DESC",
    "division": "SELECT Id / 2 AS a, Id // 2 AS b, -Id // 2 AS c, -Id % 2 AS d, Id / 0 AS e FROM t ORDER BY Id",
    "case": "SELECT CASE WHEN delay > 1 THEN 'late' WHEN delay IS NULL THEN NULL ELSE 'On' END AS c,"
    " count(*) AS n FROM t GROUP BY 1 ORDER BY 1",
    "between-in": "SELECT Id FROM t WHERE Id BETWEEN 2 AND 4 AND name NOT IN ('x', 'a,b') ORDER BY Id",
    "like": "SELECT name LIKE '%''%' AS a, name LIKE 'a!,%' ESCAPE '!' AS b, name LIKE 'a\\%' AS c FROM t"
    " ORDER BY Id",
    "text": "SELECT substring(name, 2, 2) AS s, left(name, 1) AS l, replace(name, 'a', 'bb') AS r,"
    " starts_with(name, 'a') AS p, contains(name, 'd') AS c FROM t ORDER BY Id",
    "dates": "SELECT extract(year FROM day) AS y, month(seen) AS m, extract(second FROM seen) AS s,"
    " dayofweek(day) AS w, day + INTERVAL 1 MONTH AS n, day - DATE '2013-01-01' AS d,"
    " date_diff('day', day, DATE '2013-02-01') AS f, date_trunc('month', seen) AS u FROM t ORDER BY Id",
    "date-filter": "SELECT count(*) AS n FROM t WHERE day >= DATE '2013-01-03' AND seen < TIMESTAMP '2014-01-01'",
    "join": "SELECT a.Id AS x, b.Id AS y FROM t AS a JOIN t AS b ON a.Id = b.Id + 1 ORDER BY x",
    "outer-join": "SELECT a.Id AS x, b.Id AS y FROM t AS a LEFT JOIN t AS b ON a.Id = b.Id + 1 ORDER BY x",
    "named-sub-query": "WITH late AS (SELECT Id, delay FROM t WHERE delay > 0) SELECT sum(delay) AS s FROM late",
    "sub-queries": "SELECT Id FROM t AS o WHERE EXISTS (SELECT 1 FROM t AS i WHERE i.Id = o.Id + 1)"
    " AND Id IN (SELECT Id FROM t WHERE late) AND delay < (SELECT max(delay) FROM t) ORDER BY Id",
    "set-operations": "SELECT Id FROM t WHERE Id < 3 UNION ALL SELECT Id FROM t WHERE Id = 1 ORDER BY Id",
    "distinct": "SELECT DISTINCT late FROM t ORDER BY late",
    "windows": "SELECT Id, row_number() OVER (ORDER BY delay DESC, Id) AS r, rank() OVER (ORDER BY late) AS k,"
    " dense_rank() OVER (ORDER BY late) AS e, percent_rank() OVER (ORDER BY Id) AS p, sum(Id) OVER"
    " (PARTITION BY late ORDER BY Id ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) AS s,"
    " lag(name) OVER (ORDER BY Id) AS g FROM t ORDER BY Id",
    "qualify": "SELECT Id FROM t QUALIFY row_number() OVER (PARTITION BY late ORDER BY Id) = 1 ORDER BY Id",
    "limit": "SELECT Id FROM t ORDER BY Id DESC LIMIT 2 OFFSET 1",
    "rounding": "SELECT round(delay) AS r, floor(delay) AS f, ceil(delay) AS c, abs(delay) AS a FROM t ORDER BY Id",
    "guarded": "SELECT TRY(Id * 4611686018427387904) AS p, TRY(big + big) AS s, TRY(Id // 0) AS q, TRY(Id % big) AS m FROM t"
    " ORDER BY Id",
    "fixed-point": "SELECT sum(CAST(round(delay * 1048576) AS DECIMAL(38,0))) AS s FROM t",
    "any-value": "SELECT any_value(late) AS a FROM t WHERE late",
    "no-rows": "SELECT Id, name, delay, day, seen, late FROM t WHERE false",
}
DECIMAL_QUERIES = {
    "rows": "SELECT * FROM t ORDER BY id",
    "arithmetic": "SELECT price * 3 AS a, price * price AS b, price - 0.001 AS c, -price AS d FROM t ORDER BY id",
    "sums": "SELECT sum(price) AS s, sum(price * (1 - 0.05)) AS d, avg(price) AS a, max(wide) AS w FROM t",
    "rounding": "SELECT round(price, 1) AS r, CAST(price AS DECIMAL(9, 1)) AS c, CAST(price AS BIGINT) AS i,"
    " CAST(price AS DOUBLE) AS f FROM t ORDER BY id",
    "quotient": "SELECT price / 3 AS q FROM t ORDER BY id",
    "choice": "SELECT CASE WHEN price > 1 THEN price ELSE 0 END AS c, coalesce(price, 0) AS z FROM t ORDER BY id",
}
FORBIDDEN = (
    "SELECT * FROM read_csv('/etc/passwd')",
    "SELECT content FROM read_text('/etc/passwd')",
    "SELECT * FROM '/etc/passwd'",
    "SELECT * FROM glob('/*')",
    "COPY t TO '/tmp/out.csv'",
    "COPY t TO PROGRAM 'id'",
    "ATTACH '/tmp/other.db' AS other",
    "INSTALL httpfs",
    "LOAD httpfs",
    "PRAGMA version",
    "SET threads = 8",
    "DROP TABLE t",
    "SELECT Id FROM t; DROP TABLE t",
    "SELECT Id INTO u FROM t",
    "WITH u AS (DELETE FROM t RETURNING Id) SELECT Id FROM u",
    "SELECT pg_read_file('/etc/passwd') FROM t",
    "SELECT pg_sleep(9) FROM t",
    "SELECT lo_import('/etc/passwd') FROM t",
    "SELECT * FROM dblink('host=127.0.0.1', 'SELECT 1') AS d(x)",
    "SELECT query_to_xml('SELECT 1', true, true, '') FROM t",
    "SELECT current_setting('data_directory') FROM t",
    "SELECT * FROM pg_catalog.pg_authid",
    "SELECT usename FROM pg_user",
    "SELECT reflect('java.lang.System', 'getenv', 'PATH') FROM t",
    "SELECT java_method('java.lang.System', 'getenv', 'PATH') FROM t",
    "SELECT input_file_name() FROM t",
    "SELECT TRANSFORM (Id) USING 'cat' FROM t",
    "SELECT * FROM parquet.`/tmp/x.parquet`",
)


class Place(Protocol):
    """Where a source of one kind reads its rows."""

    def write(self, rows: pa.Table) -> None:
        """Put these rows there, in place of earlier ones."""
        ...

    def open(self) -> Connector:
        """Open the source."""
        ...


Places = Callable[[], Place]
"""Gives a place that nobody else uses."""


def answer(source: Connector, sql: str, table: str = "t") -> pa.Table:
    """Return the answer with DOUBLE rounded to 12 digits: engines sum in different orders."""
    result = source.execute(sql, table)
    columns = [
        [None if value is None else float(f"{value:.12g}") for value in column.to_pylist()]
        if pa.types.is_float64(column.type)
        else column.to_pylist()
        for column in result.columns
    ]
    return pa.table([pa.array(c, f.type) for c, f in zip(columns, result.schema, strict=True)], result.schema)


class ConnectorContract:
    """A subclass gives `places`, a fixture of class scope: `@pytest.fixture(scope="class")` over `@classmethod`."""

    keeps_copy: ClassVar[bool] = False
    """Whether rows written after opening do not reach the source at all."""

    @pytest.fixture(scope="class")
    @classmethod
    def place(cls, places: Places) -> Place:
        place = places()
        place.write(ROWS)
        return place

    @pytest.fixture(scope="class")
    @classmethod
    def source(cls, place: Place) -> Iterator[Connector]:
        source = place.open()
        yield source
        source.close()

    @pytest.fixture(scope="class")
    @classmethod
    def model(cls) -> Connector:
        return open_source(ROWS)

    def test_schema_has_closed_types_and_the_names_of_the_source(self, source: Connector) -> None:
        assert source.schema() == COLUMNS

    @pytest.mark.parametrize("name", QUERIES)
    def test_answer_is_that_of_duckdb(self, name: str, source: Connector, model: Connector) -> None:
        expected, found = (answer(each, QUERIES[name]) for each in (model, source))
        assert found.schema == expected.schema
        assert found.to_pylist() == expected.to_pylist()

    def test_values_arrive_as_they_were_written(self, source: Connector) -> None:
        assert source.execute("SELECT * FROM flights ORDER BY Id", "flights").equals(ROWS)

    def test_sum_of_large_integers_does_not_overflow(self, source: Connector) -> None:
        result = source.execute("SELECT sum(big) AS s FROM t", "t")
        assert result.to_pylist() == [{"s": 3 * 2**62 - 1}]
        assert result.schema.types == [pa.decimal128(38, 0)]

    def test_no_rows_give_an_empty_table_with_types(self, source: Connector) -> None:
        result = source.execute("SELECT Id, day FROM t WHERE false", "t")
        assert result.num_rows == 0
        assert result.schema.types == [pa.int64(), pa.date32()]

    def test_batches_are_no_larger_than_asked(self, source: Connector) -> None:
        query = "SELECT a.Id AS i FROM t AS a, t AS b, t AS c, t AS d, t AS e, t AS f ORDER BY 1"
        batches = list(source.execute_batches(query, "t", batch_rows=2048))
        assert max(batch.num_rows for batch in batches) <= 2048
        assert pa.Table.from_batches(batches).column("i").to_pylist() == [
            i for i in range(1, 6) for _ in range(5**5)
        ]

    def test_first_batch_tells_the_columns_of_an_empty_result(self, source: Connector) -> None:
        batches = list(source.execute_batches("SELECT name AS n FROM t WHERE false", "t"))
        assert [batch.num_rows for batch in batches] in ([0], [0, 0])
        assert batches[0].schema == pa.schema([("n", pa.string())])

    def test_abandoned_batches_leave_the_source_usable(self, source: Connector) -> None:
        batches = source.execute_batches("SELECT a.Id FROM t AS a, t AS b, t AS c", "t", batch_rows=10)
        next(batches)
        del batches
        assert source.execute("SELECT count(*) AS n FROM t", "t").to_pylist() == [{"n": 5}]

    def test_only_the_given_table_name_is_visible(self, source: Connector) -> None:
        for other in ("flights", "product", "main.product", "rows", "information_schema.tables"):
            with pytest.raises(NotPermitted):
                source.execute(f"SELECT * FROM {other}", "t")

    def test_unknown_column_is_refused(self, source: Connector) -> None:
        for name in ("nosuch", "rowid", "filename", "ctid", "_metadata", "t", '"current_user"'):
            with pytest.raises(UnknownObject):
                source.execute(f"SELECT {name} FROM t", "t")

    @pytest.mark.parametrize("query", FORBIDDEN)
    def test_what_is_not_listed_is_refused(self, query: str, source: Connector) -> None:
        with pytest.raises((NotPermitted, MalformedDocument)) as caught:
            source.execute(query, "t")
        assert "/etc" not in str(caught.value)

    @pytest.mark.parametrize(
        "text",
        [
            "'; DROP TABLE t; --",
            "\\'; DROP TABLE t; --",
            '"; SELECT 1',
            "$$x$$",
            "/*",
            "%s",
            "{0}",
            "\\",
            "`",
        ],
    )
    def test_literals_and_names_stay_what_they_are(self, text: str, source: Connector) -> None:
        literal, name = text.replace("'", "''"), text.replace('"', '""')
        result = source.execute(
            f"""SELECT '{literal}' AS "{name}", count(*) AS n FROM t WHERE name <> '{literal}'""", "t"
        )
        assert result.to_pylist() == [{text: text, "n": 4}]

    def test_query_that_does_not_fit_the_types_is_malformed(self, source: Connector) -> None:
        with pytest.raises(MalformedDocument):
            source.execute("SELECT sum(name) FROM t", "t")
        with pytest.raises(MalformedDocument, match="INTERVAL"):
            source.execute("SELECT max(seen) - min(seen) FROM t", "t")

    def test_errors_that_depend_on_rows_are_one_and_silent(self, source: Connector) -> None:
        texts = set()
        for value in ("Id * 9223372036854775807", "Id // (Id - 1)", "Id % (Id - 2)", "big + big"):
            with pytest.raises(SourceUnreadable) as caught:
                source.execute(f"SELECT {value} AS v FROM t", "t")
            assert caught.value.__cause__ is None
            assert caught.value.__suppress_context__
            texts.add(str(caught.value))
        assert len(texts) == 1

    def test_slow_query_is_interrupted_and_the_source_stays_usable(self, source: Connector) -> None:
        tables = [f"t{i}" for i in range(14)]
        query = (
            f"SELECT count(*) AS n FROM {', '.join(f't AS {name}' for name in tables)}"
            f" WHERE {' + '.join(f'sqrt({name}.Id)' for name in tables)} > 20"
        )
        with pytest.raises(LimitExceeded, match="longer"):
            source.execute(query, "t", timeout_s=0.3)
        assert source.execute("SELECT count(*) AS n FROM t", "t").to_pylist() == [{"n": 5}]

    def test_threads_query_side_by_side(self, source: Connector) -> None:
        totals: dict[int, object] = {}

        def ask(divisor: int) -> None:
            query = f"SELECT count(*) AS n FROM t WHERE Id % {divisor} = 0"
            totals[divisor] = source.execute(query, "t").to_pylist()[0]["n"]

        threads = [threading.Thread(target=ask, args=(divisor,)) for divisor in (1, 2, 3, 4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert totals == {1: 5, 2: 2, 3: 1, 4: 1}

    def test_snapshot_counts_rows_and_is_the_same_when_opened_again(
        self, place: Place, source: Connector
    ) -> None:
        snapshot = source.snapshot()
        assert snapshot.rows == 5
        assert snapshot.digest.startswith("sha256:")
        source.verify_unchanged(snapshot.digest)
        again = place.open()
        assert again.snapshot() == snapshot
        again.close()

    def test_other_digest_is_noticed(self, source: Connector) -> None:
        with pytest.raises(SourceUnreadable, match="changed"):
            source.verify_unchanged("sha256:" + "0" * 64)

    def test_changed_rows_are_noticed(self, places: Places) -> None:
        place = places()
        place.write(ROWS)
        source = place.open()
        digest = source.snapshot().digest
        changed = ROWS.set_column(2, "delay", pa.array([1.5, None, -2.0, 40.0, 0.5]))
        place.write(changed)
        if self.keeps_copy:
            source.verify_unchanged(digest)
        else:
            with pytest.raises(SourceUnreadable, match="changed"):
                source.verify_unchanged(digest)
        again = place.open()
        assert again.snapshot().rows == 5
        with pytest.raises(SourceUnreadable, match="changed"):
            again.verify_unchanged(digest)
        source.close()
        again.close()

    def test_closed_source_answers_no_more(self, place: Place) -> None:
        source = place.open()
        source.close()
        source.close()
        with pytest.raises(StateConflict):
            source.execute("SELECT Id FROM t", "t")
        with pytest.raises(StateConflict):
            source.execute_batches("SELECT Id FROM t", "t")

    def test_refusals_quote_no_literal(self, source: Connector) -> None:
        for query in (
            f"SELECT nosuch('{PLANTED}') FROM t",
            f"SELECT '{PLANTED} FROM t",
            f"SELECT CAST('{PLANTED}' AS DATE) AS d FROM t",
            f"SELECT {PLANTED} FROM t",
        ):
            with pytest.raises(InputError) as caught:
                source.execute(query, "t")
            assert PLANTED not in str(caught.value)
            assert caught.value.__cause__ is None


class DecimalContract(ConnectorContract):
    """Sources that keep decimals: all but text, where a type is found and a fraction is a DOUBLE."""

    @pytest.fixture(scope="class")
    @classmethod
    def amounts(cls, places: Places) -> Iterator[Connector]:
        place = places()
        place.write(AMOUNTS)
        source = place.open()
        yield source
        source.close()

    @pytest.fixture(scope="class")
    @classmethod
    def amounts_model(cls) -> Connector:
        return open_source(AMOUNTS)

    def test_decimals_keep_precision_and_scale(self, amounts: Connector) -> None:
        assert [column.type for column in amounts.schema()] == ["BIGINT", "DECIMAL(9,2)", "DECIMAL(38,4)"]
        assert amounts.execute("SELECT * FROM t ORDER BY id", "t").equals(AMOUNTS)

    @pytest.mark.parametrize("name", DECIMAL_QUERIES)
    def test_decimals_are_those_of_duckdb(
        self, name: str, amounts: Connector, amounts_model: Connector
    ) -> None:
        expected, found = (answer(each, DECIMAL_QUERIES[name]) for each in (amounts_model, amounts))
        assert found.schema == expected.schema
        assert found.to_pylist() == expected.to_pylist()
