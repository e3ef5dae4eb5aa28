"""Random markets: providers, tables with awkward data, and terms that permit all and declare what holds.

Columns draw their values from domains: columns of one domain can be matched with each other. The same seed
gives the same market. Doubles are multiples of 2^-10, so that sums of them are exact in floating and in fixed
point alike, and no comparison hangs on a rounding.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from itertools import product
from random import Random
from typing import Any

import pyarrow as pa

from connectors.column_types import arrow_type
from policies.vocabulary import LEAKS
from sandbox.sql.catalogue import family

PROVIDERS = ("alice", "bob", "carol")
PURPOSE = "research"
MAX_ROWS = 40
MAX_RESULT_ROWS = 5000
WORDS = ("", "a", "A", "ab", "a'b", "a%b", "a_b", "b", "ba", "ü", "北京", "zz top", "0", "NULL", "🜁")
KEY_NAMES = ("id", "code", "day", "ref", "Number")
VALUE_NAMES = (
    "x",
    "y",
    "Amount",
    "price",
    "kind",
    "seen",
    "flag",
    "unit price",
    "rank",
    "Größe",
    "note",
    "w",
)
"""Some need quotes, or are words of SQL."""


@dataclass(frozen=True, slots=True)
class Domain:
    """Values that columns of one `type` draw from, sorted; its columns are called `name`."""

    name: str
    type: str
    pool: tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Field:
    """A column of a table, of which the share `nulls` is missing."""

    name: str
    domain: Domain
    nulls: float = 0.0

    @property
    def type(self) -> str:
        """The type of its values."""
        return self.domain.type


@dataclass(frozen=True, slots=True)
class Table:
    """A product with its rows; no two agree in the columns of a key; `public` is what its terms declare."""

    product: str
    fields: tuple[Field, ...]
    rows: pa.Table
    keys: tuple[tuple[str, ...], ...]
    public: Mapping[str, Any]

    @property
    def provider(self) -> str:
        """Who has it."""
        return self.product.partition(".")[0]

    def most(self, column: str) -> int | None:
        """Return how many rows share a value of a column, if that is declared."""
        if [column] in self.public.get("keys", ()):
            return 1
        found: int | None = self.public["most"].get(column)
        return found

    @property
    def terms(self) -> dict[str, Any]:
        """Terms of use that permit everything: no subject is protected."""
        return {
            "product": self.product,
            "unit": {"none": "made-up data"},
            "purposes": [PURPOSE],
            "buyers": {"allow": ["*"]},
            "columns": {"*": {"reveal": ["plain"]}},
            "release": {"max_rows": MAX_RESULT_ROWS},
            "leaks": list(LEAKS),
            "public": dict(self.public),
        }


@dataclass(frozen=True, slots=True)
class Market:
    """Tables of several providers, and collections: name → products of one schema."""

    seed: int
    tables: tuple[Table, ...]
    collections: Mapping[str, tuple[str, ...]]

    def members(self, source: str) -> tuple[Table, ...]:
        """Return the tables behind a product or collection."""
        products = self.collections.get(source, (source,))
        return tuple(table for name in products for table in self.tables if table.product == name)

    @property
    def sources(self) -> tuple[str, ...]:
        """What may stand after FROM."""
        return (*(table.product for table in self.tables), *self.collections)

    def describe(self) -> str:
        """Return the market in words, for the report of a difference."""
        lines = [f"market of seed {self.seed}"]
        for table in self.tables:
            columns = ", ".join(f"{field.name} {field.type}" for field in table.fields)
            lines.append(
                f"{table.product} ({columns}): {table.rows.num_rows} rows, public {dict(table.public)}"
            )
            lines += [f"    {tuple(row.values())}" for row in table.rows.to_pylist()]
        lines += [f"{name}: {', '.join(products)}" for name, products in self.collections.items()]
        return "\n".join(lines)


def market(seed: int) -> Market:
    """Return the market of a seed: two or three providers, two to five tables, most often one collection."""
    random = Random(seed)  # noqa: S311 - data for tests
    providers = PROVIDERS[: random.choice((2, 3, 3))]
    keys = [
        _domain(random, name, random.choice(("BIGINT", "BIGINT", "VARCHAR", "DATE")))
        for name in KEY_NAMES[:3]
    ]
    keys.append(_domain(random, "Number", random.choice(("BIGINT", "DECIMAL(6,2)", "TIMESTAMP"))))
    collections: dict[str, tuple[str, ...]] = {}
    tables: list[Table] = []
    if random.random() < 0.75:
        fields = _fields(random, keys)
        unique = _unique(random, fields)
        owners = providers[: random.randint(2, len(providers))]
        collections["everyone"] = tuple(f"{owner}.part" for owner in owners)
        tables += [_table(random, f"{owner}.part", _shuffled(random, fields), unique) for owner in owners]
    for number in range(random.randint(2, max(2, 5 - len(tables)))):
        fields = _fields(random, keys)
        owner = providers[number % len(providers)]
        tables.append(_table(random, f"{owner}.t{number + 1}", fields, _unique(random, fields)))
    return Market(seed, tuple(tables), collections)


def _domain(random: Random, name: str, kind: str) -> Domain:
    size = random.choice((9, 16, 30) if name in KEY_NAMES else (2, 5, 9, 20))
    step = random.choice((1, 1, 3))
    start = random.choice((-4, 0, 1, 1000))
    numbers = [start + step * place for place in range(size)]
    match family(kind):
        case "text":
            pool: Sequence[Any] = sorted(random.sample(WORDS, min(size, len(WORDS))))
        case "date":
            pool = [date(1970, 1, 1) + timedelta(days=number) for number in numbers]
        case "timestamp":
            pool = [datetime(1970, 1, 1) + timedelta(hours=7 * n, microseconds=n) for n in numbers]  # noqa: DTZ001
        case "boolean":
            pool = [False, True]
        case _:
            pool = _numbers(random, kind, numbers)
    return Domain(name, kind, tuple(pool))


def _numbers(random: Random, kind: str, numbers: Sequence[int]) -> Sequence[Any]:
    if kind == "BIGINT":
        factor = random.choice((1, 1, 1, 100_000))
        return [number * factor for number in numbers]
    if kind == "DOUBLE":
        return sorted({random.randrange(-(1 << 20), 1 << 20) / 1024 for _ in numbers} | {float(numbers[0])})
    digits, _, scale = kind.removeprefix("DECIMAL(").removesuffix(")").partition(",")
    bound = 10 ** min(int(digits), 9) - 1
    return sorted(
        {Decimal(random.randint(-bound, bound)).scaleb(-int(scale)) for _ in numbers} | {Decimal(0)}
    )


def _fields(random: Random, keys: Sequence[Domain]) -> tuple[Field, ...]:
    """Return columns for keys, each with its domain's name, and for values."""
    shared = [
        Field(domain.name, domain, random.choice((0.0, 0.0, 0.2)))
        for domain in random.sample(keys, random.randint(1, len(keys)))
    ]
    if random.random() < 0.3:  # a second column of one domain, as flights have two airports
        shared.append(Field("other", shared[0].domain, 0.1))
    kinds = ["BIGINT", random.choice(("DECIMAL(9,2)", "DECIMAL(12,4)", "DECIMAL(5,0)"))]
    kinds += random.sample(
        ["DOUBLE", "DATE", "TIMESTAMP", "VARCHAR", "VARCHAR", "BOOLEAN"], random.randint(1, 4)
    )
    names = random.sample(VALUE_NAMES, len(kinds))
    values = [
        Field(
            name,
            _domain(random, name, kind),
            random.choice((0.0, 0.1, 0.3, 0.3, 1.0 if name == "w" else 0.1)),
        )
        for name, kind in zip(names, kinds, strict=True)
    ]
    return tuple(shared + values)


def _unique(random: Random, fields: Sequence[Field]) -> tuple[str, ...]:
    """Return the columns of the table's key; none for some tables."""
    shared = [field.name for field in fields if field.name in KEY_NAMES]
    size = random.choice((0, 1, 1, 1, 1, 1, 2))
    return tuple(shared[:size]) if size <= len(shared) else ()


def _shuffled(random: Random, fields: Sequence[Field]) -> tuple[Field, ...]:
    return tuple(random.sample(fields, len(fields)))


def _table(random: Random, name: str, fields: tuple[Field, ...], unique: tuple[str, ...]) -> Table:
    count = random.choice(
        (random.choice((0, 1)), random.randint(2, 9), *(random.randint(10, MAX_ROWS) for _ in range(12)))
    )
    columns: dict[str, list[Any]] = {}
    pools = [field.domain.pool for field in fields if field.name in unique]
    if unique:
        tuples = list(product(*pools))
        count = min(count, len(tuples))
        chosen = random.sample(tuples, count)
        named = [field.name for field in fields if field.name in unique]
        columns = {column: [row[place] for row in chosen] for place, column in enumerate(named)}
    for field in fields:
        if field.name not in unique:
            columns[field.name] = [_value(random, field) for _ in range(count)]
    schema = pa.schema([(field.name, arrow_type(field.type)) for field in fields])
    rows = pa.table(
        {field.name: pa.array(columns[field.name], schema.field(field.name).type) for field in fields}
    )
    keys = (unique,) if unique else ()
    return Table(name, fields, rows, keys, _public(random, fields, columns, count, keys))


def _value(random: Random, field: Field) -> Any:
    """Return a value of a skewed distribution: the first of the pool are the most frequent."""
    if random.random() < field.nulls:
        return None
    pool = field.domain.pool
    return pool[min(random.randrange(len(pool)), random.randrange(len(pool)))]


def _public(
    random: Random,
    fields: Sequence[Field],
    columns: Mapping[str, Sequence[Any]],
    count: int,
    keys: tuple[tuple[str, ...], ...],
) -> dict[str, Any]:
    """Declare nearly everything, at times more generously than need be."""
    public: dict[str, Any] = {"most": {}, "ranges": {}, "bytes": {}}
    if random.random() < 0.97:
        public["rows"] = max(1, count) + random.choice((0, 0, 1, 7))
    if random.random() < 0.95:
        public["keys"] = [list(key) for key in keys]
    for field in fields:
        values = [value for value in columns[field.name] if value is not None]
        if random.random() < (0.8 if field.domain.name in KEY_NAMES else 0.2):
            public["most"][field.name] = max(
                (values.count(value) for value in values), default=1
            ) + random.choice((0, 1))
        if random.random() < 0.95:
            _declare_bounds(public, field, random.choice((0, 0, 3)))
    return public


def _declare_bounds(public: dict[str, Any], field: Field, slack: int) -> None:
    least, greatest = field.domain.pool[0], field.domain.pool[-1]
    match family(field.type):
        case "text":
            public["bytes"][field.name] = max(1, *map(_bytes, field.domain.pool)) + slack
        case "number":
            public["ranges"][field.name] = [_bound(least - slack), _bound(greatest + slack)]
        case "date":
            bounds = least - timedelta(days=slack), greatest + timedelta(days=slack)
            public["ranges"][field.name] = [bound.isoformat() for bound in bounds]
        case "timestamp":
            bounds = least - timedelta(hours=slack), greatest + timedelta(hours=slack + 1)
            public["ranges"][field.name] = [bound.isoformat(timespec="seconds") for bound in bounds]
        case "boolean":
            pass


def _bytes(word: str) -> int:
    """Return what a registration counts for a text: each character as if it were the widest of them."""
    return len(word) * (1 if word.isascii() else 3 if max(word) < "\U00010000" else 4)


def _bound(value: float | Decimal) -> int | str:
    return value if isinstance(value, int) else format(Decimal(value), "f")
