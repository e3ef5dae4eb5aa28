"""The digest of a table is a function of its values alone."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from connectors.snapshots import table_digest

CELLS = st.tuples(
    st.none() | st.integers(-(2**63), 2**63 - 1),
    st.none() | st.text(max_size=4),
    st.none() | st.booleans(),
)
TABLES = st.lists(CELLS, max_size=20)


def table(rows: list[tuple[int | None, str | None, bool | None]]) -> pa.Table:
    columns = zip(*rows, strict=True) if rows else ([], [], [])
    types = (pa.int64(), pa.string(), pa.bool_())
    return pa.table(
        [pa.array(list(c), t) for c, t in zip(columns, types, strict=True)], names=["a", "b", "c"]
    )


@given(TABLES, st.integers(1, 7))
def test_chunking_does_not_count(rows: list[tuple[int | None, str | None, bool | None]], size: int) -> None:
    whole = table(rows)
    chunked = pa.Table.from_batches(whole.to_batches(max_chunksize=size), whole.schema)
    assert table_digest(chunked) == table_digest(whole)
    shifted = pa.concat_tables([table([(1, "x", True)]), whole]).slice(1)
    assert table_digest(shifted) == table_digest(whole)


@given(TABLES, TABLES)
def test_digests_are_equal_exactly_for_equal_rows(
    left: list[tuple[int | None, str | None, bool | None]],
    right: list[tuple[int | None, str | None, bool | None]],
) -> None:
    assert (table_digest(table(left)) == table_digest(table(right))) == (left == right)


def test_bytes_under_a_null_do_not_count() -> None:
    bitmap = pa.py_buffer(bytes([0b01]))
    first, second = (
        pa.Array.from_buffers(pa.int64(), 2, [bitmap, pa.py_buffer(np.array([1, hidden], "<i8").tobytes())])
        for hidden in (0, 77)
    )
    assert table_digest(pa.table({"a": first})) == table_digest(pa.table({"a": second}))


def test_order_of_rows_names_and_types_count() -> None:
    base = pa.table({"a": pa.array([1, 2])})
    others = [
        pa.table({"a": pa.array([2, 1])}),
        pa.table({"b": pa.array([1, 2])}),
        pa.table({"a": pa.array([1.0, 2.0])}),
        pa.table({"a": pa.array([1, None])}),
        pa.table({"a": pa.array([1, 0])}),
    ]
    assert len({table_digest(each) for each in [base, *others]}) == 6
