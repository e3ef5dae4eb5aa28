from __future__ import annotations

import pytest

from records.errors import MalformedDocument, UnknownObject
from sandbox.sql.catalogue import Catalogue, ProductFacts, Source
from tests.unit.sql.flights import catalogue

COLUMNS = (("a", "BIGINT"), ("b", "DECIMAL(38,38)"))


def facts(provider: str, columns: tuple[tuple[str, str], ...] = COLUMNS) -> ProductFacts:
    return ProductFacts(f"{provider}.t", provider, columns, "row")


def test_sources_are_found_in_any_case() -> None:
    assert catalogue().find("FLIGHTS").name == "flights"
    assert catalogue().find("Ana.Flights").products[0].provider == "ana"


def test_an_unknown_source_is_not_named_in_the_error() -> None:
    with pytest.raises(UnknownObject) as refused:
        catalogue().find("secret")
    assert "secret" not in str(refused.value)


def test_products_of_a_collection_may_order_their_columns_differently() -> None:
    assert Source("c", (facts("x"), facts("y", COLUMNS[::-1]))).columns == COLUMNS


@pytest.mark.parametrize(
    "columns",
    [
        (),
        (("a", "BIGINT"), ("A", "BIGINT")),
        (("a", "BLOB"),),
        (("a", "DECIMAL(39,0)"),),
        (("a", "DECIMAL(x)"),),
        (("a", "BIGINT; DROP TABLE t"),),
    ],
)
def test_products_with_unusable_columns_are_refused(columns: tuple[tuple[str, str], ...]) -> None:
    with pytest.raises(MalformedDocument):
        facts("x", columns)


def test_products_of_another_provider_or_with_a_foreign_unit_are_refused() -> None:
    with pytest.raises(MalformedDocument, match="not a product of"):
        ProductFacts("x.t", "y", COLUMNS, "row")
    with pytest.raises(MalformedDocument, match="unit"):
        ProductFacts("x.t", "x", COLUMNS, ("person",))
    with pytest.raises(MalformedDocument, match="unit"):
        ProductFacts("x.t", "x", COLUMNS, ())


def test_collections_are_of_one_schema_and_one_product_per_provider() -> None:
    with pytest.raises(MalformedDocument, match="differ in their columns"):
        Source("c", (facts("x"), facts("y", (("a", "BIGINT"), ("b", "DOUBLE")))))
    with pytest.raises(MalformedDocument, match="two products"):
        Source("c", (facts("x"), facts("x")))
    with pytest.raises(MalformedDocument, match="no products"):
        Source("c", ())
    with pytest.raises(MalformedDocument, match="one product"):
        Source("x.t", (facts("y"),))
    with pytest.raises(MalformedDocument, match="same name"):
        Catalogue((Source("c", (facts("x"),)), Source("c", (facts("y"),))))
