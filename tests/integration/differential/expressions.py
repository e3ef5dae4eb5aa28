"""Random expressions over the columns in scope, each of a family of types, noting the constructs used."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from random import Random
from typing import Any, TypeVar

from sandbox.sql.catalogue import Family
from tests.integration.differential.schemas import Domain, Market

T = TypeVar("T")

_SIGNS = {"add": "+", "subtract": "-", "product": "*"}
_AGGREGATES = (
    *(
        "count(*)",
        "count(*)",
        "count",
        "count",
        "distinct",
        "distinct",
        "sum",
        "sum",
        "sum",
        "sum",
        "avg",
        "avg",
    ),
    *("min", "max", "min", "max", "var", "stddev", "median", "quantile", "filter"),
)
COMPARISONS = ("=", "<>", "<>", "<", "<=", ">", ">=")
PATTERNS = ("a%", "%b", "_", "%a%", "%", "", "a'b", "北%", "A_")
_SOME: Mapping[Family, Sequence[str]] = {
    "number": ("0", "3", "100", "2.5"),
    "text": ("'a'", "'b'", "''"),
    "date": ("DATE '1970-01-03'", "DATE '1972-09-28'"),
    "timestamp": ("TIMESTAMP '1970-01-02 00:00:00'",),
    "boolean": ("TRUE", "FALSE"),
}


@dataclass(frozen=True, slots=True)
class Item:
    """A column in scope, or an output: `sql` as written; `domain` where its values are known.

    `owner` is the alias that it comes from. Values of an `approximate` item may differ in the last bits.
    `most` rows share a value, where that is declared.
    """

    sql: str
    family: Family
    owner: str = ""
    domain: Domain | None = None
    approximate: bool = False
    most: int | None = None

    @property
    def name(self) -> str:
        """The column without its table."""
        return self.sql.rpartition(".")[2]


@dataclass(slots=True)
class Draft:
    """A query as it is written: its market, the source of its chance, and the constructs that it has."""

    market: Market
    random: Random
    constructs: set[str] = field(default_factory=set)
    aliases: int = 0

    def alias(self, prefix: str = "r") -> str:
        """Return a name that is not used yet."""
        self.aliases += 1
        return f"{prefix}{self.aliases}"

    def note(self, construct: str) -> None:
        """Count the query among those with `construct`."""
        self.constructs.add(construct)

    def pick(self, choices: Sequence[T]) -> T:
        """Return one of `choices`."""
        return self.random.choice(choices)

    def happens(self, share: float) -> bool:
        """Return True in `share` of cases."""
        return self.random.random() < share


def literal(value: Any) -> str:
    """Return a value in SQL."""
    match value:
        case None:
            return "NULL"
        case bool():
            return "TRUE" if value else "FALSE"
        case str():
            return "'" + value.replace("'", "''") + "'"
        case datetime():
            return f"TIMESTAMP '{value.isoformat(sep=' ')}'"
        case date():
            return f"DATE '{value.isoformat()}'"
    return format(Decimal(value), "f")


def known(draft: Draft, item: Item) -> str:
    """Return a literal that the item may well equal."""
    if item.domain is None:
        return draft.pick(_SOME[item.family])
    if item.family == "date" and draft.happens(0.2):
        draft.note("interval")
        unit = draft.pick(("DAY", "MONTH", "YEAR"))
        return f"{literal(draft.pick(item.domain.pool))} {draft.pick(('+', '-'))} INTERVAL 1 {unit}"
    return literal(draft.pick(item.domain.pool))


def of_family(items: Sequence[Item], *families: Family) -> list[Item]:
    """Return the items of these families."""
    return [item for item in items if item.family in families]


def number(draft: Draft, items: Sequence[Item], depth: int = 2) -> str:
    """Return an expression whose value is a number."""
    numbers = of_family(items, "number")
    if not numbers or draft.happens(0.1):
        return draft.pick(("1", "2", "0.5", "-3", "1.25", "7"))
    item = draft.pick(numbers)
    if depth <= 0 or draft.happens(0.35):
        return item.sql
    other = draft.pick(numbers)
    form = draft.pick(
        ("add", "add", "subtract", "times", "product", "half", "integer", "case", "coalesce", "function")
    )
    if form in ("add", "subtract", "product"):
        draft.note("arithmetic over providers" if other.owner != item.owner else "arithmetic")
        return f"({item.sql} {_SIGNS[form]} {other.sql})"
    match form:
        case "times":
            draft.note("arithmetic")
            return f"({number(draft, items, depth - 1)} * {draft.pick(('2', '0.5', '-1', '100'))})"
        case "half":
            draft.note("division")
            divisor = draft.pick(("2", "4", f"NULLIF({other.sql}, 0)"))
            return f"({item.sql} / {divisor})"
        case "integer":
            draft.note("arithmetic")
            return f"({item.sql} {draft.pick(('//', '%'))} {draft.pick(('2', '3', '10'))})"
        case "case":
            draft.note("case")
            condition, value = truth(draft, items, depth - 1), number(draft, items, depth - 1)
            default = draft.pick(("", f" ELSE {number(draft, items, depth - 1)}"))
            return f"CASE WHEN {condition} THEN {value}{default} END"
        case "coalesce":
            draft.note("coalesce")
            return f"COALESCE({item.sql}, {draft.pick((other.sql, '0', '-1.5'))})"
    return _number_function(draft, items, item)


def _number_function(draft: Draft, items: Sequence[Item], item: Item) -> str:
    draft.note("function")
    texts, moments = of_family(items, "text"), of_family(items, "date", "timestamp")
    forms = [f"ABS({item.sql})", f"GREATEST({item.sql}, 0)", f"NULLIF({item.sql}, 1)", f"-{item.sql}"]
    forms += [f"LENGTH({text.sql})" for text in texts[:1]]
    forms += [f"EXTRACT({draft.pick(('year', 'month', 'day'))} FROM {moment.sql})" for moment in moments[:1]]
    forms += [f"CAST({item.sql} AS {draft.pick(('BIGINT', 'DOUBLE', 'DECIMAL(18,1)'))})"]
    return draft.pick(forms)


def truth(draft: Draft, items: Sequence[Item], depth: int = 2) -> str:
    """Return a condition, TRUE, FALSE or NULL."""
    if depth > 0 and draft.happens(0.55):
        first = truth(draft, items, depth - 1)
        if draft.happens(0.25):
            draft.note("not")
            return f"NOT ({first})"
        connective = draft.pick(("AND", "OR", "OR"))
        draft.note(connective.lower())
        return f"({first} {connective} {truth(draft, items, depth - 1)})"
    return _atom(draft, items, draft.pick(items), depth)


def _atom(draft: Draft, items: Sequence[Item], item: Item, depth: int) -> str:
    negated = draft.pick(("", "", "NOT "))
    form = draft.random.random()
    if form < 0.12:
        draft.note("is null")
        return f"{item.sql} IS {negated}NULL"
    if item.family == "boolean":
        return draft.pick((item.sql, f"{negated}{item.sql}", f"{item.sql} IS {negated}TRUE"))
    if form < 0.25:
        draft.note("in list")
        terms = [known(draft, item) for _ in range(draft.random.randint(1, 4))]
        terms += ["NULL"] if draft.happens(0.1) else []
        return f"{item.sql} {negated}IN ({', '.join(terms)})"
    if form < 0.4 and item.family != "text":
        draft.note("between")
        return f"{item.sql} {negated}BETWEEN {_bounds(draft, item)}"
    if form < 0.6 and item.family == "text":
        draft.note("like")
        return f"{item.sql} {negated}LIKE {literal(draft.pick(PATTERNS))}"
    if form < 0.75 and item.family == "number":
        left, right = number(draft, items, depth - 1), number(draft, items, depth - 1)
        return f"{left} {draft.pick(COMPARISONS)} {right}"
    alike = [other for other in of_family(items, item.family) if other.sql != item.sql]
    if form < 0.9 and alike:
        other = draft.pick(alike)
        draft.note("comparison over providers" if other.owner != item.owner else "comparison")
        return f"{item.sql} {draft.pick((*COMPARISONS, 'IS DISTINCT FROM'))} {other.sql}"
    draft.note("comparison")
    return f"{item.sql} {draft.pick(COMPARISONS)} {known(draft, item)}"


def _bounds(draft: Draft, item: Item) -> str:
    if item.domain is None or draft.happens(0.2):  # the first may be above the second
        return f"{known(draft, item)} AND {known(draft, item)}"
    low, high = sorted(draft.pick(item.domain.pool) for _ in "ab")
    return f"{literal(low)} AND {literal(high)}"


def scalar(draft: Draft, items: Sequence[Item]) -> tuple[str, Family]:
    """Return an expression of any family that is no bare column, and its family."""
    item = draft.pick(items)
    match item.family:
        case "text":
            draft.note("function")
            forms = (
                f"UPPER({item.sql})",
                f"{item.sql} || '-'",
                f"COALESCE({item.sql}, '?')",
                f"LEFT({item.sql}, 1)",
                f"SUBSTRING({item.sql}, 2, 2)",
                f"REPLACE({item.sql}, 'a', 'xx')",
            )
            return draft.pick(forms), "text"
        case "date" | "timestamp":
            draft.note("function")
            return f"EXTRACT({draft.pick(('year', 'month', 'day'))} FROM {item.sql})", "number"
        case "boolean":
            return truth(draft, items, 1), "boolean"
    return number(draft, items, 2), "number"


def group_key(draft: Draft, items: Sequence[Item]) -> tuple[str, Family]:
    """Return an expression to group by whose values are exact."""
    draft.note("group by expression")
    item = draft.pick(items)
    forms: dict[Family, Callable[[], tuple[str, Family]]] = {
        "number": lambda: (f"{item.sql} {draft.pick(('// 2', '% 3', '+ 1', '> 2'))}", "number"),
        "text": lambda: (
            draft.pick((f"LEFT({item.sql}, 1)", f"UPPER({item.sql})", f"LENGTH({item.sql})")),
            "text",
        ),
        "date": lambda: (draft.pick((f"EXTRACT(day FROM {item.sql})", f"YEAR({item.sql})")), "number"),
        "timestamp": lambda: (f"CAST({item.sql} AS DATE)", "date"),
        "boolean": lambda: (f"COALESCE({item.sql}, FALSE)", "boolean"),
    }
    if draft.happens(0.2):
        draft.note("case")
        return f"CASE WHEN {truth(draft, items, 1)} THEN 'yes' ELSE 'no' END", "text"
    return forms[item.family]()


def aggregate(draft: Draft, items: Sequence[Item]) -> Item:
    """Return an aggregate over rows with these items."""
    word = draft.pick(_AGGREGATES)
    item, value = draft.pick(items), number(draft, items, 2)
    draft.note(
        {"distinct": "count distinct", "count(*)": "count", "filter": "aggregate filter"}.get(word, word)
    )
    match word:
        case "count(*)":
            return Item("COUNT(*)", "number")
        case "count":
            return Item(f"COUNT({item.sql})", "number")
        case "distinct":
            return Item(f"COUNT(DISTINCT {item.sql})", "number")
        case "sum":
            return Item(f"SUM({value})", "number", approximate="/" in value)
        case "avg":
            return Item(f"AVG({value})", "number", approximate=True)
        case "min" | "max":
            return Item(f"{word.upper()}({item.sql})", item.family)
        case "var" | "stddev":
            function = {"var": "VAR_SAMP", "stddev": "STDDEV"}[word]
            return Item(f"{function}({draft.pick(_numbers(items))})", "number", approximate=True)
        case "median":
            return Item(f"MEDIAN({draft.pick(_numbers(items))})", "number", approximate=True)
        case "quantile":
            fraction = draft.pick(("0.25", "0.5", "0.9"))
            return Item(f"PERCENTILE_DISC({fraction}) WITHIN GROUP (ORDER BY {item.sql})", item.family)
    function = draft.pick(("COUNT(*)", f"SUM({draft.pick(_numbers(items))})"))
    return Item(f"{function} FILTER (WHERE {truth(draft, items, 1)})", "number")


def _numbers(items: Sequence[Item]) -> list[str]:
    return [item.sql for item in of_family(items, "number")] or ["1"]
