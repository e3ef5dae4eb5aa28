"""Hypothesis strategies for columns of integers, with the extremes of the signed range."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from hypothesis import strategies as st

LOWEST, HIGHEST = -(1 << 63), (1 << 63) - 1
SPECIAL = (LOWEST, LOWEST + 1, -1, 0, 1, 1 << 32, HIGHEST - 1, HIGHEST)

integers = st.one_of(st.sampled_from(SPECIAL), st.integers(LOWEST, HIGHEST), st.integers(-3, 3))


@st.composite
def pairs_of_columns(
    draw: st.DrawFn, maximum: int = 20
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Draw two columns of one length, 0 included."""
    length = draw(st.integers(0, maximum))
    column = st.lists(integers, min_size=length, max_size=length)
    return np.array(draw(column), dtype=np.int64), np.array(draw(column), dtype=np.int64)
