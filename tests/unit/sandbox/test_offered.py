"""The catalogue of a job: what records and terms say, as the integers that a planner reckons with."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any

import pytest

from policies import terms as policy
from policies.terms import Terms
from records.errors import MalformedDocument
from records.parties import ColumnRecord, ProductRecord
from sandbox.offered import catalogue
from sandbox.sql.catalogue import Catalogue, Declared
from tests.unit.sandbox.registered import TERMS, membership, product

TYPES = {
    "Id": "BIGINT",
    "price": "DECIMAL(12,2)",
    "wide": "DECIMAL(38,10)",
    "weight": "DOUBLE",
    "day": "DATE",
    "moment": "TIMESTAMP",
    "city": "VARCHAR",
    "paid": "BOOLEAN",
}


def offered(public: dict[str, Any]) -> tuple[ProductRecord, Terms]:
    terms = policy.parse(
        {**TERMS, "columns": {"city": {"reveal": ["plain"]}}, "public": public}, product="alice.flights"
    )
    columns = tuple(ColumnRecord(name=name, type=kind) for name, kind in TYPES.items())
    signed = product("alice", columns=columns, terms=terms.to_json(), terms_digest=terms.digest)
    return signed.document, terms


def declared(**public: Any) -> Declared:
    record, terms = offered(public)
    (source,) = catalogue((), {record.product: record}, {record.product: terms}, ()).sources
    return source.products[0].declared


def flights(*providers: str, collections: tuple[str, ...] = ("everyone",), members: str = "") -> Catalogue:
    records = {f"{name}.flights": product(name).document for name in providers}
    terms = {name: policy.parse(TERMS, product=name) for name in records}
    memberships = [membership(name).document for name in members.split()]
    return catalogue(collections, records, terms, memberships)


def test_terms_without_public_facts_declare_nothing() -> None:
    assert declared() == Declared()


def test_rows_keys_and_multiplicities_are_taken_over_in_small_letters() -> None:
    found = declared(rows=1000, keys=[["ID"], ["City", "Day"]], most={"City": 50}, bytes={"City": 40})
    assert found == Declared(
        rows=1000, keys=(("city", "day"), ("id",)), most=(("city", 50),), bytes=(("city", 40),)
    )


@pytest.mark.parametrize(
    ("column", "bounds", "wanted"),
    [
        ("id", [-5, 120], (-5, 120)),
        ("ID", ["0.5", "9.5"], (0, 10)),
        ("price", ["0.00", "9999.99"], (0, 999_999)),
        ("price", ["-0.005", "0.005"], (-1, 1)),
        ("wide", ["0.0000000001", "9" * 28 + ".9999999999"], (1, 10**38 - 1)),
        ("weight", ["-0.25", "3.75"], (-1, 4)),
        ("day", ["1969-12-31", "1970-01-02"], (-1, 1)),
        ("moment", ["1970-01-01T00:00:00", "1970-01-01T00:00:01.000001"], (0, 1_000_001)),
    ],
)
def test_ranges_are_the_integers_that_carry_values(
    column: str, bounds: list[Any], wanted: tuple[int, int]
) -> None:
    assert declared(ranges={column: bounds}).ranges == ((column.lower(), wanted),)


def test_days_and_microseconds_count_from_1970() -> None:
    found = dict(
        declared(
            ranges={
                "day": ["2020-02-29", "2026-12-31"],
                "moment": ["1901-01-01T00:00:00", "2026-11-22T23:59:59"],
            }
        ).ranges
    )
    assert found["day"] == (date(2020, 2, 29).toordinal() - 719_163, date(2026, 12, 31).toordinal() - 719_163)
    seconds = (datetime(2026, 11, 22, 23, 59, 59) - datetime(1970, 1, 1)).total_seconds()  # noqa: DTZ001
    assert found["moment"][1] == int(seconds) * 1_000_000
    assert found["moment"][0] < 0


@pytest.mark.parametrize(
    ("column", "bounds"),
    [
        ("city", [0, 9]),
        ("paid", [0, 1]),
        ("day", [0, 9]),
        ("id", ["2020-01-01", "2021-01-01"]),
        ("moment", ["2020-01-01", "2021-01-01"]),
        ("elsewhere", [0, 9]),
    ],
)
def test_bounds_that_do_not_fit_a_column_are_refused(column: str, bounds: list[Any]) -> None:
    with pytest.raises(MalformedDocument):
        declared(ranges={column: bounds})


def test_products_stand_under_their_names_and_in_their_collections() -> None:
    found = flights("alice", "bob", "carol", members="bob alice")
    assert [source.name for source in found.sources] == [
        "alice.flights",
        "bob.flights",
        "carol.flights",
        "everyone",
    ]
    assert [facts.product for facts in found.find("everyone").products] == ["alice.flights", "bob.flights"]


def test_the_order_in_which_records_come_is_of_no_consequence() -> None:
    assert flights("alice", "bob", members="alice bob") == flights("bob", "alice", members="bob alice")


@pytest.mark.parametrize("members", ["", "alice bob carol"])
def test_a_collection_without_members_or_with_others_than_the_job_pins_is_refused(members: str) -> None:
    with pytest.raises(MalformedDocument):
        flights("alice", "bob", members=members)


def test_memberships_of_collections_that_the_job_does_not_name_are_passed_over() -> None:
    found = flights("alice", collections=(), members="alice bob")
    assert [source.name for source in found.sources] == ["alice.flights"]
