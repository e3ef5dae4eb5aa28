"""A program that does not fit together is refused before anything runs, and nothing fits by accident."""

from __future__ import annotations

import pytest

from records.errors import MalformedDocument
from sandbox.joint.shapes import shapes
from sandbox.sql.plan import LocalPart, PartColumn
from sandbox.sql.steps import (
    Beside,
    Broadcast,
    Column,
    Compute,
    Filter,
    First,
    Group,
    Input,
    Join,
    Project,
    Select,
    Stack,
    Step,
    Window,
)
from tests.unit.joint.programs import bit, key, number, payload

COLUMNS = (number("n"), bit("b"), key("k", 9), payload("p", 2))
PART = LocalPart("p", (), "", 5, tuple(PartColumn(column, "number", (), "BIGINT") for column in COLUMNS))
FIRST: tuple[Step, ...] = (Input(0, 5), Project(0, (("n", "m"), ("k", "l"))))


@pytest.mark.parametrize(
    "step",
    [
        Input(1, 5),
        Input(0, 6),
        Stack((0, 1)),
        Stack(()),
        Stack((0, 7)),
        Join(1, 0, (), (), "matched"),
        Join(1, 0, (("m", "k"),), (), "matched"),
        Join(1, 0, (("l", "k"),), ("m",), "n"),
        Join(1, 0, (("l", "k"),), ("x",), "matched"),
        Join(1, 0, (("l", "k"),), (), "matched", 0),
        Join(2, 0, (("l", "k"),), (), "matched"),
        Broadcast(1, 1, ("m",)),
        Compute(0, number("n"), "add", ("n", "n")),
        Compute(0, number("x"), "add", ()),
        Compute(0, number("x"), "add", ("n", "b")),
        Compute(0, bit("x"), "subtract", ("n", "n")),
        Compute(0, bit("x"), "less", ("k", "k")),
        Compute(0, bit("x"), "same", ("n", "n")),
        Compute(0, number("x"), "truncate", ("n",), 63),
        Compute(0, number("x"), "divide", ("n", "n"), 0),
        Compute(0, number("x"), "select", ("b", "n", "k")),
        Compute(0, key("x", 8), "select", ("b", "k", "k")),
        Compute(0, payload("x", 1), "select", ("b", "p", "p")),
        Compute(0, number("x"), "nothing", ("n",)),
        Compute(0, Column("x", "key", 65), "nothing", ()),
        Compute(0, Column("x", "number", 32), "nothing", ()),
        Compute(0, Column("x", "payload", 65), "nothing", ()),
        Filter(0, "n"),
        Project(0, (("n", "x"), ("b", "x"))),
        Group(0, ("n",)),
        Group(0, ("p",)),
        Group(0, ("k",), sums=(("k", "s"),)),
        Group(0, ("k",), count="k"),
        Group(0, ("k",), distinct="d"),
        Group(0, ("k",), countable="b"),
        Group(0, ("k",), order="k", countable="n", distinct="d"),
        Select(0, ("k",), "k", "b", 3, 2, (("n", "x"),)),
        Select(0, ("k",), "k", "b", 1, 1, (("n", "x"),), (("n", "y"),)),
        Select(0, ("k",), "n", "b", 1, 2, (("n", "x"),)),
        Beside(()),
        Window(0, (), (), ()),
        Window(0, (), (("n", False),), (("rank", None, "x"),)),
        Window(0, (), (), (("sum", None, "x"),)),
        Window(0, (), (), (("rank", "n", "x"),)),
        Window(0, (), (), (("count", "n", "x"),)),
        First(0, 0),
        First(0, 1, (("p", False),)),
    ],
    ids=str,
)
def test_a_step_that_does_not_fit_is_refused(step: Step) -> None:
    with pytest.raises(MalformedDocument):
        shapes([*FIRST, step], [PART])


def test_tables_side_by_side_agree_in_size_and_in_what_they_share() -> None:
    other: tuple[Step, ...] = (*FIRST, First(0, 3), Project(0, (("b", "n"),)))
    assert dict(shapes([*FIRST, Beside((0, 1))], [PART])[-1].columns) == {
        column.name: column for column in (*COLUMNS, number("m"), key("l", 9))
    }
    for tables in ((0, 2), (0, 3)):
        with pytest.raises(MalformedDocument):
            shapes([*other, Beside(tables)], [PART])


@pytest.mark.parametrize(
    ("step", "rows"),
    [
        (Stack((0, 0)), 10),
        (Join(1, 0, (("l", "k"),), ("m",), "matched", 3), 15),
        (Group(0, ("k", "b"), count="c"), 5),
        (Group(0, (), count="c"), 1),
        (Select(0, (), "k", "b", 1, 2, (("n", "x"),)), 1),
        (First(0, 2), 2),
        (First(0, 9), 5),
    ],
)
def test_sizes_follow_from_the_plan_alone(step: Step, rows: int) -> None:
    assert shapes([*FIRST, step], [PART])[-1].rows == rows
