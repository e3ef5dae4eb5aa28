# ruff: noqa: S608 - queries are what these cases are
"""Queries that match tables, with all uses that each makes of columns; written as in `disclosure_cases`."""

from __future__ import annotations

from tests.unit.sql.disclosure_cases import ROW_CASES, P, V

PV = f"{P} JOIN bob.visits v ON p.id = v.person"
JOINED = ("people.Id join", "visits.person join")
OUTSIDE = ("people.Id output compare", "visits.person output compare")

JOIN_CASES: dict[str, tuple[str, tuple[str, ...]]] = {
    # Joins.
    "an inner join matches both sides": (
        f"SELECT p.id, p.age, v.cost {PV}",
        (
            *JOINED,
            "people.Id output join",
            "people.age output join-payload",
            "visits.cost output join-payload",
        ),
    ),
    "a join in WHERE is the same": (
        "SELECT p.id, p.age, v.cost FROM alice.people p, bob.visits v WHERE p.id = v.person",
        (
            *JOINED,
            "people.Id output join",
            "people.age output join-payload",
            "visits.cost output join-payload",
        ),
    ),
    "a condition beside the key reads matched rows": (
        f"SELECT COUNT(*) {PV} AND p.age > 5 WHERE v.cost > 3",
        (*JOINED, "people.age filter compare join-payload", "visits.cost filter compare join-payload"),
    ),
    "a join within one provider gives no words": (
        f"SELECT p.age, h.rooms {P} JOIN alice.homes h ON p.id = h.owner",
        ("homes.owner join", "homes.rooms output", "people.Id join", "people.age output"),
    ),
    "a self-join gives no words": (
        "SELECT a.age FROM alice.people a JOIN alice.people b ON a.id = b.id",
        ("people.Id join", "people.age output"),
    ),
    "a cross join gives no words": (f"SELECT p.age {P} CROSS JOIN bob.visits v", ("people.age output",)),
    "a third table is matched where its own key is": (
        f"SELECT h.rooms {PV} JOIN alice.homes h ON h.owner = p.id",
        (*JOINED, "homes.owner join", "homes.rooms output", "people.Id join join"),
    ),
    "a left join gives words to its right side": (
        f"SELECT p.age, v.cost {P} LEFT JOIN bob.visits v ON p.id = v.person",
        (*JOINED, *OUTSIDE, "people.age output", "visits.cost output join-payload"),
    ),
    "a right join gives words to its left side": (
        f"SELECT p.age, v.cost {P} RIGHT JOIN bob.visits v ON p.id = v.person",
        (*JOINED, *OUTSIDE, "people.age output join-payload", "visits.cost output"),
    ),
    "a full join gives no words": (
        f"SELECT p.age, v.cost {P} FULL JOIN bob.visits v ON p.id = v.person",
        (*JOINED, *OUTSIDE, "people.age output", "visits.cost output"),
    ),
    "what a left join found is a filter under an aggregate": (
        f"SELECT MAX(v.cost) AS x {P} LEFT JOIN bob.visits v ON p.id = v.person",
        (*JOINED, "visits.cost output aggregate:max join-payload"),
    ),
    "an anti-join by IS NULL filters by its keys": (
        f"SELECT p.age {P} LEFT JOIN bob.visits v ON p.id = v.person WHERE v.kind IS NULL",
        (
            *(*JOINED, "people.age output", "visits.kind filter compare join-payload"),
            *("people.Id filter compare", "visits.person filter compare"),
        ),
    ),
    "a comparison makes a left join an inner one": (
        f"SELECT COUNT(*) {P} LEFT JOIN bob.visits v ON p.id = v.person WHERE v.cost > 3",
        (*JOINED, "visits.cost filter compare join-payload"),
    ),
    "an equality that every branch of an OR has is a join": (
        f"SELECT p.age {P}, bob.visits v WHERE (id = person AND cost > 3) OR (id = person AND kind = 'a')",
        (
            *(*JOINED, "people.age output join-payload"),
            *("visits.cost filter compare join-payload", "visits.kind filter compare join-payload"),
        ),
    ),
    "an equality in one branch of an OR is a filter and a join": (
        "SELECT p.age FROM alice.people p, bob.visits v WHERE p.id = v.person OR v.cost > 3",
        (
            *(
                "people.Id filter compare",
                "people.Id join",
                "people.age output",
                "visits.cost filter compare",
            ),
            *("visits.person filter compare", "visits.person join"),
        ),
    ),
    "an inequality of two tables is a filter and a join": (
        "SELECT COUNT(*) FROM alice.people p, bob.visits v WHERE p.age < v.cost",
        ("people.age filter compare", "people.age join", "visits.cost filter compare", "visits.cost join"),
    ),
    "an inequality within a table is no join": (
        f"SELECT COUNT(*) {P} WHERE age < pay",
        ("people.age filter compare", "people.pay filter compare"),
    ),
    "a semi-join by SEMI JOIN": (
        f"SELECT p.age {P} SEMI JOIN bob.visits v ON p.id = v.person",
        (*JOINED, "people.age output join-payload"),
    ),
    "an anti-join by ANTI JOIN": (
        f"SELECT p.age {P} ANTI JOIN bob.visits v ON p.id = v.person AND v.cost > 3",
        (
            *(*JOINED, "people.Id filter compare", "visits.person filter compare"),
            *("people.age output", "visits.cost filter compare"),
        ),
    ),
    # Sub-queries.
    "IN a sub-query is a semi-join": (
        f"SELECT p.id, p.age {P} WHERE p.id IN (SELECT person {V} WHERE cost > 3)",
        (*JOINED, "people.Id output join", "people.age output join-payload", "visits.cost filter compare"),
    ),
    "IN of what is no column filters, too": (
        f"SELECT age {P} WHERE id + 1 IN (SELECT person {V})",
        (*JOINED, "people.Id filter compare", "people.age output", "visits.person filter compare"),
    ),
    "NOT IN is a filter and a join": (
        f"SELECT p.age {P} WHERE p.id NOT IN (SELECT person {V})",
        (*JOINED, "people.Id filter compare", "people.age output", "visits.person filter compare"),
    ),
    "EXISTS is a semi-join": (
        f"SELECT p.id, p.age {P} WHERE EXISTS (SELECT v.kind {V} WHERE v.person = p.id AND v.cost > 3)",
        (
            *(*JOINED, "people.Id output join", "people.age output join-payload"),
            "visits.cost filter compare join-payload",
        ),
    ),
    "NOT EXISTS is a filter and a join": (
        f"SELECT p.age {P} WHERE NOT EXISTS (SELECT * {V} WHERE v.person = p.id)",
        (*JOINED, "people.Id filter compare", "people.age output", "visits.person filter compare"),
    ),
    "EXISTS over an outer join asks for no match": (
        f"SELECT age {P} WHERE EXISTS (SELECT * FROM bob.flights LEFT JOIN bob.visits v ON v.person = p.id)",
        (*JOINED, "people.age output"),
    ),
    "EXISTS over an aggregate asks for no match": (
        f"SELECT p.age {P} WHERE EXISTS (SELECT COUNT(*) {V} WHERE v.person = p.id)",
        (*JOINED, "people.age output"),
    ),
    "EXISTS over a UNION asks for no match": (
        f"SELECT p.age {P} WHERE EXISTS (SELECT v.kind {V} WHERE v.person = p.id UNION ALL SELECT kind {V})",
        (*JOINED, "people.age output"),
    ),
    "EXISTS that is shown shows its conditions": (
        f"SELECT EXISTS (SELECT * {V} WHERE v.person = p.id) AS x {P}",
        (*JOINED, "people.Id output compare", "visits.person output compare"),
    ),
    "EXISTS of all rows shows its conditions": (
        f"SELECT EXISTS (SELECT * FROM (SELECT * {V} WHERE cost > 3) AS q) AS x {P}",
        ("visits.cost filter compare", "visits.cost output compare"),
    ),
    "a scalar sub-query flows into its expression": (
        f"SELECT COUNT(*) {P} WHERE age > (SELECT AVG(cost) {V})",
        ("people.age filter compare", "visits.cost filter aggregate:avg compare"),
    ),
    "a correlated sub-query shows its conditions": (
        f"SELECT (SELECT MAX(cost) {V} WHERE v.person = p.id) AS x {P}",
        (
            *(*JOINED, "people.Id output compare", "visits.person output compare"),
            "visits.cost output aggregate:max join-payload",
        ),
    ),
    "a correlated COUNT is a choice": (
        f"SELECT MAX(n) AS x FROM (SELECT (SELECT COUNT(*) {V} WHERE v.person = p.id) AS n {P}) AS q",
        (
            *(*JOINED, "people.Id output aggregate:max compare"),
            "visits.person output aggregate:max compare",
        ),
    ),
    "a correlated comparison asks for a match": (
        f"SELECT COUNT(*) {P} WHERE age > (SELECT AVG(age) FROM alice.people o WHERE o.city = p.city)",
        ("people.age filter aggregate:avg compare", "people.age filter compare", "people.city join"),
    ),
    "a named sub-query is walked at each place": (
        f"WITH w AS (SELECT id, age {P}) SELECT a.age FROM w a JOIN w b ON a.id = b.id",
        ("people.Id join", "people.age output"),
    ),
    "a key survives sub-queries": (
        f"SELECT a FROM (SELECT k, a FROM (SELECT id AS k, age AS a {P}) q) r, bob.visits WHERE k = person",
        (*JOINED, "people.age output join-payload"),
    ),
    "an aggregate by the key is matched with it": (
        f"SELECT s FROM (SELECT id, SUM(pay) AS s {P} GROUP BY id) AS q JOIN bob.visits v ON id = person",
        (
            "people.Id group",
            "people.Id join group",
            "people.pay output aggregate:sum join-payload",
            "visits.person join",
        ),
    ),
    "two outputs of one name in a UNION are told apart": (
        f"SELECT q.x + q.y AS z FROM (SELECT 1 AS x, 2 AS y {P} UNION ALL SELECT age AS x, 3 AS x {P}) AS q",
        ("people.age output",),
    ),
    # Collections.
    "a column of a collection is one of each product": (
        "SELECT SUM(delay) FROM flights",
        ("alice.flights.delay output aggregate:sum", "bob.flights.delay output aggregate:sum"),
    ),
    "a collection beside a literal is no join": (
        "SELECT COUNT(*) FROM flights WHERE delay > flight",
        (
            *("alice.flights.delay filter compare", "alice.flights.flight filter compare"),
            *("bob.flights.delay filter compare", "bob.flights.flight filter compare"),
        ),
    ),
    "rows of a collection may match their own provider's": (
        "SELECT f.delay FROM flights f JOIN bob.visits v ON f.flight = v.person",
        (
            *("alice.flights.flight join", "bob.flights.flight join", "visits.person join"),
            *("alice.flights.delay output join-payload", "bob.flights.delay output"),
        ),
    ),
}
"""What is shown → query, and its uses."""

CASES = ROW_CASES | JOIN_CASES
