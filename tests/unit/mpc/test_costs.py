"""Cost contracts: what is declared is what the links count, byte for byte and round for round."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from mpc import comparison, costs
from mpc.adder import add_bits
from mpc.comparison import (
    at_least,
    equal,
    equal_bits,
    equal_zero,
    is_negative,
    less_than,
    less_than_bits,
    negative_bits,
    zero_bits,
)
from mpc.conversion import (
    all_of,
    any_of,
    arithmetic_to_bits,
    bits_to_arithmetic,
    select,
    select_columns,
    words_to_arithmetic,
)
from mpc.costs import Cost
from mpc.division import divide
from mpc.extremes import largest, maximum, minimum, smallest
from mpc.manifest import Manifest, Opening
from mpc.multiplication import dot, matmul, multiply, reshare, reshare_pair, share_input
from mpc.opening import open_to_buyer, open_to_parties
from mpc.party import FRAME_BYTES, Party
from mpc.sharing import BYTE, WORD, WORD32, Arithmetic, Boolean
from mpc.truncation import multiply_fixed, truncate_exact, truncate_probabilistic
from tests.unit.mpc.columns import WIDTHS
from tests.unit.mpc.three_parties import run, shared

Program = Callable[[Party, Arithmetic], object]
Declared = Callable[[int, int], Cost]


def packed(party: Party, x: Arithmetic) -> Boolean:
    return party.random_sharing(Boolean, (-(-x.size // 8),), BYTE)


def words(party: Party, x: Arithmetic) -> Boolean:
    return party.random_sharing(Boolean, x.shape, x.dtype)


def entered(party: Party, x: Arithmetic) -> Arithmetic:
    values = np.zeros(x.size, np.int64) if party.index == 2 else None
    return share_input(party, values, 2, x.shape, x.dtype)


PROTOCOLS: dict[str, tuple[Program, Declared]] = {
    "share_input": (entered, costs.share_input),
    "reshare": (lambda p, x: reshare(p, Arithmetic, x.own), costs.reshare),
    "reshare_pair": (lambda p, x: reshare_pair(p, Arithmetic, x.own, 1), costs.reshare_pair),
    "multiply": (lambda p, x: multiply(p, x, x), costs.multiply),
    "dot": (lambda p, x: dot(p, x.reshape(-1, 1), x.reshape(-1, 1)), costs.dot),
    "matmul": (
        lambda p, x: matmul(p, x.reshape(-1, 1), x.reshape(1, -1)),
        lambda n, w: costs.matmul(n, n, w),
    ),
    "open_to_parties": (lambda p, x: open_to_parties(p, x, "a"), costs.open_to_parties),
    "open_to_buyer": (lambda p, x: open_to_buyer(p, x, "b"), costs.open_to_buyer),
    "bits_to_arithmetic": (
        lambda p, x: bits_to_arithmetic(p, packed(p, x), x.size, x.dtype),
        costs.bits_to_arithmetic,
    ),
    "add_bits": (lambda p, x: add_bits(p, words(p, x), words(p, x)), costs.add_bits),
    "arithmetic_to_bits": (arithmetic_to_bits, costs.arithmetic_to_bits),
    "words_to_arithmetic": (lambda p, x: words_to_arithmetic(p, words(p, x)), costs.words_to_arithmetic),
    "zero_bits": (zero_bits, costs.zero_bits),
    "equal_bits": (lambda p, x: equal_bits(p, x, -x), costs.zero_bits),
    "negative_bits": (negative_bits, costs.negative_bits),
    "less_than_bits": (lambda p, x: less_than_bits(p, x, -x), costs.less_than_bits),
    "equal_zero": (equal_zero, costs.equal_zero),
    "equal": (lambda p, x: equal(p, x, -x, dtype=BYTE), lambda n, w: costs.equal_zero(n, w, 1)),
    "is_negative": (is_negative, costs.is_negative),
    "at_least": (lambda p, x: at_least(p, x, 10, dtype=WORD32), lambda n, w: costs.is_negative(n, w, 4)),
    "less_than": (lambda p, x: less_than(p, x, -x), costs.less_than),
    "less_than_half_range": (
        lambda p, x: less_than(p, x, -x, full_range=False, dtype=WORD32),
        lambda n, w: costs.less_than(n, w, 4, full_range=False),
    ),
    "select": (lambda p, x: select(p, x, x, -x), costs.select),
    "select_columns": (
        lambda p, x: select_columns(p, x, [x, x], [-x, x]),
        lambda n, w: costs.select(2 * n, w),
    ),
    "all_of": (lambda p, x: all_of(p, x.reshape(-1, 1)), lambda n, w: costs.all_of(n, 1, w)),
    "any_of": (lambda p, x: any_of(p, x.reshape(1, -1)), lambda n, w: costs.all_of(1, n, w)),
    "maximum": (lambda p, x: maximum(p, x, -x), costs.maximum),
    "minimum": (
        lambda p, x: minimum(p, x, -x, full_range=False),
        lambda n, w: costs.maximum(n, w, full_range=False),
    ),
    "largest": (
        lambda p, x: largest(p, stack_of(x, 5)),
        lambda n, w: costs.largest(5, n, w),
    ),
    "smallest": (
        lambda p, x: smallest(p, stack_of(x, 4), full_range=False),
        lambda n, w: costs.largest(4, n, w, full_range=False),
    ),
    "truncate_probabilistic": (lambda p, x: truncate_probabilistic(p, x, 3), costs.truncate_probabilistic),
    "truncate_exact": (lambda p, x: truncate_exact(p, x, 3), costs.truncate_exact),
    "multiply_fixed": (lambda p, x: multiply_fixed(p, x, x, 3), costs.multiply_fixed),
    "divide": (lambda p, x: divide(p, x, x, 6), lambda n, w: costs.divide(n, 6, w)),
}
MANIFESTS = {
    "open_to_parties": Manifest((Opening("a", "parties", None),)),
    "open_to_buyer": Manifest((Opening("b", "buyer", None),)),
}


def stack_of(x: Arithmetic, length: int) -> Arithmetic:
    return x.map(lambda column: np.stack([column] * length))


@pytest.mark.parametrize("dtype", WIDTHS)
@pytest.mark.parametrize("count", [0, 1, 8, 13])
@pytest.mark.parametrize("name", PROTOCOLS)
def test_declared_costs_are_the_counted_ones(name: str, count: int, dtype: np.dtype[Any]) -> None:
    program, declared = PROTOCOLS[name]
    x = shared(np.arange(count), dtype)
    session = run(lambda party: program(party, x[party.index]), MANIFESTS.get(name))
    cost = declared(count, dtype.itemsize)
    assert session.cost == cost
    # Rounds overlap where a party need not wait, so the longest chain of frames may be shorter.
    assert session.depth <= cost.rounds


@pytest.mark.parametrize("name", ["zero_bits", "less_than_bits", "arithmetic_to_bits", "words_to_arithmetic"])
@pytest.mark.parametrize("dtype", [BYTE, np.dtype(np.uint16)])
def test_declared_costs_hold_in_the_small_rings(name: str, dtype: np.dtype[Any]) -> None:
    test_declared_costs_are_the_counted_ones(name, 13, dtype)


@pytest.mark.parametrize("name", ["zero_bits", "negative_bits", "less_than_bits", "equal_zero"])
@pytest.mark.parametrize("count", [15, 16, 17, 41])
def test_batches_of_long_columns_cost_what_is_declared(
    name: str, count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(comparison, "BATCH", 16)
    monkeypatch.setattr(costs, "BATCH", 16)
    test_declared_costs_are_the_counted_ones(name, count, WORD32)


@pytest.mark.parametrize("name", ["multiply", "negative_bits", "open_to_parties", "arithmetic_to_bits"])
def test_columns_of_many_frames_cost_what_is_declared(name: str) -> None:
    program, declared = PROTOCOLS[name]
    count = 11 * FRAME_BYTES // WORD.itemsize + 3  # more frames than are sent ahead
    x = shared(np.zeros(count, np.int64))
    session = run(lambda party: program(party, x[party.index]), MANIFESTS.get(name))
    assert session.cost == declared(count, WORD.itemsize)


@pytest.mark.parametrize("dtype", WIDTHS)
@pytest.mark.parametrize("name", PROTOCOLS)
def test_what_is_sent_has_the_same_sizes_and_order_for_any_data(name: str, dtype: np.dtype[Any]) -> None:
    program, _ = PROTOCOLS[name]
    top = 1 << 8 * dtype.itemsize - 1
    worlds = ([0] * 9, [1, -1, top >> 1, -top, 5, 5, 5, 0, 7])
    traces = []
    for world in worlds:
        x = shared(world, dtype)
        session = run(lambda party, x=x: program(party, x[party.index]), MANIFESTS.get(name))  # type: ignore[misc]
        traces.append(session.trace())
    assert traces[0] == traces[1]


def test_the_published_bytes_per_element_hold() -> None:
    # 79 and 39 bytes in the reference; the sign bit rides in the tree, and a leaf has two senders only.
    assert costs.negative_bits(8) == Cost(8, 567)
    assert costs.negative_bits(8, 4) == Cost(7, 279)
    assert costs.zero_bits(8) == Cost(7, 253)


def test_costs_add_up() -> None:
    assert costs.FREE + Cost(2, 30) + Cost(1, 4) == Cost(3, 34)
