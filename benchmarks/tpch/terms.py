"""Terms of use of the eight tables: each query's own output columns may become visible, and nothing else.

What is not listed of a table may not even be filtered by: a clerk, a retail price, a ship comment. Beside a
column stand the queries for which it has its grants. Public facts are those of the specification (3.0.1,
clauses 1.4 and 4.2.3), which a provider knows without looking at its rows; they hold from SF 0.01 on.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import TypeAlias

PURPOSE = "benchmark"
Document: TypeAlias = dict[str, object]
Grant: TypeAlias = Mapping[str, list[str]]

NO_UNIT: Document = {"none": "benchmark data"}
PROTECTED_UNITS: Mapping[str, str] = {"shop.customer": "c_custkey", "shop.orders": "o_custkey"}
"""With customers as the protected unit: the column that names the customer, by product."""
MIN_UNITS = 10

PLAIN: Grant = {"reveal": ["plain"]}
GROUPED: Grant = {"reveal": ["after-group-by"]}


def _only(*roles: str) -> Grant:
    return {"reveal": ["never"], "roles": list(roles)}


def _grouped(*roles: str) -> Grant:
    return {**GROUPED, "roles": ["group", *roles]}


def _within(*functions: str, roles: tuple[str, ...] = ()) -> Grant:
    return {"reveal": ["after-aggregate"], "functions": list(functions), "roles": list(roles)}


COLUMNS: Mapping[str, Mapping[str, Grant]] = {
    "shop.customer": {
        "c_custkey": _grouped("join", "filter"),  # Q3 Q5 Q7 Q8 Q10 Q13 Q18 Q22
        "c_name": GROUPED,  # Q10 Q18
        "c_address": GROUPED,  # Q10
        "c_nationkey": _only("join"),  # Q5 Q7 Q8 Q10
        "c_phone": _grouped("filter"),  # Q10 Q22: its first two digits
        "c_acctbal": {  # Q10 groups, Q22 sums
            "reveal": ["after-group-by", "after-aggregate"],
            "functions": ["count", "sum", "avg"],
            "roles": ["group", "filter"],
        },
        "c_mktsegment": _only("filter"),  # Q3
        "c_comment": GROUPED,  # Q10
    },
    "shop.orders": {
        "o_orderkey": {  # Q13 counts; Q18 groups; others join
            "reveal": ["after-group-by", "after-aggregate"],
            "functions": ["count"],
            "roles": ["group", "join"],
        },
        "o_custkey": _only("join", "filter"),  # Q3 Q5 Q7 Q8 Q10 Q13 Q18 Q22
        "o_orderstatus": _only("filter"),  # Q21
        "o_totalprice": GROUPED,  # Q18
        "o_orderdate": _grouped("filter", "order"),  # Q3 Q18; Q8 Q9: its year; Q4 Q5 Q10
        "o_orderpriority": _grouped("filter"),  # Q4 Q12
        "o_shippriority": GROUPED,  # Q3
        "o_comment": _only("filter"),  # Q13
    },
    "carrier.lineitem": {
        "l_orderkey": _grouped("join", "filter"),  # Q3; Q18 and Q21 within; others join
        "l_partkey": _only("join"),  # Q8 Q9 Q14 Q17 Q19 Q20
        "l_suppkey": _grouped("join", "filter"),  # Q15; Q21 compares; Q5 Q7 Q8 Q9 Q20
        "l_quantity": _within("count", "sum", "avg", roles=("filter", "join")),  # Q1 Q9 Q18; Q6 Q17 Q19 Q20
        "l_extendedprice": _within("count", "sum", "avg"),  # Q1 Q3 Q5 – Q10 Q14 Q15 Q17 Q19
        "l_discount": _within("count", "sum", "avg", roles=("filter", "order")),  # the same; Q6 filters
        "l_tax": _within("count", "sum"),  # Q1
        "l_returnflag": _grouped("filter"),  # Q1 Q10
        "l_linestatus": GROUPED,  # Q1
        "l_shipdate": _grouped("filter"),  # Q7: its year; Q1 Q3 Q6 Q12 Q14 Q15 Q20
        "l_commitdate": _only("filter"),  # Q4 Q12 Q21
        "l_receiptdate": _only("filter"),  # Q4 Q12 Q21
        "l_shipinstruct": _only("filter"),  # Q19
        "l_shipmode": _grouped("filter"),  # Q12 Q19
    },
    "supply.part": {
        "p_partkey": PLAIN,  # Q2
        "p_name": _only("filter"),  # Q9 Q20
        "p_mfgr": PLAIN,  # Q2
        "p_brand": _grouped("filter"),  # Q16 Q17 Q19
        "p_type": _grouped("filter"),  # Q16; Q2 Q8 Q14
        "p_size": _grouped("filter"),  # Q16; Q2 Q19
        "p_container": _only("filter"),  # Q17 Q19
    },
    "supply.partsupp": {
        "ps_partkey": _grouped("join"),  # Q11; Q2 Q9 Q16 Q20
        "ps_suppkey": _within("count", roles=("join", "filter")),  # Q16 counts; Q2 Q9 Q11 Q20
        "ps_availqty": _within("count", "sum", roles=("filter", "join")),  # Q11; Q20
        "ps_supplycost": _within("count", "sum", "min", roles=("filter",)),  # Q9 Q11; Q2
    },
    "supply.supplier": {
        "s_suppkey": {"reveal": ["after-join"], "roles": ["join", "filter"]},  # Q15; others join
        "s_name": PLAIN,  # Q2 Q15 Q20 Q21
        "s_address": PLAIN,  # Q2 Q15 Q20
        "s_nationkey": _only("join"),  # Q2 Q5 Q7 Q8 Q9 Q11 Q20 Q21
        "s_phone": PLAIN,  # Q2 Q15
        "s_acctbal": PLAIN,  # Q2
        "s_comment": PLAIN,  # Q2; Q16 filters
    },
    "supply.nation": {
        "n_nationkey": _only("join"),
        "n_name": PLAIN,  # Q2 Q5 Q7 – Q11 Q20 Q21
        "n_regionkey": _only("join"),
    },
    "supply.region": {"r_regionkey": _only("join"), "r_name": _only("filter")},  # Q2 Q5 Q8
}


def terms(product: str, scale: str, *, protect_customers: bool = False) -> Document:
    """Return the terms of `product` at scale factor `scale`, as its data officer would write them."""
    unit = PROTECTED_UNITS.get(product) if protect_customers else None
    # Copied word for word: a list that stood in two places would be written as a YAML anchor.
    columns = {
        name: {field: list(words) for field, words in grant.items()}
        for name, grant in COLUMNS[product].items()
    }
    return {
        "grade": "general",
        "unit": unit or dict(NO_UNIT),
        "purposes": [PURPOSE],
        "buyers": {"allow": ["*"]},
        "columns": columns,
        "release": {"min_units": MIN_UNITS, "max_rows": 100_000},
        "leaks": [],
        "price": {"currency": "CNY", "per_use": 100, "per_cell": 1, "per_compute_second": 1},
        "public": public_facts(product, Decimal(scale)),
    }


def public_facts(product: str, scale: Decimal) -> Document:
    """Return rows, keys, ranges and sizes of `product` at `scale`, from the specification."""
    customers, orders, parts, suppliers = (
        int(scale * count) for count in (150_000, 1_500_000, 200_000, 10_000)
    )
    nation = [0, 24]
    facts: Mapping[str, Document] = {
        "shop.customer": {
            "rows": customers,
            "keys": [["c_custkey"]],
            "ranges": {
                "c_custkey": [1, customers],
                "c_nationkey": nation,
                "c_acctbal": ["-999.99", "9999.99"],
            },
            "bytes": {"c_name": 25, "c_address": 40, "c_phone": 15, "c_mktsegment": 10, "c_comment": 117},
        },
        "shop.orders": {
            "rows": orders,
            "keys": [["o_orderkey"]],
            "ranges": {
                # Of each 32 numbers of orders the first 8 are used.
                "o_orderkey": [1, 4 * orders],
                "o_custkey": [1, customers],
                "o_totalprice": ["0.00", "999999.99"],
                "o_orderdate": ["1992-01-01", "1998-08-02"],
                "o_shippriority": [0, 0],
            },
            "bytes": {"o_orderstatus": 1, "o_orderpriority": 15, "o_comment": 79},
        },
        "carrier.lineitem": {
            # Four to an order on average; how many exactly is the generator's chance.
            "rows": int(scale * 6_100_000),
            "keys": [["l_orderkey", "l_linenumber"]],
            "most": {"l_orderkey": 7},
            "ranges": {
                "l_orderkey": [1, 4 * orders],
                "l_partkey": [1, parts],
                "l_suppkey": [1, suppliers],
                "l_quantity": ["1.00", "50.00"],
                "l_extendedprice": ["0.00", "104949.50"],  # 50 of a part at 2098.99
                "l_discount": ["0.00", "0.10"],
                "l_tax": ["0.00", "0.08"],
                "l_shipdate": ["1992-01-02", "1998-12-01"],
                "l_commitdate": ["1992-01-31", "1998-10-31"],
                "l_receiptdate": ["1992-01-03", "1998-12-31"],
            },
            "bytes": {"l_returnflag": 1, "l_linestatus": 1, "l_shipinstruct": 25, "l_shipmode": 10},
        },
        "supply.part": {
            "rows": parts,
            "keys": [["p_partkey"]],
            "ranges": {"p_partkey": [1, parts], "p_size": [1, 50]},
            "bytes": {"p_name": 55, "p_mfgr": 25, "p_brand": 10, "p_type": 25, "p_container": 10},
        },
        "supply.partsupp": {
            "rows": 4 * parts,
            "keys": [["ps_partkey", "ps_suppkey"]],
            "most": {"ps_partkey": 4},
            "ranges": {
                "ps_partkey": [1, parts],
                "ps_suppkey": [1, suppliers],
                "ps_availqty": [1, 9999],
                "ps_supplycost": ["1.00", "1000.00"],
            },
        },
        "supply.supplier": {
            "rows": suppliers,
            "keys": [["s_suppkey"]],
            "ranges": {
                "s_suppkey": [1, suppliers],
                "s_nationkey": nation,
                "s_acctbal": ["-999.99", "9999.99"],
            },
            "bytes": {"s_name": 25, "s_address": 40, "s_phone": 15, "s_comment": 101},
        },
        "supply.nation": {
            "rows": 25,
            "keys": [["n_nationkey"], ["n_name"]],
            "ranges": {"n_nationkey": nation, "n_regionkey": [0, 4]},
            "bytes": {"n_name": 25},
        },
        "supply.region": {
            "rows": 5,
            "keys": [["r_regionkey"], ["r_name"]],
            "ranges": {"r_regionkey": [0, 4]},
            "bytes": {"r_name": 25},
        },
    }
    return facts[product]
