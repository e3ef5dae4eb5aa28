"""What a query asks, resolved against the catalogue: the step between text and plan.

`analyse` calls, in order: `grammar.parse` (text → tree of allowed nodes), the catalogue (FROM), sqlglot's
`qualify` (columns, aliases, ordinals, `*`), `predicate.check` (WHERE). It reads no data (R12).
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from sqlglot import exp
from sqlglot.errors import OptimizeError
from sqlglot.optimizer.qualify import qualify

from policies.columns import ColumnUse
from records.errors import JobRefused, LimitExceeded, MalformedDocument, Reason, UnknownObject
from sandbox.sql import grammar, predicate
from sandbox.sql.catalogue import Catalogue, Source, family
from sandbox.sql.refusal import refusal

MAX_OUTPUTS = 100
MAX_LIMIT = 1_000_000
MAX_NAME_CHARS = 63

NUMERIC_FUNCTIONS = frozenset({"sum", "avg", "var", "stddev"})


@dataclass(frozen=True, slots=True)
class Aggregate:
    """A function over a column, or over rows where `column` is None: COUNT(*)."""

    function: str
    column: str | None


@dataclass(frozen=True, slots=True)
class OutputColumn:
    """A column of the result: the name of a source's column, or an aggregate."""

    name: str
    value: str | Aggregate


@dataclass(frozen=True, slots=True)
class OrderKey:
    """One key of ORDER BY: the index of an output; NULLs stand last unless the query says otherwise."""

    output: int
    descending: bool = False
    nulls_first: bool = False


@dataclass(frozen=True, slots=True)
class Query:
    """A resolved query. Columns have the names of the source; `filter` is a checked predicate or None."""

    source: Source
    filter: exp.Expr | None
    keys: tuple[str, ...]
    outputs: tuple[OutputColumn, ...]
    order: tuple[OrderKey, ...]
    limit: int | None

    @property
    def aggregates(self) -> tuple[Aggregate, ...]:
        """The distinct aggregates, in the order of the outputs."""
        values = (output.value for output in self.outputs)
        return tuple(dict.fromkeys(value for value in values if isinstance(value, Aggregate)))

    @property
    def kind(self) -> Literal["aggregate", "rows"]:
        """`rows` if single rows of a product are asked for."""
        return "aggregate" if self.keys or self.aggregates else "rows"


def column_uses(query: Query) -> tuple[ColumnUse, ...]:
    """Return each use of a column that terms must allow, without repeats.

    COUNT(*) is none. ORDER BY over groups is none either: it sorts released values (R8). Over rows it is,
    because with LIMIT it chooses which rows are released.
    """
    filtered = () if query.filter is None else tuple(query.filter.find_all(exp.Column))
    uses = [ColumnUse(column.name, "filter") for column in filtered]
    uses += [ColumnUse(column, "group") for column in query.keys]
    for output in query.outputs:
        match output.value:
            case Aggregate(function, str(column)):
                uses.append(ColumnUse(column, f"aggregate:{function}"))
            case str(column) if query.kind == "rows":
                uses.append(ColumnUse(column, "output"))
    if query.kind == "rows":
        values = (query.outputs[key.output].value for key in query.order)
        uses += [ColumnUse(value, "order") for value in values if isinstance(value, str)]
    return tuple(dict.fromkeys(uses))


def analyse(text: str, catalogue: Catalogue) -> Query:
    """Resolve the query `text` against `catalogue`.

    Raises:
        MalformedDocument: not SQL, or types that do not fit.
        UnknownObject: a product, collection or column that is not in the catalogue.
        LimitExceeded: too long, too deep, or more than 100 outputs.
        JobRefused: a construct that is not supported.
    """
    tree = grammar.parse(text)
    source = _source(tree, catalogue)
    names = _output_names(tree, source)
    select = _qualified(tree, source)
    types = {name.lower(): kind for name, kind in source.columns}
    columns = {name.lower(): name for name, _ in source.columns}
    keys = _keys(select, columns)
    where = select.args.get("where")
    outputs = tuple(
        OutputColumn(name, _value(item.unalias(), columns, types))
        for name, item in zip(names, select.expressions, strict=True)
    )
    query = Query(
        source=source,
        filter=None if where is None else _with_source_names(predicate.check(where.this, types), columns),
        keys=keys,
        outputs=outputs,
        order=_order(select, outputs, columns, types),
        limit=_limit(select),
    )
    _require_grouped(query)
    return query


def source_name(text: str) -> str:
    """Return the name of the product or collection that the query `text` stands on, in lower case.

    Raises: as `analyse`, but for names.
    """
    return _source_name(grammar.parse(text))


def _source(tree: exp.Select, catalogue: Catalogue) -> Source:
    return catalogue.find(_source_name(tree))


def _source_name(tree: exp.Select) -> str:
    origin = tree.args.get("from_")
    if origin is None or not isinstance(origin.this, exp.Table):
        raise _refused("from", "a SELECT without a table", "name one product or collection after FROM")
    table = origin.this
    return f"{table.db}.{table.name}".lower() if table.db else table.name.lower()


def _output_names(tree: exp.Select, source: Source) -> tuple[str, ...]:
    """Name the outputs, before qualification lowers their case: alias, column, or `function(column)`."""
    written = {name.lower(): name for name, _ in source.columns}
    names: list[str] = []
    for item in tree.expressions:
        inner = item.unalias()
        if isinstance(item, exp.Star) or (isinstance(item, exp.Column) and isinstance(item.this, exp.Star)):
            names += [name for name, _ in source.columns]
        elif isinstance(item, exp.Alias):
            names.append(item.alias)
        elif isinstance(inner, exp.Column):
            names.append(written.get(inner.name.lower(), ""))
        elif isinstance(inner, exp.Count) and isinstance(inner.this, exp.Star):
            names.append("count_star()")
        else:
            column = inner.this.name.lower() if isinstance(inner.this, exp.Column) else ""
            names.append(f"{grammar.AGGREGATES.get(type(inner), inner.key)}({written.get(column, '')})")
    if len(names) > MAX_OUTPUTS:
        raise LimitExceeded(f"the query has more than {MAX_OUTPUTS} outputs")
    if any(not name.isprintable() or len(name) > MAX_NAME_CHARS + len("stddev()") for name in names):
        raise MalformedDocument(f"an alias is longer than {MAX_NAME_CHARS} characters, or not printable")
    if len({name.lower() for name in names}) < len(names):
        raise _refused("output-name", "two outputs of one name", "give each output a name of its own with AS")
    return tuple(names)


def _qualified(tree: exp.Select, source: Source) -> exp.Select:
    """Resolve aliases, ordinals, `*` and column names; the table is called `source` inside."""
    table = tree.args["from_"].this
    known = {name.lower() for name, _ in source.columns}
    aliases = {item.alias.lower() for item in tree.expressions if isinstance(item, exp.Alias)}
    for column in tree.find_all(exp.Column):
        if not isinstance(column.this, exp.Star) and column.name.lower() not in known | aliases:
            close = difflib.get_close_matches(column.name.lower(), sorted(known), n=1)
            nearest = f"; the nearest is `{close[0]}`" if close else ""
            raise UnknownObject(f"the query names a column that `{source.name}` does not have{nearest}")
    table.replace(exp.table_("source", alias=table.alias or table.name))
    schema: dict[str, object] = {"source": dict(source.columns)}
    try:
        qualified = qualify(tree, schema=schema, dialect=grammar.DIALECT)
    except OptimizeError:
        raise MalformedDocument("a name or ordinal in the query cannot be resolved") from None
    if not isinstance(qualified, exp.Select) or not all(
        isinstance(item, exp.Alias) for item in qualified.expressions
    ):
        raise MalformedDocument("the outputs of the query cannot be resolved")
    return qualified


def _value(node: exp.Expr, columns: Mapping[str, str], types: Mapping[str, str]) -> str | Aggregate:
    """Return what an output shows.

    Raises:
        JobRefused: neither a column nor an aggregate of one.
        MalformedDocument: a function of numbers over another type.
    """
    if isinstance(node, exp.Column) and node.name in columns:
        return columns[node.name]
    function = grammar.AGGREGATES.get(type(node))
    if function is None:
        raise _refused(
            "expression", "an expression in SELECT", "select its columns, and compute on the released result"
        )
    if function == "count" and isinstance(node.this, exp.Star):
        return Aggregate(function, None)
    if not isinstance(node.this, exp.Column) or node.this.name not in columns:
        raise _refused("aggregate", f"{function.upper()} of an expression", "aggregate a plain column")
    if function in NUMERIC_FUNCTIONS and family(types[node.this.name]) != "number":
        raise MalformedDocument(f"`{columns[node.this.name]}` is no number; {function.upper()} needs one")
    return Aggregate(function, columns[node.this.name])


def _keys(select: exp.Select, columns: Mapping[str, str]) -> tuple[str, ...]:
    group = select.args.get("group")
    if group is None:
        return ()
    if not group.expressions or not all(
        isinstance(node, exp.Column) and node.name in columns for node in group.expressions
    ):
        raise _refused("group", "GROUP BY an expression", "group by plain columns")
    return tuple(dict.fromkeys(columns[node.name] for node in group.expressions))


def _require_grouped(query: Query) -> None:
    if query.kind == "rows":
        return
    shown = {output.value for output in query.outputs if isinstance(output.value, str)}
    if shown - set(query.keys):
        raise _refused("group", "a column beside aggregates", "add the column to GROUP BY, or aggregate it")
    if set(query.keys) - shown:
        raise _refused("group", "GROUP BY a column that SELECT lacks", "select every column of GROUP BY")


def _order(
    select: exp.Select,
    outputs: tuple[OutputColumn, ...],
    columns: Mapping[str, str],
    types: Mapping[str, str],
) -> tuple[OrderKey, ...]:
    """Return the keys of ORDER BY; each is an output, by alias, by ordinal, or written out again."""
    order = select.args.get("order")
    positions = {item.alias: index for index, item in enumerate(select.expressions)}
    keys = []
    for item in order.expressions if order is not None else ():
        node = item.this
        if isinstance(node, exp.Column) and not node.table and node.name in positions:
            index = positions[node.name]
        else:
            value = _value(node, columns, types)
            matches = [index for index, output in enumerate(outputs) if output.value == value]
            if not matches:
                raise _refused("order", "ORDER BY something that SELECT lacks", "add it to SELECT")
            index = matches[0]
        keys.append(OrderKey(index, bool(item.args.get("desc")), bool(item.args.get("nulls_first"))))
    return tuple(keys)


def _limit(select: exp.Select) -> int | None:
    limit = select.args.get("limit")
    if limit is None:
        return None
    number = limit.expression
    if not isinstance(number, exp.Literal) or number.is_string or not number.name.isdecimal():
        raise MalformedDocument("LIMIT takes a whole number")
    if len(number.name) > len(str(MAX_LIMIT)) or int(number.name) > MAX_LIMIT:
        raise LimitExceeded(f"LIMIT is at most {MAX_LIMIT}")
    return int(number.name)


def _with_source_names(condition: exp.Expr, columns: Mapping[str, str]) -> exp.Expr:
    def rename(node: exp.Expr) -> exp.Expr:
        return exp.column(columns[node.name], quoted=True) if isinstance(node, exp.Column) else node

    return condition.transform(rename)


def _refused(construct: str, wanted: str, remedy: str) -> JobRefused:
    reasons: tuple[Reason, ...] = (refusal(construct, wanted, remedy),)
    return JobRefused(reasons)
