"""Values as words: one encoding each, NULL as zeros, and nothing else decodes."""

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
from records.errors import EvidenceError, LimitExceeded, MalformedDocument
from sandbox.sql.columns import decode_numbers, decode_payload, encode_payload, payload_words

MAX_BYTES = 21
VALUES: dict[str, st.SearchStrategy[Any]] = {
    "BOOLEAN": st.booleans(),
    "BIGINT": st.integers(-(2**63) + 1, 2**63 - 1),
    "DOUBLE": st.floats(allow_nan=False),
    "DATE": st.dates(),
    "TIMESTAMP": st.datetimes(),
    "DECIMAL(10,2)": st.integers(-(10**10) + 1, 10**10 - 1).map(lambda value: Decimal(f"{value}E-2")),
    "DECIMAL(18,0)": st.integers(-(10**18) + 1, 10**18 - 1).map(Decimal),
    "DECIMAL(19,1)": st.integers(-(10**19) + 1, 10**19 - 1).map(lambda value: Decimal(f"{value}E-1")),
    "DECIMAL(38,9)": st.integers(-(10**38) + 1, 10**38 - 1).map(lambda value: Decimal(f"{value}E-9")),
    "VARCHAR": st.text(st.characters(exclude_categories=["Cs"]), max_size=MAX_BYTES // 4),
}


@st.composite
def columns(draw: st.DrawFn) -> tuple[str, pa.Array]:
    """Draw a column of any type with NULLs, cut out of a longer one."""
    kind = draw(st.sampled_from(sorted(VALUES)))
    values = draw(st.lists(st.none() | VALUES[kind], max_size=12))
    return kind, pa.array(values, arrow_type(kind))[draw(st.integers(0, 3)) :]


@settings(max_examples=300, deadline=None)
@given(columns())
def test_values_come_back_as_they_went_in(case: tuple[str, pa.Array]) -> None:
    kind, column = case
    words = encode_payload(column, kind, payload_words(kind, MAX_BYTES))
    assert words.shape == (len(column), payload_words(kind, MAX_BYTES))
    assert decode_payload(words, kind).equals(column)
    assert (words.any(axis=1) == column.is_valid().to_numpy(zero_copy_only=False)).all()


@settings(max_examples=300, deadline=None)
@given(columns(), st.integers(0, 10**6), st.integers(1, 255))
def test_a_changed_byte_is_another_value_or_is_found(
    case: tuple[str, pa.Array], place: int, change: int
) -> None:
    kind, column = case
    assume(len(column))
    words = encode_payload(column, kind, payload_words(kind, MAX_BYTES))
    octets = words.view(np.uint8).reshape(-1)
    octets[place % octets.size] ^= change
    try:
        decoded = decode_payload(words, kind)
    except EvidenceError:
        return
    again = encode_payload(decoded, kind, words.shape[1])
    assert np.array_equal(again, words), "a value has one encoding"


def test_every_nan_is_one_and_zeros_keep_their_sign() -> None:
    odd = np.array([np.nan, -np.nan, 0.0, -0.0, np.inf])
    words = encode_payload(pa.array(odd), "DOUBLE", 1)
    found = decode_payload(words, "DOUBLE").to_numpy()
    assert words[0] == words[1]
    assert np.array_equal(found, odd, equal_nan=True)
    assert np.signbit(found).tolist()[2:] == [False, True, False]


def test_no_value_at_all_has_words_too() -> None:
    for kind in VALUES:
        words = encode_payload(pa.array([], arrow_type(kind)), kind, payload_words(kind, MAX_BYTES))
        assert len(decode_payload(words, kind)) == len(words) == 0


@pytest.mark.parametrize(
    ("kind", "values", "words"),
    [
        ("VARCHAR", ["x" * 7], 1),
        ("VARCHAR", ["é" * 4], 1),
        ("VARCHAR", ["x" * 65_535], 1 << 14),
        ("BIGINT", [-(2**63)], 1),
    ],
)
def test_a_value_that_does_not_fit_is_refused(kind: str, values: list[Any], words: int) -> None:
    with pytest.raises(LimitExceeded) as refused:
        encode_payload(pa.array(values, arrow_type(kind)), kind, words)
    assert "x" * 7 not in str(refused.value)


def test_a_sum_of_128_bits_that_fits_is_shown_as_what_it_was_planned() -> None:
    wide = pa.array([Decimal(7), None], pa.decimal128(38, 0))
    assert decode_payload(encode_payload(wide, "BIGINT", 1), "BIGINT").to_pylist() == [7, None]
    with pytest.raises(LimitExceeded):
        encode_payload(pa.array([Decimal(2**64)], pa.decimal128(38, 0)), "BIGINT", 1)


@pytest.mark.parametrize(
    ("kind", "row"),
    [
        ("BOOLEAN", [3]),
        ("DATE", [1 << 40]),
        ("DECIMAL(4,1)", [20_000]),
        ("DECIMAL(38,0)", [2**64 - 1, 2**64 - 1]),
        ("DOUBLE", [2]),
        ("VARCHAR", [0x61_0001]),
        ("VARCHAR", [0xFFFF]),
        ("VARCHAR", [0xFF_0002]),
        ("VARCHAR", [0x61_0000]),
    ],
)
def test_words_that_no_value_has_are_evidence(kind: str, row: list[int]) -> None:
    with pytest.raises(EvidenceError):
        decode_payload(np.array([row], dtype=np.uint64), kind)


def test_a_row_of_another_width_is_evidence() -> None:
    with pytest.raises(EvidenceError):
        decode_payload(np.zeros((1, 2), dtype=np.uint64), "BIGINT")


@pytest.mark.parametrize(
    ("kind", "scale", "value", "expected"),
    [
        ("BIGINT", 1, -7, -7),
        ("DECIMAL(12,2)", 100, -12_345, Decimal("-123.45")),
        ("DECIMAL(12,2)", 1, 7, Decimal("7.00")),
        ("DECIMAL(38,20)", 10**18, 10**18, Decimal(1).quantize(Decimal("1E-20"))),
        ("DOUBLE", 1 << 20, 3 << 18, 0.75),
        ("DATE", 1, 365, date(1971, 1, 1)),
        ("TIMESTAMP", 1, 1_000_001, datetime(1970, 1, 1, 0, 0, 1, 1)),  # noqa: DTZ001 - UTC without a zone
        ("BOOLEAN", 1, 1, True),
    ],
)
def test_numbers_are_divided_by_their_scale(kind: str, scale: int, value: int, expected: object) -> None:
    assert decode_numbers(np.array([value]), kind, scale).to_pylist() == [expected]


def test_a_number_that_its_type_does_not_have_is_evidence() -> None:
    with pytest.raises(EvidenceError):
        decode_numbers(np.array([10_000]), "DECIMAL(4,1)", 1)
    with pytest.raises(MalformedDocument):
        decode_numbers(np.array([1]), "DECIMAL(4,1)", 3)
