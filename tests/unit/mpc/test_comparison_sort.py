"""The pairwise sort against the stable one of Python, and its comparison of unsigned words against NumPy."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings

from mpc.party import Party
from mpc.relational import sorting
from mpc.relational.comparison_sort import compared_places, less_bits
from mpc.relational.radix_sort import SortKey, sort_openings
from mpc.sharing import Shared
from tests.unit.mpc.relations import PlainKey, bits_of, key_columns, opened, shared_words, stable_order
from tests.unit.mpc.three_parties import run


@settings(max_examples=30, deadline=None)
@given(key_columns())
def test_rows_are_sorted_stably_by_all_keys_and_nothing_is_opened(keys: list[PlainKey]) -> None:
    shares = [shared_words(column, dtype) for _, dtype, _, column in keys]

    def program(party: Party) -> list[Shared]:
        return [
            compared_places(
                party,
                [
                    SortKey(share[party.index], bits, down)
                    for share, (bits, _, down, _) in zip(shares, keys, strict=True)
                ],
            )
        ]

    (places,) = opened(run(program))  # with an empty manifest
    np.testing.assert_array_equal(places[stable_order(keys)], np.arange(places.size))


@pytest.mark.parametrize("dtype", ["u1", "u2", "u4", "u8"])
def test_unsigned_words_are_compared_in_every_bit_that_counts(dtype: str) -> None:
    width = 8 * np.dtype(dtype).itemsize
    for bits in (1, 2, width - 1, width):
        edges = [0, 1, (1 << bits) - 1, (1 << bits - 1) - 1, 1 << bits - 1, *(1 << k for k in range(bits))]
        x, y = (grid.reshape(-1) for grid in np.meshgrid(*[np.array(edges, dtype=dtype)] * 2))
        shared_x, shared_y = shared_words(x, dtype), shared_words(y, dtype)
        session = run(
            lambda party, x=shared_x, y=shared_y, bits=bits: [  # type: ignore[misc]
                less_bits(party, x[party.index], y[party.index], bits)
            ]
        )
        np.testing.assert_array_equal(bits_of(opened(session)[0], x.size), x < y)


def test_the_number_of_rows_alone_chooses_the_protocol() -> None:
    most = sorting.PAIRWISE_ROWS
    assert sorting.sort_openings("s", most, [8]) == ()
    assert sorting.sort_openings("s", most + 1, [8]) == sort_openings("s", most + 1, [8])
