# ruff: noqa: S608 - queries are what these tests make
"""Protected units at plan and gate: what is counted, what vanishes, and what cannot be counted (R9, R15)."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import Any

import pyarrow as pa
import pytest

from records.errors import JobRefused
from sandbox.sql.catalogue import Unit
from tests.unit.sql.flights import Row, part_of, table
from tests.unit.sql.gated import Answer, Offer, Shop

DAY = date(2020, 1, 1)
NONE = {"none": "nobody's"}
STAFF = pa.table(
    {
        "id": list(range(1, 25)),
        "dept": ["A"] * 10 + ["B"] * 8 + ["C"] * 3 + ["D"] * 3,
        "pay": [1000 + 37 * i for i in range(24)],
        "bonus": [10 * i if i in (0, 1, 2) or i > 9 else None for i in range(24)],
    }
)
VISITS = pa.table(
    {
        "person": [*range(1, 25), *[7] * 10],
        "kind": ["x"] * 12 + ["y"] * 12 + ["z"] * 10,
        "cost": list(range(34)),
    }
)
STAFF_PUBLIC: dict[str, Any] = {
    "rows": 24, "keys": [["id"]], "ranges": {"id": [1, 24], "pay": [0, 4000], "bonus": [0, 400]},
    "bytes": {"dept": 1},
}  # fmt: skip
VISITS_PUBLIC: dict[str, Any] = {
    "rows": 34, "most": {"person": 11}, "ranges": {"person": [1, 24], "cost": [0, 40]}, "bytes": {"kind": 1},
}  # fmt: skip


def shop(unit: Any = "row", visited: Any = NONE) -> Shop:
    """Return staff at ann, and half of it at ann and bob each; visits at both."""
    return Shop(
        {
            "ann.staff": Offer(STAFF, unit, STAFF_PUBLIC),
            "ann.half": Offer(STAFF.slice(0, 12), unit, STAFF_PUBLIC),
            "bob.half": Offer(STAFF.slice(12), unit, STAFF_PUBLIC),
            "ann.visits": Offer(VISITS, visited, VISITS_PUBLIC),
            "bob.visits": Offer(VISITS, visited, VISITS_PUBLIC),
        },
        {"staff": ("ann.half", "bob.half")},
    )


def asked(query: str, unit: Any = "row", visited: Any = NONE) -> Answer | None:
    return shop(unit, visited).ask(query)


def answered(query: str, unit: Any = "row", visited: Any = NONE) -> list[tuple[Any, ...]]:
    answer = asked(query, unit, visited)
    assert answer is not None, "withheld"
    return answer.rows


def counts(unit: Unit, rows: list[tuple[int | None, str | None, bool]]) -> tuple[int, int]:
    """Return units, and units with a value, of one group of rows (delay, person, has a day)."""
    full: list[Row] = [
        ("A", delay, None, None, DAY if dated else None, None, None, person) for delay, person, dated in rows
    ]
    part = part_of(
        "select sum(dep_delay) as s from ana.flights", table(full), {"ana": unit, "bo": "row", "cy": "row"}
    ).to_pylist()[0]
    of_group = next(value for name, value in part.items() if name.startswith("u"))
    of_value = next(value for name, value in part.items() if name.startswith("c"))
    return of_group, of_value


ROWS = [(1, "p", True), (2, "p", True), (None, "q", True), (3, None, True), (None, None, False)]


@pytest.mark.parametrize(
    ("unit", "expected"),
    [("row", (5, 3)), (("person",), (2, 1)), (("person", "day"), (2, 1))],
)
def test_units_are_counted_distinctly_and_only_where_known(unit: Unit, expected: tuple[int, int]) -> None:
    assert counts(unit, ROWS) == expected


@pytest.mark.parametrize("unit", [("person",), ("person", "day")])
def test_rows_without_a_unit_never_pass_for_absent(unit: Unit) -> None:
    assert counts(unit, [(1, None, False), (2, None, False)]) == (1, 1)
    assert counts(unit, []) == (0, 0)


@pytest.mark.parametrize("unit", ["row", ["id"]])
@pytest.mark.parametrize(
    ("source", "shown"),
    # Of the collection, B has two rows at ann and six at bob: without bob it is small (R9).
    [("ann.staff", ["A", "B"]), ("staff", ["A"])],
)
def test_small_groups_vanish_with_their_key(source: str, shown: list[str], unit: Any) -> None:
    for query in (
        f"SELECT dept, COUNT(*) AS n FROM {source} GROUP BY dept",
        f"SELECT dept FROM {source} GROUP BY dept",
        f"SELECT DISTINCT dept FROM {source}",
    ):
        assert [row[0] for row in answered(query, unit)] == shown


@pytest.mark.parametrize("unit", ["row", ["id"]])
def test_the_providers_of_a_collection_are_counted_apart(unit: Any) -> None:
    # In ann's part 12 rows, in bob's 12; of those with id > 10, two are ann's.
    assert answered("SELECT COUNT(*) AS n FROM staff", unit) == [(24,)]
    assert asked("SELECT COUNT(*) AS n FROM staff WHERE id > 10", unit) is None
    assert answered("SELECT COUNT(*) AS n FROM staff WHERE id > 12", unit) == [(12,)]
    assert answered("SELECT COUNT(*) AS n FROM ann.staff WHERE id > 10", unit) == [(14,)]


ISOLATING = [
    "SUM(CASE WHEN id = 7 THEN pay ELSE 0 END)",
    "SUM(CASE WHEN id = 7 THEN pay ELSE 1 END)",
    "SUM(CASE id WHEN 7 THEN pay ELSE 1 END)",
    "SUM(CASE WHEN id <> 7 THEN 1 ELSE pay END)",
    "SUM(IF(id = 7, pay, 1))",
    "SUM(pay) FILTER (WHERE id = 7)",
    "COUNT(*) FILTER (WHERE id = 7)",
    "SUM(COALESCE(CASE WHEN id = 7 THEN pay END, 1))",
    "SUM(COALESCE(NULLIF(id, 7), pay))",
    "AVG(CASE WHEN id = 7 THEN pay ELSE 1 END)",
    "MAX(CASE WHEN id = 7 THEN pay END)",
    "MEDIAN(CASE WHEN id = 7 THEN pay END)",
    "COUNT(DISTINCT CASE WHEN id = 7 THEN pay END)",
    "SUM(pay) - SUM(CASE WHEN id <> 7 THEN pay END)",
]
"""All isolate person 7, or all but her: a cell of one unit, or a pair of cells that differ by one."""

UNCOUNTED = [
    "SUM(pay * CAST(id = 7 AS BIGINT))",
    "SUM(id + pay * CAST(id = 7 AS BIGINT))",
    "SUM(pay * GREATEST(1 - ABS(id - 7), 0))",
    "SUM(id + pay * GREATEST(1 - ABS(id - 7), 0))",
    "SUM(id + LEAST(pay, 1 + 5000 * GREATEST(id - 23, 0)))",
    "SUM(id + pay * (id % 7))",
    "SUM(id + pay * (id // 24))",
]
"""The same by functions of which nobody can say on which rows they are neutral."""


def assert_suppressed(measures: Sequence[str], source: str) -> None:
    named = ", ".join(f"{measure} AS m{i}" for i, measure in enumerate(measures))
    answer = asked(f"SELECT COUNT(*) AS n, {named} FROM {source}")
    assert answer is not None
    assert answer.rows == [(24, *[None] * len(measures))]
    assert answer.suppressed == len(measures)


def test_expressions_that_isolate_one_unit_are_suppressed_at_one_provider() -> None:
    assert_suppressed(ISOLATING, "ann.staff")


@pytest.mark.parametrize(
    "source", ["staff", "ann.staff AS s JOIN bob.visits AS v ON v.person = s.id AND v.cost < 24"]
)
def test_expressions_that_isolate_one_unit_are_suppressed_in_shares(source: str) -> None:
    assert_suppressed(ISOLATING[1:12:3], source)


@pytest.mark.parametrize("source", ["ann.staff", "staff"])
@pytest.mark.parametrize("measure", UNCOUNTED)
def test_expressions_that_may_isolate_one_unit_are_refused(measure: str, source: str) -> None:
    with pytest.raises(JobRefused) as refused:
        shop().plan(f"SELECT {measure} AS s FROM {source}")
    assert {reason.clause for reason in refused.value.reasons} == {"unit"}


@pytest.mark.parametrize("source", ["ann.staff", "staff"])
def test_a_condition_that_is_counted_isolates_nobody(source: str) -> None:
    assert asked(f"SELECT COUNT(NULLIF(id = 7, false)) AS n FROM {source}") is None


@pytest.mark.parametrize("source", ["ann.staff", "staff"])
def test_expressions_of_many_units_are_shown(source: str) -> None:
    # Control: a gate that hides everything would pass the tests above.
    [row] = answered(
        "SELECT SUM(pay) AS a, AVG(pay) AS b, SUM(CASE WHEN dept < 'B' THEN pay ELSE 1 END) AS c,"
        f" SUM(2 * pay + id) AS d FROM {source} WHERE id <> 11 AND id <> 12"
    )
    assert None not in row


@pytest.mark.parametrize("source", ["ann.staff", "staff"])
def test_a_value_that_few_units_have_is_null_and_counted(source: str) -> None:
    answer = asked(
        f"SELECT dept, SUM(bonus) AS b, COUNT(bonus) AS c FROM {source} WHERE dept = 'A' GROUP BY 1"
    )
    assert answer is not None
    assert answer.rows == [("A", None, None)]
    assert answer.suppressed == 2


@pytest.mark.parametrize("unit", ["row", ["id"]])
def test_a_key_that_isolates_one_unit_is_a_small_group(unit: Any) -> None:
    query = "SELECT CASE WHEN id = 7 THEN 'her' ELSE 'all others' END AS k, COUNT(*) AS n FROM {} GROUP BY 1"
    assert answered(query.format("ann.staff"), unit) == [("all others", 23)]
    assert answered(query.format("staff"), unit) == [("all others", 23)]


@pytest.mark.parametrize("source", ["ann.staff", "staff"])
@pytest.mark.parametrize(
    "having", ["MAX(CASE WHEN id = 7 THEN pay END) > 1000", "COUNT(*) FILTER (WHERE id = 7) > 0"]
)
def test_a_group_is_hidden_where_having_compares_a_suppressed_value(source: str, having: str) -> None:
    query = f"SELECT dept, COUNT(*) AS n FROM {source} GROUP BY dept HAVING "
    assert asked(query + having) is None
    assert answered(query + "MAX(pay) > 1000 AND COUNT(*) > 8") == [("A", 10)]


@pytest.mark.parametrize("visits", ["ann.visits", "bob.visits"], ids=["at one provider", "in shares"])
class TestJoins:
    """A join that multiplies rows multiplies no units; each protected product of a query is counted."""

    def test_units_of_the_other_side_are_counted_distinctly(self, visits: str) -> None:
        query = f"SELECT v.kind, COUNT(*) AS n FROM ann.staff s JOIN {visits} v ON person = id GROUP BY kind"
        for unit in ("row", ["id"]):
            assert answered(query, unit) == [("x", 12), ("y", 12)]
        assert answered(query, NONE, NONE) == [("x", 12), ("y", 12), ("z", 10)]

    def test_units_named_by_columns_are_counted_and_not_their_rows(self, visits: str) -> None:
        query = (
            f"SELECT kind, COUNT(*) AS n FROM {visits} v JOIN ann.staff s ON v.person = s.id GROUP BY kind"
        )
        assert answered(query, NONE, ["person"]) == [("x", 12), ("y", 12)]
        assert answered(query, NONE, "row") == [("x", 12), ("y", 12), ("z", 10)]

    def test_the_values_of_few_matches_of_a_left_join_are_suppressed(self, visits: str) -> None:
        answer = asked(
            "SELECT s.dept, COUNT(*) AS n, SUM(v.cost) AS c FROM ann.staff s"
            f" LEFT JOIN (SELECT person, MAX(cost) AS cost FROM {visits} WHERE person > 15 GROUP BY person) v"
            " ON v.person = s.id GROUP BY s.dept"
        )
        assert answer is not None
        # In A nobody matches: the sum is NULL of itself. In B three do.
        assert answer.rows == [("A", 10, None), ("B", 8, None)]
        assert answer.suppressed == 1

    def test_a_table_joined_with_itself_hides_nobody_in_a_crowd(self, visits: str) -> None:
        query = f"SELECT COUNT(*) AS n FROM {visits} v JOIN ann.staff s ON v.person = s.id WHERE s.id = 7"
        assert asked(query) is None
        assert answered(query, NONE) == [(11,)]


UNCOUNTABLE = {
    "a sub-query that groups": "SELECT MAX(s) AS m FROM (SELECT dept, SUM(pay) AS s FROM {} GROUP BY dept) q",
    "DISTINCT in a sub-query": "SELECT COUNT(*) AS n FROM (SELECT DISTINCT dept FROM {}) q",
    "sums released as rows": "SELECT q.s FROM (SELECT dept, SUM(pay) AS s FROM {} GROUP BY dept) q",
    "a window over rows": "SELECT id, SUM(pay) OVER (PARTITION BY dept) AS s FROM {}",
    "a rank of rows": "SELECT id, RANK() OVER (ORDER BY pay) AS r FROM {}",
    "EXISTS below a group": "SELECT kind, COUNT(*) AS n FROM bob.visits v "
    "WHERE EXISTS (SELECT * FROM {} s WHERE s.id = v.person AND s.pay > 1500) GROUP BY kind",
    "IN below a group": "SELECT COUNT(*) AS n FROM bob.visits v WHERE v.person IN (SELECT id FROM {})",
    "a scalar sub-query": "SELECT COUNT(*) AS n FROM bob.visits v WHERE v.cost > (SELECT MIN(pay) FROM {})",
    "LIMIT in a sub-query": "SELECT SUM(q.pay) AS s FROM (SELECT pay FROM {} ORDER BY pay LIMIT 1) q",
    "UNION in a sub-query": "SELECT COUNT(*) AS n FROM (SELECT id FROM {} UNION SELECT 1 FROM bob.visits) q",
    "an aggregate of one person each": "SELECT q.s FROM (SELECT id, SUM(pay) AS s FROM {} GROUP BY id) q",
}


@pytest.mark.parametrize("source", ["ann.staff", "staff"])
@pytest.mark.parametrize("name", UNCOUNTABLE)
def test_a_query_whose_units_cannot_be_counted_is_refused_by_name(name: str, source: str) -> None:
    query = UNCOUNTABLE[name].format(source)
    for made in {query, query.replace("bob.", "ann.")} if source == "ann.staff" else {query}:
        with pytest.raises(JobRefused) as refused:
            shop().plan(made)
        assert {reason.clause for reason in refused.value.reasons} == {"unit"}
        assert all(reason.remedy for reason in refused.value.reasons)
    shop(NONE).plan(query)


def test_a_sub_query_that_keeps_persons_apart_is_counted() -> None:
    query = (
        "SELECT q.dept, MAX(q.s) AS m, COUNT(*) AS n FROM"
        " (SELECT id, dept, SUM(pay) AS s FROM ann.staff GROUP BY id, dept) q GROUP BY q.dept"
    )
    assert [row[::2] for row in answered(query, ["id"])] == [("A", 10), ("B", 8)]
