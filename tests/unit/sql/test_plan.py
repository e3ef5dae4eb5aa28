# ruff: noqa: S608 - queries are what these tests make
"""Plans: equal for every node, documents, complete, and of the expected shape for well-known queries."""

from __future__ import annotations

from dataclasses import replace

import pytest

from benchmarks.tpch import queries
from policies.columns import USES
from records import canonical
from records.errors import JobRefused, MalformedDocument
from sandbox.joint.shapes import shapes
from sandbox.sql import placeholders
from sandbox.sql.catalogue import Catalogue, Declared, ProductFacts, Source, Unit
from sandbox.sql.plan import Plan, cells
from sandbox.sql.planner import MAX_ROWS, plan
from sandbox.sql.steps import Compute, Filter, First, Group, Input, Join, Project, Select, Stack, Step, Window
from tests.integration.differential.engine import catalogue as catalogue_of
from tests.integration.differential.queries import query as random_query
from tests.integration.differential.schemas import market
from tests.unit.sql.flights import catalogue, derive
from tests.unit.sql.test_disclosure_tpch import CATALOGUE as TPCH

JOINT = (
    "select Carrier as C, avg(dep_delay) as late, sum(fee), count(*) from flights"
    " group by 1 order by late desc"
)
KEYS = {
    "shop.customer": ("c_custkey",),
    "shop.orders": ("o_orderkey",),
    "supply.supplier": ("s_suppkey",),
    "supply.nation": ("n_nationkey",),
    "supply.region": ("r_regionkey",),
}


def tpch() -> Catalogue:
    """Return the catalogue of TPC-H with the keys that its specification declares."""

    def declared(facts: ProductFacts) -> ProductFacts:
        keys = (KEYS[facts.product],) if facts.product in KEYS else ()
        ranges = tuple(
            (name, (0, 10**6)) for name, kind in facts.columns if kind == "BIGINT" or kind.startswith("DEC")
        )
        return replace(facts, declared=Declared(rows=64, keys=keys, ranges=ranges))

    return Catalogue(
        tuple(Source(source.name, tuple(map(declared, source.products))) for source in TPCH.sources)
    )


def tpch_plan(number: int) -> Plan:
    text, _ = placeholders.extract(queries.query(number, "0.01").text)
    return plan(text, tpch(), technique="auto", max_rows=1000)


def read_by(step: Step) -> set[str]:
    """Return the names of columns that a step reads, of those that it could drop."""
    match step:
        case Join():
            return {name for pair in step.keys for name in pair}
        case Compute():
            return set(step.operands)
        case Filter():
            return {step.bit}
        case Group():
            named = {step.order, step.countable} - {None}
            return {*step.keys, *(name for name, _ in (*step.sums, *step.last)), *(str(n) for n in named)}
        case Select():
            chosen = (*step.lower, *step.upper)
            return {*step.keys, step.order, step.countable, *(name for name, _ in chosen)}
        case Window():
            arguments = {argument for _, argument, _ in step.functions if argument is not None}
            return {*step.partition, *(name for name, _ in step.order), *arguments}
        case First():
            return {name for name, _ in step.order}
        case Project():
            return {name for name, _ in step.columns}
    return set()


def random_plans(seed: int, count: int) -> list[Plan]:
    made = []
    for number in range(count):
        found = market(seed + number // 8)
        text, _ = placeholders.extract(random_query(found, number % 8).sql)
        try:
            made.append(plan(text, catalogue_of(found), technique="auto", max_rows=500))
        except (JobRefused, MalformedDocument):
            continue
    return made


PLANS = [*(tpch_plan(number) for number in (3, 5, 6, 13)), *random_plans(9000, 48), derive(JOINT)]


def test_there_are_plans_of_both_techniques() -> None:
    assert {made.technique for made in PLANS} == {"local", "secret-sharing"}
    assert len(PLANS) > 30


@pytest.mark.parametrize("made", PLANS, ids=range(len(PLANS)))
class TestEveryPlan:
    def test_is_a_document_without_floats(self, made: Plan) -> None:
        assert canonical.decode(canonical.encode(made.to_json())) == made.to_json()

    def test_has_steps_that_fit_together(self, made: Plan) -> None:
        assert (len(made.steps) > 0) == (made.technique == "secret-sharing")
        if made.steps:
            last = shapes(made.steps, made.parts)[-1]
            counts = {name for columns in made.units for name in columns}
            for support in made.supports:
                counts |= {support.values, *(name for columns in support.units for name in columns)}
            assert {column.name for column in made.columns} | counts == set(last.columns)

    def test_puts_no_column_in_that_no_step_uses(self, made: Plan) -> None:
        used = {name for step in made.steps for name in read_by(step)}
        put_in = {item.column.name for part in made.parts for item in part.columns}
        assert put_in <= used

    def test_reads_every_part_once(self, made: Plan) -> None:
        if made.steps:
            read = [step.part for step in made.steps if isinstance(step, Input)]
            assert sorted(read) == list(range(len(made.parts)))

    def test_uses_only_its_own_products_columns(self, made: Plan) -> None:
        assert all(use.use in USES for use in made.column_uses)
        assert {use.product for use in made.column_uses} <= set(made.products)


def test_equal_texts_over_equal_catalogues_have_equal_digests() -> None:
    other = JOINT.replace("flights", "Flights").replace("late desc", "2 DESC").replace("Carrier", "CARRIER")
    assert derive(JOINT).digest == derive(JOINT).digest == derive(other).digest
    assert tpch_plan(3).digest == tpch_plan(3).digest


def test_what_changes_a_result_changes_the_digest() -> None:
    changed = [
        derive(JOINT),
        derive(JOINT + " limit 1"),
        derive(JOINT, max_rows=99),
        derive(JOINT.replace("sum(fee)", "sum(fee) as f")),
        derive(JOINT, {"ana": ("person",), "bo": "row", "cy": "row"}),
        derive(JOINT.replace("desc", "asc")),
        derive(JOINT.replace("from flights", "from ana.flights")),
    ]
    assert len({made.digest for made in changed}) == len(changed)


def kinds_of(made: Plan) -> list[str]:
    """Return the steps that say how a plan goes about it, in order, equal neighbours once."""
    steps = [type(step).__name__ for step in made.steps if not isinstance(step, (Compute, Project))]
    return [name for i, name in enumerate(steps) if i == 0 or steps[i - 1] != name]


def test_golden_plan_of_three_tables_of_two_providers() -> None:
    made = tpch_plan(3)
    # Customers and orders are joined in the shop's own engine.
    assert {part.provider: part.products for part in made.parts} == {
        "shop": ("shop.customer", "shop.orders"),
        "carrier": ("carrier.lineitem",),
    }
    assert len(made.parts) == 2
    assert kinds_of(made).count("Join") == 1
    assert kinds_of(made)[-2:] == ["Group", "First"]
    assert [output.name for output in made.outputs] == [
        "l_orderkey",
        "revenue",
        "o_orderdate",
        "o_shippriority",
    ]


def test_golden_plan_of_six_tables_of_three_providers() -> None:
    made = tpch_plan(5)
    assert sorted(part.provider for part in made.parts) == ["carrier", "shop", "supply"]
    assert sum(isinstance(step, Join) for step in made.steps) == 2
    assert sum(isinstance(step, Group) for step in made.steps) == 1
    supply = next(part for part in made.parts if part.provider == "supply")
    assert supply.products == ("supply.nation", "supply.region", "supply.supplier")


def test_golden_plan_of_one_provider() -> None:
    made = tpch_plan(6)
    assert (made.technique, made.kind, made.steps, len(made.parts)) == ("local", "aggregate", (), 1)
    assert "SUM(" in made.parts[0].sql


UNPROTECTED: dict[str, Unit] = {"ana": None, "bo": None, "cy": None}


def test_golden_plan_of_a_collection_groups_at_each_provider_first() -> None:
    made = derive(JOINT)
    assert [part.provider for part in made.parts] == ["ana", "bo", "cy"]
    assert all("GROUP BY" in part.sql for part in made.parts)
    assert kinds_of(made)[-1] in ("Group", "First")
    assert any(isinstance(step, Stack) and len(step.tables) == 3 for step in made.steps)


def test_golden_plan_of_a_union() -> None:
    for word, ends in (("union all", "Stack"), ("union", "Group")):
        made = derive(f"select carrier from ana.flights {word} select carrier from bo.flights", UNPROTECTED)
        assert kinds_of(made) == (["Input", "Stack"] if ends == "Stack" else ["Input", "Stack", "Group"])


def test_golden_plan_of_a_left_join() -> None:
    made = derive(
        "select a.carrier, b.fee from ana.flights a left join"
        " (select person, max(fee) as fee from bo.flights group by person) b on a.person = b.person",
        UNPROTECTED,
    )
    assert kinds_of(made) == ["Input", "Join"]
    # A row without a match goes on to count: nothing filters by the bit of the match.
    assert not any(isinstance(step, Filter) for step in made.steps)
    inner = derive(
        "select a.carrier, b.fee from ana.flights a join"
        " (select person, max(fee) as fee from bo.flights group by person) b on a.person = b.person",
        UNPROTECTED,
    )
    assert any(isinstance(step, Filter) for step in inner.steps)


def test_golden_plan_of_a_window() -> None:
    made = derive(
        "select carrier, rank() over (partition by day order by fee) as r from flights", UNPROTECTED
    )
    [window] = [step for step in made.steps if isinstance(step, Window)]
    assert [function for function, _, _ in window.functions] == ["rank"]
    assert (len(window.partition), len(window.order)) == (1, 1)
    assert "Group" not in kinds_of(made)


def test_conditions_of_one_table_are_left_to_its_provider() -> None:
    made = derive(
        "select a.carrier from ana.flights a join (select distinct person from bo.flights where cancelled) b"
        " on a.person = b.person where a.fee > 3 and a.carrier like 'x%'",
        UNPROTECTED,
    )
    by = {part.provider: part.sql for part in made.parts}
    assert "WHERE" in by["ana"]
    assert "LIKE" in by["ana"]
    assert "WHERE" in by["bo"]


def test_rows_beyond_the_bound_are_not_asked_for() -> None:
    assert derive("select day from ana.flights limit 5000", max_rows=10).parts[0].sql.endswith("LIMIT 11")
    assert derive("select day from ana.flights limit 5", max_rows=10).parts[0].sql.endswith("LIMIT 5")


def test_an_average_over_several_providers_is_granted_as_sum_and_count() -> None:
    def words(query: str) -> set[tuple[str, ...]]:
        return {use.after for use in derive(query).column_uses}

    assert words("select avg(fee) as a from ana.flights") == {("aggregate:avg",)}
    assert words("select avg(fee) as a from flights") >= {("aggregate:sum",), ("aggregate:count",)}


@pytest.mark.parametrize("technique", ["auto", "secret-sharing"])
def test_a_collection_is_computed_in_shares(technique: str) -> None:
    made = derive("select count(*) from flights", technique=technique)  # type: ignore[arg-type]
    assert made.technique == "secret-sharing"


def test_a_technique_that_does_not_fit_is_refused_with_the_one_that_does() -> None:
    with pytest.raises(JobRefused, match=r"sql.technique.*`auto` or `secret-sharing`"):
        derive("select count(*) from flights", technique="local")
    with pytest.raises(JobRefused, match=r"sql.technique.*`auto` or `local`"):
        derive("select count(*) from ana.flights", technique="secret-sharing")


def test_unknown_techniques_and_bounds_are_malformed() -> None:
    with pytest.raises(MalformedDocument, match="auto"):
        derive("select count(*) from flights", technique="homomorphic")  # type: ignore[arg-type]
    for bound in (0, MAX_ROWS + 1):
        with pytest.raises(MalformedDocument, match="max_groups"):
            plan("select count(*) from flights", catalogue(), technique="auto", max_rows=bound)


def test_cells_are_what_is_visible() -> None:
    assert cells(derive(JOINT), rows=5, suppressed=0) == 20
    assert cells(derive(JOINT), rows=5, suppressed=3) == 17
