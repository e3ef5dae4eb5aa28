from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mpc.division import digits, divide
from mpc.sharing import WORD, WORD32
from records.errors import InputError
from tests.unit.mpc.columns import signed
from tests.unit.mpc.three_parties import evaluate, shared


@st.composite
def divisions(draw: st.DrawFn) -> tuple[np.dtype[Any], int, list[tuple[int, int]]]:
    """Draw a ring, a bound on quotients, and pairs within the declared domain."""
    dtype: np.dtype[Any] = draw(st.sampled_from([WORD, WORD32]))
    room = 8 * dtype.itemsize - 2
    bits = draw(st.integers(1, room - 1))
    divisor = st.integers(1, (1 << room - bits) - 1)

    def dividend(d: int) -> st.SearchStrategy[tuple[int, int]]:
        most = d * (1 << bits) - 1
        return st.one_of(st.sampled_from([0, d - 1, d, most]), st.integers(0, most)).map(lambda x: (x, d))

    return dtype, bits, draw(st.lists(divisor.flatmap(dividend), max_size=6))


@settings(max_examples=30, deadline=None)
@given(divisions())
def test_quotients_are_those_of_python(case: tuple[np.dtype[Any], int, list[tuple[int, int]]]) -> None:
    dtype, bits, pairs = case
    x, d = (signed([pair[k] for pair in pairs], dtype) for k in range(2))
    found = evaluate(lambda p, a, b: divide(p, a, b, bits), x, d, dtype=dtype)
    assert found.tolist() == [x // d for x, d in pairs]


def test_the_largest_quotient_stands_for_a_division_by_zero() -> None:
    x, zero = np.array([0, 5, (1 << 62) - 1]), np.zeros(3, np.int64)
    for bits in (4, 6, 32):
        found = evaluate(lambda p, a, b, n=bits: divide(p, a, b, n), x, zero)
        assert found.tolist() == [(1 << bits) - 1] * 3


def test_shapes_are_kept_and_must_agree() -> None:
    x = np.arange(6).reshape(2, 3) * 10
    np.testing.assert_array_equal(evaluate(lambda p, a, b: divide(p, a, b, 6), x, x * 0 + 3), x // 3)
    assert evaluate(lambda p, a, b: divide(p, a, b, 6), x[:0], x[:0]).shape == (0, 3)
    party: Any = None
    column = shared([1, 2])[0]
    with pytest.raises(InputError):
        divide(party, column, column[:1], 4)
    with pytest.raises(InputError):
        divide(party, column, column.narrow(WORD32), 4)
    for bits in (0, 62):
        with pytest.raises(InputError):
            divide(party, column, column, bits)


def test_digits_have_four_bits_but_the_first() -> None:
    assert [digits(bits) for bits in (1, 4, 7, 8)] == [[1], [4], [3, 4], [4, 4]]
