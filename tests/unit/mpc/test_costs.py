"""Cost contracts: what is declared is what the links count, byte for byte and round for round."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from mpc import costs
from mpc.comparison import at_least, equal, equal_zero, is_negative, less_than, negative_bits, zero_bits
from mpc.conversion import all_of, any_of, bits_to_arithmetic, select
from mpc.costs import Cost
from mpc.manifest import Manifest, Opening
from mpc.multiplication import matmul, multiply, reshare, share_input
from mpc.opening import open_to_buyer, open_to_parties
from mpc.party import Party
from mpc.sharing import Arithmetic, Boolean
from mpc.shuffle import shuffle
from tests.unit.mpc.three_parties import run, shared

Program = Callable[[Party, Arithmetic], object]

PROTOCOLS: dict[str, tuple[Program, Callable[[int], Cost]]] = {
    "share_input": (
        lambda p, x: share_input(p, np.zeros(x.size, np.int64) if p.index == 2 else None, 2, x.shape),
        costs.share_input,
    ),
    "reshare": (lambda p, x: reshare(p, Arithmetic, x.own), costs.reshare),
    "multiply": (lambda p, x: multiply(p, x, x), costs.multiply),
    "matmul": (
        lambda p, x: matmul(p, x.reshape(-1, 1), x.reshape(1, -1)),
        lambda n: costs.matmul(n, n),
    ),
    "open_to_parties": (lambda p, x: open_to_parties(p, x, "a"), costs.open_to_parties),
    "open_to_buyer": (lambda p, x: open_to_buyer(p, x, "b"), costs.open_to_buyer),
    "zero_bits": (zero_bits, costs.zero_bits),
    "negative_bits": (negative_bits, costs.negative_bits),
    "bits_to_arithmetic": (
        lambda p, x: bits_to_arithmetic(
            p, p.random_sharing(Boolean, (-(-x.size // 8),), np.dtype(np.uint8)), x.size
        ),
        costs.bits_to_arithmetic,
    ),
    "equal_zero": (equal_zero, costs.equal_zero),
    "equal": (lambda p, x: equal(p, x, -x), costs.equal_zero),
    "is_negative": (is_negative, costs.is_negative),
    "at_least": (lambda p, x: at_least(p, x, 10), costs.is_negative),
    "less_than": (lambda p, x: less_than(p, x, -x), costs.less_than),
    "select": (lambda p, x: select(p, x, x, -x), costs.select),
    "all_of": (lambda p, x: all_of(p, x.reshape(-1, 1)), lambda n: costs.all_of(n, 1)),
    "any_of": (lambda p, x: any_of(p, x.reshape(1, -1)), lambda n: costs.all_of(1, n)),
    "shuffle": (lambda p, x: shuffle(p, [x, x, x]), lambda n: costs.shuffle(3, n)),
}
MANIFESTS = {
    "open_to_parties": Manifest((Opening("a", "parties", None),)),
    "open_to_buyer": Manifest((Opening("b", "buyer", None),)),
}


@pytest.mark.parametrize("count", [0, 1, 8, 13])
@pytest.mark.parametrize("name", PROTOCOLS)
def test_declared_costs_are_the_counted_ones(name: str, count: int) -> None:
    program, declared = PROTOCOLS[name]
    x = shared(np.arange(count))
    session = run(lambda party: program(party, x[party.index]), MANIFESTS.get(name))
    assert session.cost == declared(count)
    # Rounds overlap where a party need not wait, so the longest chain of frames may be one shorter.
    assert session.depth in (declared(count).rounds, declared(count).rounds - 1)


@pytest.mark.parametrize("name", PROTOCOLS)
def test_what_is_sent_has_the_same_sizes_and_order_for_any_data(name: str) -> None:
    program, _ = PROTOCOLS[name]
    worlds = ([0] * 9, [1, -1, 1 << 62, -(1 << 63), 5, 5, 5, 0, 7])
    traces = []
    for world in worlds:
        x = shared(world)
        session = run(lambda party, x=x: program(party, x[party.index]), MANIFESTS.get(name))  # type: ignore[misc]
        traces.append(session.trace())
    assert traces[0] == traces[1]


def test_costs_add_up() -> None:
    assert costs.FREE + Cost(2, 30) + Cost(1, 4) == Cost(3, 34)
