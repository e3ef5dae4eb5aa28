"""Literals leave the query and come back: the plan is the same, and no literal stays in the text."""

from __future__ import annotations

from dataclasses import replace

import pytest
import sqlglot
from hypothesis import given
from hypothesis import strategies as st
from sqlglot import exp

from records.errors import JobRefused, LimitExceeded, MalformedDocument
from sandbox.sql.placeholders import MAX_PLACEHOLDERS, extract, fill, names
from sandbox.sql.plan import Plan, plan
from tests.unit.sql.flights import catalogue

texts = st.text(st.characters(codec="utf-8", exclude_characters="\0", exclude_categories=["Cs"]), max_size=12)
numbers = st.one_of(
    st.integers(0, 10**17).map(str), st.decimals(0, 1000, places=3).map(str), st.just("1e3"), st.just(".5")
)
days = st.dates().map(lambda day: f"'{day.isoformat()}'")


def quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


conditions = st.one_of(
    numbers.map(lambda n: f"dep_delay > {n}"),
    numbers.map(lambda n: f"distance < -{n}"),
    st.lists(numbers, min_size=1, max_size=4).map(lambda ns: f"fee IN ({', '.join(ns)})"),
    st.tuples(numbers, numbers).map(lambda ns: f"dep_delay * {ns[0]} - 1 BETWEEN {ns[1]} AND 7 // dep_delay"),
    texts.map(lambda text: f"carrier = {quoted(text)}"),
    texts.map(lambda text: f"person NOT LIKE {quoted(text)}"),
    st.lists(texts, min_size=1, max_size=3).map(lambda ts: f"person IN ({', '.join(map(quoted, ts))})"),
    days.map(lambda day: f"day <> DATE {day}"),
    days.map(lambda day: f"moment >= {day}"),
    st.sampled_from(["cancelled", "cancelled IS NOT TRUE", "fee IS NULL", "NOT (1 = 2 OR cancelled = TRUE)"]),
)
queries = st.lists(conditions, min_size=1, max_size=4).map(
    lambda parts: f"select carrier, sum(fee) as f from flights where {' and '.join(parts)} group by 1 limit 7"  # noqa: S608
)


def derive(query: str) -> Plan:
    return plan(query, catalogue(), technique="auto", max_groups=100)


@given(queries)
def test_a_filled_query_has_the_plan_of_the_query_that_was_written(query: str) -> None:
    template, values = extract(query)
    assert derive(fill(template, values)) == derive(query)


@given(queries)
def test_the_plan_of_the_placeholders_differs_in_the_text_of_its_parts_alone(query: str) -> None:
    template, values = extract(query)
    hidden, filled = derive(template), derive(fill(template, values))
    assert replace(filled, parts=hidden.parts) == hidden


@given(queries)
def test_no_literal_but_limit_and_ordinals_stays(query: str) -> None:
    template, values = extract(query)
    left = [node.name for node in sqlglot.parse_one(template, read="duckdb").find_all(exp.Literal)]
    assert sorted(left) == ["1", "7"]
    assert len(names(template)) == len(values)


@given(queries, queries)
def test_the_template_is_a_function_of_the_structure(one: str, other: str) -> None:
    template, values = extract(one)
    assert extract(fill(template, values)) == (template, values)
    if extract(other)[0] == template:
        assert fill(template, extract(other)[1]) == fill(*extract(other))


def test_golden() -> None:
    query = """
        select carrier, count(*) as n  -- secret
        from flights where fee > 1.50 and person like 'O''Neill%' and day = date '2013-01-01'
        group by carrier order by 2 desc limit 3
    """
    template, values = extract(query)
    assert template == (
        "SELECT carrier, COUNT(*) AS n FROM flights WHERE fee > $n1 AND person LIKE $t2 AND "
        "day = CAST($t3 AS DATE) GROUP BY carrier ORDER BY 2 DESC LIMIT 3"
    )
    assert values == ("1.50", "O'Neill%", "2013-01-01")


def test_types_are_checked_without_the_values() -> None:
    for query in ("carrier = 5", "dep_delay = 'x'", "fee LIKE 'x'", "cancelled = 'yes'"):
        template, _ = extract(f"select count(*) from flights where {query}")  # noqa: S608
        with pytest.raises((MalformedDocument, JobRefused)):
            derive(template)


@pytest.mark.parametrize(
    "template",
    [
        "select count(*) from flights where fee > 5",
        "select count(*) from flights where carrier = 'x'",
        "select count(*) from flights where day = date '2013-01-01'",
        "select count(*) from flights where fee > $n2",
        "select count(*) from flights where fee > $n1 and dep_delay > $n1",
    ],
)
def test_a_signed_query_with_literals_or_other_numbers_is_malformed(template: str) -> None:
    with pytest.raises(MalformedDocument):
        names(template)


@pytest.mark.parametrize("parameter", ["?", "$1", "$foo", "$n0", "$t01", "$n99999", ":name"])
def test_other_placeholders_are_refused_by_name(parameter: str) -> None:
    with pytest.raises(JobRefused) as refused:
        names(f"select count(*) from flights where fee > {parameter}")  # noqa: S608
    assert refused.value.reasons[0].clause.endswith("parameter")


@pytest.mark.parametrize(
    "values",
    [(), ("1", "2"), ("1; DROP TABLE x",), ("1 OR 1",), ("-1",), ("0x10",), ("",), ("1" * 19,)],
)
def test_values_that_do_not_fit_are_malformed(values: tuple[str, ...]) -> None:
    with pytest.raises(MalformedDocument):
        fill("select count(*) from flights where fee > $n1", values)


def test_a_text_cannot_leave_its_quotes() -> None:
    attack = "x' OR '1' = '1"
    filled = fill("select count(*) from flights where carrier = $t1", (attack,))
    assert extract(filled)[1] == (attack,)


def test_a_day_that_is_none_is_malformed_where_it_is_filled_in() -> None:
    template, _ = extract("select count(*) from flights where day = '2013-01-01'")
    derive(template)
    with pytest.raises(MalformedDocument):
        derive(fill(template, ("2013-02-30",)))


def test_a_buyers_own_placeholders_and_too_many_literals_are_refused() -> None:
    with pytest.raises(JobRefused):
        extract("select count(*) from flights where fee > $n1")
    many = " , ".join(["1"] * (MAX_PLACEHOLDERS + 1))
    with pytest.raises(LimitExceeded):
        extract(f"select count(*) from flights where fee in ({many})")  # noqa: S608
