"""A market as an exchange on this machine: every query is a job, quoted, agreed, run, paid and opened."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pyarrow as pa

from sandbox.local import LocalCluster
from tests.integration.differential.harness import Answer
from tests.integration.differential.schemas import PURPOSE, Market

MAX_GROUPS = 200
FUNDS_MINOR = 10**12


@contextmanager
def cluster(market: Market) -> Iterator[Answer]:
    """Answer queries as a buyer gets them; the ledger and the log are checked when all are done."""
    providers: dict[str, dict[str, pa.Table]] = defaultdict(dict)
    terms: dict[str, dict[str, Any]] = defaultdict(dict)
    for table in market.tables:
        name = table.product.partition(".")[2]
        providers[table.provider][name] = table.rows
        terms[table.provider][name] = table.terms
    collections = {name: list(products) for name, products in market.collections.items()}
    with LocalCluster(providers=providers, terms=terms, collections=collections) as parties:
        buyer = parties.buyer("acme", funds={"CNY": FUNDS_MINOR})

        def answer(sql: str) -> pa.Table:
            result = buyer.sql(sql, purpose=PURPOSE, max_groups=MAX_GROUPS).run()
            assert result.suppressed == 0
            return result.to_arrow()

        yield answer
        assert parties.ledger.check().open_holds == 0
        parties.log.check()
