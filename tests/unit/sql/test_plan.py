from __future__ import annotations

import pytest

from policies.columns import USES, ColumnUse
from records import canonical
from records.errors import JobRefused, MalformedDocument
from sandbox.sql.plan import LocalPart, Measure, Output, Plan, Support, cells, plan
from sandbox.sql.query import OrderKey
from tests.unit.sql.flights import catalogue

UNITS = {"ana": "row", "bo": ("person",), "cy": ("person", "day")}
JOINT = (
    "select Carrier as C, avg(dep_delay) as late, sum(fee), count(*) from flights"
    " group by 1 order by late desc"
)


def derive(query: str, technique: str = "auto", max_groups: int = 100) -> Plan:
    return plan(query, catalogue(UNITS), technique=technique, max_groups=max_groups)  # type: ignore[arg-type]


def test_golden_plan_of_a_collection() -> None:
    derived = derive(JOINT + " limit 3")
    assert derived.technique == "secret-sharing"
    assert derived.kind == "aggregate"
    assert derived.products == ("ana.flights", "bo.flights", "cy.flights")
    assert derived.parts[0] == LocalPart(
        "ana",
        "ana.flights",
        "flights",
        'SELECT "carrier" AS "k0", COUNT(*) AS "u", SUM("Dep_Delay") AS "m0", COUNT("Dep_Delay") AS "m1", '
        'SUM("fee") AS "m2", COUNT(*) AS "m3", COUNT("Dep_Delay") AS "c0", COUNT("fee") AS "c1" '
        'FROM "flights" GROUP BY "carrier" LIMIT 101',
    )
    assert derived.measures == (
        Measure("m0", "sum", "Dep_Delay", 1, "c0"),
        Measure("m1", "count", "Dep_Delay", 1, "c0"),
        Measure("m2", "sum", "fee", 100, "c1"),
        Measure("m3", "count", None, 1, "u"),
    )
    assert derived.supports == (Support("c0", "Dep_Delay"), Support("c1", "fee"))
    assert derived.outputs == (
        Output("C", "VARCHAR", ("k0",)),
        Output("late", "DOUBLE", ("m0", "m1")),
        Output("sum(fee)", "DECIMAL(38,2)", ("m2",)),
        Output("count_star()", "BIGINT", ("m3",)),
    )
    assert derived.order == (OrderKey(1, descending=True),)
    assert derived.limit == 3


def test_golden_units_of_a_column_and_of_a_list() -> None:
    person, visit = (part.sql for part in derive("select count(fee) from flights").parts[1:])
    assert person == (
        'SELECT GREATEST(COUNT(DISTINCT "person"), LEAST(COUNT(*), 1)) AS "u", COUNT("fee") AS "m0", '
        'GREATEST(COUNT(DISTINCT "person") FILTER(WHERE NOT "fee" IS NULL), LEAST(COUNT("fee"), 1)) AS "c0" '
        'FROM "flights" LIMIT 2'
    )
    assert (
        'GREATEST(COUNT(DISTINCT ("person", "day")) FILTER(WHERE NOT "person" IS NULL '
        'AND NOT "day" IS NULL), LEAST(COUNT(*), 1)) AS "u"'
    ) in visit


def test_golden_plan_of_one_product() -> None:
    derived = derive("select carrier, avg(distance), max(day) from ana.flights group by carrier")
    assert derived.technique == "local"
    (part,) = derived.parts
    assert part.sql == (
        'SELECT "carrier" AS "k0", COUNT(*) AS "u", AVG("distance") AS "m0", MAX("day") AS "m1", '
        'COUNT("distance") AS "c0", COUNT("day") AS "c1" FROM "flights" GROUP BY "carrier" LIMIT 101'
    )
    assert [output.type for output in derived.outputs] == ["VARCHAR", "DOUBLE", "DATE"]
    assert all(key.width_bytes == 0 for key in derived.keys)


def test_golden_plan_of_rows_orders_by_every_output() -> None:
    derived = derive("select day, carrier as c, DAY as d2 from ana.flights order by 2 desc limit 7")
    assert derived.kind == "rows"
    assert derived.parts[0].sql == (
        'SELECT "day" AS "k0", "carrier" AS "k1" FROM "flights" ORDER BY "carrier" DESC, "day" ASC LIMIT 7'
    )
    assert [output.sources for output in derived.outputs] == [("k0",), ("k1",), ("k0",)]


def test_rows_beyond_the_bound_are_not_asked_for() -> None:
    assert derive("select day from ana.flights limit 5000", max_groups=10).parts[0].sql.endswith("LIMIT 11")


def test_star_is_every_registered_column() -> None:
    assert [output.name for output in derive("select * from ana.flights").outputs][:2] == [
        "carrier",
        "Dep_Delay",
    ]


def test_doubles_enter_shares_in_fixed_point() -> None:
    derived = derive("select sum(distance) from flights")
    assert 'SUM(CAST(ROUND("distance" * 1048576) AS DECIMAL(38, 0))) AS "m0"' in derived.parts[0].sql
    assert derived.measures[0].scale == 1 << 20


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("select count(*) from flights", []),
        ("select avg(fee) from ana.flights", [("fee", "aggregate:avg")]),
        (
            "select avg(fee) from flights",
            [("fee", "aggregate:avg"), ("fee", "aggregate:sum"), ("fee", "aggregate:count")],
        ),
        (
            "select carrier, sum(DEP_DELAY) from flights where fee > 1 and fee < 9 group by 1 order by 1",
            [("fee", "filter"), ("carrier", "group"), ("Dep_Delay", "aggregate:sum")],
        ),
        ("select day, day as d from ana.flights order by 1", [("day", "output"), ("day", "order")]),
        (
            "select var_samp(fee), stddev(distance) from ana.flights",
            [("fee", "aggregate:var"), ("distance", "aggregate:stddev")],
        ),
    ],
)
def test_column_uses_are_what_the_terms_must_allow(query: str, expected: list[tuple[str, str]]) -> None:
    uses = derive(query).column_uses
    assert uses == tuple(ColumnUse(*use) for use in expected)
    assert all(use.use in USES for use in uses)


def test_digest_is_the_same_for_every_node_and_another_for_another_query() -> None:
    assert derive(JOINT).digest == derive(JOINT).digest
    assert (
        derive(JOINT).digest
        == derive(JOINT.upper().replace("CARRIER AS C", "carrier as C").replace("LATE", "late")).digest
    )
    changed = [
        derive(JOINT + " limit 1").digest,
        derive(JOINT, max_groups=99).digest,
        derive(JOINT.replace("sum(fee)", "sum(fee) as f")).digest,
        plan(JOINT, catalogue(), technique="auto", max_groups=100).digest,
    ]
    assert len({derive(JOINT).digest, *changed}) == 5


def test_plan_is_a_document_without_floats() -> None:
    derived = derive(JOINT + " limit 3")
    assert canonical.decode(canonical.encode(derived.to_json())) == derived.to_json()


def test_comments_and_case_do_not_reach_the_engine() -> None:
    derived = derive("SELECT /* hint */ COUNT(*) FROM Flights -- tail")
    assert derived.digest == derive("select count(*) from flights").digest
    assert "hint" not in derived.parts[0].sql


@pytest.mark.parametrize("technique", ["auto", "secret-sharing"])
def test_a_collection_is_computed_in_shares(technique: str) -> None:
    assert derive("select count(*) from flights", technique).technique == "secret-sharing"


def test_a_technique_that_does_not_fit_is_refused_with_the_one_that_does() -> None:
    with pytest.raises(JobRefused, match=r"sql.technique.*`auto` or `secret-sharing`"):
        derive("select count(*) from flights", "local")
    with pytest.raises(JobRefused, match=r"sql.technique.*`auto` or `local`"):
        derive("select count(*) from ana.flights", "secret-sharing")


def test_unknown_techniques_and_bounds_are_malformed() -> None:
    with pytest.raises(MalformedDocument, match="auto"):
        derive("select count(*) from flights", "homomorphic")
    for bound in (0, 1_000_001):
        with pytest.raises(MalformedDocument, match="max_groups"):
            derive("select count(*) from flights", max_groups=bound)


def test_cells_are_what_is_visible() -> None:
    derived = derive(JOINT)
    assert cells(derived, rows=5, suppressed=0) == 20
    assert cells(derived, rows=5, suppressed=3) == 17
