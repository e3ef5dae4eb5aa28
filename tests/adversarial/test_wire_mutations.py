"""Every message of a small joint job, changed on the wire in every way: nobody takes a wrong value."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from mpc.link import Link
from records.errors import EvidenceError, PeerUnavailable
from tests.adversarial.wire_mutations import (
    FIRST_FRAME,
    MUTATIONS,
    NODES,
    OPENED,
    RIGHT,
    Middle,
    Mutation,
    Pair,
    Town3,
    dropped,
    flipped,
    job,
    replayed,
    town3,
)
from tests.unit.mpc.three_parties import run

FRAMES = {(0, 1): 2, (1, 2): 2, (2, 0): 1, (0, 2): 2, (1, 0): 2, (2, 1): 2}
"""How many messages each channel carries."""


@pytest.fixture(scope="module")
def town() -> Iterator[Town3]:
    with town3() as town:
        yield town


def test_what_is_left_alone_arrives(town: Town3) -> None:
    middle = Middle()
    assert town.run(middle) == [RIGHT] * 3
    assert middle.passed == {pair: FIRST_FRAME + frames + 1 for pair, frames in FRAMES.items()}


def mutation(change: Mutation) -> Any:
    quick = change in (flipped, dropped)
    return pytest.param(change, id=change.__name__, marks=() if quick else pytest.mark.long)


@pytest.mark.parametrize("mutate", [mutation(change) for change in MUTATIONS])
def test_a_message_that_is_changed_on_the_wire_stops_its_receiver(town: Town3, mutate: Mutation) -> None:
    """The last record of a channel says how many frames there were."""
    attacks = [
        (pair, record)
        for pair, frames in FRAMES.items()
        for record in range(FIRST_FRAME, FIRST_FRAME + frames + 1)
    ]
    with ThreadPoolExecutor(len(attacks)) as pool:  # they mostly wait for what does not come
        list(pool.map(lambda attack: stopped(town, attack[0], attack[1], mutate), attacks))


def stopped(town: Town3, pair: Pair, record: int, mutate: Mutation) -> None:
    """Attack one record.

    Raises:
        AssertionError: a party took a wrong value, or the receiver did not say what was wrong with whom.
    """
    sender, receiver = pair
    ends = town.run(Middle(pair, record, mutate))
    assert all(end == RIGHT for end in ends if isinstance(end, list))
    last = FIRST_FRAME + FRAMES[pair]
    if mutate is replayed and record >= last - 1:
        return  # a second record after all that is due need not be read any more
    stop = ends[receiver]
    assert isinstance(stop, (EvidenceError, PeerUnavailable))
    assert f"`{NODES[sender]}`" in str(stop)
    if record < last:
        assert str(stop).startswith("in the step `")


def test_control_without_authentication_a_flipped_message_goes_unseen() -> None:
    class Flipping:
        """A link on whose wire the first message of party 0 is changed."""

        def __init__(self, link: Link) -> None:
            self._link = link
            self._sent = 0
            self.party = link.party
            self.receive = link.receive

        def send(self, to: int, frame: bytes | memoryview) -> None:
            raw = bytearray(frame)
            raw[-1] ^= self.party == 0 and self._sent == 0
            self._sent += 1
            self._link.send(to, bytes(raw))

    results = run(job, OPENED, wrap=Flipping).results
    assert results[0] == results[1] == results[2] != RIGHT
