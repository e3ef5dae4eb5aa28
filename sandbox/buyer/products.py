"""A product on offer as the SDK shows it: columns, terms in words, price, and made-up rows."""

from __future__ import annotations

from html import escape

import pandas as pd

from policies import terms as policy
from policies.wording import in_words
from records.parties import ProductRecord
from sandbox.buyer.twin import DEFAULT_ROWS, twin


class Product:
    """A product on offer."""

    def __init__(self, record: ProductRecord) -> None:
        """Read what `record` says."""
        self._record = record
        self._terms = policy.parse(record.terms)

    @property
    def name(self) -> str:
        """`provider.table`."""
        return self._record.product

    @property
    def schema(self) -> dict[str, str]:
        """Column name → type."""
        return {column.name: column.type for column in self._record.columns}

    @property
    def terms(self) -> tuple[str, ...]:
        """The terms of use, in words."""
        return in_words(self._terms)

    @property
    def price(self) -> dict[str, int | str]:
        """The tariff: currency, and minor units per use, cell and compute second."""
        price = self._terms.price
        return {
            "currency": price.currency,
            "per_use": price.per_use,
            "per_cell": price.per_cell,
            "per_compute_second": price.per_compute_second,
        }

    def twin(self, rows: int = DEFAULT_ROWS) -> pd.DataFrame:
        """Return made-up rows of this schema to try queries on; they say nothing about the data."""
        frame: pd.DataFrame = twin(self._record, self._terms, rows).to_pandas()
        return frame

    def __repr__(self) -> str:
        return f"Product({self.name})"

    def _repr_html_(self) -> str:
        columns = "".join(f"<li>{escape(name)} {escape(kind)}</li>" for name, kind in self.schema.items())
        words = "".join(f"<li>{escape(sentence)}</li>" for sentence in self.terms)
        return f"<b>{escape(self.name)}</b><ul>{columns}</ul>Terms<ul>{words}</ul>"
