"""Queries over protected products: plan, engines, shares, gate and finish, from text to the buyer's table.

As nodes, compute parties and buyer do together, less their documents.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from connectors.sources import open_source
from policies import meet
from policies import terms as policy
from policies.columns import ColumnUse, check_use
from records.errors import JobRefused, LimitExceeded, Reason
from records.parties import CollectionMembership, ColumnRecord, ProductRecord
from sandbox import offered
from sandbox.buyer.opening import _joint
from sandbox.gate import costs, plain, shares
from sandbox.joint import inputs, sharing
from sandbox.sql import placeholders
from sandbox.sql.catalogue import Catalogue
from sandbox.sql.plan import Plan
from sandbox.sql.planner import plan
from tests.integration.differential.engine import run_part
from tests.unit.mpc import three_parties

CONTEXT = bytes(32)
TIMEOUT_S = 60.0
MAX_ROWS = 64
"""As many rows as a query may have, and as many as a provider may put in that declares none."""
_NEVER = "1970-01-01T00:00:00Z"


@dataclass(frozen=True, slots=True)
class Offer:
    """A product: its rows, and of its terms the unit, what is declared, and what is granted of columns."""

    rows: pa.Table
    unit: Any = "row"
    public: Mapping[str, Any] = field(default_factory=dict)
    columns: Mapping[str, Any] = field(default_factory=lambda: {"*": {"reveal": ["plain"]}})


@dataclass(frozen=True, slots=True)
class Answer:
    """A released table, and how many of its cells are suppressed."""

    table: pa.Table
    suppressed: int

    @property
    def rows(self) -> list[tuple[Any, ...]]:
        """Its rows in order."""
        return [tuple(row.values()) for row in self.table.to_pylist()]


@dataclass(frozen=True, slots=True)
class Shop:
    """Products by name, and collections of them."""

    products: Mapping[str, Offer]
    collections: Mapping[str, Sequence[str]] = field(default_factory=dict)
    min_units: int = 5

    @property
    def catalogue(self) -> Catalogue:
        """What the planner is told."""
        records = {name: _record(name, offer) for name, offer in self.products.items()}
        memberships = [
            CollectionMembership(
                collection=collection,
                product=name,
                provider=records[name].provider,
                columns=records[name].columns,
                issued_at=_NEVER,
                environment="test",
            )
            for collection, names in self.collections.items()
            for name in names
        ]
        return offered.catalogue(tuple(self.collections), records, self._terms(), memberships)

    def plan(self, sql: str, *, max_rows: int = MAX_ROWS) -> tuple[Plan, tuple[str, ...]]:
        """Return the plan of a query, with its literals in the SQL of the parts; and the literals."""
        text, literals = placeholders.extract(sql)
        made = plan(text, self.catalogue, technique="auto", max_rows=max_rows, values=literals)
        return made, literals

    def ask(self, sql: str, *, max_rows: int = MAX_ROWS) -> Answer | None:
        """Return the answer to a query; None where it is withheld.

        Raises:
            JobRefused, InputError, LimitExceeded: see `sandbox.sql.planner.plan`.
        """
        made, literals = self.plan(sql, max_rows=max_rows)
        terms = self._terms()
        refused = [each for use in made.column_uses for each in _refusal(terms, use)]
        if refused:
            raise JobRefused(tuple(refused))
        rules = meet.meet([terms[name] for name in made.products])
        opened = {name: open_source(self.products[name].rows) for name in made.products}
        try:
            tables = [run_part(part, opened) for part in made.parts]
        finally:
            for source in opened.values():
                source.close()
        if made.technique == "local":
            result = plain.gate(made, rules, tables[0], literals)
            return None if result is None else Answer(result.table, result.suppressed)
        return _opened(made, rules, tables, literals)

    def _terms(self) -> dict[str, policy.Terms]:
        return {
            name: policy.parse(self._document(offer), product=name) for name, offer in self.products.items()
        }

    def _document(self, offer: Offer) -> dict[str, Any]:
        return {
            "unit": offer.unit,
            "purposes": ["research"],
            "columns": dict(offer.columns),
            "release": {"min_units": self.min_units, "max_rows": 1000},
            "public": dict(offer.public),
        }


def _refusal(terms: Mapping[str, policy.Terms], use: ColumnUse) -> Sequence[Reason]:
    found = check_use(terms[use.product], use)
    return () if found is None else (found,)


def _opened(
    made: Plan, rules: meet.ReleaseRules, tables: Sequence[pa.Table], literals: Sequence[str]
) -> Answer | None:
    sent = []
    for part, rows in zip(made.parts, tables, strict=True):
        try:
            given = inputs.encode_part(part, rows.to_batches(), CONTEXT)
        except LimitExceeded:
            given = inputs.faulty_part(part)
        sent.append(sharing.share_input(part, given, secrets.token_bytes))
    session = three_parties.run(
        lambda party: shares.gate(party, made, rules, [each[party.index] for each in sent]),
        costs.manifest(costs.openings(made)),
        timeout_s=TIMEOUT_S,
    )
    held = [gated.shares for gated in session.results]
    if None in held:
        return None
    result = _joint(made, {index: pair[0] for index, pair in enumerate(held) if pair is not None}, literals)
    return Answer(result.table, result.suppressed)


def _record(name: str, offer: Offer) -> ProductRecord:
    source = open_source(offer.rows)
    columns = tuple(ColumnRecord(name=column.name, type=column.type) for column in source.schema())
    source.close()
    return ProductRecord(
        product=name,
        provider=name.partition(".")[0],
        version=1,
        lineage="",
        columns=columns,
        snapshot="",
        terms={},
        terms_digest="",
        issued_at=_NEVER,
        environment="test",
    )
