"""PRG accounting over a run: no word of a stream is drawn twice, and both holders draw alike."""

from __future__ import annotations

from collections import defaultdict
from fractions import Fraction
from itertools import pairwise
from typing import Any

import numpy as np

from mpc import prg
from mpc.comparison import less_than
from mpc.matching.intersection import IdLists, intersection
from mpc.multiplication import multiply, share_input
from mpc.noise.mechanisms import discrete_gaussian, discrete_laplace
from mpc.party import Party
from mpc.prg import OpenStream, Shape, Stream, Words
from mpc.relational.shuffle import shuffle
from tests.unit.mpc.three_parties import run


class Accounted(Stream):
    """A stream that keeps the intervals that were drawn of it."""

    def __init__(self, key: bytes, first_words: bytes) -> None:
        super().__init__(key)
        self.first_words = first_words
        self.intervals: list[tuple[int, int]] = []

    def words(self, shape: Shape, dtype: np.dtype[Any]) -> Words:
        start = self.position_bytes
        words = super().words(shape, dtype)
        self.intervals.append((start, self.position_bytes))
        assert self.position_bytes - start == words.nbytes
        return words


Streams = dict[tuple[bytes, str], list[Accounted]]


def accounting() -> tuple[Streams, OpenStream]:
    streams: Streams = defaultdict(list)

    def opened(key: bytes, purpose: str) -> Stream:
        plain = prg.open_stream(key, purpose)
        seed = plain.words((16,), np.dtype(np.uint8)).tobytes()
        stream = Accounted(seed, seed)
        streams[key, purpose].append(stream)
        return stream

    return streams, opened


def job(party: Party) -> None:
    """Use every kind of randomness, most of it twice."""
    x = share_input(party, np.arange(50) if party.index == 0 else None, 0, (50,))
    for _ in range(2):
        x = multiply(party, x, x) + discrete_laplace(party, (50,), Fraction(3))
        less_than(party, x, discrete_gaussian(party, (50,), Fraction(9)))
        shuffle(party, [x, x])
        intersection(party, IdLists((1, 2), (5, 5)), np.arange(5) if party.index else None)


def overlaps(intervals: list[tuple[int, int]]) -> bool:
    return any(stop > start for (_, stop), (start, _) in pairwise(sorted(intervals)))


def test_no_party_draws_a_word_twice_and_both_holders_draw_the_same() -> None:
    streams, opened = accounting()
    run(job, open_stream=opened)
    assert {purpose for _, purpose in streams} == {
        "zero", "random", "input", "reshare", "permutation", "mask", "tag",
    }  # fmt: skip
    for holders in streams.values():
        assert len(holders) == 2, "each holder opens a stream once"
        first, second = holders
        assert first.intervals[0][0] == 0
        assert not overlaps(first.intervals)
        assert first.position_bytes == second.position_bytes == sum(b - a for a, b in first.intervals)


def test_streams_of_all_pairs_and_purposes_differ_from_their_first_words_on() -> None:
    streams, opened = accounting()
    run(job, open_stream=opened)
    assert len({holders[0].first_words for holders in streams.values()}) == len(streams) > 15


def test_control_a_stream_that_is_opened_anew_overlaps() -> None:
    streams, opened = accounting()
    for _ in range(2):
        opened(bytes(32), "zero").words((3,), np.dtype(np.uint64))
    (holders,) = streams.values()
    assert overlaps([interval for stream in holders for interval in stream.intervals])
