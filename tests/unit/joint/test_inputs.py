"""How a part's rows enter shares: facets, bounds, padding, and what cannot be put in."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from records.errors import LimitExceeded, MalformedDocument
from sandbox.joint.inputs import PlainInput, encode_part, faulty_part
from sandbox.sql.plan import Facet, LocalPart, PartColumn
from sandbox.sql.steps import Column, Kind

KEY = bytes(range(32))
_KINDS: dict[Facet, Kind] = {
    "number": "number", "true": "bit", "false": "bit", "known": "bit", "payload": "payload",
    "code": "key", "value": "key", "text": "key", "row": "key",
}  # fmt: skip
_BITS: dict[Kind, int] = {"number": 64, "bit": 1, "payload": 64, "key": 64}


def column(
    facet: Facet,
    sources: Sequence[str] = ("x",),
    *,
    bits: int | None = None,
    kind: str = "BIGINT",
    scale: int = 1,
    low: int = -(1 << 40),
    high: int = 1 << 40,
) -> PartColumn:
    name = f"{facet}_{'_'.join(sources)}"
    of = _KINDS[facet]
    return PartColumn(Column(name, of, bits or _BITS[of]), facet, tuple(sources), kind, scale, low, high)


def part(*columns: PartColumn, rows: int = 8, unique: tuple[tuple[str, ...], ...] = ()) -> LocalPart:
    return LocalPart("p", (("p.t", "t"),), "", rows, columns, unique)


def encoded(of: LocalPart, key: bytes = KEY, batch_rows: int = 2, **sources: pa.Array) -> PlainInput:
    return encode_part(of, pa.table(sources).to_batches(batch_rows), key)


def values(facet: Facet, array: pa.Array, **options: Any) -> list[int]:
    """Return the column of one facet of one source, without its padding."""
    made = encoded(part(column(facet, **options), rows=max(1, len(array))), x=array)
    return [int(value) for value in made.columns[0][: len(array)]]


def signed(found: list[int]) -> list[int]:
    return [value - (1 << 64) * (value >> 63) for value in found]


@pytest.mark.parametrize(
    ("array", "scale", "expected"),
    [
        (pa.array([3, None, -4]), 1, [3, 0, -4]),
        (pa.array([3, None, -4]), 1 << 20, [3 << 20, 0, -4 << 20]),
        (pa.array([Decimal("1.25"), None, Decimal("-0.75")], pa.decimal128(5, 2)), 100, [125, 0, -75]),
        (pa.array([Decimal("1.25"), Decimal("-1.25")], pa.decimal128(5, 2)), 10, [13, -13]),
        (pa.array([Decimal("0.10")], pa.decimal128(5, 2)), 1 << 20, [104_858]),
        (pa.array([Decimal(7), None], pa.decimal128(38, 0)), 1, [7, 0]),
        (pa.array([0.5, None, -1.25]), 1 << 20, [1 << 19, 0, -5 << 18]),
        (pa.array([True, None, False]), 1, [1, 0, 0]),
        (pa.array([dt.date(1970, 1, 3), None]), 1, [2, 0]),
        (pa.array([dt.datetime(1970, 1, 1, 0, 0, 1)], pa.timestamp("us")), 1, [10**6]),  # noqa: DTZ001
    ],
)
def test_numbers_are_scaled_and_rounded(array: pa.Array, scale: int, expected: list[int]) -> None:
    assert signed(values("number", array, scale=scale)) == expected


def test_truth_values_and_knowledge_are_bits() -> None:
    array = pa.array([True, False, None])
    assert values("true", array) == [1, 0, 0]
    assert values("false", array) == [0, 1, 0]
    assert values("known", array) == [1, 1, 0]


def test_a_value_key_orders_values_and_keeps_null_apart() -> None:
    array = pa.array([-5, None, 7, -5])
    assert values("value", array, low=-5, high=10, bits=5) == [1, 0, 13, 1]
    whole = pa.array([-(2**63), 2**63 - 2])
    assert values("value", whole, low=-(2**63), high=2**63 - 2) == [1, 2**64 - 1]


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.none() | st.text(max_size=3), st.none() | st.integers(-3, 3)), max_size=12))
def test_a_code_is_the_place_of_a_tuple_among_the_different_ones(
    rows: list[tuple[str | None, int | None]],
) -> None:
    of = part(column("code", ("x", "y"), bits=4), column("code", bits=5), rows=12)
    texts, numbers = (
        pa.array([row[0] for row in rows], pa.string()),
        pa.array([row[1] for row in rows], pa.int64()),
    )
    both, single = encoded(of, x=texts, y=numbers).columns
    known = sorted({(x.encode(), y) for x, y in rows if x is not None and y is not None})
    expected = [0 if x is None or y is None else known.index((x.encode(), y)) + 1 for x, y in rows]
    assert both[: len(rows)].tolist() == expected
    alone = sorted({x.encode() for x, _ in rows if x is not None})
    assert single[: len(rows)].tolist() == [0 if x is None else alone.index(x.encode()) + 1 for x, _ in rows]


def test_codes_of_doubles_have_one_nan_at_the_end_and_one_zero() -> None:
    array = pa.array([float("nan"), -0.0, 0.0, None, float("inf"), -float("nan")], from_pandas=False)
    assert values("code", array, bits=3) == [3, 1, 1, 0, 2, 3]


def test_hashes_of_texts_agree_between_parts_under_one_key_only() -> None:
    first = values("text", pa.array(["a", None, "b", "a"]))
    second = values("text", pa.array(["b", "c"]))
    assert first[0] == first[3] != first[2] == second[0]
    assert first[1] == 0
    assert all(0 < value <= 1 << 63 for value in [*first[::2], *second])
    of = part(column("text"), rows=2)
    assert encoded(of, bytes(32), x=pa.array(["b", "c"])).columns[0].tolist() != second


def test_hashes_of_tuples_do_not_run_together() -> None:
    of = part(column("text", ("x", "y")), rows=3)
    texts = pa.array(["ab", "a", None]), pa.array(["c", "bc", "d"])
    found = encoded(of, x=texts[0], y=texts[1]).columns[0].tolist()
    assert found[0] != found[1]
    assert found[2] == 0


def test_rows_are_numbered_through_all_batches() -> None:
    assert values("row", pa.array([5, 5, 5, 5, 5]), bits=3) == [1, 2, 3, 4, 5]


def test_a_table_is_padded_with_zeros_to_its_public_rows() -> None:
    of = part(column("number"), column("payload", bits=128, kind="VARCHAR", sources=("t",)), rows=6)
    found = encoded(of, x=pa.array([1, 2, 3]), t=pa.array(["a", "b", "c"]))
    assert found.valid.tolist() == [1, 1, 1, 0, 0, 0]
    assert [words[3:].any() for words in found.columns] == [False] * 3
    assert not found.faulty


def test_the_batches_make_no_difference() -> None:
    of = part(column("code", bits=4), column("text"), column("row", bits=4), rows=9)
    array = pa.array(["b", "a", None, "c", "a", "b", "z"])
    one, many = (encoded(of, KEY, batch_rows, x=array) for batch_rows in (100, 1))
    assert all((x == y).all() for x, y in zip(one.columns, many.columns, strict=True))


@pytest.mark.parametrize(
    ("array", "of"),
    [
        (pa.array([1] * 9), part(column("number"))),
        (pa.array([11]), part(column("number", low=0, high=10))),
        (pa.array([-1]), part(column("value", low=0, high=10, bits=4))),
        (pa.array([2**62]), part(column("number", scale=4))),
        (pa.array([float("nan")]), part(column("number", scale=1 << 20))),
        (pa.array([1e300]), part(column("number"))),
        (pa.array([Decimal(2**64)], pa.decimal128(38, 0)), part(column("number"))),
        (pa.array([1, 2, 3]), part(column("code", bits=1))),
        (pa.array(["x" * 7]), part(column("payload", kind="VARCHAR"))),
        (pa.array([4, 5, 4]), part(column("code", bits=3), unique=(("code_x",),))),
    ],
)
def test_what_breaks_a_bound_cannot_be_put_in(array: pa.Array, of: LocalPart) -> None:
    with pytest.raises(LimitExceeded) as refused:
        encoded(of, x=array)
    assert not any(character.isdigit() for character in str(refused.value))


def test_keys_with_a_null_need_not_be_unique() -> None:
    two = (("code_x", "code_y"),)
    of = part(column("code", ("x",), bits=3), column("code", ("y",), bits=3), unique=two)
    assert encoded(of, x=pa.array([1, 1, 1, 1]), y=pa.array([1, 2, None, None])).valid.sum() == 4
    with pytest.raises(LimitExceeded):
        encoded(of, x=pa.array([1, 1]), y=pa.array([2, 2]))


def test_a_part_that_cannot_be_put_in_is_empty_and_says_so() -> None:
    of = part(column("number"), column("text"))
    found = faulty_part(of)
    assert found.faulty
    assert not any(words.any() for words in (found.valid, *found.columns))


def test_a_source_that_is_missing_or_no_truth_value_is_no_question_of_data() -> None:
    with pytest.raises(MalformedDocument):
        encoded(part(column("number")), y=pa.array([1]))
    with pytest.raises(MalformedDocument):
        encoded(part(column("true")), x=pa.array([1]))


def test_no_row_is_an_empty_table() -> None:
    of = part(*(column(facet, bits=None) for facet in ("number", "known", "code", "value", "text", "row")),
              unique=(("value_x",),))  # fmt: skip
    found = encode_part(of, pa.table({"x": pa.array([], pa.int64())}).to_batches(), KEY)
    assert not any(np.any(words) for words in (found.valid, *found.columns))
