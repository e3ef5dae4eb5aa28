from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmarks.engine.operations import OPERATIONS, Place
from benchmarks.engine.party import RESULT
from mpc.manifest import Manifest
from mpc.opening import open_to_parties
from mpc.party import Party
from mpc.prg import Words
from tests.unit.mpc.three_parties import run

COUNT = 48


@pytest.mark.parametrize("name", OPERATIONS)
def test_every_operation_computes_what_it_is_checked_against(name: str, tmp_path: Path) -> None:
    problems = [OPERATIONS[name].pose(Place(party, COUNT, tmp_path)) for party in range(3)]

    def program(party: Party) -> Words:
        result = problems[party.index].run(party)
        opened = open_to_parties(party, result, RESULT.id)
        party.finish()
        return opened

    session = run(program, Manifest((*problems[0].openings, RESULT)))
    for opened, problem in zip(session.results, problems, strict=True):
        assert np.array_equal(opened, problem.expected)
        assert np.unique(problem.expected).size > 1 or problem.expected.size == 1


def test_all_parties_pose_one_problem(tmp_path: Path) -> None:
    for operation in OPERATIONS.values():
        expected = [operation.pose(Place(party, COUNT, tmp_path)).expected for party in range(3)]
        assert np.array_equal(expected[0], expected[1])
        assert np.array_equal(expected[0], expected[2])
