"""The first half of the planner by itself: a query with placeholders, resolved, and run by DuckDB."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pyarrow as pa

from connectors.column_types import arrow_type
from sandbox.sql import names, placeholders, types
from sandbox.sql.grammar import DIALECT
from tests.integration.differential.engine import catalogue
from tests.integration.differential.harness import Answer
from tests.integration.differential.oracle import Oracle
from tests.integration.differential.schemas import Market


@contextmanager
def resolver(market: Market) -> Iterator[Answer]:
    """Answer queries by their resolved trees; the types are those that the planner finds without rows."""
    sources = catalogue(market)
    with Oracle(market) as rows:

        def answer(sql: str) -> pa.Table:
            text, literals = placeholders.extract(sql)
            resolved = names.resolve(text, sources)
            columns = {
                source.name: {name.lower(): kind for name, kind in source.columns}
                for source in resolved.sources
            }
            found = rows.answer(placeholders.bind(resolved.tree, literals).sql(DIALECT, identify=True))
            kinds = types.of_query(resolved.tree, columns)
            typed = found.cast(pa.schema([(name, arrow_type(kind)) for name, kind in kinds.items()]))
            return typed.rename_columns(list(resolved.outputs))

        yield answer
