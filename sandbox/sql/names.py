"""From text to a resolved tree: every name stands for one thing, and every construct has one form.

A resolved tree is a Select or Union in which
- tables are `exp.Table` with the name of a source of the catalogue in one identifier, and an alias; no WITH;
- every sub-query in FROM has an alias; every output of every SELECT is an `exp.Alias`, in small letters;
- columns are `alias.column`, in small letters; `*`, ordinals, USING, GROUP BY ALL and DISTINCT aliases are
  written out; ORDER BY of the outermost query names outputs (a column without an alias) or expressions;
- aggregates have no FILTER; a quantile is `exp.PercentileDisc(this=value, expression=fraction)`.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass

from sqlglot import exp
from sqlglot.errors import OptimizeError, SchemaError
from sqlglot.optimizer.qualify import qualify

from records.errors import LimitExceeded, MalformedDocument, UnknownObject
from sandbox.sql import grammar
from sandbox.sql.catalogue import Catalogue, Source
from sandbox.sql.refusal import refuse
from sandbox.sql.trees import branches

MAX_OUTPUTS = 100
MAX_LIMIT = 1_000_000
MAX_NAME_CHARS = 63
MAX_NODES = 20_000
"""A query may grow when WITH is written out, but not without bound."""


@dataclass(frozen=True, slots=True)
class Resolved:
    """A resolved tree with the names of the result's columns and the sources that it reads, by name."""

    tree: exp.Query
    outputs: tuple[str, ...]
    sources: tuple[Source, ...]


def resolve(text: str, catalogue: Catalogue) -> Resolved:
    """Resolve the query `text` against `catalogue`.

    Raises:
        MalformedDocument: not SQL, or a name that stands for several things.
        UnknownObject: a product, collection or column that is not in the catalogue.
        LimitExceeded: too long, too deep, or more than 100 outputs.
        JobRefused: a construct that is not supported.
    """
    tree = _without_with(grammar.parse(text))
    sources = _bind_tables(tree, catalogue)
    names = _output_names(tree, sources)
    _require_known_columns(tree, sources)
    schema: dict[str, object] = {
        source.name: {name.lower(): kind for name, kind in source.columns} for source in sources.values()
    }
    try:
        resolved = qualify(tree, schema=schema, dialect=grammar.DIALECT)
    except (OptimizeError, SchemaError):
        raise MalformedDocument(
            "a name or ordinal in the query cannot be resolved, or stands for several things;"
            " write `alias.column`"
        ) from None
    form = resolved.transform(_one_form)
    if not isinstance(form, exp.Query):
        raise MalformedDocument("a query is a SELECT, or SELECTs with UNION between them")
    for select in form.find_all(exp.Select):
        _write_out(select)
        _require_resolved(select)
    return Resolved(form, names, tuple(sources[name] for name in sorted(sources)))


def source_names(text: str) -> tuple[str, ...]:
    """Return the names of the products and collections that the query `text` reads, in small letters, sorted.

    Raises: as `grammar.parse`.
    """
    tree = _without_with(grammar.parse(text))
    return tuple(sorted({_source_name(table) for table in tree.find_all(exp.Table)}))


def _source_name(table: exp.Table) -> str:
    return f"{table.db}.{table.name}".lower() if table.db else table.name.lower()


def _without_with(tree: exp.Query) -> exp.Query:
    """Return the tree with every named sub-query in the place of its name."""
    for _ in range(MAX_NODES):
        head = tree.find(exp.With, bfs=False)
        if head is None:
            return tree
        scope, named = head.parent, head.expressions[0]
        if scope is None or named.args.get("scalar"):
            raise refuse("with", "WITH in this place", "write it at the head of a query")
        name = named.alias.lower()
        if any(_is_named(table, name) for table in named.this.find_all(exp.Table)):
            raise refuse("with", "a named sub-query that reads itself", "name its tables with their provider")
        later = [*head.expressions[1:], *(part for part in _parts(scope) if part is not head)]
        places = [table for part in later for table in part.find_all(exp.Table) if _is_named(table, name)]
        for table in places:
            table.replace(_subquery(named, table))
        if len(head.expressions) > 1:
            named.pop()
        else:
            scope.set("with_", None)
        if sum(1 for _ in tree.walk()) > MAX_NODES:
            raise LimitExceeded(
                "the query is too large when its WITH is written out; use fewer named sub-queries"
            )
    raise LimitExceeded("the query has too many named sub-queries")


def _parts(scope: exp.Expr) -> list[exp.Expr]:
    return list(scope.iter_expressions())


def _is_named(table: exp.Table, name: str) -> bool:
    return not table.db and table.name.lower() == name


def _subquery(named: exp.CTE, table: exp.Table) -> exp.Subquery:
    alias = table.args.get("alias") or exp.TableAlias(this=exp.to_identifier(table.name))
    columns = named.args["alias"].args.get("columns")
    if columns and not alias.args.get("columns"):
        alias.set("columns", [column.copy() for column in columns])
    return exp.Subquery(this=named.this.copy(), alias=alias)


def _bind_tables(tree: exp.Query, catalogue: Catalogue) -> dict[str, Source]:
    """Give every table the name of its source, in one identifier; return the sources by that name."""
    sources: dict[str, Source] = {}
    tables = list(tree.find_all(exp.Table))
    if not tables or any(select.args.get("from_") is None for select in tree.find_all(exp.Select)):
        raise refuse("from", "a SELECT without a table", "name a product or collection after FROM")
    for table in tables:
        if not isinstance(table.this, exp.Identifier):
            raise refuse("from", "a function after FROM", "name products and collections after FROM")
        source = catalogue.find(_source_name(table))
        sources[source.name] = source
        alias = table.args.get("alias") or exp.TableAlias(this=exp.to_identifier(table.name))
        table.replace(exp.Table(this=exp.to_identifier(source.name, quoted=True), alias=alias))
    for subquery in tree.find_all(exp.Subquery):
        if isinstance(subquery.parent, (exp.From, exp.Join)) and not subquery.alias:
            raise refuse("from", "a sub-query in FROM without a name", "write `(SELECT …) AS name`")
        _push_names(subquery)
    return sources


def _push_names(subquery: exp.Subquery) -> None:
    """Write the columns of `(SELECT …) AS name(column, …)` into the SELECT."""
    alias = subquery.args.get("alias")
    if alias is None or not alias.args.get("columns"):
        return
    columns = alias.args["columns"]
    inner = subquery.unnest()
    for select in [inner] if isinstance(inner, exp.Select) else list(inner.find_all(exp.Select))[:1]:
        if len(columns) != len(select.expressions) or select.is_star:
            raise MalformedDocument("a sub-query and the list of its columns differ in number")
        select.set(
            "expressions",
            [
                exp.alias_(item.unalias(), column.name, quoted=True)
                for item, column in zip(select.expressions, columns, strict=True)
            ],
        )
    alias.set("columns", None)


def _output_names(tree: exp.Query, sources: dict[str, Source]) -> tuple[str, ...]:
    """Name the outputs, before qualification lowers their case: alias, column, or `function(column)`."""
    written = {name.lower(): name for source in sources.values() for name, _ in source.columns}
    select = branches(tree)[0]
    names: list[str] = []
    for item in select.expressions:
        if isinstance(item, exp.Star) or (isinstance(item, exp.Column) and isinstance(item.this, exp.Star)):
            names += _star_names(select, item, sources)
        else:
            names.append(_output_name(item, written) or f"column{len(names) + 1}")
    if len(names) > MAX_OUTPUTS:
        raise LimitExceeded(f"the query has more than {MAX_OUTPUTS} outputs")
    if any(not name.isprintable() or len(name) > MAX_NAME_CHARS + len("quantile()") for name in names):
        raise MalformedDocument(f"an alias is longer than {MAX_NAME_CHARS} characters, or not printable")
    if len({name.lower() for name in names}) < len(names):
        raise refuse("output-name", "two outputs of one name", "give each output a name of its own with AS")
    return tuple(names)


def _output_name(item: exp.Expr, written: Mapping[str, str]) -> str | None:
    """Return the name of an output, None where its number is its name.

    `written` is how the sources spell their columns.
    """
    inner = item.unalias()
    if isinstance(item, exp.Alias):
        return item.alias
    if isinstance(inner, exp.Column):
        return written.get(inner.name.lower(), inner.name)
    if isinstance(inner, exp.Count) and isinstance(inner.this, exp.Star):
        return "count_star()"
    if type(inner) in grammar.AGGREGATES and isinstance(inner.this, exp.Column):
        column = inner.this.name.lower()
        return f"{grammar.AGGREGATES[type(inner)]}({written.get(column, column)})"
    return None


def _star_names(select: exp.Select, item: exp.Expr, sources: dict[str, Source]) -> list[str]:
    names: list[str] = []
    origin = select.args.get("from_")
    items = [] if origin is None else [origin.this, *(join.this for join in select.args.get("joins") or ())]
    if any(join.args.get("using") for join in select.args.get("joins") or ()):
        raise refuse("star", "`*` over a join with USING", "list the columns")
    wanted = item.table if isinstance(item, exp.Column) else ""
    for table in items:
        if wanted and table.alias_or_name.lower() != wanted.lower():
            continue
        if isinstance(table, exp.Table):
            names += [name for name, _ in sources[table.name].columns]
        else:
            names += _output_names(table.unnest(), sources)
    return names


def _require_known_columns(tree: exp.Query, sources: dict[str, Source]) -> None:
    known = {name.lower() for source in sources.values() for name, _ in source.columns}
    known |= {item.alias.lower() for item in tree.find_all(exp.Alias)}
    for column in tree.find_all(exp.Column):
        if not isinstance(column.this, exp.Star) and column.name.lower() not in known:
            close = difflib.get_close_matches(column.name.lower(), sorted(known), n=1)
            nearest = f"; the nearest is `{close[0]}`" if close else ""
            listed = ", ".join(f"`{name}`" for name in sorted(sources))
            raise UnknownObject(f"the query names a column that {listed} does not have{nearest}")


def _one_form(node: exp.Expr) -> exp.Expr:
    """Return the one form of a construct that has several."""
    match node:
        case exp.Filter(this=exp.Count(this=exp.Star()), expression=exp.Where(this=condition)):
            return exp.Count(this=_where(condition, exp.true()))
        case exp.Filter(this=exp.AggFunc() as aggregate, expression=exp.Where(this=condition)):
            if isinstance(aggregate.this, exp.Distinct):
                value = aggregate.this.expressions[0]
                aggregate.this.set("expressions", [_where(condition, value)])
            else:
                aggregate.set("this", _where(condition, aggregate.this))
            return aggregate
        case exp.StddevSamp():
            return exp.Stddev(this=node.this)
        case exp.Paren(this=(exp.Column() | exp.Literal() | exp.Paren() | exp.Placeholder()) as inner):
            return inner
    return node


def _where(condition: exp.Expr, value: exp.Expr) -> exp.Case:
    return exp.Case(ifs=[exp.If(this=condition.copy(), true=value.copy())])


def _write_out(select: exp.Select) -> None:
    """Write out GROUP BY ALL, and give every output a name of its own, in place."""
    group = select.args.get("group")
    if group is not None and group.args.get("all"):
        keys = [item.unalias().copy() for item in select.expressions if item.find(exp.AggFunc) is None]
        select.set("group", exp.Group(expressions=keys) if keys else None)
    taken: set[str] = set()
    for item in select.expressions:
        if item.alias in taken:  # the arm of a UNION may name a column twice
            item.set("alias", exp.to_identifier(f"{item.alias}_{len(taken)}", quoted=True))
        taken.add(item.alias)


def _require_resolved(select: exp.Select) -> None:
    """Return if a SELECT has the form that a resolved tree has; see the module.

    Raises:
        MalformedDocument: it has not.
        LimitExceeded: LIMIT or OFFSET above 1,000,000.
    """
    for name in ("limit", "offset"):
        whole_number(select.args.get(name))
    qualify = select.args.get("qualify")
    if qualify is not None and qualify.find(exp.Window) is None:
        raise MalformedDocument("QUALIFY is a condition on a window function; use HAVING or WHERE")
    for item in select.find_all(exp.Table, exp.Subquery):
        if isinstance(item.parent, (exp.From, exp.Join)) and not item.alias:
            raise MalformedDocument("a table of the query has no name")
    for column in select.find_all(exp.Column):
        if not column.table and column.find_ancestor(exp.Order, exp.Select) is select:
            raise MalformedDocument("a column of the query cannot be told from others; write `alias.column`")
    if not all(isinstance(item, exp.Alias) for item in select.expressions):
        raise MalformedDocument("the outputs of the query cannot be resolved")


def whole_number(node: exp.Expr | None) -> int | None:
    """Return the number of LIMIT or OFFSET; None where there is none.

    Raises:
        MalformedDocument: not a whole number.
        LimitExceeded: above 1,000,000.
    """
    if node is None:
        return None
    number = node.expression
    if not isinstance(number, exp.Literal) or number.is_string or not number.name.isdecimal():
        raise MalformedDocument("LIMIT and OFFSET take a whole number")
    if len(number.name) > len(str(MAX_LIMIT)) or int(number.name) > MAX_LIMIT:
        raise LimitExceeded(f"LIMIT and OFFSET are at most {MAX_LIMIT}")
    return int(number.name)
