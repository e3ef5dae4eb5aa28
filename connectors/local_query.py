"""One query over several tables of one provider, wherever each of them lies.

    one table              its own engine answers
    one engine holds all   that engine answers (tables of one PostgreSQL database or of one Spark cluster)
    otherwise, or where    the columns that the query names are read from each table into a locked DuckDB
    that engine cannot     in memory on the provider's machine, which answers

An engine cannot where the query has a construct that cannot be said to it with the same meaning: that is no
reason for a refusal here, so that a query runs on every source or on none. What `pushed_query` does not
list is refused for all.

In the last case a condition on one table goes along to its engine where that cannot change the answer: a
conjunct of the outermost WHERE, over inner joins alone, of a table that stands once in the query, that can
be said to the engine. What does not fit in memory is refused; nothing is written to disk.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import chain, islice

import pyarrow as pa
from sqlglot import exp

from connectors import locked_database, pushed_query
from connectors.column_types import folded
from connectors.connector import BATCH_ROWS, DEFAULT_TIMEOUT_S, Connector, JointEngine, collect
from connectors.locked_database import Limits, TimeLimit
from connectors.pushed_query import Relation
from records.errors import MalformedDocument, NotPermitted


def execute(
    sql: str,
    tables: Mapping[str, Connector],
    *,
    timeout_s: float = DEFAULT_TIMEOUT_S,
    limits: Limits | None = None,
) -> pa.Table:
    """Run one SELECT of DuckDB's dialect over `tables`, by name; see `Connector.execute`."""
    bounds = limits or Limits()
    batches = execute_batches(sql, tables, timeout_s=timeout_s, limits=bounds)
    return collect(batches, bounds.result_mib << 20)


def execute_batches(
    sql: str,
    tables: Mapping[str, Connector],
    *,
    timeout_s: float = DEFAULT_TIMEOUT_S,
    batch_rows: int = BATCH_ROWS,
    limits: Limits | None = None,
) -> Iterator[pa.RecordBatch]:
    """Run one SELECT of DuckDB's dialect over `tables`, by name; see `Connector.execute_batches`.

    Where rows are brought together, `limits` bounds the memory that they take.
    """
    if len({folded(name) for name in tables}) != len(tables):
        raise MalformedDocument("two tables have one name (capitals do not count); rename one of them")
    relations = {
        name: Relation(f"table_{position}", tuple(column.name for column in source.schema()))
        for position, (name, source) in enumerate(tables.items())
    }
    # What passes here and is refused by an engine cannot be said to it.
    tree = pushed_query.bind(sql, relations)
    together = _brought_together(
        tree, tables, relations, TimeLimit(timeout_s), batch_rows, limits or Limits()
    )
    engine = _joint_engine(list(tables.values()))
    try:
        if len(tables) == 1:
            [(name, source)] = tables.items()
            pushed = source.execute_batches(sql, name, timeout_s=timeout_s, batch_rows=batch_rows)
        elif engine is not None:
            pushed = engine.execute_batches(sql, tables, timeout_s=timeout_s, batch_rows=batch_rows)
        else:
            return together
    except NotPermitted:
        return together
    return _first_that_can(pushed, together)


def _first_that_can(
    pushed: Iterator[pa.RecordBatch], together: Iterator[pa.RecordBatch]
) -> Iterator[pa.RecordBatch]:
    """Give `pushed`; an engine that refuses in its own analysis does so before the first row."""
    try:
        begin = list(islice(pushed, 2))
    except NotPermitted:
        yield from together
        return
    yield from chain(begin, pushed)


def _joint_engine(sources: Sequence[Connector]) -> JointEngine | None:
    engines = [source.joint_engine() for source in sources]
    return engines[0] if engines and all(engine == engines[0] for engine in engines) else None


def _brought_together(
    tree: exp.Query,
    tables: Mapping[str, Connector],
    relations: Mapping[str, Relation],
    limit: TimeLimit,
    batch_rows: int,
    limits: Limits,
) -> Iterator[pa.RecordBatch]:
    with locked_database.open_database(limits) as connection:
        filters = single_table_filters(tree, list(relations.values()))
        used = {reference.name for reference in _references(tree)}
        for name, relation in relations.items():
            if relation.name in used:
                rows = _rows(tree, relation, name, tables[name], filters.get(relation.name, []), limit)
                locked_database.load(connection, relation.name, rows, limit)
        connection.execute("SET lock_configuration = true")
        text = pushed_query.to_text(tree, pushed_query.DIALECT)
        yield from locked_database.stream(connection, text, limit.left_s, batch_rows)


def _rows(
    tree: exp.Query,
    relation: Relation,
    name: str,
    source: Connector,
    filters: Sequence[exp.Expr],
    limit: TimeLimit,
) -> Iterator[pa.RecordBatch]:
    columns = [exp.column(column, quoted=True) for column in needed_columns(tree, relation)]
    everything = exp.select(*columns).from_(exp.to_identifier(name, quoted=True))
    if filters and not _can_say(source, name, everything.where(*filters), limit):
        filters = [each for each in filters if _can_say(source, name, everything.where(each), limit)]
    text = pushed_query.to_text(everything.where(*filters), pushed_query.DIALECT)
    return source.execute_batches(text, name, timeout_s=limit.left_s)


def _can_say(source: Connector, name: str, select: exp.Select, limit: TimeLimit) -> bool:
    """Say whether the engine of the source takes the query; it answers it without a row."""
    text = pushed_query.to_text(select.limit(0), pushed_query.DIALECT)
    try:
        with limit.step():
            for _ in source.execute_batches(text, name, timeout_s=limit.left_s):
                pass
    except NotPermitted:
        return False
    return True


def needed_columns(tree: exp.Query, relation: Relation) -> tuple[str, ...]:
    """Return the columns of `relation` that the query names: all that it reads, and at least one."""
    if any(not isinstance(star.parent, exp.Count) for star in tree.find_all(exp.Star)):
        return relation.columns
    named = {folded(column.name) for column in tree.find_all(exp.Column)}
    named |= {folded(each.name) for join in tree.find_all(exp.Join) for each in join.args.get("using") or ()}
    return tuple(name for name in relation.columns if folded(name) in named) or relation.columns[:1]


def single_table_filters(tree: exp.Query, relations: Sequence[Relation]) -> dict[str, list[exp.Expr]]:
    """Return, by relation, the conditions that may be applied to it before the query runs."""
    where = tree.args.get("where")
    if not isinstance(tree, exp.Select) or where is None or not _joins_are_inner(tree):
        return {}
    owners = _Owners(tree, relations)
    filters: dict[str, list[exp.Expr]] = {}
    for conjunct in where.this.flatten() if isinstance(where.this, exp.And) else [where.this]:
        owner = owners.of(conjunct)
        if owner is not None:
            filters.setdefault(owner, []).append(_unqualified(conjunct))
    return filters


class _Owners:
    """Whose columns a condition of the outermost SELECT reads."""

    def __init__(self, tree: exp.Select, relations: Sequence[Relation]) -> None:
        sources = _sources(tree)
        everywhere = [reference.name for reference in _references(tree)]
        self._by_alias = {
            folded(source.alias): source.name
            for source in sources
            if isinstance(source, exp.Table) and source.args.get("db") and everywhere.count(source.name) == 1
        }
        # Without a sub-query in FROM, a name without a table can mean the column of a relation alone.
        self._by_name: dict[str, list[str]] = {}
        if len(self._by_alias) == len(sources):
            for relation in relations:
                if relation.name in self._by_alias.values():
                    for column in relation.columns:
                        self._by_name.setdefault(folded(column), []).append(relation.name)

    def of(self, condition: exp.Expr) -> str | None:
        if condition.find(exp.Query, exp.AggFunc, exp.Window) is not None:
            return None
        owners = {self._owner(column) for column in condition.find_all(exp.Column)}
        return owners.pop() if len(owners) == 1 else None

    def _owner(self, column: exp.Column) -> str | None:
        if column.table:
            return self._by_alias.get(folded(column.table))
        candidates = self._by_name.get(folded(column.name), [])
        return candidates[0] if len(candidates) == 1 else None


def _references(tree: exp.Query) -> list[exp.Table]:
    return [table for table in tree.find_all(exp.Table) if table.args.get("db")]


def _sources(tree: exp.Select) -> list[exp.Expr]:
    head = tree.args.get("from_")
    return [*([head.this] if head else []), *(join.this for join in tree.args.get("joins") or ())]


def _joins_are_inner(tree: exp.Select) -> bool:
    joins = tree.args.get("joins") or ()
    nested = any(source.args.get("joins") for source in _sources(tree))
    return not nested and all(not join.side and join.kind in ("", "INNER", "CROSS") for join in joins)


def _unqualified(condition: exp.Expr) -> exp.Expr:
    copy = condition.copy()
    for column in copy.find_all(exp.Column):
        column.set("table", None)
    return copy
