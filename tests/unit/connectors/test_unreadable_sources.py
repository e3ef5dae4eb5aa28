"""What cannot be offered is refused when it is opened, with the next step and without a value of a row."""

# ruff: noqa: S608 - queries are put together to be checked by the code under test

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from connectors.sources import open_source
from records.errors import SourceUnreadable

PLANTED = "topsecret"


def refusal(source: str | Path | pa.Table | pd.DataFrame) -> str:
    with pytest.raises(SourceUnreadable) as caught:
        open_source(source)
    assert caught.value.__cause__ is None
    assert PLANTED not in str(caught.value)
    return str(caught.value)


def csv_file(directory: Path, content: str | bytes) -> Path:
    path = directory / "rows.csv"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


class TestFiles:
    def test_missing_path(self, tmp_path: Path) -> None:
        assert "missing" in refusal(tmp_path / "nowhere.csv")
        assert "missing" in refusal("https://example.org/rows.csv")

    def test_directory(self, tmp_path: Path) -> None:
        assert "missing" in refusal(tmp_path)

    @pytest.mark.parametrize("ending", ["csv", "parquet", "arrow"])
    def test_empty_file(self, ending: str, tmp_path: Path) -> None:
        path = tmp_path / f"rows.{ending}"
        path.touch()
        assert "empty" in refusal(path)

    def test_unknown_ending(self, tmp_path: Path) -> None:
        path = tmp_path / "rows.xlsx"
        path.write_bytes(b"PK")
        assert "`.parquet`" in refusal(path)

    @pytest.mark.parametrize("ending", ["csv", "arrow", "feather"])
    def test_parquet_under_another_ending(self, ending: str, tmp_path: Path) -> None:
        path = tmp_path / f"rows.{ending}"
        pq.write_table(pa.table({"a": [1]}), path)
        assert "another format" in refusal(path)

    def test_text_under_the_ending_of_parquet(self, tmp_path: Path) -> None:
        path = tmp_path / "rows.parquet"
        path.write_text(f"a\n{PLANTED}\n")
        assert "another format" in refusal(path)

    def test_truncated_parquet(self, tmp_path: Path) -> None:
        path = tmp_path / "rows.parquet"
        pq.write_table(pa.table({"a": [PLANTED]}), path)
        path.write_bytes(path.read_bytes()[:-20])
        assert "damaged" in refusal(path)

    def test_parquet_damaged_inside_fails_when_queried(self, tmp_path: Path) -> None:
        path = tmp_path / "rows.parquet"
        pq.write_table(pa.table({"a": [PLANTED * 100] * 500}), path, compression="zstd")
        content = bytearray(path.read_bytes())
        content[20:60] = bytes(40)
        path.write_bytes(content)
        source = open_source(path)
        with pytest.raises(SourceUnreadable, match="damaged"):
            source.execute("SELECT a FROM t", "t")

    def test_truncated_arrow_file(self, tmp_path: Path) -> None:
        path = tmp_path / "rows.arrow"
        table = pa.table({"a": [PLANTED] * 100})
        with pa.ipc.new_file(path, table.schema) as writer:
            writer.write_table(table)
        path.write_bytes(path.read_bytes()[:-60])
        assert "damaged" in refusal(path)

    def test_path_that_names_several_files(self, tmp_path: Path) -> None:
        path = tmp_path / "rows[0-9].csv"
        path.write_text("a\n1\n")
        assert "several files" in refusal(path)

    def test_odd_signs_in_a_path_are_no_sql(self, tmp_path: Path) -> None:
        directory = tmp_path / "it's; year=2013"
        directory.mkdir()
        pq.write_table(pa.table({"a": [1]}), directory / "o'rows.parquet")
        source = open_source(directory / "o'rows.parquet")
        assert source.execute("SELECT * FROM t", "t").to_pylist() == [{"a": 1}]


class TestCsv:
    @pytest.mark.parametrize(
        "content",
        [
            f"a,b\n1,2\n{PLANTED}\n",
            f"a,b\n1,2\n{PLANTED},3,4\n",
            f'a,b\n"{PLANTED},2\n3,4\n',
            f"a,b\n{PLANTED},stra\xdfe\n".encode("latin1"),
            f"a,b\n{PLANTED},2\n".encode("utf-16"),
        ],
        ids=["short row", "long row", "open quote", "latin 1", "utf-16"],
    )
    def test_rows_that_do_not_fit_the_header(self, content: str | bytes, tmp_path: Path) -> None:
        refusal(csv_file(tmp_path, content))

    def test_header_without_rows(self, tmp_path: Path) -> None:
        assert "no rows" in refusal(csv_file(tmp_path, "a,b\n"))

    def test_rows_without_header(self, tmp_path: Path) -> None:
        assert "column 2 has no usable name" in refusal(csv_file(tmp_path, f"{PLANTED},2\n{PLANTED},4\n"))

    def test_other_delimiter(self, tmp_path: Path) -> None:
        assert "no usable name" in refusal(csv_file(tmp_path, "a;b\n1;2\n"))

    @pytest.mark.parametrize("date", ["01/02/2013", "13-01-02", "01/02/2013 10:00:00"])
    def test_dates_that_can_be_read_in_two_ways(self, date: str, tmp_path: Path) -> None:
        assert "YYYY-MM-DD" in refusal(csv_file(tmp_path, f"a\n{date}\n"))

    def test_integers_beyond_64_bits_are_not_rounded(self, tmp_path: Path) -> None:
        assert "HUGEINT" in refusal(csv_file(tmp_path, "a\n1\n12345678901234567890\n"))

    def test_type_is_found_over_all_rows(self, tmp_path: Path) -> None:
        path = csv_file(tmp_path, "a\n" + "1\n" * 50_000 + f"{PLANTED}\n")
        assert open_source(path).schema()[0].type == "VARCHAR"

    def test_null_text_is_chosen(self, tmp_path: Path) -> None:
        path = csv_file(tmp_path, "a,b\n-,NA\n2,x\n")
        rows = open_source(path, null_text=("-",)).execute("SELECT * FROM t", "t").to_pylist()
        assert rows == [{"a": None, "b": "NA"}, {"a": 2, "b": "x"}]


class TestNamesAndTypes:
    @pytest.mark.parametrize("names", [["a", "a"], ["a", "A"]])
    def test_names_that_differ_in_case_alone(self, names: list[str], tmp_path: Path) -> None:
        table = pa.table([pa.array([1]), pa.array([2])], names=names)
        pq.write_table(table, tmp_path / "rows.parquet")
        for source in (
            table,
            tmp_path / "rows.parquet",
            csv_file(tmp_path, ",".join(names) + "\n1,2\n"),
            pd.DataFrame([[1, 2]], columns=names),
        ):
            assert "two columns have one name" in refusal(source)

    @pytest.mark.parametrize(
        "name",
        ["", " a", "1", 'a"b', "a;b", "a\nb", "É", "İ", "a" * 64, "a\u200bb"],
    )
    def test_names_that_cannot_be_matched(self, name: str) -> None:
        assert "column 1 has no usable name" in refusal(pa.table({name: [1]}))

    @pytest.mark.parametrize("name", ["_a", "é", "航班", "dep delay", "Temp (°C)", "select"])
    def test_names_that_can(self, name: str) -> None:
        source = open_source(pa.table({name: [1]}))
        assert source.execute(f'SELECT "{name}" FROM t', "t").column_names == [name]

    def test_name_that_is_no_text(self) -> None:
        assert "no usable name" in refusal(pd.DataFrame({1: [1]}))

    @pytest.mark.parametrize(
        ("values", "kind"),
        [
            (pa.array([[1]]), "BIGINT[]"),
            (pa.array([{"a": 1}]), "STRUCT"),
            (pa.array([b"x"]), "BLOB"),
            (pa.array([1], pa.time64("us")), "TIME"),
            (pa.array([2**64 - 1], pa.uint64()), "UBIGINT"),
            (pa.nulls(1), "NULL"),
        ],
    )
    def test_types_outside_the_closed_list_are_named(self, values: pa.Array, kind: str) -> None:
        text = refusal(pa.table({"a": values}))
        assert f"column `a` has the type {kind}," in text

    def test_frame_of_mixed_values(self) -> None:
        assert "damaged" in refusal(pd.DataFrame({"a": [1, PLANTED]}, dtype=object))

    def test_table_without_columns(self) -> None:
        assert "no columns" in refusal(pa.table({}))
