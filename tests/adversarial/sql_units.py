# ruff: noqa: S608 - the queries are the attack
"""R9, R10, R15: queries that would show one person, or a group of few, of a product whose terms name a unit.

Each is planned, run in shares or at its one provider, gated and finished; all its columns are granted.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pyarrow as pa
from sqlglot import exp

from records.errors import JobRefused
from sandbox.sql import units
from tests.adversarial.attack import suite
from tests.adversarial.walls import Wall, standing
from tests.unit.sql.gated import Answer, Offer, Shop

PEOPLE = 24
ONE = 7
SALARIES = [1000 + 37 * person for person in range(1, PEOPLE + 1)]
ONES_SALARY = SALARIES[ONE - 1]
SMALL = "C"
"""A department of three people."""
SMALL_SUM = sum(SALARIES[18:21])
STAFF = pa.table(
    {
        "id": list(range(1, PEOPLE + 1)),
        "dept": ["A"] * 10 + ["B"] * 8 + [SMALL] * 3 + ["D"] * 3,
        "salary": SALARIES,
    }
)
# One person has ten visits of a kind that nobody else has.
VISITS = pa.table(
    {"person": [*range(1, PEOPLE + 1), *[ONE] * 10], "kind": ["x"] * PEOPLE + ["y"] * 10, "cost": [1] * 34}
)
TOWNS = pa.table({"person": list(range(1, PEOPLE + 1)), "town": ["G"] * 14 + ["H"] * 10})

NOBODY = {"none": "the control: no unit is protected"}
STAFF_COLUMNS: dict[str, Any] = {
    "id": {"reveal": ["after-aggregate"], "functions": ["sum", "count"], "roles": ["join", "filter"]},
    "dept": {"reveal": ["after-group-by"], "roles": ["group", "filter"]},
    "salary": {
        "reveal": ["after-aggregate"],
        "functions": ["count", "sum", "avg", "min", "max"],
        "roles": ["filter", "order"],
    },
}
"""No row of anybody may be shown: sums of pay by department are for sale."""


def _has_a_value(node: exp.Expr) -> list[exp.Expr]:
    return [exp.Not(this=exp.Is(this=node.this.copy(), expression=exp.Null()))]


BY_VALUE: Wall = (units, "arguments_of", _has_a_value)
"""Every row with a value counts, whatever it adds."""
UNCOUNTED: Wall = (units, "arguments_of", lambda _: [])
"""What HAVING compares is not counted apart from its group."""


def person_isolated_by_case(defended: bool) -> bool:
    """A sum over a whole department, of which every row but one adds nothing."""
    query = f"SELECT SUM(CASE WHEN id = {ONE} THEN salary ELSE 0 END) AS s FROM ann.staff"
    return _shows(query, [(ONES_SALARY,)], defended, BY_VALUE)


def person_isolated_by_case_in_a_collection(defended: bool) -> bool:
    """The same over the rows of two providers, each of whom aggregates its own."""
    query = f"SELECT SUM(CASE WHEN id = {ONE} THEN salary ELSE 0 END) AS s FROM staff"
    return _shows(query, [(ONES_SALARY,)], defended, BY_VALUE)


def person_isolated_by_case_behind_a_join(defended: bool) -> bool:
    """The same in shares, where all other rows add 1."""
    query = f"""
        SELECT SUM(CASE WHEN s.id = {ONE} THEN s.salary ELSE 1 END) AS s
        FROM ann.staff AS s JOIN bob.towns AS t ON t.person = s.id
    """
    return _shows(query, [(ONES_SALARY + PEOPLE - 1,)], defended, BY_VALUE)


def person_isolated_by_a_factor(defended: bool) -> bool:
    """A product with a condition is 0 for everybody else."""
    query = f"SELECT SUM(salary * GREATEST(1 - ABS(id - {ONE}), 0)) AS s FROM ann.staff"
    return _shows(query, [(ONES_SALARY,)], defended, BY_VALUE)


def person_replaced_in_a_sum(defended: bool) -> bool:
    """A sum of numbers that are known, in which one is exchanged for a salary: no row adds nothing."""
    query = f"SELECT SUM(COALESCE(NULLIF(id, {ONE}), salary)) AS s FROM ann.staff"
    known = PEOPLE * (PEOPLE + 1) // 2 - ONE
    return _shows(query, [(known + ONES_SALARY,)], defended, BY_VALUE)


def person_left_out_of_a_sum(defended: bool) -> bool:
    """What FILTER leaves out is the difference of two sums."""
    query = f"SELECT SUM(salary) - SUM(salary) FILTER (WHERE id <> {ONE}) AS s FROM ann.staff"
    return _shows(query, [(ONES_SALARY,)], defended, BY_VALUE)


def person_asked_about_in_having(defended: bool) -> bool:
    """The department is large, and shown only if one person in it earns more than that."""
    query = f"""
        SELECT dept, COUNT(*) AS n FROM ann.staff GROUP BY dept
        HAVING MAX(CASE WHEN id = {ONE} THEN salary END) > {ONES_SALARY - 1}
    """
    return _shows(query, [("A", 10)], defended, UNCOUNTED)


def person_asked_about_in_having_in_shares(defended: bool) -> bool:
    """The same over a collection."""
    query = f"""
        SELECT dept, COUNT(*) AS n FROM staff GROUP BY dept
        HAVING MAX(CASE WHEN id = {ONE} THEN salary END) > {ONES_SALARY - 1}
    """
    return _shows(query, [("A", 10)], defended, UNCOUNTED)


def person_placed_by_the_order_of_groups(defended: bool) -> bool:
    """Of two large departments the one with a certain person is first, and the other is cut off."""
    query = """
        SELECT dept, COUNT(*) AS n FROM ann.staff AS s JOIN bob.towns AS t ON t.person = s.id
        GROUP BY dept ORDER BY SUM(CASE WHEN id = 17 THEN salary ELSE 0 END) DESC LIMIT 1
    """
    return _shows(query, [("B", 8)], defended)


def rows_of_one_person_as_a_crowd(defended: bool) -> bool:
    """Ten visits are one person: terms that take rows for units would show them."""
    query = "SELECT kind, SUM(cost) AS c FROM ann.visits WHERE kind = 'y' GROUP BY kind"
    return _shows(query, [("y", 10)], defended, undefended="row")


def rows_of_one_person_as_a_crowd_in_shares(defended: bool) -> bool:
    """The same, where the visits reach the group through a join."""
    query = """
        SELECT v.kind, SUM(v.cost) AS c FROM ann.visits AS v JOIN bob.towns AS t ON t.person = v.person
        WHERE v.kind = 'y' GROUP BY v.kind
    """
    return _shows(query, [("y", 10)], defended, undefended="row")


def person_multiplied_by_a_join(defended: bool) -> bool:
    """One person's salary is in ten rows of a join with a table that nobody protects."""
    query = f"""
        SELECT COUNT(*) AS n, SUM(s.salary) AS s FROM ann.staff AS s JOIN bob.stays AS t ON t.person = s.id
        WHERE s.id = {ONE}
    """
    return _shows(query, [(11, 11 * ONES_SALARY)], defended)


def person_found_by_exists(defended: bool) -> bool:
    """Towns are nobody's secret; whether a person with such a salary lives there is."""
    query = f"""
        SELECT t.town, COUNT(*) AS n FROM bob.towns AS t
        WHERE EXISTS (SELECT * FROM ann.staff AS s WHERE s.id = t.person AND s.salary = {ONES_SALARY})
        GROUP BY t.town
    """
    return _shows(query, [("G", 1)], defended)


def person_found_by_a_condition_on_rows(defended: bool) -> bool:
    """The same as rows of the table that nobody protects."""
    query = f"""
        SELECT t.person FROM bob.towns AS t
        WHERE EXISTS (SELECT * FROM ann.staff AS s WHERE s.id = t.person AND s.salary = {ONES_SALARY})
    """
    return _shows(query, [(ONE,)], defended)


def person_found_by_a_join_of_rows(defended: bool) -> bool:
    """A join keeps the rows of the persons who meet a condition, at one provider."""
    query = f"""
        SELECT t.person FROM ann.towns AS t JOIN ann.staff AS s ON s.id = t.person
        WHERE s.salary = {ONES_SALARY}
    """
    return _shows(query, [(ONE,)], defended)


def sums_of_a_sub_query_as_rows(defended: bool) -> bool:
    """Groups are gated, rows are not: a sum of three salaries passes for a row."""
    query = f"""
        SELECT q.s FROM (SELECT dept, SUM(salary) AS s FROM ann.staff GROUP BY dept) AS q
        WHERE q.s = {SMALL_SUM}
    """
    return _shows(query, [(SMALL_SUM,)], defended)


def sums_of_a_sub_query_as_rows_in_shares(defended: bool) -> bool:
    """The same over a collection."""
    query = f"""
        SELECT q.s FROM (SELECT dept, SUM(salary) AS s FROM staff GROUP BY dept) AS q WHERE q.s = {SMALL_SUM}
    """
    return _shows(query, [(SMALL_SUM,)], defended)


def sums_of_a_window_as_rows(defended: bool) -> bool:
    """A window's sum over a department stands beside each of its rows."""
    query = f"SELECT SUM(salary) OVER (PARTITION BY dept) AS s FROM staff WHERE dept = '{SMALL}'"
    return _shows(query, [(SMALL_SUM,)] * 3, defended)


def greatest_of_the_sums_of_small_groups(defended: bool) -> bool:
    """An aggregate over sums by person is made of many rows, but shows one of them."""
    query = "SELECT MIN(q.s) AS s FROM (SELECT dept, SUM(salary) AS s FROM ann.staff GROUP BY dept) AS q"
    return _shows(query, [(SMALL_SUM,)], defended)


def name_of_a_small_group_by_union(defended: bool) -> bool:
    """That the department exists is told by its name alone."""
    query = "SELECT dept FROM ann.staff UNION SELECT town FROM ann.towns"
    return _shows(query, [("A",), ("B",), (SMALL,), ("D",), ("G",), ("H",)], defended)


def name_of_a_small_group_by_distinct(defended: bool) -> bool:
    """The same by a DISTINCT that the gate does not see."""
    query = "SELECT q.dept FROM (SELECT DISTINCT dept FROM staff) AS q"
    return _shows(query, [("A",), ("B",), (SMALL,), ("D",)], defended)


def name_of_a_small_group_by_group_by(defended: bool) -> bool:
    """The same by a GROUP BY without aggregates, at one provider."""
    query = "SELECT q.dept FROM (SELECT dept FROM ann.staff GROUP BY dept) AS q"
    return _shows(query, [("A",), ("B",), (SMALL,), ("D",)], defended)


def few_matches_of_a_left_join(defended: bool) -> bool:
    """A large group, in which only one person has the value that is summed."""
    query = """
        SELECT s.dept, COUNT(*) AS n, SUM(v.cost) AS c FROM ann.staff AS s
        LEFT JOIN bob.visits AS v ON v.person = s.id AND v.kind = 'y'
        WHERE s.dept = 'A' GROUP BY s.dept
    """
    return _shows(query, [("A", 19, 10)], defended)


def _shows(
    query: str,
    secret: Sequence[tuple[Any, ...]],
    defended: bool,
    *walls: Wall,
    undefended: Any = NOBODY,
) -> bool:
    """Tell whether a query is answered by the secret.

    With no wall to take down, terms have another unit instead. They allow the query then: it is the unit that
    refuses it otherwise.
    """
    with standing(defended, *walls):
        try:
            answer = _shop(None if defended or walls else undefended).ask(query)
        except JobRefused:
            if defended:
                return False
            raise
    return _is(answer, secret)


def _is(answer: Answer | None, secret: Sequence[tuple[Any, ...]]) -> bool:
    return answer is not None and sorted(answer.rows, key=str) == sorted(secret, key=str)


def _shop(unit: Any) -> Shop:
    """Return the market; `unit` is that of every protected product, None: the person."""
    people = _staff(STAFF, unit)
    towns = {"rows": PEOPLE, "keys": [["person"]], "ranges": {"person": [1, PEOPLE]}, "bytes": {"town": 1}}
    visits = {"rows": 34, "most": {"person": 11}, "ranges": {"person": [1, PEOPLE], "cost": [0, 9]}}
    visited = Offer(VISITS, unit or ["person"], {**visits, "bytes": {"kind": 1}})
    return Shop(
        {
            "ann.staff": people,
            "ann.half": _staff(STAFF.slice(0, 12), unit),
            "bob.half": _staff(STAFF.slice(12), unit),
            "ann.visits": visited,
            "bob.visits": visited,
            "bob.stays": Offer(VISITS, NOBODY, visits),
            "ann.towns": Offer(TOWNS, NOBODY, towns),
            "bob.towns": Offer(TOWNS, NOBODY, towns),
        },
        {"staff": ("ann.half", "bob.half")},
    )


def _staff(rows: pa.Table, unit: Any) -> Offer:
    public = {"rows": PEOPLE, "keys": [["id"]], "ranges": {"id": [1, PEOPLE], "salary": [0, 4000]}}
    return Offer(rows, unit or ["id"], {**public, "bytes": {"dept": 1}}, STAFF_COLUMNS)


ATTACKS = (
    *suite(
        "R9 protected units",
        rows_of_one_person_as_a_crowd,
        rows_of_one_person_as_a_crowd_in_shares,
        person_multiplied_by_a_join,
        few_matches_of_a_left_join,
        sums_of_a_sub_query_as_rows,
        sums_of_a_sub_query_as_rows_in_shares,
        sums_of_a_window_as_rows,
        greatest_of_the_sums_of_small_groups,
        person_found_by_exists,
        person_found_by_a_condition_on_rows,
        person_found_by_a_join_of_rows,
    ),
    *suite(
        "R10 protected units",
        name_of_a_small_group_by_union,
        name_of_a_small_group_by_distinct,
        name_of_a_small_group_by_group_by,
        person_asked_about_in_having,
        person_asked_about_in_having_in_shares,
        person_placed_by_the_order_of_groups,
    ),
    *suite(
        "R15 protected units",
        person_isolated_by_case,
        person_isolated_by_case_in_a_collection,
        person_isolated_by_case_behind_a_join,
        person_isolated_by_a_factor,
        person_replaced_in_a_sum,
        person_left_out_of_a_sum,
    ),
)
