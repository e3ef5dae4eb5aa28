"""The plan of a query: what each provider computes, what is joined in shares, and what the result looks like.

    Plan
    ├── parts      SQL for each provider's own engine
    ├── keys       group keys (of a row query: its columns), `k0…` of every part
    ├── measures   partial aggregates, `m0…` of every part; summed over the parts in shares
    ├── supports   units with a value in each aggregated column, `c0…`: what the gate counts
    └── outputs    the result's columns, made from keys and measures by `finish`

Every node derives the plan again from text and catalogue and compares digests (R3); the text of the parts
is sqlglot's, so nodes with different releases of it disagree and the job does not run.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from connectors.column_types import arrow_type
from policies.columns import AGGREGATE, ColumnUse
from records import canonical
from records.canonical import Json
from records.errors import JobRefused, MalformedDocument, Reason
from sandbox.sql import pushdown
from sandbox.sql.catalogue import Catalogue, is_decimal
from sandbox.sql.keys import KeyColumn, key_width_bytes
from sandbox.sql.query import Aggregate, OrderKey, Query, analyse, column_uses
from sandbox.sql.refusal import refusal

Asked = Literal["auto", "local", "secret-sharing"]
Technique = Literal["local", "secret-sharing"]

MAX_GROUPS = 1_000_000
_ROW_COUNT = "u"
_JOINT_FUNCTIONS = frozenset({"count", "sum", "avg"})


@dataclass(frozen=True, slots=True)
class LocalPart:
    """What one provider's engine computes: `sql` over the table `table` of its connector."""

    provider: str
    product: str
    table: str
    sql: str


@dataclass(frozen=True, slots=True)
class Measure:
    """An aggregate `name` of the parts, over rows where `column` is None.

    The value is the integer or Arrow value divided by `scale`. `support` is the count of units behind it:
    `u` of the group, or the `c…` of the column.
    """

    name: str
    function: str
    column: str | None
    scale: int
    support: str


@dataclass(frozen=True, slots=True)
class Support:
    """The count `name` of units with a value in `column`."""

    name: str
    column: str


@dataclass(frozen=True, slots=True)
class Output:
    """A column of the result: one key or measure, or the quotient of two measures."""

    name: str
    type: str
    sources: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Plan:
    """A derived plan; equal texts over equal catalogues give equal plans.

    `max_groups` bounds the rows of each part. `column_uses` is what the terms must allow.
    """

    technique: Technique
    kind: Literal["aggregate", "rows"]
    products: tuple[str, ...]
    parts: tuple[LocalPart, ...]
    keys: tuple[KeyColumn, ...]
    measures: tuple[Measure, ...]
    supports: tuple[Support, ...]
    outputs: tuple[Output, ...]
    order: tuple[OrderKey, ...]
    limit: int | None
    max_groups: int
    column_uses: tuple[ColumnUse, ...]

    def to_json(self) -> dict[str, Json]:
        """Return the plan as a document without floats; scales, which may pass 2^53, are text."""
        return {
            "technique": self.technique,
            "kind": self.kind,
            "products": list(self.products),
            "parts": [
                {"provider": part.provider, "product": part.product, "table": part.table, "sql": part.sql}
                for part in self.parts
            ],
            "keys": [
                {"name": key.name, "type": key.type, "width_bytes": key.width_bytes} for key in self.keys
            ],
            "measures": [
                {
                    "name": measure.name,
                    "function": measure.function,
                    "column": measure.column,
                    "scale": str(measure.scale),
                    "support": measure.support,
                }
                for measure in self.measures
            ],
            "supports": [{"name": support.name, "column": support.column} for support in self.supports],
            "outputs": [
                {"name": output.name, "type": output.type, "sources": list(output.sources)}
                for output in self.outputs
            ],
            "order": [
                {"output": key.output, "descending": key.descending, "nulls_first": key.nulls_first}
                for key in self.order
            ],
            "limit": self.limit,
            "max_groups": self.max_groups,
            "column_uses": [{"column": use.column, "use": use.use} for use in self.column_uses],
        }

    @property
    def digest(self) -> str:
        """`sha256:…` over the canonical form."""
        return canonical.digest(self.to_json())


def plan(query_text: str, catalogue: Catalogue, *, technique: Asked, max_groups: int) -> Plan:
    """Derive the plan of `query_text`; each part returns at most `max_groups` rows.

    Raises:
        MalformedDocument: not SQL, types that do not fit, or arguments out of range.
        UnknownObject: a name that is not in the catalogue.
        LimitExceeded: the query is too large.
        JobRefused: something not supported, with a rewrite that would pass.
    """
    if technique not in get_args(Asked):
        raise MalformedDocument("a query is computed `local` or with `secret-sharing`; or ask for `auto`")
    if not 1 <= max_groups <= MAX_GROUPS:
        raise MalformedDocument(f"`max_groups` lies between 1 and {MAX_GROUPS}")
    query = analyse(query_text, catalogue)
    chosen = _technique(query, technique)
    reasons = _joint_reasons(query) if chosen == "secret-sharing" else ()
    if reasons:
        raise JobRefused(reasons)
    return (
        _row_plan(query, max_groups) if query.kind == "rows" else _aggregate_plan(query, chosen, max_groups)
    )


def cells(plan: Plan, rows: int, suppressed: int) -> int:
    """Return the number of visible cells, keys and values alike, of `rows` rows shown."""
    return rows * len(plan.outputs) - suppressed


def _technique(query: Query, asked: Asked) -> Technique:
    several = len(query.source.products) > 1
    chosen: Technique = "secret-sharing" if several else "local"
    if asked in ("auto", chosen):
        return chosen
    wanted = f"technique `{asked}` for {'a collection of several providers' if several else 'one product'}"
    remedy = f"ask for technique `auto` or `{chosen}`"
    raise JobRefused((refusal("technique", wanted, remedy, limit=f"`{chosen}`"),))


def _joint_reasons(query: Query) -> tuple[Reason, ...]:
    if query.kind == "rows":
        remedy = "select rows from one product, or aggregate over the collection"
        return (refusal("rows", "rows of a collection", remedy, limit="aggregates"),)
    types = dict(query.source.columns)
    reasons = [
        refusal(
            "aggregate",
            f"{item.function.upper()} over several providers",
            "query one product, or use COUNT, SUM or AVG",
            limit="not yet computed in shares",
        )
        for item in query.aggregates
        if item.function not in _JOINT_FUNCTIONS
    ]
    reasons += [
        refusal(
            "group",
            f"groups by the DOUBLE `{key}` over several providers",
            "group by a column of another type",
            limit="keys that are equal at every provider",
        )
        for key in query.keys
        if types[key] == "DOUBLE"
    ]
    return tuple(dict.fromkeys(reasons))


def _row_plan(query: Query, max_rows: int) -> Plan:
    facts = query.source.products[0]
    types = dict(query.source.columns)
    columns = tuple(dict.fromkeys(str(output.value) for output in query.outputs))
    sql = pushdown.row_part(query, facts, columns, max_rows)
    return Plan(
        technique="local",
        kind="rows",
        products=(facts.product,),
        parts=(LocalPart(facts.provider, facts.product, facts.table, sql),),
        keys=tuple(KeyColumn(name, types[name], 0) for name in columns),
        measures=(),
        supports=(),
        outputs=tuple(
            Output(output.name, types[str(output.value)], (f"k{columns.index(str(output.value))}",))
            for output in query.outputs
        ),
        order=query.order,
        limit=query.limit,
        max_groups=max_rows,
        column_uses=column_uses(query),
    )


def _aggregate_plan(query: Query, technique: Technique, max_groups: int) -> Plan:
    joint = technique == "secret-sharing"
    if not query.keys:
        max_groups = 1  # without GROUP BY there is one row at each provider
    types = dict(query.source.columns)
    computed = tuple(dict.fromkeys(part for item in query.aggregates for part in _terms(item, joint=joint)))
    names = {item: f"m{index}" for index, item in enumerate(computed)}
    columns = dict.fromkeys(item.column for item in computed if item.column is not None)
    supports = tuple(Support(f"c{index}", column) for index, column in enumerate(columns))
    support_of = {support.column: support.name for support in supports}
    scales = {item: _scale(item, types) if joint else 1 for item in computed}
    expressions = [
        (
            names[item],
            pushdown.fixed_point_sum(item.column)
            if item.column is not None and scales[item] == pushdown.FIXED_POINT_SCALE
            else pushdown.aggregate(item.function, item.column),
        )
        for item in computed
    ]
    parts = tuple(
        LocalPart(
            facts.provider,
            facts.product,
            facts.table,
            pushdown.aggregate_part(
                query, facts, expressions, [(each.name, each.column) for each in supports], max_groups
            ),
        )
        for facts in query.source.products
    )
    extra = [ColumnUse(str(item.column), AGGREGATE + item.function) for item in computed if item.column]
    return Plan(
        technique=technique,
        kind="aggregate",
        products=tuple(part.product for part in parts),
        parts=parts,
        keys=tuple(
            KeyColumn(key, types[key], key_width_bytes(types[key]) if joint else 0) for key in query.keys
        ),
        measures=tuple(
            Measure(
                names[item],
                item.function,
                item.column,
                scales[item],
                support_of.get(item.column, _ROW_COUNT) if item.column else _ROW_COUNT,
            )
            for item in computed
        ),
        supports=supports,
        outputs=tuple(
            Output(output.name, types[output.value], (f"k{query.keys.index(output.value)}",))
            if isinstance(output.value, str)
            else Output(
                output.name,
                _result_type(output.value, types),
                tuple(names[part] for part in _terms(output.value, joint=joint)),
            )
            for output in query.outputs
        ),
        order=query.order,
        limit=query.limit,
        max_groups=max_groups,
        column_uses=tuple(dict.fromkeys((*column_uses(query), *extra))),
    )


def _terms(item: Aggregate, *, joint: bool) -> tuple[Aggregate, ...]:
    """Return what is computed for an aggregate.

    Over several providers AVG is a quotient of released values, so the terms must grant both parts (R8).
    """
    if joint and item.function == "avg":
        return Aggregate("sum", item.column), Aggregate("count", item.column)
    return (item,)


def _scale(item: Aggregate, types: dict[str, str]) -> int:
    """Return what an integer in shares is divided by to give the value."""
    if item.function != "sum" or item.column is None:
        return 1
    column_type = types[item.column]
    if is_decimal(column_type):
        return int(10 ** arrow_type(column_type).scale)
    return pushdown.FIXED_POINT_SCALE if column_type == "DOUBLE" else 1


def _result_type(item: Aggregate, types: dict[str, str]) -> str:
    column_type = types[item.column] if item.column is not None else ""
    match item.function:
        case "count":
            return "BIGINT"
        case "sum" if is_decimal(column_type):
            return f"DECIMAL(38,{arrow_type(column_type).scale})"
        case "sum" | "min" | "max":
            return column_type
    return "DOUBLE"
