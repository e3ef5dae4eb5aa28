"""What the planner knows of data before a job runs: names, column types, owners and units, never rows (R12).

The caller builds a `Catalogue` from the signed records of products and collections.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from connectors.column_types import arrow_type
from records.errors import MalformedDocument, UnknownObject
from records.ids import require_name, require_product_name

Family = Literal["number", "text", "date", "timestamp", "boolean"]
"""Types that compare with each other without a cast."""

Unit = Literal["row"] | tuple[str, ...] | None
"""Whose distinct count makes a group large enough: rows, the values of columns, or nobody."""

_FAMILIES: dict[str, Family] = {
    "BOOLEAN": "boolean",
    "BIGINT": "number",
    "DOUBLE": "number",
    "DATE": "date",
    "TIMESTAMP": "timestamp",
    "VARCHAR": "text",
}


def is_decimal(column_type: str) -> bool:
    """Return whether a column type is `DECIMAL(p,s)`."""
    return column_type.startswith("DECIMAL(")


def family(column_type: str) -> Family:
    """Return the family of a column type."""
    return "number" if is_decimal(column_type) else _FAMILIES[column_type]


def _is_supported(column_type: str) -> bool:
    try:
        arrow_type(column_type)
    except (KeyError, ValueError):  # ValueError: a DECIMAL of more than 38 digits
        return False
    return True


@dataclass(frozen=True, slots=True)
class Declared:
    """What a provider declares of a table to everybody; column names are in small letters.

    `rows`: at most so many. `keys`: no two rows agree in all columns of one, none of which is NULL. `most`:
    at most so many rows share a value. `ranges`: least and greatest value as the integers that carry values
    (of a DECIMAL without its point, days, microseconds); of a DOUBLE its whole bounds. `bytes`: of UTF-8.
    """

    rows: int | None = None
    keys: tuple[tuple[str, ...], ...] = ()
    most: tuple[tuple[str, int], ...] = ()
    ranges: tuple[tuple[str, tuple[int, int]], ...] = ()
    bytes: tuple[tuple[str, int], ...] = ()


@dataclass(frozen=True, slots=True)
class ProductFacts:
    """A registered product: `columns` as (name, type) in order, its unit of disclosure, what is declared."""

    product: str
    provider: str
    columns: tuple[tuple[str, str], ...]
    unit: Unit
    declared: Declared = Declared()

    def __post_init__(self) -> None:
        if require_product_name(self.product).partition(".")[0] != self.provider:
            raise MalformedDocument(f"`{self.product}` is not a product of `{self.provider}`")
        names = [name for name, _ in self.columns]
        if not names or len({name.lower() for name in names}) < len(names):
            raise MalformedDocument(f"the columns of `{self.product}` have no distinct names")
        if not all(_is_supported(kind) for _, kind in self.columns):
            raise MalformedDocument(f"a column of `{self.product}` has a type that is not supported")
        if isinstance(self.unit, tuple) and (not self.unit or not set(self.unit) <= set(names)):
            raise MalformedDocument(f"the unit of `{self.product}` names a column that it lacks")

    @property
    def table(self) -> str:
        """The name under which the provider's connector shows the product."""
        return self.product.partition(".")[2]


@dataclass(frozen=True, slots=True)
class Source:
    """What a query may stand on: one product under its own name, or a collection of one per provider."""

    name: str
    products: tuple[ProductFacts, ...]

    def __post_init__(self) -> None:
        if not self.products:
            raise MalformedDocument(f"`{self.name}` has no products")
        if "." in self.name:
            if [facts.product for facts in self.products] != [self.name]:
                raise MalformedDocument(f"`{self.name}` is the name of one product")
        else:
            require_name(self.name, "a collection")
        if len({facts.provider for facts in self.products}) < len(self.products):
            raise MalformedDocument(f"a provider has two products in `{self.name}`; it may have one")
        if any(set(facts.columns) != set(self.columns) for facts in self.products):
            raise MalformedDocument(f"the products of `{self.name}` differ in their columns")

    @property
    def columns(self) -> tuple[tuple[str, str], ...]:
        """Name and type of each column, in the order of the first product."""
        return self.products[0].columns


@dataclass(frozen=True, slots=True)
class Catalogue:
    """All sources that a query may name."""

    sources: tuple[Source, ...]

    def __post_init__(self) -> None:
        if len({source.name for source in self.sources}) < len(self.sources):
            raise MalformedDocument("two sources of the catalogue have the same name")

    def find(self, name: str) -> Source:
        """Return the source called `name`, in any case.

        Raises:
            UnknownObject: there is none.
        """
        for source in self.sources:
            if source.name == name.lower():
                return source
        raise UnknownObject("the query names a product or collection that is not in the catalogue")
