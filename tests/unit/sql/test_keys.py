from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from connectors.column_types import arrow_type
from records.errors import EvidenceError, LimitExceeded
from sandbox.sql.keys import KeyColumn, decode_keys, encode_keys, key_width_bytes, row_words, tags

VALUES: dict[str, st.SearchStrategy[Any]] = {
    "BOOLEAN": st.booleans(),
    "BIGINT": st.integers(-(2**63), 2**63 - 1),
    "DATE": st.dates(),
    "TIMESTAMP": st.datetimes(),
    "DECIMAL(10,2)": st.integers(-(10**10) + 1, 10**10 - 1).map(lambda value: Decimal(f"{value}E-2")),
    "DECIMAL(38,9)": st.integers(-(10**38) + 1, 10**38 - 1).map(lambda value: Decimal(f"{value}E-9")),
    "VARCHAR": st.text(st.characters(exclude_categories=["Cs"]), max_size=8),
}
TYPES = st.lists(st.sampled_from(sorted(VALUES)), max_size=4)


def columns(types: list[str]) -> tuple[KeyColumn, ...]:
    return tuple(KeyColumn(f"c{index}", kind, key_width_bytes(kind)) for index, kind in enumerate(types))


def table(types: list[str], rows: list[tuple[Any, ...]]) -> pa.Table:
    values = list(zip(*rows, strict=True)) or [()] * len(types)
    arrays = [pa.array(column, arrow_type(kind)) for column, kind in zip(values, types, strict=True)]
    return pa.table(arrays, names=[f"k{index}" for index in range(len(types))])


@st.composite
def keyed_rows(draw: st.DrawFn) -> tuple[list[str], list[tuple[Any, ...]]]:
    types = draw(TYPES.filter(bool))
    row = st.tuples(*(st.none() | VALUES[kind] for kind in types))
    return types, draw(st.lists(row, max_size=6))


@settings(max_examples=150, deadline=None)
@given(keyed_rows())
def test_keys_come_back_as_they_went_in(case: tuple[list[str], list[tuple[Any, ...]]]) -> None:
    types, rows = case
    words = encode_keys(table(types, rows), columns(types))
    assert words.shape == (len(rows), row_words(columns(types)))
    assert pa.table(decode_keys(words, columns(types)), names=[f"k{i}" for i in range(len(types))]) == table(
        types, rows
    )


@settings(max_examples=150, deadline=None)
@given(keyed_rows())
def test_equal_keys_and_no_others_have_equal_words(case: tuple[list[str], list[tuple[Any, ...]]]) -> None:
    types, rows = case
    words = encode_keys(table(types, rows), columns(types))
    for first, left in zip(rows, words, strict=True):
        for second, right in zip(rows, words, strict=True):
            assert (first == second) == bool(np.array_equal(left, right))


@settings(max_examples=100, deadline=None)
@given(keyed_rows(), st.integers(0, 10**6), st.integers(1, 255))
def test_a_changed_byte_is_another_key_or_is_found(
    case: tuple[list[str], list[tuple[Any, ...]]], place: int, change: int
) -> None:
    types, rows = case
    assume(rows)
    words = encode_keys(table(types, rows), columns(types))
    changed = words.copy()
    octets = changed.view(np.uint8)
    octets.reshape(-1)[place % octets.size] ^= change
    try:
        decoded = decode_keys(changed, columns(types))
    except EvidenceError:
        return
    names = [f"k{index}" for index in range(len(types))]
    assert np.array_equal(encode_keys(pa.table(decoded, names=names), columns(types)), changed)


@pytest.mark.parametrize(
    ("kind", "octets"),
    [
        ("BOOLEAN", b"\1\2"),
        ("BIGINT", b"\3" + bytes(8)),
        ("BIGINT", b"\0" + b"\1" + bytes(7)),
        ("BIGINT", b"\2" + bytes(8) + b"\1"),
        ("VARCHAR", b"\6\1\xff"),
        ("VARCHAR", b"\6\1ab"),
        ("VARCHAR", b"\6\x21" + b"a" * 32),
        ("DECIMAL(4,2)", b"\5" + (10**4).to_bytes(16, "little")),
        ("DECIMAL(38,0)", b"\5" + b"\xff" * 15 + b"\x7f"),
    ],
)
def test_words_that_no_key_has_are_evidence(kind: str, octets: bytes) -> None:
    keys = columns([kind])
    words = np.frombuffer(octets.ljust(row_words(keys) * 8, b"\0"), dtype="<u8").reshape(1, -1)
    with pytest.raises(EvidenceError, match="canonical"):
        decode_keys(words, keys)


def test_words_of_another_width_are_evidence() -> None:
    with pytest.raises(EvidenceError):
        decode_keys(np.zeros((1, 1), np.uint64), columns(["BIGINT"]))


def test_a_long_text_is_refused_without_being_shown() -> None:
    keys = columns(["VARCHAR"])
    assert encode_keys(table(["VARCHAR"], [("é" * 16,)]), keys).shape == (1, 5)
    with pytest.raises(LimitExceeded) as refused:
        encode_keys(table(["VARCHAR"], [("é" * 16 + "x",)]), keys)
    assert "é" not in str(refused.value)


def test_the_layout_of_a_row_is_fixed() -> None:
    types = ["BIGINT", "VARCHAR", "DATE"]
    words = encode_keys(table(types, [(-2, "ab", date(1970, 1, 3)), (None, "", None)]), columns(types))
    first, second = (row.astype("<u8").tobytes() for row in words)
    assert first == (b"\2\xfe" + b"\xff" * 7 + b"\6\2ab" + bytes(30) + b"\3\2\0\0\0").ljust(48, b"\0")
    assert second == (bytes(9) + b"\6" + bytes(38)).ljust(48, b"\0")


def test_no_keys_are_rows_of_no_words() -> None:
    words = encode_keys(pa.table({"u": [1]}), ())
    assert words.shape == (1, 0)
    assert decode_keys(words, ()) == []
    assert tags(words, b"salt").shape == (1,)


def test_tags_are_a_salted_hash_of_the_row() -> None:
    keys = columns(["VARCHAR", "TIMESTAMP"])
    moment = datetime(2020, 1, 1)  # noqa: DTZ001 - SQL's TIMESTAMP has no zone
    words = encode_keys(table(["VARCHAR", "TIMESTAMP"], [("a", moment), ("b", moment), ("a", moment)]), keys)
    first, second, third = tags(words, b"salt")
    assert first == third != second
    assert tags(words, b"other")[0] != first
    assert int(tags(np.zeros((1, 0), np.uint64), b"")[0]) == 0x141CFC9842C4B0E3  # SHA-256 of nothing
