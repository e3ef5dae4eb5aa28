# ruff: noqa: S608 - queries are what these tests make
"""Literals leave the query and come back: the plan is the same, and no literal stays in the text."""

from __future__ import annotations

from dataclasses import replace

import pytest
import sqlglot
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlglot import exp

from records.errors import JobRefused, LimitExceeded, MalformedDocument
from sandbox.sql import grammar
from sandbox.sql.placeholders import MAX_PLACEHOLDERS, bind, bind_text, extract, names, number_form, sample
from sandbox.sql.plan import Plan
from tests.unit.sql.flights import derive

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
    st.tuples(numbers, numbers).map(lambda ns: f"dep_delay * {ns[0]} - 1 BETWEEN {ns[1]} AND dep_delay"),
    texts.map(lambda text: f"carrier = {quoted(text)}"),
    texts.map(lambda text: f"person NOT LIKE {quoted(text)}"),
    st.lists(texts, min_size=1, max_size=3).map(lambda ts: f"person IN ({', '.join(map(quoted, ts))})"),
    days.map(lambda day: f"day <> DATE {day}"),
    days.map(lambda day: f"moment >= {day}"),
    st.sampled_from(["cancelled", "cancelled IS NOT TRUE", "fee IS NULL", "NOT (1 = 2 OR cancelled = TRUE)"]),
)
wheres = st.lists(conditions, min_size=1, max_size=3).map(" AND ".join)
sources = st.sampled_from(["flights", "ana.flights"])


def query(where: str, source: str = "flights") -> str:
    return f"SELECT carrier, COUNT(*) AS n FROM {source} WHERE {where} GROUP BY 1 LIMIT 9"


def literals_of(sql: str) -> list[str]:
    tree = sqlglot.parse_one(sql, dialect="duckdb")
    return [
        node.name
        for node in tree.find_all(exp.Literal)
        if not isinstance(node.parent, (exp.Limit, exp.Group))
    ]


@settings(max_examples=15, deadline=None)
@given(wheres, sources)
def test_a_plan_with_values_differs_from_one_without_in_the_sql_of_its_parts_alone(
    where: str, source: str
) -> None:
    template, values = extract(query(where, source))
    without, bound = derive(template), derive(template, values=values)
    assert replace(bound, parts=without.parts) == without
    for unbound, part in zip(without.parts, bound.parts, strict=True):
        assert replace(part, sql=unbound.sql) == unbound
        assert part.sql == bind_text(unbound.sql, values)


@settings(max_examples=12, deadline=None)
@given(wheres)
def test_no_literal_of_the_query_stays_in_what_is_signed(where: str) -> None:
    template, values = extract(query(where))
    assert len(names(template)) == len(values)
    assert literals_of(template) == []
    whole: Plan = derive(template)
    for text in (whole.finish, *(part.sql for part in whole.parts)):
        assert not set(values) & {value for value in literals_of(text) if len(value) > 4}


@settings(max_examples=12, deadline=None)
@given(wheres)
def test_what_is_bound_again_is_the_buyers_query(where: str) -> None:
    text = query(where)
    template, values = extract(text)
    again = bind(grammar.parse(template), values).sql("duckdb", comments=False)
    assert again == grammar.parse(text).sql("duckdb", comments=False)
    assert extract(again) == (template, values)


def test_the_type_of_a_literal_stays_in_its_name() -> None:
    written = """
        select carrier, count(*) as n from flights -- a note on Jane
        where fee > 1.50 and person like 'O''Neill%' and day = date '2013-01-01' and distance < 1e3
        and fee < 7 group by carrier order by 2 desc limit 3
    """
    template, values = extract(written)
    assert template == (
        "SELECT carrier, COUNT(*) AS n FROM flights WHERE fee > $n1_2 AND person LIKE $t2 AND "
        "day = CAST($t3 AS DATE) AND distance < $n4e AND fee < $n5 GROUP BY carrier ORDER BY 2 DESC LIMIT 3"
    )
    assert values == ("1.50", "O'Neill%", "2013-01-01", "1e3", "7")
    assert names(template) == ("n1_2", "t2", "t3", "n4e", "n5")


def test_equal_literals_share_a_number_and_unequal_ones_do_not() -> None:
    template, values = extract(
        "select dep_delay + 1 as d, count(*) as n from flights where fee in (1, 1.0, 2) and carrier = '1'"
        " group by dep_delay + 1"
    )
    assert values == ("1", "1.0", "2", "1")
    assert template.count("$n1 ") + template.count("$n1,") == 2
    assert "dep_delay + $n1 AS d" in template
    assert "$n2_1" in template
    assert "$t4" in template


@pytest.mark.parametrize(
    ("text", "form"),
    [("5", ""), ("5.", ""), ("5.0", "_1"), (".25", "_2"), ("1e3", "e"), ("1.5E-2", "e"), ("000", "")],
)
def test_the_form_of_a_number(text: str, form: str) -> None:
    assert number_form(text) == form


@pytest.mark.parametrize(
    "text", ["", ".", "-1", "+1", "1_000", "0x10", "1e999", "1 ", "1e", "inf", "nan", "1" * 19]
)
def test_what_is_no_number_has_no_form(text: str) -> None:
    with pytest.raises(MalformedDocument):
        number_form(text)


@given(numbers)
def test_a_sample_has_the_form_of_what_it_stands_for(text: str) -> None:
    # Types are found with samples: a sample of another type would give the result another type.
    found = sample(exp.Placeholder(this=f"n1{number_form(text)}"))
    assert number_form(found.name) == number_form(text)


@pytest.mark.parametrize(
    "template",
    [
        "select count(*) from flights where fee > 5",
        "select count(*) from flights where carrier = 'x'",
        "select count(*) from flights where day = date '2013-01-01'",
        "select count(*) from flights where fee > $n2",
        "select count(*) from flights where fee > $n1 and dep_delay > $t1",
        "select count(*) from flights where fee > $n1 and dep_delay > $n1_2",
    ],
)
def test_a_signed_query_with_literals_or_other_numbers_is_malformed(template: str) -> None:
    with pytest.raises(MalformedDocument):
        names(template)


@pytest.mark.parametrize(
    "parameter", ["?", "$1", "$foo", "$n0", "$t01", "$n99999", ":name", "$n1_", "$n1_100"]
)
def test_other_placeholders_are_refused_by_name(parameter: str) -> None:
    with pytest.raises(JobRefused):
        names(f"select count(*) from flights where fee > {parameter}")


@pytest.mark.parametrize(
    "values",
    [
        (), ("1; DROP TABLE x",), ("1 OR 1",), ("-1",), ("0x10",), ("",), ("1" * 19,), ("1.5",), ("1e0",),
        ("'1'",), ("NULL",), ("1 --",),
    ],
)  # fmt: skip
def test_values_of_another_form_are_malformed(values: tuple[str, ...]) -> None:
    with pytest.raises(MalformedDocument):
        bind(grammar.parse("select count(*) from flights where fee > $n1"), values)


@pytest.mark.parametrize(
    "attack", ["x' OR '1' = '1", "\\' OR TRUE --", "'; DROP TABLE flights; --", "$n1", "$$x$$", "’ OR ‘1"]
)
def test_a_text_cannot_leave_its_quotes(attack: str) -> None:
    template = "select count(*) from flights where carrier = $t1"
    filled = bind_text(template, (attack,))
    assert extract(filled)[1] == (attack,)
    assert literals_of(filled) == [attack]


@pytest.mark.parametrize("source", ["flights", "ana.flights"])
@pytest.mark.parametrize("day", ["2013-02-30", "2013-2-3", "today", "2013-01-01 10:00:00", ""])
def test_a_day_that_is_none_is_malformed_where_it_is_bound(source: str, day: str) -> None:
    template, values = extract(f"select count(*) from {source} where day = '2013-01-01'")
    derive(template, values=values)
    with pytest.raises(MalformedDocument, match="YYYY-MM-DD"):
        derive(template, values=(day,))


def test_a_time_may_stand_beside_a_timestamp() -> None:
    template, _ = extract("select count(*) from flights where moment >= '2013-01-01'")
    for moment in ("2013-01-01", "2013-01-01 10:00:00", "2013-01-01T10:00:00.123456"):
        derive(template, values=(moment,))
    for moment in ("2013-01-01 25:00:00", "10:00:00", "2013-01-01 10:00:00.1234567"):
        with pytest.raises(MalformedDocument):
            derive(template, values=(moment,))


def test_a_buyers_own_placeholders_and_too_many_literals_are_refused() -> None:
    with pytest.raises(JobRefused):
        extract("select count(*) from flights where fee > $n1")

    def chain(count: int) -> str:
        lists = [", ".join(str(n) for n in range(k, min(k + 500, count))) for k in range(0, count, 500)]
        return "select count(*) from flights where " + " or ".join(f"fee in ({terms})" for terms in lists)

    assert len(extract(chain(MAX_PLACEHOLDERS))[1]) == MAX_PLACEHOLDERS
    with pytest.raises(LimitExceeded):
        extract(chain(MAX_PLACEHOLDERS + 1))


def test_structure_stays() -> None:
    template, values = extract(
        "select percentile_disc(fee, 0.25) as q, cast(fee as decimal(9, 2)) as d, TRUE as t, NULL as z,"
        " day - interval 3 day as e from ana.flights group by 2, 5, day order by 1 limit 4 offset 2"
    )
    assert values == ()
    assert names(template) == ()
