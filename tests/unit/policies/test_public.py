"""The `public` section of the terms: what it may say, and what a planner reads from it."""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal
from typing import Any

import pytest

from policies.public import Public, Range
from policies.terms import parse
from records.errors import MalformedDocument

DECLARED = """
product: shop.sales
public:
  rows: 20000
  keys: [[id], [day, shop]]
  most: {customer: 50}
  ranges: {age: [0, 120], price: ["0.00", "9999.90"], day: [2020-01-01, "2026-12-31"],
           seen: [2020-01-01T00:00:00, "2020-01-01T00:00:00.000001"],
           balance: [-9007199254740991, "12345678901234567890123456789012345678"]}
  bytes: {name: 40}
"""


def public(**fields: Any) -> Public:
    return parse({"product": "a.b", "public": fields}).public


def refusal(**fields: Any) -> str:
    with pytest.raises(MalformedDocument) as caught:
        public(**fields)
    return str(caught.value)


def test_a_planner_finds_every_declaration_in_any_spelling() -> None:
    declared = parse(DECLARED).public
    assert declared.rows == 20_000
    assert (declared.most_of("Customer"), declared.most_of("age")) == (50, None)
    assert (declared.bytes_of("NAME"), declared.bytes_of("id")) == (40, None)
    assert declared.range_of("Age") == Range("number", Decimal(0), Decimal(120))
    assert declared.range_of("price") == Range("number", Decimal(0), Decimal("9999.9"))
    assert declared.range_of("DAY") == Range("day", date(2020, 1, 1), date(2026, 12, 31))
    start, end = map(datetime.fromisoformat, ("2020-01-01T00:00:00", "2020-01-01T00:00:00.000001"))
    assert declared.range_of("seen") == Range("time", start, end)
    balance = declared.range_of("balance")
    assert balance is not None
    assert balance.greatest == 12345678901234567890123456789012345678
    assert declared.range_of("name") is None


def test_columns_that_include_a_key_are_unique() -> None:
    declared = parse(DECLARED).public
    assert declared.is_unique(["ID"])
    assert declared.is_unique(["shop", "Day", "age"])
    assert not declared.is_unique(["shop"])
    assert not declared.is_unique([])
    assert declared.most_of("id") == 1
    assert public().is_unique(["id"]) is False


def test_a_range_contains_its_bounds_and_nothing_beyond() -> None:
    declared = Range("number", Decimal(0), Decimal("1.5"))
    assert [declared.contains(Decimal(text)) for text in ("0", "1.5", "-0.1", "1.51")] == [
        True,
        True,
        False,
        False,
    ]


def test_what_is_absent_says_nothing() -> None:
    declared = parse({"product": "a.b"}).public
    assert (declared.rows, declared.keys, declared.columns) == (None, (), ())


def test_the_canonical_form_parses_to_the_same_terms() -> None:
    terms = parse(DECLARED)
    assert parse(terms.to_json()) == terms
    assert parse(terms.to_json()).digest == terms.digest


def test_order_and_zeros_do_not_change_the_digest_and_content_does() -> None:
    def digest(**fields: Any) -> str:
        return parse({"product": "a.b", "public": fields}).digest

    one = digest(keys=[["a", "b"], ["c"]], ranges={"x": ["0.50", "2.0"]})
    assert one == digest(keys=[["c"], ["b", "a"]], ranges={"x": ["0.5", "2"]})
    assert one != digest(keys=[["c"], ["b", "a"]], ranges={"x": ["0.5", "2.1"]})


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"row": 1}, "`public`: unknown field `row`; allowed: rows, keys, most, ranges, bytes"),
        ({"rows": 0}, "`public.rows`: expected greater than or equal to 1"),
        ({"rows": 2**24 + 1}, "`public.rows`: expected less than or equal to 16777216"),
        ({"keys": [[]]}, "`public.keys[0]`: value should have at least 1 item"),
        ({"keys": [[f"c{i}" for i in range(9)]]}, "`public.keys[0]`: value should have at most 8 items"),
        ({"keys": [[f"c{i}"] for i in range(17)]}, "`public.keys`: value should have at most 16 items"),
        ({"keys": ["id"]}, "`public.keys[0]`: expected a list"),
        ({"keys": [["id", "id"]]}, "`public.keys[0]`: an entry stands twice"),
        ({"keys": [["id", "ID"]]}, "`public`: two columns differ only in upper and lower case"),
        ({"most": {"a": 1}, "bytes": {"A": 3}}, "`public`: two columns differ only in upper and lower case"),
        ({"most": {"a": 65}}, "`public.most.a`: expected less than or equal to 64"),
        ({"most": {"a": "3"}}, "`public.most.a`: expected a valid integer"),
        ({"bytes": {"a": 256}}, "`public.bytes.a`: expected less than or equal to 255"),
        ({"ranges": {"a": [2]}}, "`public.ranges.a[1]`: the field is missing"),
        ({"ranges": {"a": [2, 1]}}, "`public.ranges.a`: the first bound is not above the second"),
        ({"ranges": {"a": [True, 2]}}, "`public.ranges.a[0]`: a bound is an integer"),
        ({"ranges": {"a": [1.5, 2]}}, "`public.ranges.a[0]`: a float has no exact form"),
        ({"ranges": {"a": ["1e3", "2"]}}, "`public.ranges.a[0]`: a bound is an integer"),
        ({"ranges": {"a": [2**60, 2**61]}}, "`public.ranges.a[0]`: an integer is at most 2^53"),
        ({"ranges": {"a": [2, "2020-01-01"]}}, "both bounds are numbers, or both days, or both times"),
        ({"ranges": {"a": ["2020-01-01", "2020-01-01T00:00:00"]}}, "both bounds are numbers"),
        ({"ranges": {"a": ["2020-02-30", "2021-01-01"]}}, "`public.ranges.a[0]`: no such day or time"),
        ({"ranges": {"a": ["2020-01-01T25:00:00", "2021-01-01T00:00:00"]}}, "no such day or time"),
        ({"ranges": {"a": ["2020-01-01T00:00:00+01:00", "2021-01-01T00:00:00"]}}, "a bound is an integer"),
    ],
)
def test_a_faulty_declaration_is_refused_with_its_path(fields: dict[str, Any], message: str) -> None:
    assert message in refusal(**fields)


def test_no_bound_reaches_a_message() -> None:
    for bounds in (
        ["canary4711", "2"],
        ["4711.5", "2"],
        ["2020-01-01", "4711"],
        ["4711-13-41", "4711-13-41"],
    ):
        assert "4711" not in refusal(ranges={"a": bounds})
