"""Tables of a Spark cluster: the contract of every source, and what is Spark's own."""

# ruff: noqa: S608, DTZ001, E501 - queries are the subject; TIMESTAMP has no zone

from __future__ import annotations

import datetime
import math
import sys
import tracemalloc
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest

from connectors import local_query
from connectors.connector import Column, Connector
from connectors.sources import open_source
from connectors.spark_cluster import SparkCluster
from connectors.spark_source import SparkFile, SparkTable, digest_query, open_spark
from records.errors import InputError, MalformedDocument, NotPermitted, SourceUnreadable
from tests.unit.connectors.contract import DecimalContract, Places
from tests.unit.connectors.spark_server import spark_remote

__all__ = ["spark_remote"]

CORNERS = pa.table(
    {
        "i": pa.array([7, -7, 0, None, 3, 2**40], pa.int64()),
        "d": pa.array([-2.5, 2.5, 0.0, None, 1.005, 1e17]),
        "m": pa.array(
            [Decimal("-7.25"), Decimal("7.25"), Decimal("0.00"), None, Decimal("1.01"), Decimal("0.05")],
            pa.decimal128(12, 2),
        ),
        "s": pa.array(["héllo", " a b\u00a0", "", None, "a%b\\c", "42"]),
        "day": pa.array(
            [
                datetime.date(2024, 2, 29),
                datetime.date(2023, 12, 31),
                datetime.date(1999, 1, 1),
                None,
                datetime.date(2000, 1, 31),
                datetime.date(1969, 12, 31),
            ]
        ),
        "ts": pa.array(
            [
                datetime.datetime(2024, 2, 29, 13, 14, 15, 678901),
                datetime.datetime(2023, 12, 31, 23, 59, 59, 999999),
                datetime.datetime(1969, 12, 31, 23, 59, 59, 5),
                None,
                datetime.datetime(2000, 1, 31),
                datetime.datetime(1900, 1, 1),
            ],
            pa.timestamp("us"),
        ),
        "b": pa.array([True, False, None, None, True, False]),
    }
)
SCALARS = """i / 0; d / 0; m / 0; i / d; m / i; 0.0 / 0; -7 // 2; -i % 3; m % 2; i * m; m * m; m + 1; m - 0.005;
    0.1 + 0.2; 1.10 * i; i + 0.5; -i; abs(m); 1e3; round(d); round(d, 2); round(d * 1.1, 1); round(m, 1); floor(d);
    ceil(d * 3); sqrt(d); sqrt(-1.0); ln(d); ln(0); exp(d / 1e17); pow(d, 2); isnan(d); isnan(sqrt(d));
    greatest(i, NULL, 1); least(i, m); greatest(i, d); nullif(i, 7); coalesce(i, m); coalesce(day, DATE '2000-01-01');
    case when i > 1 then 1 else 2.5 end; case b when true then i else m end; i in (7, -7.0); i between -7 and 3.5;
    i is distinct from 7; not b; b and null; b or null; day in ('2024-02-29'); day = '2024-02-29'; ts > DATE '2000-01-01';
    extract(year from ts); extract(second from ts); extract(dow from ts); extract(isodow from day); extract(week from ts);
    extract(doy from day); extract(hour from day); quarter(ts); minute(ts); dayofweek(day);
    date_trunc('month', day); date_trunc('week', ts); date_trunc('quarter', ts); date_trunc('hour', ts);
    date_diff('day', day, DATE '2024-03-05'); day - DATE '2020-01-01'; day + 1; day + INTERVAL 1 MONTH;
    day - INTERVAL 1 QUARTER; day + INTERVAL 2 WEEK; ts - INTERVAL 90 MINUTE; ts + INTERVAL 1 DAY;
    s || 'x'; i || s; concat(s, NULL, i); trim(s); ltrim(s); rtrim(s); trim(s, 'hao'); length(s); lower(s);
    substring(s, 2); substring(s, 2, 2); left(s, 2); right(s, 1); replace(s, 'l', ''); contains(s, 'l');
    s LIKE '%\\c'; s LIKE 'a!%%' ESCAPE '!'; s LIKE '_éllo' ESCAPE '_'; s ILIKE 'H%'; s < 'a'; starts_with(s, 'h');
    cast(m as integer); cast(d / 2 as bigint); cast(m as decimal(5, 1)); cast(i as varchar); cast(day as varchar);
    cast(b as integer); cast(ts as date); cast(day as timestamp); cast(i as boolean); cast(d as real);
    try_cast(d as tinyint); try_cast(i as tinyint); try(i * 9223372036854775807); try(i // i); try(i % i)"""
AGGREGATES = """sum(i); sum(m); sum(d); sum(b); sum(distinct i); sum(m * (1 - m) * (1 + m)); sum(i // 2);
    sum(case when b then m else 0 end); avg(i); avg(m); avg(d); count(*); count(distinct b); count_if(b); min(s);
    max(s); min(b); max(d); min(ts); var_samp(i); var_pop(m); stddev(d); stddev_pop(i); median(i); median(d);
    quantile_cont(d, 0.25); bool_and(b); bool_or(b); count(*) filter (where b); sum(i) / 3; sum(i) * 2;
    sum(9223372036854775807)"""
WINDOWS = """row_number() over (order by i); rank() over (order by b); dense_rank() over (order by b desc);
    ntile(3) over (order by i); percent_rank() over (order by i); lag(i, 2, 0) over (order by i);
    lead(m) over (order by i desc); first_value(i) over (order by d); sum(m) over (partition by b order by i);
    last_value(s) over (order by i rows between unbounded preceding and unbounded following);
    avg(i) over (order by i rows between 1 preceding and 1 following); row_number() over (order by i) * 4000000000"""
REFUSED = """m // 2; d % 2; extract(epoch from ts); date_diff('month', day, DATE '2024-03-05'); round(i, -1); floor(m);
    log(100); sign(d); regexp_matches(s, 'l+'); median(m); quantile_disc(i, 0.5); corr(i, d); cast(d as varchar);
    cast(ts as varchar); cast(s as double); cast(s as date); cast(d as decimal(9, 2)); try_cast(s as bigint);
    try(cast(s as bigint)); substring(s, -3, 2); substring(s, 0); left(s, -1); i > '3'; coalesce(s, '') = s || i / 2;
    day + to_days(i); s like s; (i, d) = (7, -2.5); first(i); i / (1 / (1 / (1 / (1 / (1 / (1 / (1 / i)))))))"""


def columns_of(expressions: str) -> str:
    parts = (part.strip() for part in expressions.split(";"))
    return ", ".join(f"{part} AS c{position}" for position, part in enumerate(parts))


def comparable(table: pa.Table) -> list[list[object]]:
    return [
        [
            "NaN" if isinstance(v, float) and math.isnan(v) else f"{v:.12g}" if isinstance(v, float) else v
            for v in row
        ]
        for row in zip(*(column.to_pylist() for column in table.columns), strict=True)
    ]


class ParquetOnSpark:
    """A `Place`: a Parquet file that the cluster reads."""

    def __init__(self, cluster: SparkCluster, path: Path) -> None:
        self._file = SparkFile(cluster, str(path))

    def write(self, rows: pa.Table) -> None:
        pq.write_table(rows, self._file.path)

    def open(self) -> Connector:
        return open_spark(self._file)


@pytest.mark.long
class TestSparkParquet(DecimalContract):
    @pytest.fixture(scope="class")
    @classmethod
    def places(cls, spark_remote: str, tmp_path_factory: pytest.TempPathFactory) -> Places:
        cluster = SparkCluster(spark_remote)
        return lambda: ParquetOnSpark(cluster, tmp_path_factory.mktemp("spark") / "rows.parquet")

    @pytest.fixture(scope="class")
    @classmethod
    def corners(cls, spark_remote: str, tmp_path_factory: pytest.TempPathFactory) -> Connector:
        path = tmp_path_factory.mktemp("corners") / "rows.parquet"
        pq.write_table(CORNERS, path)
        return open_spark(SparkFile(SparkCluster(spark_remote), str(path)))

    @pytest.mark.parametrize(
        "expressions", [SCALARS, AGGREGATES, WINDOWS], ids=["scalars", "sums", "windows"]
    )
    def test_corners_of_the_dialects_agree(self, expressions: str, corners: Connector) -> None:
        order = "" if expressions == AGGREGATES else " ORDER BY day"
        query = f"SELECT {columns_of(expressions)} FROM t{order}"
        expected, found = (each.execute(query, "t") for each in (open_source(CORNERS), corners))
        assert found.schema == expected.schema
        assert comparable(found) == comparable(expected)

    @pytest.mark.parametrize("expression", [part.strip() for part in REFUSED.split(";")])
    def test_what_spark_would_answer_otherwise_is_refused(self, expression: str, corners: Connector) -> None:
        with pytest.raises(NotPermitted):
            corners.execute(f"SELECT {expression} AS v FROM t", "t")

    def test_two_tables_are_joined_in_the_cluster(self, source: Connector, corners: Connector) -> None:
        query = "SELECT a.name AS n, b.m AS m FROM x AS a JOIN y AS b ON a.Id = b.i"
        assert source.joint_engine() == corners.joint_engine()
        result = local_query.execute(query, {"x": source, "y": corners})
        assert result.to_pylist() == [{"n": "a,b", "m": Decimal("1.01")}]


class TestOtherPlaces:
    def test_table_of_the_catalogue_is_read_in_closed_types(self, spark_remote: str) -> None:
        cluster = SparkCluster(spark_remote)
        with cluster.session() as session:
            session.sql(
                "CREATE TABLE small USING parquet AS SELECT 1Y AS tiny, 2.5F AS single, 'x' AS word,"
                " TIMESTAMP_LTZ '2020-01-01 08:00:00+08:00' AS zoned, 1.10BD AS price"
            ).collect()
        source = open_spark(SparkTable(cluster, ("default", "small")))
        assert [column.type for column in source.schema()] == [
            "BIGINT", "DOUBLE", "VARCHAR", "TIMESTAMP", "DECIMAL(3,2)",
        ]  # fmt: skip
        [row] = source.execute("SELECT * FROM t", "t").to_pylist()
        assert list(row.values()) == [1, 2.5, "x", datetime.datetime(2020, 1, 1), Decimal("1.10")]

    def test_csv_has_the_types_of_its_rows(self, spark_remote: str, tmp_path: Path) -> None:
        rows = pa.table({"n": [1, None], "day": [datetime.date(2020, 1, 1)] * 2, "word": ["a,b", 'it"s']})
        pa.csv.write_csv(rows, tmp_path / "rows.csv")
        source = open_spark(SparkFile(SparkCluster(spark_remote), str(tmp_path / "rows.csv")))
        assert source.schema() == (Column("n", "BIGINT"), Column("day", "DATE"), Column("word", "VARCHAR"))
        assert (
            source.execute("SELECT * FROM t ORDER BY n", "t").column("day").to_pylist()
            == [datetime.date(2020, 1, 1)] * 2
        )

    @pytest.mark.parametrize(
        ("path", "error"),
        [("/nosuch/rows.parquet", SourceUnreadable), ("/nosuch/rows.txt", MalformedDocument)],
    )
    def test_missing_rows_are_told_without_their_path(
        self, path: str, error: type[InputError], spark_remote: str
    ) -> None:
        with pytest.raises(error) as caught:
            open_spark(SparkFile(SparkCluster(spark_remote), path))
        assert "nosuch" not in str(caught.value)

    @pytest.mark.filterwarnings("ignore:.RETRIES_EXCEEDED")  # said by `pyspark` besides the error
    def test_cluster_that_is_not_there_is_told_in_time(self, tmp_path: Path) -> None:
        pytest.importorskip("pyspark")
        with pytest.raises(SourceUnreadable):
            open_spark(SparkFile(SparkCluster("sc://127.0.0.1:9"), str(tmp_path / "rows.parquet")))

    @pytest.mark.parametrize(
        "remote",
        [
            "sc://spark.example:15002",
            "sc://127.0.0.1/;token=secret",
            "http://127.0.0.1",
            "sc://me:secret@127.0.0.1",
        ],
    )
    def test_address_without_tls_or_with_a_secret_is_refused(self, remote: str) -> None:
        with pytest.raises(MalformedDocument) as caught:
            SparkCluster(remote)
        assert "secret" not in str(caught.value)

    def test_missing_extra_is_named(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "pyspark.logger", None)
        with pytest.raises(NotPermitted, match="extra `spark`"):
            open_spark(SparkFile(SparkCluster("sc://127.0.0.1:9"), "/nosuch/rows.parquet"))


class TestDigest:
    def test_digest_depends_on_rows_and_not_on_their_order_or_files(
        self, spark_remote: str, tmp_path: Path
    ) -> None:
        rows = pa.table({"a": ["x", "x", None, "", "1:x"], "b": [1.0, 1.0, None, 0.0, -0.0]})
        others = [
            rows.slice(1),
            rows.set_column(0, "a", pa.array(["x", "x", "", None, "1:x"])),
            pa.concat_tables([rows.slice(1), rows.slice(2, 1)]),
            rows.rename_columns(["a", "c"]),
        ]
        digests = []
        for position, table in enumerate([rows, rows.take([4, 3, 2, 1, 0]), *others]):
            folder = tmp_path / f"{position}.parquet"
            folder.mkdir()
            for part in range(2):
                pq.write_table(table.slice(part * 2, 2 if part == 0 else None), folder / f"{part}.parquet")
            source = open_spark(SparkFile(SparkCluster(spark_remote), str(folder)))
            digests.append(source.snapshot().digest)
        assert digests[0] == digests[1]
        assert len(set(digests[1:])) == 5

    def test_names_of_columns_are_quoted_in_the_query(self) -> None:
        query = digest_query((Column("a b", "BIGINT"), Column("`", "VARCHAR")), "v")
        assert "CAST(`a b` AS STRING)" in query
        assert "CAST(```` AS STRING)" in query


@pytest.mark.long
def test_large_result_streams_through_little_memory(spark_remote: str, tmp_path: Path) -> None:
    path = tmp_path / "wide.parquet"
    count = 1_000_000
    pq.write_table(
        pa.table({"i": pa.array(range(count)), "s": pa.array([f"{i:064d}" for i in range(count)])}), path
    )
    source = open_spark(SparkFile(SparkCluster(spark_remote), str(path)))
    pool = pa.default_memory_pool()
    tracemalloc.start()
    rows = peak_bytes = 0
    for batch in source.execute_batches("SELECT i, s FROM t", "t", timeout_s=300):
        rows += batch.num_rows
        peak_bytes = max(peak_bytes, pool.bytes_allocated() + tracemalloc.get_traced_memory()[0])
    tracemalloc.stop()
    assert rows == count
    assert peak_bytes < 24 << 20  # the rows take 76 MB
