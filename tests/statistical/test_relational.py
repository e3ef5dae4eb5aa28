"""What relational operators show is a uniform order, with fixed keys (so never flaky) and controls that fail.

Chi-square bounds are the 0.9999 quantiles; see `test_mpc.py` for the power.
"""

from __future__ import annotations

from itertools import permutations

import numpy as np
import numpy.typing as npt
import pytest

from mpc.manifest import Manifest, Opening
from mpc.multiplication import constant, public
from mpc.party import Party
from mpc.prg import OpenStream, Shape, Words, open_stream
from mpc.relational.known_order import move_by_known
from mpc.relational.shuffle import disclose_order
from mpc.sharing import WORD32, Arithmetic
from tests.unit.mpc.three_parties import run

CHI_SQUARE_23 = 58.6
CHI_SQUARE_255 = 347.7
ORDERS = {order: k for k, order in enumerate(permutations(range(4)))}
DRAWS = 1200


class Fixed:
    """A stream that always yields one word, so that every permutation drawn from it is the same."""

    position_bytes = 0

    def words(self, shape: Shape, dtype: np.dtype[np.uint32]) -> Words:
        return np.full(shape, 0x5EED5EED, dtype=dtype)


def without_permutations(key: bytes, purpose: str) -> object:
    return Fixed() if purpose == "permutation" else open_stream(key, purpose)


def chi_square(bins: npt.NDArray[np.int64]) -> float:
    expected = bins.sum() / bins.size
    return float(((bins - expected) ** 2 / expected).sum())


def spread(orders: list[Words]) -> float:
    """Return the chi-square of orders of four rows against the uniform law."""
    return chi_square(np.bincount([ORDERS[tuple(order.tolist())] for order in orders], minlength=24))


def opened_orders(order: list[int], stream: OpenStream) -> list[Words]:
    """Return what `disclose_order` opens for one shared order, time after time."""
    places = np.array(order, dtype=WORD32)

    def program(party: Party) -> list[Words]:
        shared = public(party, Arithmetic, places)
        return [disclose_order(party, shared, str(k))[0].places for k in range(DRAWS)]

    openings = Manifest(tuple(Opening(str(k), "parties", (4,)) for k in range(DRAWS)))
    return run(program, openings, open_stream=stream).results[0]


@pytest.mark.parametrize("order", [[0, 1, 2, 3], [3, 1, 0, 2]])
def test_an_opened_order_is_uniform_whatever_the_shared_one(order: list[int]) -> None:
    assert spread(opened_orders(order, open_stream)) < CHI_SQUARE_23


def test_control_an_order_opened_without_a_shuffle_is_found() -> None:
    assert spread(opened_orders([0, 1, 2, 3], without_permutations)) > CHI_SQUARE_23  # type: ignore[arg-type]


def known_orders(stream: OpenStream) -> tuple[list[Words], npt.NDArray[np.uint8]]:
    """Return the factors of one known order that party 1 receives, and the bytes of the masked column."""
    order = np.array([2, 0, 1, 3], dtype=WORD32)

    def program(party: Party) -> None:
        table = constant(party, 5, (1, 4))
        for _ in range(DRAWS):
            move_by_known(party, table, order if party.index == 0 else None, 0)

    frames = run(program, open_stream=stream).received_by(1)
    # Frames of party 0 are factors and parts of the fresh sharing in turn; of party 2 masked columns.
    factors = [np.frombuffer(frame.raw, dtype="<u4") for frame in frames if frame.sender == 0][::2]
    masked = b"".join(frame.raw for frame in frames if frame.sender == 2)
    return factors, np.frombuffer(masked, dtype=np.uint8)


def test_what_is_sent_of_a_known_order_is_uniform_and_so_is_the_masked_column() -> None:
    factors, masked = known_orders(open_stream)
    assert spread(factors) < CHI_SQUARE_23
    assert chi_square(np.bincount(masked, minlength=256)) < CHI_SQUARE_255


def test_control_a_known_order_that_is_not_split_is_found() -> None:
    factors, _ = known_orders(without_permutations)  # type: ignore[arg-type]
    assert spread(factors) > CHI_SQUARE_23
