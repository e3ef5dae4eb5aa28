"""Programs in shares make the rows that the reference makes, open what is declared, and cost it."""

from __future__ import annotations

import random
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mpc.relational import sorting
from sandbox.joint import costs, relations
from sandbox.joint.run import Ran
from sandbox.joint.shapes import shapes
from sandbox.sql.steps import (
    Beside,
    Broadcast,
    Compute,
    Filter,
    First,
    Group,
    Input,
    Join,
    Select,
    Stack,
    Step,
    Window,
)
from tests.unit.joint.programs import (
    Outcome,
    Table,
    bit,
    key,
    made_up,
    number,
    payload,
    random_program,
    run_plain,
    run_shared,
)
from tests.unit.mpc.three_parties import Session


def agree(tables: Sequence[Table], steps: Sequence[Step]) -> tuple[Outcome, Session[Ran]]:
    """Run a program both ways, and return what came out of shares."""
    expected = run_plain(tables, steps)
    found, session = run_shared(tables, steps)
    assert session.cost == costs.cost(steps, shapes(steps, [table.part() for table in tables]))
    assert found.faulty == expected.faulty
    if not expected.faulty:
        assert found.rows == expected.rows
    return found, session


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32))
def test_a_random_program_makes_what_its_steps_mean(seed: int) -> None:
    agree(*random_program(random.Random(seed)))  # noqa: S311 - made-up rows, not secrets


@pytest.mark.long
@pytest.mark.parametrize("most_pairwise", [-1, sorting.PAIRWISE_ROWS])
def test_many_random_programs_by_either_sort(most_pairwise: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sorting, "PAIRWISE_ROWS", most_pairwise)
    for seed in range(200):
        agree(*random_program(random.Random(seed)))  # noqa: S311 - made-up rows, not secrets


def test_by_radix_sort_a_program_makes_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sorting, "PAIRWISE_ROWS", -1)
    for seed in range(4):
        agree(*random_program(random.Random(seed)))  # noqa: S311 - made-up rows, not secrets


def numbers(**columns: list[int]) -> Table:
    rows = [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]
    return Table(tuple(number(name) for name in columns), len(rows) + 1, rows)


@pytest.mark.parametrize(
    ("operation", "constant", "x", "y"),
    [
        ("truncate", 4, [0, 15, 16, -1, -16, (1 << 62) - 1, -(1 << 62)], None),
        ("truncate", 62, [0, (1 << 62) - 1, -1], None),
        ("divide", 8, [0, 7, 255, 10, 9, 5, 1000], [1, 2, 1, 3, 10, 0, 4]),
        ("divide", 20, [10**12, 1, 1 << 60], [10**6, 7, 1 << 41]),
        ("less", 0, [-(1 << 63), (1 << 63) - 1, 5, 5], [(1 << 63) - 1, -(1 << 63), 5, 6]),
        ("equal", 0, [-(1 << 63), 0, 7], [-(1 << 63), 1, 7]),
        ("scale", -(1 << 63), [1, 2, 3], None),
    ],
)
def test_an_operation_on_numbers_is_exact_in_its_range(
    operation: str, constant: int, x: list[int], y: list[int] | None
) -> None:
    result = bit("r") if operation in ("less", "equal") else number("r")
    table = numbers(x=x) if y is None else numbers(x=x, y=y)
    names = ("x",) if y is None else ("x", "y")
    agree([table], [Input(0, table.size), Compute(0, result, operation, names, constant)])  # type: ignore[arg-type]


def test_a_key_is_made_of_a_number_and_orders_backwards() -> None:
    table = Table((number("x"), bit("known")), 5, [{"x": x, "known": int(x != 3)} for x in (-5, 10, 3, 0)])
    steps: list[Step] = [
        Input(0, 5), Compute(0, key("k", 5), "key", ("x", "known"), 5),
        Compute(1, key("r", 5), "reverse", ("k",), 16), Compute(2, bit("s"), "same", ("k", "r")),
    ]  # fmt: skip
    found, _ = agree([table], steps)
    assert [(row["k"], row["r"]) for row in found.rows.values()] == [(1, 16), (16, 1), (0, 0), (6, 11)]


@pytest.mark.parametrize("kind", ["number", "key", "bit", "payload"])
def test_a_selection_takes_columns_of_every_kind(kind: str) -> None:
    table = made_up(random.Random(5), "t", size=9)  # noqa: S311 - made-up rows, not secrets
    x, y, column = {
        "number": ("tn", "tm", number("r")), "key": ("tk", "tw", key("r", 64)),
        "bit": ("tb", "tb", bit("r")), "payload": ("tp", "tp", payload("r", 2)),
    }[kind]  # fmt: skip
    agree([table], [Input(0, 9), Compute(0, column, "select", ("tb", x, y))])


def test_tables_are_stacked_broadcast_and_put_side_by_side() -> None:
    source = random.Random(3)  # noqa: S311 - made-up rows, not secrets
    tables = [made_up(source, "t", size=7), made_up(source, "t", size=4)]
    steps: list[Step] = [
        Input(0, 7), Input(1, 4), Stack((0, 1)),
        Group(2, ("tk",), "n", (("tm", "s"),)),
        Select(2, ("tk",), "tw", "tb", 1, 2, (("tm", "lo"),), (("tm", "hi"),)),
        Beside((3, 4)), Group(2, (), "all", (("tm", "total"),)), Broadcast(6, 5, ("all", "total")),
    ]  # fmt: skip
    agree(tables, steps)


def test_what_is_broadcast_of_a_row_that_does_not_count_is_null() -> None:
    table = numbers(x=[5, 6])
    filtered: list[Step] = [
        Input(0, 3), Compute(0, bit("none"), "nothing", ()), Filter(1, "none"), First(2, 1),
        Compute(3, number("y"), "scale", ("x",), 1), Broadcast(4, 0, ("y",)),
    ]  # fmt: skip
    found, _ = agree([table], filtered)
    assert [row["y"] for row in found.rows.values()] == [0, 0]


def test_more_matches_than_declared_are_a_fault_that_nobody_opens() -> None:
    left = Table((key("a", 4), number("x")), 4, [{"a": 1, "x": 10}, {"a": 1, "x": 11}, {"a": 0, "x": 12}])
    right = Table((key("b", 4),), 3, [{"b": 1}, {"b": 0}, {"b": 2}])
    traces = []
    for most, faulty in ((1, True), (2, False)):
        found, session = agree(
            [left, right], [Input(0, 4), Input(1, 3), Join(0, 1, (("a", "b"),), ("x",), "m", most)]
        )
        assert found.faulty is faulty
        traces.append(session.trace())
    unique = Table(left.columns, 4, left.rows[1:])
    _, session = agree([unique, right], [Input(0, 4), Input(1, 3), Join(0, 1, (("a", "b"),), ("x",), "m")])
    assert session.trace() == traces[0]


@pytest.mark.parametrize(("rows", "faulty"), [(3, False), (2, True)])
def test_rows_behind_the_whole_table_are_a_fault(rows: int, faulty: bool) -> None:
    table = numbers(x=[5, 6, 7])
    for ordered in (False, True):
        found, _ = agree([table], [Input(0, 4), First(0, rows, sorted=ordered, whole=True)])
        assert found.faulty is faulty


def test_expressions_alike_take_the_rounds_of_one() -> None:
    table = numbers(x=[1, 2, 3], y=[4, 5, 6])
    one: list[Step] = [Input(0, 4), Compute(0, bit("c0"), "less", ("x", "y"))]
    three = [*one, *(Compute(index, bit(f"c{index}"), "less", ("y", "x")) for index in (1, 2))]
    _, first = agree([table], one)
    _, second = agree([table], three)
    assert first.cost.rounds == second.cost.rounds
    chained = [*one, Compute(1, number("n"), "number", ("c0",)),
               Compute(2, number("m"), "multiply", ("n", "x")),
               Compute(3, number("o"), "multiply", ("m", "x"))]  # fmt: skip
    agree([table], chained)


def test_without_its_mask_a_row_that_matches_nothing_would_show_another(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    left = Table((key("a", 4), number("x")), 2, [{"a": 1, "x": 777}])
    right = Table((key("b", 4),), 2, [{"b": 2}])
    steps: list[Step] = [Input(0, 2), Input(1, 2), Join(0, 1, (("a", "b"),), ("x",), "m")]
    found, _ = agree([left, right], steps)
    assert found.rows[0]["x"] == 0
    monkeypatch.setattr("mpc.relational.join.masked_numbers", lambda _, __, columns: tuple(columns))
    unmasked, _ = run_shared([left, right], steps)
    assert unmasked.rows[0]["x"] == 777


def test_a_query_like_tpch_3_by_hand() -> None:
    """Orders of customers in a segment before a day, their revenue after it, the two greatest."""
    customers = Table((key("c", 6), bit("wanted")), 4, [{"c": c, "wanted": c % 2} for c in (1, 2, 3)])
    orders = Table(
        (key("o", 8), key("oc", 6), bit("early"), number("date")), 8,
        [{"o": o, "oc": o % 4, "early": int(o < 7), "date": 9000 + o} for o in range(1, 8)],
    )  # fmt: skip
    items = Table(
        (key("l", 8), bit("late"), number("price"), number("off")), 16,
        [{"l": 1 + n % 8, "late": int(n % 3 > 0), "price": 100 * n, "off": n % 5} for n in range(15)],
    )  # fmt: skip
    steps: list[Step] = [
        Input(0, 4), Input(1, 8), Input(2, 16),
        Join(0, 1, (("c", "oc"),), ("wanted",), "has"),
        Compute(3, bit("fits"), "and", ("has", "wanted", "early")), Filter(4, "fits"),
        Join(5, 2, (("o", "l"),), ("o", "date"), "found"),
        Compute(6, bit("both"), "and", ("found", "late")), Filter(7, "both"),
        Compute(8, number("cut"), "multiply", ("price", "off")),
        Compute(9, number("whole"), "scale", ("price",), 100),
        Compute(10, number("net"), "subtract", ("whole", "cut")),
        Group(11, ("l",), "n", (("net", "revenue"),), None, (("date", "date"),)),
        Compute(12, bit("any"), "present", ()),
        Compute(13, key("by", 40), "key", ("revenue", "any"), 1 << 20),
        First(14, 2, (("by", True), ("l", False))),
    ]  # fmt: skip
    found, _ = agree([customers, orders, items], steps)
    assert len(found.rows) == 2
    assert not found.faulty


def test_a_layout_of_windows_names_each_column_once() -> None:
    table = made_up(random.Random(1), "t", size=3)  # noqa: S311 - made-up rows, not secrets
    shape = shapes([Input(0, 3)], [table.part()])[0]
    step = Window(0, ("tk", "tk"), (("tk", True), ("tw", True), ("tw", False)), (("sum", "tn", "s"),))
    layout = relations.window_layout(step, shape)
    assert (layout.partition, dict(layout.order)) == (("tk",), {"tw": True})
    assert layout.others == ("tb", "tn", "tm", "tp")
