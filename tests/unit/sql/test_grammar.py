# ruff: noqa: S608 - queries are what these tests make
"""Deny by default: what the grammar does not list is refused by name, and everything has a limit."""

from __future__ import annotations

import inspect
from collections.abc import Callable

import pytest
from sqlglot import exp

from connectors.pushed_query import ALLOWED_NODES
from records.errors import JobRefused, LimitExceeded, MalformedDocument, UsufructError
from sandbox.sql import grammar

PLACE = exp.Column(this=exp.to_identifier("fee"))
KINDS: list[type[exp.Expr]] = sorted(
    {
        each
        for _, each in inspect.getmembers(exp, inspect.isclass)
        if issubclass(each, exp.Expr) and not inspect.isabstract(each)
    },
    key=lambda kind: kind.__name__,
)


def select(where: exp.Expr) -> exp.Select:
    return exp.select("fee").from_("flights").where(exp.Paren(this=where), copy=False)


def refusals(tree: exp.Expr) -> list[str]:
    """Return the clauses that refuse a tree; none if it is allowed."""
    try:
        grammar._require_allowed(tree)
    except JobRefused as refused:
        return [reason.clause for reason in refused.reasons]
    return []


def test_sqlglot_has_the_nodes_that_this_test_is_about() -> None:
    assert len(KINDS) > 800
    assert refusals(select(exp.EQ(this=PLACE.copy(), expression=exp.Literal.number(1)))) == []


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind not in grammar.ALLOWED])
def test_every_other_node_of_the_parser_is_refused(kind: type[exp.Expr]) -> None:
    assert len(refusals(select(kind()))) == 1


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind in grammar.ALLOWED])
def test_every_argument_of_the_parser_that_is_not_listed_is_refused(kind: type[exp.Expr]) -> None:
    for name in {"unheard_of", *kind.arg_types} - grammar.ALLOWED[kind]:
        node = kind()
        node.set(name, PLACE.copy())
        assert refusals(select(node)), name


def test_the_connector_lets_through_what_the_grammar_does() -> None:
    # A node that only one of both knows would be planned, accepted and paid for, and then fail.
    made_elsewhere = {exp.Placeholder}
    assert set(grammar.ALLOWED) - made_elsewhere <= set(ALLOWED_NODES)


@pytest.mark.parametrize(
    "name", ["BLOB", "HUGEINT", "JSON", "STRUCT(a INT)", "INT[]", "UUID", "MAP(INT, INT)"]
)
def test_a_cast_to_a_type_outside_the_list_is_refused(name: str) -> None:
    with pytest.raises((JobRefused, MalformedDocument)):
        grammar.parse(f"select cast(fee as {name}) as x from flights")


LIMITS: dict[str, tuple[Callable[[int], str], int]] = {
    "bytes": (lambda n: f"select fee from flights where carrier = '{'x' * n}'", grammar.MAX_QUERY_BYTES - 60),
    "bytes of other letters": (
        lambda n: f"select fee from flights where carrier = '{'ü' * n}'",
        grammar.MAX_QUERY_BYTES // 2 - 60,
    ),
    "parentheses": (
        lambda n: "select fee from flights where " + "(" * n + "fee = 1" + ")" * n,
        grammar.MAX_PARENTHESES,
    ),
    "prefixes": (
        lambda n: "select fee from flights where " + "not " * n + "cancelled",
        grammar.MAX_PREFIX_OPERATORS,
    ),
    "signs": (
        lambda n: "select fee from flights where fee = " + "- " * n + "1",
        grammar.MAX_PREFIX_OPERATORS,
    ),
    "a chain": (
        lambda n: "select fee from flights where " + " or ".join(["cancelled"] * n),
        grammar.MAX_TREE_DEPTH - 5,
    ),
    "a list": (
        lambda n: f"select fee from flights where fee in ({', '.join(['1'] * n)})",
        grammar.MAX_LIST_TERMS,
    ),
}


@pytest.mark.parametrize("name", LIMITS)
def test_a_query_within_a_limit_passes_and_one_far_beyond_is_refused(name: str) -> None:
    made, most = LIMITS[name]
    assert isinstance(grammar.parse(made(most)), exp.Select)
    with pytest.raises(LimitExceeded):
        grammar.parse(made(10 * most))


@pytest.mark.parametrize("name", ["parentheses", "prefixes", "signs", "a list"])
def test_one_more_than_the_limit_is_refused(name: str) -> None:
    made, most = LIMITS[name]
    with pytest.raises(LimitExceeded):
        grammar.parse(made(most + 1))


@pytest.mark.parametrize(
    "text",
    [
        "select fee from flights where " + "case when " * 3000,
        "select " * 5000,
        "select fee from " + "(select fee from " * 23 + "flights" + ")" * 23,
        "select fee from flights where fee = " + "(" * 20_000,
        "select fee " + "union select fee from flights " * 1500,
        "select " + "fee + " * 20_000 + "1 as x from flights",
    ],
    ids=["case", "select", "sub-queries", "open", "unions", "sum"],
)
def test_no_nesting_ends_in_a_recursion_error(text: str) -> None:
    try:
        grammar.parse(text)
    except UsufructError as error:
        assert error.__cause__ is None  # noqa: PT017 - it may also pass
