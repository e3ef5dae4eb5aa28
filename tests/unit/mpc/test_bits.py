from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from mpc.bits import pack, planes, reverse_indices, unpack


@pytest.mark.parametrize("dtype", [np.dtype(name) for name in ("u1", "u2", "u4", "u8")])
def test_indices_of_bits_are_reversed(dtype: np.dtype[Any]) -> None:
    bits = 8 * dtype.itemsize
    levels = bits.bit_length() - 1
    powers = dtype.type(1) << np.arange(bits, dtype=dtype)
    expected = [1 << int(f"{i:0{levels}b}"[::-1], 2) for i in range(bits)]
    assert reverse_indices(powers).tolist() == expected
    np.testing.assert_array_equal(reverse_indices(reverse_indices(powers + 1)), powers + 1)


@pytest.mark.parametrize("count", [0, 1, 7, 8, 9, 20])
def test_planes_hold_one_bit_of_eight_elements_a_byte(count: int) -> None:
    column = np.random.default_rng(count).integers(0, 256, count, dtype=np.uint8)
    table = planes(column).view(np.uint8).reshape(-1, 8)
    assert table.shape == (-(-count // 8), 8)
    for bit in range(8):
        np.testing.assert_array_equal(unpack(table[:, bit].copy(), count), column >> bit & 1)
        assert not unpack(table[:, bit].copy(), 8 * table.shape[0])[count:].any()


@pytest.mark.parametrize("count", [0, 1, 8, 13])
def test_packing_puts_the_first_bit_lowest_and_unpacking_undoes_it(count: int) -> None:
    bits = np.arange(count, dtype=np.uint64) % 3 == 0
    packed = pack(bits)
    assert packed.shape == (-(-count // 8),)
    assert unpack(packed, count, np.dtype(np.uint32)).tolist() == bits.astype(int).tolist()
    assert pack(np.array([1, 0])).tolist() == [1]
