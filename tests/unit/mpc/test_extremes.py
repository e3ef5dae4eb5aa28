from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings

from mpc.extremes import largest, maximum, minimum, smallest
from records.errors import InputError
from tests.unit.mpc.columns import Column, columns
from tests.unit.mpc.three_parties import evaluate, shared


@settings(max_examples=20, deadline=None)
@given(columns())
def test_extremes_of_two_columns_and_of_one_agree_with_numpy(
    drawn: tuple[np.dtype[Any], list[Column]],
) -> None:
    dtype, (x, y) = drawn
    np.testing.assert_array_equal(evaluate(maximum, x, y, dtype=dtype), np.maximum(x, y))
    np.testing.assert_array_equal(evaluate(minimum, x, y, dtype=dtype), np.minimum(x, y))
    if x.size:
        assert evaluate(largest, x, dtype=dtype).tolist() == [x.max()]
        assert evaluate(smallest, x, dtype=dtype).tolist() == [x.min()]


@pytest.mark.parametrize("length", [1, 2, 3, 7, 8, 9])
def test_tournaments_run_along_the_first_axis(length: int) -> None:
    table = np.random.default_rng(length).integers(-(1 << 60), 1 << 60, (length, 2, 3))
    found = evaluate(lambda p, x: largest(p, x, full_range=False), table)
    np.testing.assert_array_equal(found, table.max(axis=0, keepdims=True))
    found = evaluate(lambda p, x: smallest(p, x, full_range=False), table)
    np.testing.assert_array_equal(found, table.min(axis=0, keepdims=True))


def test_there_is_no_extreme_of_nothing() -> None:
    party: Any = None
    for choose in (largest, smallest):
        with pytest.raises(InputError):
            choose(party, shared(np.zeros((0, 2), np.int64))[0])
