"""The uses that the queries of TPC-H make of their columns, and the terms that its benchmark gives them."""

from __future__ import annotations

import pytest

from benchmarks.tpch import queries
from benchmarks.tpch.terms import COLUMNS
from policies.columns import ColumnUse
from sandbox.sql.catalogue import Catalogue, ProductFacts, Source
from sandbox.sql.disclosure import column_uses
from sandbox.sql.names import resolve

WHOLE, MONEY, TEXT, DAY = "BIGINT", "DECIMAL(15,2)", "VARCHAR", "DATE"
KINDS = {
    WHOLE: "custkey orderkey partkey suppkey nationkey regionkey linenumber size availqty shippriority",
    MONEY: "acctbal totalprice quantity extendedprice discount tax retailprice supplycost",
    DAY: "orderdate shipdate commitdate receiptdate",
}
TABLES = {
    "shop.customer": "c_ custkey name address nationkey phone acctbal mktsegment comment",
    "shop.orders": "o_ orderkey custkey orderstatus totalprice orderdate orderpriority shippriority comment",
    "carrier.lineitem": "l_ orderkey partkey suppkey linenumber quantity extendedprice discount tax "
    "returnflag linestatus shipdate commitdate receiptdate shipinstruct shipmode comment",
    "supply.part": "p_ partkey name mfgr brand type size container retailprice comment",
    "supply.partsupp": "ps_ partkey suppkey availqty supplycost comment",
    "supply.supplier": "s_ suppkey name address nationkey phone acctbal comment",
    "supply.nation": "n_ nationkey name regionkey comment",
    "supply.region": "r_ regionkey name comment",
}
"""Product → the prefix of its columns, and their names without it (specification 3.0.1, clause 1.4)."""


def _facts(product: str) -> ProductFacts:
    prefix, *names = TABLES[product].split()
    kind_of = {name: kind for kind, words in KINDS.items() for name in words.split()}
    columns = tuple((prefix + name, kind_of.get(name, TEXT)) for name in names)
    return ProductFacts(product, product.partition(".")[0], columns, None)


CATALOGUE = Catalogue(tuple(Source(product, (_facts(product),)) for product in TABLES))


def uses_of(number: int) -> tuple[ColumnUse, ...]:
    return column_uses(resolve(queries.query(number, "0.01").text, CATALOGUE))


GOLDEN = {
    4: """
        l_commitdate filter compare join-payload
        l_orderkey join
        l_receiptdate filter compare join-payload
        o_orderdate filter compare join-payload
        o_orderkey join
        o_orderpriority group join-payload
        o_orderpriority output group join-payload
    """,
    6: """
        l_discount filter compare
        l_discount output aggregate:sum
        l_extendedprice output aggregate:sum
        l_quantity filter compare
        l_shipdate filter compare
    """,
    13: """
        c_custkey group
        c_custkey join
        o_comment filter compare
        o_custkey join
        o_orderkey group aggregate:count
        o_orderkey output aggregate:count group
    """,
    17: """
        l_extendedprice output aggregate:sum join-payload
        l_partkey join
        l_quantity filter aggregate:avg compare join-payload
        l_quantity filter compare join-payload
        p_brand filter compare join-payload
        p_container filter compare join-payload
        p_partkey join
        p_partkey join join
    """,
    22: """
        c_acctbal filter aggregate:avg compare
        c_acctbal filter compare
        c_acctbal output aggregate:sum
        c_custkey filter compare
        c_custkey join
        c_phone filter compare
        c_phone group
        c_phone output group
        o_custkey filter compare
        o_custkey join
    """,
}
"""Q4: a semi-join; Q6: one table; Q13: a left join; Q17: a correlated average; Q22: an anti-join.

Counted orders are all that Q13 tells of orders, and a matched `o_custkey` is all that decides them: under the
COUNT the key is joined on and not shown. In Q22 it is also filtered by, because it shows who has no order.
"""


@pytest.mark.parametrize("number", GOLDEN)
def test_query_of_tpch_makes_exactly_these_uses(number: int) -> None:
    found = [" ".join((use.column, use.use, *use.after)) for use in uses_of(number)]
    assert sorted(found) == sorted(line.strip() for line in GOLDEN[number].splitlines() if line.strip())


@pytest.mark.parametrize("number", queries.NUMBERS)
def test_query_of_tpch_uses_no_column_that_it_does_not_name(number: int) -> None:
    query = queries.query(number, "0.01")
    uses = uses_of(number)
    assert {use.product for use in uses} <= set(query.products)
    assert all(use.column in query.text for use in uses)
    assert all(use.column in COLUMNS[use.product] for use in uses)
    assert any(use.use == "output" for use in uses)
