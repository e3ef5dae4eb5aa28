"""Hypothesis strategies for columns of integers, with the extremes of the signed range of each ring."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from hypothesis import strategies as st

from mpc.sharing import WORD, WORD32

Column = npt.NDArray[np.signedinteger[Any]]
WIDTHS = (WORD, WORD32)
LENGTHS = (0, 1, 7, 8, 9, 31, 32, 33)


def lowest(dtype: np.dtype[Any]) -> int:
    return -(1 << 8 * dtype.itemsize - 1)


def highest(dtype: np.dtype[Any]) -> int:
    return (1 << 8 * dtype.itemsize - 1) - 1


def special(dtype: np.dtype[Any]) -> list[int]:
    low, high = lowest(dtype), highest(dtype)
    return [low, low + 1, -1, 0, 1, 1 << 4 * dtype.itemsize, high - 1, high]


def integers_of(dtype: np.dtype[Any]) -> st.SearchStrategy[int]:
    return st.one_of(
        st.sampled_from(special(dtype)), st.integers(lowest(dtype), highest(dtype)), st.integers(-3, 3)
    )


integers = integers_of(WORD)


def signed(values: object, dtype: np.dtype[Any]) -> Column:
    return np.array(values, dtype=f"i{dtype.itemsize}")


@st.composite
def columns(draw: st.DrawFn, count: int = 2, maximum: int = 20) -> tuple[np.dtype[Any], list[Column]]:
    """Draw a ring, and columns of one length for it, 0 and all equal included."""
    dtype: np.dtype[Any] = draw(st.sampled_from(WIDTHS))
    length = draw(st.integers(0, maximum))
    one = st.one_of(
        st.lists(integers_of(dtype), min_size=length, max_size=length),
        integers_of(dtype).map(lambda value: [value] * length),
    )
    return dtype, [signed(draw(one), dtype) for _ in range(count)]
