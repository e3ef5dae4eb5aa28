"""The 22 queries of TPC-H (specification 3.0.1, clause 2.4) with the parameters of its validation runs.

The texts in `sql/` follow the specification, with the owner before each table. They differ from it in this:
the unnamed SUM of Q18 has a name; Q15 is written with WITH, the specification's own variant A (appendix B);
the limits of Q2, Q3, Q10, Q18 and Q21 ("return the first n rows") stand as LIMIT; Q13's columns are named
inside its sub-query.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from string import Template

import sqlglot
from sqlglot import exp

FOLDER = Path(__file__).parent / "sql"
NUMBERS = range(1, 23)
DIALECT = "duckdb"


@dataclass(frozen=True, slots=True)
class Query:
    """One query: its number, its text, and what the text says about the result and its sources.

    `products` are the tables it reads; `order` the output columns of its ORDER BY; `limit` its LIMIT.
    """

    number: int
    text: str
    products: tuple[str, ...]
    order: tuple[str, ...]
    limit: int | None

    @property
    def name(self) -> str:
        """`q01` … `q22`."""
        return f"q{self.number:02}"

    @property
    def unlimited(self) -> str:
        """The text without its LIMIT: what a tie at the last row is judged by."""
        tree = sqlglot.parse_one(self.text, dialect=DIALECT)
        tree.set("limit", None)
        return tree.sql(dialect=DIALECT)


def query(number: int, scale: str) -> Query:
    """Return query `number`; `scale` decides the fraction of Q11, which is 0.0001 / SF."""
    fraction = Decimal("0.0001") / Decimal(scale)
    template = Template((FOLDER / f"q{number:02}.sql").read_text())
    text = template.substitute(fraction=format(fraction.normalize(), "f")).strip()
    tree = sqlglot.parse_one(text, dialect=DIALECT)
    order, limit = tree.args.get("order"), tree.args.get("limit")
    return Query(
        number,
        text,
        tuple(sorted({f"{table.db}.{table.name}" for table in tree.find_all(exp.Table) if table.db})),
        tuple(key.this.name for key in order.expressions) if order else (),
        int(limit.expression.name) if limit else None,
    )
