"""Golden transcripts: with fixed keys and shares every frame is fixed, so a changed protocol is noticed.

If a change is meant, two versions of a party no longer understand each other: say so in the change log.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable

import numpy as np
import pytest

from mpc.comparison import equal_zero, less_than
from mpc.groupby import GroupBlock, union_group_by
from mpc.multiplication import multiply
from mpc.party import Party
from mpc.sharing import Arithmetic, split
from mpc.shuffle import shuffle
from tests.unit.mpc.three_parties import run

Program = Callable[[Party, Arithmetic], object]

TRANSCRIPTS: dict[str, tuple[Program, str]] = {
    "multiply": (
        lambda p, x: multiply(p, x, x),
        "efb99097a71238668fb4e30697ee0a546fd86faaa8859a5cf243a6fa95e1c5a6",
    ),
    "equal_zero": (equal_zero, "d5683b34770a4ccd99c88cd4db66696b6e10604bdf95d7395e9471c06b608ee9"),
    "less_than": (
        lambda p, x: less_than(p, x, -x),
        "162692a9d985d8c3f150c39fb08cc530ad08831901e2b6b59b14ebf0fb3c8124",
    ),
    "shuffle": (
        lambda p, x: shuffle(p, [x, x]),
        "daec8bac1e19093346b7f313710abd1bde3d0b3d1c327c834cdeda2150a85ace",
    ),
    "union_group_by": (
        lambda p, x: union_group_by(p, [GroupBlock(x, x, x, (x,))] * 2),
        "fe5af8556ba843dbdb45c9c5fe25c69d11e3e7a932d08cbe21a9191b868303f0",
    ),
}


@pytest.mark.parametrize("name", TRANSCRIPTS)
def test_frames_are_those_of_the_recorded_transcript(name: str) -> None:
    program, expected = TRANSCRIPTS[name]
    x = split(np.array([0, 1, -1, 1 << 40, -(1 << 63)]), lambda count: bytes(range(count)))
    session = run(lambda party: program(party, x[party.index]))
    digest = hashlib.sha256()
    for frame in (frame for sent in session.frames for frame in sent):
        digest.update(bytes([frame.sender, frame.to]) + len(frame.raw).to_bytes(8, "little") + frame.raw)
    assert digest.hexdigest() == expected
