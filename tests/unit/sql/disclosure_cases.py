# ruff: noqa: S608 - queries are what these cases are
"""Queries that match no tables, with all uses that each makes of columns: a case for each rule of the walk.

A use is written `table.column use words…`; tables are alice's people, alice's homes, bob's visits, and the
collection of flights that both have.
"""

from __future__ import annotations

from sandbox.sql.catalogue import Catalogue, ProductFacts, Source

TABLES = {
    "alice.people": {"Id": "BIGINT", "city": "VARCHAR", "age": "BIGINT", "pay": "BIGINT"},
    "alice.homes": {"owner": "BIGINT", "rooms": "BIGINT"},
    "bob.visits": {"person": "BIGINT", "kind": "VARCHAR", "cost": "BIGINT", "day": "DATE"},
    "alice.flights": {"flight": "BIGINT", "delay": "BIGINT"},
    "bob.flights": {"flight": "BIGINT", "delay": "BIGINT"},
}


def _facts(product: str) -> ProductFacts:
    return ProductFacts(product, product.partition(".")[0], tuple(TABLES[product].items()), None)


CATALOGUE = Catalogue(
    (
        *(Source(product, (_facts(product),)) for product in TABLES),
        Source("flights", (_facts("alice.flights"), _facts("bob.flights"))),
    )
)

P, V = "FROM alice.people p", "FROM bob.visits v"

ROW_CASES: dict[str, tuple[str, tuple[str, ...]]] = {
    # Outputs.
    "a column is shown": (f"SELECT age {P}", ("people.age output",)),
    "COUNT(*) reads no column": (f"SELECT COUNT(*) {P}", ()),
    "a literal reads no column": (f"SELECT 1 AS one {P}", ()),
    "arithmetic shows its operands": (
        f"SELECT age + 2 * pay AS x {P}",
        ("people.age output", "people.pay output"),
    ),
    "a function shows its argument": (f"SELECT UPPER(city) AS x {P}", ("people.city output",)),
    "concatenation shows its parts": (
        f"SELECT city || id AS x {P}",
        ("people.Id output", "people.city output"),
    ),
    "COALESCE shows its operands": (
        f"SELECT COALESCE(age, pay) AS x {P}",
        ("people.age output", "people.pay output"),
    ),
    "GREATEST shows its operands": (
        f"SELECT GREATEST(age, pay) AS x {P}",
        ("people.age output", "people.pay output"),
    ),
    "a cast shows its operand": (f"SELECT CAST(age AS VARCHAR) AS x {P}", ("people.age output",)),
    # Comparisons.
    "a comparison is shown": (f"SELECT age > 5 AS x {P}", ("people.age output compare",)),
    "BETWEEN is a comparison": (
        f"SELECT age BETWEEN 1 AND pay AS x {P}",
        ("people.age output compare", "people.pay output compare"),
    ),
    "LIKE is a comparison": (f"SELECT city LIKE 'a%' AS x {P}", ("people.city output compare",)),
    "IN a list is a comparison": (f"SELECT age IN (1, 2) AS x {P}", ("people.age output compare",)),
    "IS NULL is a comparison": (f"SELECT age IS NULL AS x {P}", ("people.age output compare",)),
    "IS DISTINCT FROM is a comparison": (
        f"SELECT age IS DISTINCT FROM 1 AS x {P}",
        ("people.age output compare",),
    ),
    "STARTS_WITH is a comparison": (
        f"SELECT STARTS_WITH(city, 'a') AS x {P}",
        ("people.city output compare",),
    ),
    "connectives keep comparisons": (
        f"SELECT NOT (age > 5 OR pay < 3) AS x {P}",
        ("people.age output compare", "people.pay output compare"),
    ),
    "a sum of comparisons is compared only": (
        f"SELECT CAST(age > 5 AS BIGINT) AS x {P}",
        ("people.age output compare",),
    ),
    # Conditions that choose.
    "CASE shows its condition": (
        f"SELECT CASE WHEN age > 5 THEN pay ELSE 0 END AS x {P}",
        ("people.age filter compare", "people.age output compare", "people.pay output"),
    ),
    "CASE with an operand compares": (
        f"SELECT CASE city WHEN 'a' THEN 1 END AS x {P}",
        ("people.city filter compare", "people.city output compare"),
    ),
    "IF is a CASE": (
        f"SELECT IF(age > 5, pay, 0) AS x {P}",
        ("people.age filter compare", "people.age output compare", "people.pay output"),
    ),
    "NULLIF filters by both operands": (
        f"SELECT NULLIF(age, pay) AS x {P}",
        (
            *("people.age filter compare", "people.age output", "people.age output compare"),
            *("people.pay filter compare", "people.pay output compare"),
        ),
    ),
    "a choice under SUM is a filter": (
        f"SELECT SUM(CASE WHEN age > 5 THEN pay ELSE 0 END) AS x {P}",
        ("people.age filter compare", "people.pay output aggregate:sum"),
    ),
    "a choice under MAX is shown": (
        f"SELECT MAX(CASE WHEN age > 5 THEN 2 ELSE 1 END) AS x {P}",
        ("people.age filter compare", "people.age output aggregate:max compare"),
    ),
    "a choice under DISTINCT is shown": (
        f"SELECT COUNT(DISTINCT CASE WHEN age > 5 THEN 2 ELSE 1 END) AS x {P}",
        ("people.age filter compare", "people.age output aggregate:count compare"),
    ),
    "FILTER is a filter under MAX": (
        f"SELECT MAX(pay) FILTER (WHERE age > 5) AS x {P}",
        ("people.age filter compare", "people.pay output aggregate:max"),
    ),
    "FILTER is a filter under DISTINCT": (
        f"SELECT COUNT(DISTINCT id) FILTER (WHERE age > 5) AS x {P}",
        ("people.age filter compare", "people.Id output aggregate:count"),
    ),
    "COALESCE makes a choice of a guard": (
        f"SELECT MAX(COALESCE(CASE WHEN age > 5 THEN 1 END, 0)) AS x {P}",
        ("people.age filter compare", "people.age output aggregate:max compare"),
    ),
    "a choice in a window is shown": (
        f"SELECT SUM(CASE WHEN age > 5 THEN 1 END) OVER () AS x {P}",
        ("people.age filter compare", "people.age output aggregate:sum compare"),
    ),
    # Filters.
    "WHERE filters": (
        f"SELECT COUNT(*) {P} WHERE age > 5 AND pay < 3",
        ("people.age filter compare", "people.pay filter compare"),
    ),
    "WHERE of a computed value filters by its operands": (
        f"SELECT COUNT(*) {P} WHERE age - pay > 5",
        ("people.age filter compare", "people.pay filter compare"),
    ),
    "HAVING filters by aggregates": (
        f"SELECT COUNT(*) {P} HAVING SUM(age) > 5",
        ("people.age filter aggregate:sum compare",),
    ),
    "QUALIFY filters by ranks": (
        f"SELECT city {P} QUALIFY RANK() OVER (ORDER BY age) = 1",
        ("people.age filter compare rank", "people.age order rank", "people.city output"),
    ),
    "a filter in a sub-query filters": (
        f"SELECT COUNT(*) FROM (SELECT pay {P} WHERE age > 5) AS q WHERE pay > 3",
        ("people.age filter compare", "people.pay filter compare"),
    ),
    # Groups.
    "GROUP BY groups, and its key is shown": (
        f"SELECT city, SUM(pay) {P} GROUP BY city",
        ("people.city group", "people.city output group", "people.pay output aggregate:sum"),
    ),
    "a key that is not shown groups": (
        f"SELECT SUM(pay) {P} GROUP BY city",
        ("people.city group", "people.pay output aggregate:sum"),
    ),
    "GROUP BY an expression": (
        f"SELECT age // 10 AS x {P} GROUP BY age // 10",
        ("people.age group", "people.age output group"),
    ),
    "a key inside an aggregate is a column": (
        f"SELECT city, MAX(city) AS m {P} GROUP BY city",
        ("people.city group", "people.city output aggregate:max", "people.city output group"),
    ),
    "a CASE as key shows its condition": (
        f"SELECT CASE WHEN age > 5 THEN 1 ELSE 2 END AS x {P} GROUP BY CASE WHEN age > 5 THEN 1 ELSE 2 END",
        ("people.age filter compare", "people.age group compare", "people.age output compare group"),
    ),
    "DISTINCT groups": (f"SELECT DISTINCT city {P}", ("people.city group", "people.city output group")),
    "DISTINCT in an aggregate does not group": (
        f"SELECT COUNT(DISTINCT city) {P}",
        ("people.city output aggregate:count",),
    ),
    "UNION groups": (
        f"SELECT age {P} UNION SELECT cost {V}",
        ("people.age group", "people.age output group", "visits.cost group", "visits.cost output group"),
    ),
    "UNION ALL does not group": (
        f"SELECT age {P} UNION ALL SELECT cost {V}",
        ("people.age output", "visits.cost output"),
    ),
    # Aggregates.
    **{
        f"{call} is {word}": (f"SELECT {call} AS x {P}", (f"people.age output aggregate:{word}",))
        for call, word in {
            "COUNT(age)": "count",
            "SUM(age)": "sum",
            "AVG(age)": "avg",
            "MIN(age)": "min",
            "MAX(age)": "max",
            "VAR_SAMP(age)": "var",
            "STDDEV(age)": "stddev",
            "MEDIAN(age)": "quantile",
            "PERCENTILE_DISC(0.9) WITHIN GROUP (ORDER BY age)": "quantile",
        }.items()
    },
    "an aggregate of aggregates has both": (
        f"SELECT MAX(s) AS x FROM (SELECT city, SUM(pay) AS s {P} GROUP BY city) AS q",
        ("people.city group", "people.pay output aggregate:max aggregate:sum"),
    ),
    "a ratio of aggregates has each": (
        f"SELECT SUM(pay) / COUNT(age) AS x {P}",
        ("people.age output aggregate:count", "people.pay output aggregate:sum"),
    ),
    # Windows and order.
    "a rank is shown": (
        f"SELECT ROW_NUMBER() OVER (PARTITION BY city ORDER BY age) AS x {P}",
        ("people.age order rank", "people.age output rank", "people.city group"),
    ),
    "a window over a partition": (
        f"SELECT SUM(pay) OVER (PARTITION BY city) AS x {P}",
        ("people.city group", "people.pay output aggregate:sum"),
    ),
    "a running count shows ranks": (
        f"SELECT COUNT(*) OVER (ORDER BY age) AS x {P}",
        ("people.age order rank", "people.age output rank"),
    ),
    "a frame of rows shows ranks": (
        f"SELECT SUM(pay) OVER (ORDER BY age ROWS BETWEEN 1 PRECEDING AND CURRENT ROW) AS x {P}",
        ("people.age order rank", "people.age output rank", "people.pay output aggregate:sum"),
    ),
    "a frame of distances shows more than ranks": (
        f"SELECT COUNT(*) OVER (ORDER BY age RANGE BETWEEN 1 PRECEDING AND CURRENT ROW) AS x {P}",
        ("people.age order", "people.age output"),
    ),
    "ORDER BY what is shown sorts released rows": (f"SELECT age {P} ORDER BY age", ("people.age output",)),
    "ORDER BY what is computed from outputs, too": (
        f"SELECT age AS x {P} ORDER BY x + 1",
        ("people.age output",),
    ),
    "ORDER BY what is not shown shows its rank": (
        f"SELECT city {P} ORDER BY age",
        ("people.age order", "people.age output rank", "people.city output"),
    ),
    "LIMIT chooses rows": (f"SELECT age {P} ORDER BY age LIMIT 3", ("people.age order", "people.age output")),
    "LIMIT chooses groups": (
        f"SELECT city, SUM(pay) AS s {P} GROUP BY city ORDER BY s LIMIT 3",
        (
            *("people.city group", "people.city output group"),
            *("people.pay order aggregate:sum", "people.pay output aggregate:sum"),
        ),
    ),
    "LIMIT without ORDER BY chooses by no column": (f"SELECT age {P} LIMIT 3", ("people.age output",)),
    "ORDER BY in a sub-query does nothing": (
        f"SELECT city FROM (SELECT city {P} ORDER BY age) AS q",
        ("people.city output",),
    ),
    "LIMIT in a sub-query chooses": (
        f"SELECT city FROM (SELECT city {P} ORDER BY age LIMIT 3) AS q",
        ("people.age order", "people.city output"),
    ),
    "LIMIT of a UNION chooses": (
        f"SELECT age AS x {P} UNION ALL SELECT cost {V} ORDER BY x LIMIT 3",
        ("people.age order", "people.age output", "visits.cost order", "visits.cost output"),
    ),
}
"""What is shown → query, and its uses."""
