from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mpc.multiplication import constant
from mpc.sharing import BYTE, WORD, WORD32
from mpc.truncation import multiply_fixed, truncate_exact, truncate_probabilistic
from records.errors import InputError
from tests.unit.mpc.columns import WIDTHS, Column, columns, signed
from tests.unit.mpc.three_parties import evaluate

widths = pytest.mark.parametrize("dtype", WIDTHS)


def quarter(dtype: np.dtype[Any]) -> int:
    return 1 << 8 * dtype.itemsize - 2


@settings(max_examples=40, deadline=None)
@given(columns(count=1), st.data())
def test_truncation_is_exact_or_off_by_less_than_one(
    drawn: tuple[np.dtype[Any], list[Column]], data: st.DataObject
) -> None:
    dtype, (column,) = drawn
    x = column >> 1
    bits = data.draw(st.integers(0, 8 * dtype.itemsize - 2))
    np.testing.assert_array_equal(
        evaluate(lambda p, a: truncate_exact(p, a, bits), x, dtype=dtype), x >> bits
    )
    rounded = evaluate(lambda p, a: truncate_probabilistic(p, a, bits), x, dtype=dtype)
    remainder = x - ((x >> bits) << bits)
    assert np.all((rounded == x >> bits) | ((rounded == (x >> bits) + 1) & (remainder > 0)))


@widths
@pytest.mark.parametrize("bits", [0, 1, 7, "most"])
def test_truncation_holds_at_the_ends_of_its_range(dtype: np.dtype[Any], bits: int | str) -> None:
    shift = 8 * dtype.itemsize - 2 if bits == "most" else int(bits)
    end = quarter(dtype)
    x = signed([-end, -end + 1, -1, 0, 1, end - 1] * 20, dtype)
    np.testing.assert_array_equal(
        evaluate(lambda p, a: truncate_exact(p, a, shift), x, dtype=dtype), x >> shift
    )


def test_exact_truncation_holds_for_every_byte_and_shift() -> None:
    x = np.repeat(np.arange(-64, 64, dtype=np.int8), 40)
    for shift in range(7):
        found = evaluate(lambda p, a, s=shift: truncate_exact(p, a, s), x, dtype=BYTE)
        np.testing.assert_array_equal(found, x >> shift)


def test_no_element_of_many_is_far_off() -> None:
    # Truncating shares locally would break about 2^17·2^47/2^63 = 2 of these elements altogether.
    x = np.full(1 << 17, -(1 << 47) + 5)
    found = evaluate(lambda p, a: truncate_probabilistic(p, a, 20), x)
    assert set((found - (x >> 20)).tolist()) <= {0, 1}


def test_rounding_is_unbiased() -> None:
    # 20 000 coins of probability 1/4: 5 standard deviations are 306.
    x = np.full(20_000, (7 << 8) + (1 << 6))
    found = evaluate(lambda p, a: truncate_probabilistic(p, a, 8), x)
    assert abs(int((found - 7).sum()) - 5_000) < 306


@widths
def test_fixed_point_products_are_off_by_less_than_one_step(dtype: np.dtype[Any]) -> None:
    bits = 16 if dtype == WORD else 6
    x = np.linspace(-30, 30, 41)
    y = x[::-1] / 7
    encoded = [signed(np.rint(column * (1 << bits)), dtype) for column in (x, y)]
    found = evaluate(lambda p, a, b: multiply_fixed(p, a, b, bits), *encoded, dtype=dtype)
    exact = encoded[0].astype(object) * encoded[1].astype(object) / (1 << bits)
    assert max(abs(found - exact)) < 1


def test_truncation_keeps_shapes_and_refuses_impossible_shifts() -> None:
    x = np.arange(6).reshape(2, 3) << 4
    for truncate in (truncate_exact, truncate_probabilistic):
        found = evaluate(lambda p, a, f=truncate: f(p, a, 4), x)
        np.testing.assert_array_equal(found, x >> 4)
        assert evaluate(lambda p, a, f=truncate: f(p, a, 4), x[:0]).shape == (0, 3)
        for bits in (-1, 31):
            with pytest.raises(InputError):
                evaluate(lambda p, a, f=truncate, b=bits: f(p, a, b), x, dtype=WORD32)


def test_truncating_public_numbers_works_too() -> None:
    found = evaluate(lambda p, a: truncate_exact(p, constant(p, -9, a.shape), 2), np.zeros(3, np.int64))
    assert found.tolist() == [-3, -3, -3]
