from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings

from mpc.adder import add_bits
from mpc.bits import pack
from mpc.conversion import arithmetic_to_bits, bits_to_arithmetic, words_to_arithmetic
from mpc.multiplication import share_words
from mpc.party import Party
from mpc.sharing import BYTE, WORD, WORD32, Arithmetic, Boolean
from tests.unit.mpc.columns import Column, columns, signed
from tests.unit.mpc.three_parties import assert_streams_in_step, evaluate, run, values_of, words_of

RINGS = [BYTE, np.dtype(np.uint16), WORD32, WORD]


@settings(max_examples=30, deadline=None)
@given(columns(count=1))
def test_numbers_and_their_bits_are_converted_both_ways(drawn: tuple[np.dtype[Any], list[Column]]) -> None:
    dtype, (x,) = drawn
    np.testing.assert_array_equal(evaluate_bits(x, dtype), x)
    there_and_back = evaluate(lambda p, a: words_to_arithmetic(p, arithmetic_to_bits(p, a)), x, dtype=dtype)
    np.testing.assert_array_equal(there_and_back, x)


def evaluate_bits(x: Column, dtype: np.dtype[Any]) -> Column:
    return evaluate(arithmetic_to_bits, x, dtype=dtype)


@pytest.mark.parametrize("dtype", RINGS)
def test_carries_of_a_sum_of_bits_reach_every_position(dtype: np.dtype[Any]) -> None:
    bits = 8 * dtype.itemsize
    runs = (dtype.type(1) << np.arange(bits, dtype=dtype)) - dtype.type(1)
    x, y = (grid.reshape(-1) for grid in np.meshgrid(runs, np.concatenate([runs, ~runs])))

    def program(party: Party) -> Boolean:
        first = share_words(party, Boolean, x if party.index == 0 else None, 0, x.shape, dtype)
        second = share_words(party, Boolean, y if party.index == 1 else None, 1, y.shape, dtype)
        return add_bits(party, first, second)

    np.testing.assert_array_equal(words_of(run(program).results), x + y)


def test_every_byte_is_converted() -> None:
    every = np.arange(-128, 128, dtype=np.int8)
    np.testing.assert_array_equal(evaluate_bits(every, BYTE), every)
    np.testing.assert_array_equal(
        evaluate(lambda p, a: words_to_arithmetic(p, arithmetic_to_bits(p, a)), every, dtype=BYTE), every
    )


@pytest.mark.parametrize("shape", [(0,), (3, 5), (2, 0)])
def test_conversions_keep_every_shape(shape: tuple[int, ...]) -> None:
    x = signed(np.arange(int(np.prod(shape))).reshape(shape), WORD32)
    assert evaluate_bits(x, WORD32).shape == shape
    back = evaluate(lambda p, a: words_to_arithmetic(p, arithmetic_to_bits(p, a)), x, dtype=WORD32)
    np.testing.assert_array_equal(back, x)


@pytest.mark.parametrize("dtype", RINGS)
@pytest.mark.parametrize("count", [0, 1, 8, 13])
def test_single_bits_become_numbers_of_any_width(count: int, dtype: np.dtype[Any]) -> None:
    bits = np.arange(count) % 3 == 0
    packed = pack(bits)

    def program(party: Party) -> Arithmetic:
        owned = packed if party.index == 1 else None
        shares = share_words(party, Boolean, owned, 1, packed.shape, BYTE)
        return bits_to_arithmetic(party, shares, count, dtype)

    session = run(program)
    assert session.results[0].dtype == dtype
    assert values_of(session.results).tolist() == bits.astype(int).tolist()
    assert_streams_in_step(session.positions_bytes)
