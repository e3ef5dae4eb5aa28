"""What the buyer opens holds nothing of a group or cell that is not shown, and its order says nothing."""

from __future__ import annotations

import random
from collections import Counter

import numpy as np
import pyarrow as pa
import pytest

from records.errors import EvidenceError
from sandbox.gate import costs, shares
from sandbox.gate.layout import Layout
from sandbox.sql.columns import encode_payload
from tests.unit.gate.joint_jobs import (
    COUNT,
    ORIGIN,
    TEXT_WORDS,
    Counted,
    Groups,
    is_withheld,
    joint_plan,
    opened_words,
    rules,
    run_gate,
)

SHOWN = Counted(20, 20, 100_003, 20, 200_003)
SMALL = Counted(2, 2, 333_333, 2, 444_444)
FEW_FEES = Counted(20, 20, 555_555, 1, 666_666)
PARTS: list[Groups] = [{"AA": SHOWN, "BB": SMALL, "CC": FEW_FEES}, {"AA": SHOWN, "DD": SMALL, "CC": FEW_FEES}]


def test_a_row_that_is_not_shown_is_zero_throughout() -> None:
    of = joint_plan(2)
    words = opened_words(run_gate(of, rules(10), PARTS), of)
    assert words.shape == Layout.of(of).result_shape
    assert sorted(words[:, 0].tolist()) == [0] * 10 + [1, 1]
    assert not words[words[:, 0] == 0].any()


@pytest.mark.parametrize("disjoint", [True, False])
def test_neither_key_nor_value_of_a_suppressed_group_is_opened(disjoint: bool) -> None:
    of = joint_plan(2)
    words = opened_words(run_gate(of, rules(10, disjoint=disjoint), PARTS), of)
    keys = encode_payload(pa.array(list(PARTS[0])), "VARCHAR", TEXT_WORDS)
    assert set(keys[0]) <= set(words.reshape(-1))  # the control: a key that is shown can be found
    assert not (set(keys[1]) - set(keys[0]) - {0}) & set(words.reshape(-1))
    for secret in (333_333, 444_444, 666_666, 666_666 * 2, 1, 2):
        assert secret not in words[:, 1:-4]


def test_a_suppressed_cell_is_zero_and_its_row_stays() -> None:
    of = joint_plan(2)
    words = opened_words(run_gate(of, rules(10), PARTS), of)
    row = words[np.isin(words[:, -5:], 0).any(axis=1) & (words[:, 0] == 1)]
    assert len(row) == 1
    n, delay_sum, fee_sum, fee_count, delay_shown, any_delay, fee_shown, any_fee = row[0, -8:].tolist()
    assert (n, delay_sum) == (40, 2 * 555_555)
    assert (fee_sum, fee_count) == (0, 0)
    assert (delay_shown, any_delay, fee_shown, any_fee) == (1, 1, 0, 0)


def test_without_the_rules_the_same_groups_are_opened() -> None:
    of = joint_plan(2)
    words = opened_words(run_gate(of, rules(0), PARTS), of)
    assert int(words[:, 0].sum()) == 4
    assert 333_333 in words


@pytest.mark.parametrize("culprit", [(1, 0), (0, 1), (1, 1)])
def test_a_provider_that_could_not_put_its_groups_in_withholds_all(culprit: tuple[int, int]) -> None:
    of = joint_plan(2)
    session = run_gate(of, rules(10), PARTS, faulty=[1 if flag else 0 for flag in culprit])
    assert is_withheld(session)
    assert {(gated.rows, gated.cells) for gated in session.results} == {(0, 0)}


def test_nobody_on_the_wire_learns_why_a_result_is_withheld() -> None:
    of = joint_plan(2)
    nothing: Groups = {}
    too_many: Groups = {f"G{index}": SHOWN for index in range(7)}
    long_text: Groups = {"x" * 33: SHOWN}
    too_large: Groups = {"AA": Counted(20, 20, 2**63 - 1, 20, 0)}
    traces = [
        run_gate(of, rules(10), PARTS, faulty=[1, 0]).trace(),
        run_gate(of, rules(10), PARTS, faulty=[0, 1]).trace(),
        *(
            run_gate(of, rules(10), [parts, nothing]).trace()
            for parts in (nothing, too_many, long_text, too_large)
        ),
    ]
    assert all(trace == traces[0] for trace in traces)


def test_only_the_manifest_is_opened() -> None:
    of = joint_plan(2)
    records = costs.openings(of)
    *program, size, result = [(item.opening_id, item.receivers, item.shape) for item in records]
    # What the program opens are permutations of its rows, behind shuffles.
    assert {(receivers, shape) for _, receivers, shape in program} == {("parties", (12,))}
    assert all(name.startswith("s") for name, _, _ in program)
    assert (size, result) == (("released-size", "parties", (2,)), ("result", "buyer", (12, 13)))


def test_an_opening_that_was_not_accepted_does_not_happen(monkeypatch: pytest.MonkeyPatch) -> None:
    of = joint_plan(2)
    monkeypatch.setattr(shares, "RESULT", "all-groups")
    with pytest.raises(EvidenceError):
        run_gate(of, rules(10), PARTS)


def places(runs: int) -> Counter[int]:
    """Count at which of 4 places the one group that is shown stands, over seeded keys."""
    of = joint_plan(2, [COUNT, ORIGIN], max_groups=2)
    source = random.Random(20)  # noqa: S311 - a statistic, not a secret
    found: Counter[int] = Counter()
    for _ in range(runs):
        keys = [source.randbytes(32) for _ in range(3)]
        words = opened_words(run_gate(of, rules(10), [{"AA": SHOWN}, {"AA": SHOWN}], keys=keys), of)
        found[int(np.flatnonzero(words[:, 0])[0])] += 1
    return found


def test_the_place_of_a_row_says_nothing() -> None:
    # χ² against equal places; 16.27 is the 0.999 quantile for 3 degrees of freedom. Seeded: one answer.
    found = places(60)
    assert sum((found[place] - 15) ** 2 / 15 for place in range(4)) < 16.27


def test_without_the_shuffle_a_row_stands_where_its_provider_put_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shares, "shuffle", lambda _, columns: tuple(columns))
    assert places(5) == {0: 5}
