"""The planner and the executor without the exchange: parts in DuckDB, steps by three parties in memory."""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import date, datetime, timedelta
from decimal import Decimal
from fractions import Fraction

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from connectors import local_query
from connectors.column_types import arrow_type
from connectors.connector import Connector
from connectors.sources import open_source
from mpc.manifest import Manifest
from mpc.prg import Words
from mpc.sharing import decode
from policies import terms as policy
from records.errors import LimitExceeded, ResultWithheld
from records.parties import CollectionMembership, ColumnRecord, ProductRecord
from sandbox import offered
from sandbox.joint import costs, inputs, sharing
from sandbox.joint.run import run
from sandbox.joint.shapes import shapes
from sandbox.sql import placeholders
from sandbox.sql.catalogue import Catalogue
from sandbox.sql.columns import decode_payload
from sandbox.sql.finish import finish
from sandbox.sql.plan import LocalPart, Plan, ResultColumn
from sandbox.sql.planner import plan
from tests.integration.differential.harness import Answer
from tests.integration.differential.schemas import MAX_RESULT_ROWS, Market, Table
from tests.unit.mpc import three_parties

_NEVER = "1970-01-01T00:00:00Z"
CONTEXT = bytes(32)
TIMEOUT_S = 120.0


@contextmanager
def engine(market: Market) -> Iterator[Answer]:
    """Answer queries as nodes, compute parties and buyer do together, less their documents."""
    sources = catalogue(market)
    connectors = {table.product: open_source(table.rows) for table in market.tables}

    def answer(sql: str) -> pa.Table:
        text, literals = placeholders.extract(sql)
        made = plan(text, sources, technique="auto", max_rows=MAX_RESULT_ROWS, values=literals)
        if made.technique == "local":
            rows = run_part(made.parts[0], connectors)
            return finish(made, {name: rows[name] for name in rows.column_names}, literals)
        return finish(made, released(made, connectors), literals)

    yield answer
    for connector in connectors.values():
        connector.close()


def run_part(part: LocalPart, connectors: Mapping[str, Connector]) -> pa.Table:
    """Run a part in its provider's engine."""
    return local_query.execute(part.sql, {table: connectors[product] for product, table in part.tables})


def released(made: Plan, connectors: Mapping[str, Connector]) -> dict[str, pa.Array]:
    """Run a joint plan, and return the columns of its last table among rows that count.

    Raises:
        ResultWithheld: a fault spoils the result.
    """
    sizes = shapes(made.steps, made.parts)
    shared = [sharing.share_input(part, _plain(part, connectors), secrets.token_bytes) for part in made.parts]
    session = three_parties.run(
        lambda party: run(party, made.steps, sizes, [share[party.index] for share in shared]),
        Manifest(costs.openings(made.steps, sizes)),
        timeout_s=TIMEOUT_S,
    )
    if three_parties.words_of([ran.faults for ran in session.results]).any():
        raise ResultWithheld(())
    tables = [ran.table for ran in session.results]
    counts = three_parties.words_of([table.valid for table in tables]).astype(bool)
    words = {
        name: np.stack(
            [
                three_parties.words_of([table.parts[name][k] for table in tables])[counts]
                for k in range(len(parts))
            ],
            axis=1,
        )
        for name, parts in tables[0].parts.items()
    }
    none = {support.name: decode(words[support.values][:, 0]) == 0 for support in made.supports}
    return {
        column.name: _array(column, words[column.name], none.get(column.support or ""))
        for column in made.columns
    }


def catalogue(market: Market) -> Catalogue:
    """Return what the planner is told of a market."""
    records = {table.product: _record(table) for table in market.tables}
    terms = {table.product: policy.parse(table.terms, product=table.product) for table in market.tables}
    memberships = [
        CollectionMembership(
            collection=name, product=product, provider=records[product].provider,
            columns=records[product].columns, issued_at=_NEVER, environment="test",
        )
        for name, products in market.collections.items()
        for product in products
    ]  # fmt: skip
    return offered.catalogue(tuple(market.collections), records, terms, memberships)


def _record(table: Table) -> ProductRecord:
    return ProductRecord(
        product=table.product,
        provider=table.provider,
        version=1,
        lineage="",
        columns=tuple(ColumnRecord(name=field.name, type=field.type) for field in table.fields),
        snapshot="",
        terms={},
        terms_digest="",
        issued_at=_NEVER,
        environment="test",
    )


def _plain(part: LocalPart, connectors: Mapping[str, Connector]) -> inputs.PlainInput:
    try:
        return inputs.encode_part(part, run_part(part, connectors).to_batches(), CONTEXT)
    except LimitExceeded:
        return inputs.faulty_part(part)


def _array(column: ResultColumn, words: Words, none: npt.NDArray[np.bool_] | None) -> pa.Array:
    """Return a column of the released table, NULL where `none`."""
    if column.kind == "payload":
        found = decode_payload(words, column.type)
    else:
        kind = arrow_type(column.type)
        values = [Fraction(int(value), column.scale) for value in decode(words[:, 0])]
        found = pa.array([_value(value, column.type) for value in values], kind)
    if none is None:
        return found
    return pa.array(
        [None if hidden else value for hidden, value in zip(none, found.to_pylist(), strict=True)], found.type
    )


def _value(value: Fraction, kind: str) -> object:
    if kind.startswith("DECIMAL"):
        return Decimal(value.numerator) / Decimal(value.denominator)
    match kind:
        case "DOUBLE":
            return float(value)
        case "DATE":
            return date(1970, 1, 1) + timedelta(days=int(value))
        case "TIMESTAMP":
            return datetime(1970, 1, 1) + timedelta(microseconds=int(value))  # noqa: DTZ001
        case "BOOLEAN":
            return bool(value)
    return int(value)
