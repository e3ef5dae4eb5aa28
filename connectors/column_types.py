"""Names and types that a column may have, and how those of DuckDB and Arrow map to them."""

from __future__ import annotations

import re
from collections.abc import Sequence

import pyarrow as pa

from connectors.connector import Column
from records.errors import MalformedDocument, SourceUnreadable

MAX_COLUMNS = 2_000
MAX_NAME_CHARS = 63

_CLOSED_TYPES = {
    "BOOLEAN": "BOOLEAN",
    "TINYINT": "BIGINT",
    "SMALLINT": "BIGINT",
    "INTEGER": "BIGINT",
    "BIGINT": "BIGINT",
    "UTINYINT": "BIGINT",
    "USMALLINT": "BIGINT",
    "UINTEGER": "BIGINT",
    "FLOAT": "DOUBLE",
    "DOUBLE": "DOUBLE",
    "DATE": "DATE",
    "TIMESTAMP": "TIMESTAMP",
    "TIMESTAMP_S": "TIMESTAMP",
    "TIMESTAMP_MS": "TIMESTAMP",
    "TIMESTAMP_NS": "TIMESTAMP",
    "TIMESTAMP WITH TIME ZONE": "TIMESTAMP",
    "VARCHAR": "VARCHAR",
}
_ARROW_TYPES = {
    "BOOLEAN": pa.bool_(),
    "BIGINT": pa.int64(),
    "DOUBLE": pa.float64(),
    "DATE": pa.date32(),
    "TIMESTAMP": pa.timestamp("us"),
    "VARCHAR": pa.string(),
}
_DECIMAL = re.compile(r"DECIMAL\((\d+),(\d+)\)")
_FORBIDDEN_IN_NAME = set("\"'`;,\\")
_ASCII_UPPER = range(ord("A"), ord("Z") + 1)
_LOWER = {code: code + 32 for code in _ASCII_UPPER}


def folded(name: str) -> str:
    """Return `name` as DuckDB compares names: A to Z become small, every other letter stays what it is.

    Python's `lower` turns the Kelvin sign into k: two names would pass for one that the engine tells apart.
    """
    return name.translate(_LOWER)


def closed_type(engine_type: str) -> str | None:
    """Return the type of the closed list that holds every value of DuckDB's `engine_type`, or None."""
    if _DECIMAL.fullmatch(engine_type):
        return engine_type
    if engine_type.startswith("ENUM("):
        return "VARCHAR"
    return _CLOSED_TYPES.get(engine_type)


def result_type(engine_type: str) -> str | None:
    """Return the closed type of a result column; 128-bit sums become `DECIMAL(38,0)`."""
    return "DECIMAL(38,0)" if engine_type == "HUGEINT" else closed_type(engine_type)


def arrow_type(column_type: str) -> pa.DataType:
    """Return the Arrow type of a type of the closed list."""
    if decimal := _DECIMAL.fullmatch(column_type):
        return pa.decimal128(int(decimal[1]), int(decimal[2]))
    return _ARROW_TYPES[column_type]


def require_names(names: Sequence[object]) -> tuple[str, ...]:
    """Return `names` if each can name a column and no two differ in case alone.

    Raises:
        SourceUnreadable: a name that cannot be written in SQL and in terms without doubt. The name itself is
            not shown: in a file without a header the first row would stand in its place.
    """
    if not 1 <= len(names) <= MAX_COLUMNS:
        raise SourceUnreadable(f"the source has no columns, or more than {MAX_COLUMNS}; register another")
    checked = tuple(name for name in names if isinstance(name, str) and _is_name(name))
    if len(checked) != len(names):
        position = next(
            i for i, name in enumerate(names, 1) if not (isinstance(name, str) and _is_name(name))
        )
        raise SourceUnreadable(
            f"column {position} has no usable name; give it one with a letter first, at most {MAX_NAME_CHARS}"
            " printable signs, no quotes, commas, semicolons or backslashes, and no capitals outside A to Z"
        )
    if len({name.lower() for name in checked}) != len(checked):
        raise SourceUnreadable("two columns have one name (capitals do not count); rename one of them")
    return checked


def require_columns(names: Sequence[object], engine_types: Sequence[object]) -> tuple[Column, ...]:
    """Return the schema for DuckDB's names and types.

    Raises:
        SourceUnreadable: a name (see `require_names`) or a type outside the closed list.
    """
    columns = []
    for name, engine_type in zip(require_names(names), map(str, engine_types), strict=True):
        column_type = closed_type(engine_type)
        if column_type is None:
            raise SourceUnreadable(
                f"column `{name}` has the type {_head(engine_type)}, which is not offered; convert it to"
                " BOOLEAN, BIGINT, DOUBLE, DECIMAL(p,s), DATE, TIMESTAMP or VARCHAR, or leave it out"
            )
        columns.append(Column(name, column_type))
    return tuple(columns)


def require_result_schema(names: Sequence[str], engine_types: Sequence[object]) -> pa.Schema:
    """Return the Arrow schema of a result.

    Raises:
        MalformedDocument: a result column has a type outside the closed list.
    """
    fields = []
    for position, (name, engine_type) in enumerate(zip(names, map(str, engine_types), strict=True), 1):
        column_type = result_type(engine_type)
        if column_type is None:
            raise MalformedDocument(
                f"result column {position} has the type {_head(engine_type)}, which cannot leave; cast it"
            )
        fields.append(pa.field(name, arrow_type(column_type)))
    return pa.schema(fields)


def _is_name(name: str) -> bool:
    # DuckDB folds A to Z only, Python every script: a name on which they differ could not be matched.
    return (
        0 < len(name) <= MAX_NAME_CHARS
        and name.isprintable()
        and name == name.strip()
        and (name[0].isalpha() or name[0] == "_")
        and not _FORBIDDEN_IN_NAME.intersection(name)
        and folded(name) == name.lower()
    )


def _head(engine_type: str) -> str:
    """Return the name of a type without its parameters: those of an ENUM are data values."""
    return engine_type.partition("(")[0].strip('"')
