"""Golden transcripts: with fixed keys and shares every frame is fixed, so a changed protocol is noticed.

If a change is meant, two versions of a party no longer understand each other: say so in the change log.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from mpc.comparison import equal_zero, less_than
from mpc.conversion import arithmetic_to_bits, words_to_arithmetic
from mpc.division import divide
from mpc.multiplication import multiply
from mpc.party import Party
from mpc.relational.shuffle import shuffle
from mpc.sharing import WORD, WORD32, Arithmetic, split
from mpc.truncation import truncate_exact
from tests.unit.mpc.three_parties import run

Program = Callable[[Party, Arithmetic], object]

TRANSCRIPTS: dict[str, tuple[Program, np.dtype[Any], str]] = {
    "multiply": (
        lambda p, x: multiply(p, x, x),
        WORD,
        "efb99097a71238668fb4e30697ee0a546fd86faaa8859a5cf243a6fa95e1c5a6",
    ),
    "equal_zero": (equal_zero, WORD, "013e81c58cfae67389351291b5c548ee2897f2544e359d7430a66052a561406a"),
    "equal_zero_u32": (
        equal_zero,
        WORD32,
        "b2c74eb2950419947c16e917923562918e4a44d66c2495c52598ba50698e465b",
    ),
    "less_than": (
        lambda p, x: less_than(p, x, -x),
        WORD,
        "e058eeaef0a22d03df79a2c9e5db57153bac63687742858cdd2a5223cf5c2555",
    ),
    "less_than_u32": (
        lambda p, x: less_than(p, x, -x),
        WORD32,
        "b03e882dfb14b8f0072f23ee878daa51c0f0c6c3cabd0709ccfbed5baf8c8b6e",
    ),
    "less_than_half_range": (
        lambda p, x: less_than(p, x, -x, full_range=False),
        WORD,
        "efd19f06e5ef663dd4c68008ab77eb683931fa49eca1116231a3bfc0cfa8cad0",
    ),
    "bits_and_back": (
        lambda p, x: words_to_arithmetic(p, arithmetic_to_bits(p, x)),
        WORD,
        "6741d5adf5d1a5f3fa3901d78085e5ff9299225947af96937608d63087df4bd6",
    ),
    "truncate_exact": (
        lambda p, x: truncate_exact(p, x, 5),
        WORD,
        "b96f1fb8af3321d9626a074ee28b6baa370e4ddaa02d8982f55acfa57330c377",
    ),
    "divide": (
        lambda p, x: divide(p, x, x, 6),
        WORD32,
        "907c58d794ffcefc24abefafad88fd6753ab831230293d9076c6e7162a865c35",
    ),
    "shuffle": (
        lambda p, x: shuffle(p, [x, x]),
        WORD,
        "d784c8a04d17ec1d4369b4cb63e68c07c3600f499fcc87e746af670bbbbee102",
    ),
}


@pytest.mark.parametrize("name", TRANSCRIPTS)
def test_frames_are_those_of_the_recorded_transcript(name: str) -> None:
    program, dtype, expected = TRANSCRIPTS[name]
    top = 1 << 8 * dtype.itemsize - 1
    x = split(np.array([0, 1, -1, top >> 23, -top]), lambda count: bytes(range(count)), dtype)
    session = run(lambda party: program(party, x[party.index]))
    digest = hashlib.sha256()
    for frame in (frame for sent in session.frames for frame in sent):
        digest.update(bytes([frame.sender, frame.to]) + len(frame.raw).to_bytes(8, "little") + frame.raw)
    assert digest.hexdigest() == expected
