"""What terms declare of a table is checked at its source before anything is registered."""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection

from connectors.connector import Connector
from connectors.sources import open_source
from policies.terms import Terms, parse
from records.document import Signed
from records.errors import MalformedDocument
from records.parties import ProductRecord
from sandbox.node import products
from sandbox.node.declared import require_declared
from tests.unit.sandbox import registered

NOON = datetime.fromisoformat("2026-01-31T12:00:00")
SALES = pa.table(
    {
        "Id": [1, 2, 3, 4],
        "shop": [1, 1, 2, None],
        "size": [1, 2, 1, 1],
        "price": pa.array([Decimal("0.50"), Decimal("2.25"), Decimal("9.99"), None]),
        "weight": [-1.5, 0.0, 2.5, None],
        "day": [date(2026, 1, 1), date(2026, 1, 2), date(2026, 1, 3), None],
        "seen": pa.array([NOON] * 4, pa.timestamp("us")),
        "name": ["four", "中文", "", None],
        "paid": [True, False, True, None],
    }
)


def terms(**public: Any) -> Terms:
    return parse({"product": "alice.sales", "public": public})


def refusal(source: Connector, **public: Any) -> str:
    with pytest.raises(MalformedDocument) as caught:
        require_declared(source, terms(**public))
    assert caught.value.__cause__ is None
    return str(caught.value)


@pytest.fixture(params=["table", "frame", "parquet", "csv"])
def sales(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    """The same rows in sources of several kinds."""
    match request.param:
        case "table":
            source: Any = SALES
        case "frame":
            source = SALES.to_pandas(types_mapper=pd.ArrowDtype)
        case "parquet":
            source = tmp_path / "sales.parquet"
            pq.write_table(SALES, source)
        case _:
            source = tmp_path / "sales.csv"
            source.write_text(SALES.to_pandas(types_mapper=pd.ArrowDtype).to_csv(index=False))
    opened = open_source(source)
    yield opened
    opened.close()


def test_what_holds_is_accepted(sales: Connector) -> None:
    require_declared(sales, terms())
    require_declared(
        sales,
        terms(
            rows=4,
            keys=[["ID"], ["ID", "Size"]],
            most={"SHOP": 2, "Size": 3},
            ranges={"ID": [1, 4], "weight": ["-1.5", "2.5"], "seen": ["2026-01-31T12:00:00"] * 2},
            bytes={"name": 6},
        ),
    )


HOLDS: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    ("rows", {"rows": 4}, {"rows": 3}),
    ("keys", {"keys": [["id"]]}, {"keys": [["size"]]}),
    ("keys", {"keys": [["id", "size"]]}, {"keys": [["id", "shop"]]}),
    ("keys", {"keys": [["id", "seen"]]}, {"keys": [["seen", "size"]]}),
    ("most", {"most": {"size": 3}}, {"most": {"size": 2}}),
    ("most", {"most": {"shop": 2}}, {"most": {"shop": 1}}),
    ("ranges", {"ranges": {"id": [1, 4]}}, {"ranges": {"id": [2, 4]}}),
    ("ranges", {"ranges": {"id": ["0.5", "4"]}}, {"ranges": {"id": ["1", "3.999"]}}),
    ("ranges", {"ranges": {"price": ["0.50", "9.99"]}}, {"ranges": {"price": ["0.51", "9.99"]}}),
    ("ranges", {"ranges": {"weight": ["-1.5", "2.5"]}}, {"ranges": {"weight": ["-1.5", "2.49"]}}),
    (
        "ranges",
        {"ranges": {"day": ["2026-01-01", "2026-01-03"]}},
        {"ranges": {"day": ["2026-01-01", "2026-01-02"]}},
    ),
    (
        "ranges",
        {"ranges": {"seen": ["2026-01-31T12:00:00", "2026-01-31T12:00:00"]}},
        {"ranges": {"seen": ["2026-01-31T12:00:00.000001", "2027-01-31T12:00:00"]}},
    ),
    ("bytes", {"bytes": {"name": 6}}, {"bytes": {"name": 5}}),
]


@pytest.mark.parametrize(("field", "true", "false"), HOLDS)
def test_a_declaration_is_accepted_up_to_its_limit_and_refused_beyond(
    field: str, true: dict[str, Any], false: dict[str, Any]
) -> None:
    source = open_source(SALES)
    require_declared(source, terms(**true))
    names = ", ".join(f"`{name}`" for name in terms(**false).public.columns)
    shown = f"`public.{field}`{f' of {names}' if names else ''}: the source does not keep this"
    assert refusal(source, **false).startswith(shown)


@pytest.mark.parametrize(
    ("public", "message"),
    [
        ({"ranges": {"name": [0, 1]}}, "`public.ranges` of `name`: bounds of this form do not fit"),
        ({"ranges": {"paid": [0, 1]}}, "do not fit a column of type BOOLEAN"),
        ({"ranges": {"day": [0, 1]}}, "do not fit a column of type DATE"),
        ({"ranges": {"seen": ["2026-01-31", "2026-02-01"]}}, "do not fit a column of type TIMESTAMP"),
        ({"ranges": {"price": ["2026-01-31", "2026-02-01"]}}, "do not fit a column of type DECIMAL"),
        ({"bytes": {"id": 8}}, "`public.bytes` of `id`: a column of type BIGINT holds no text"),
        ({"keys": [["nothing"]]}, "`public` names `nothing`, which the table does not have"),
    ],
)
def test_a_declaration_that_does_not_fit_the_type_is_refused(public: dict[str, Any], message: str) -> None:
    assert message in refusal(open_source(SALES), **public)


def test_a_number_that_is_none_lies_in_no_range() -> None:
    for odd in (float("nan"), float("inf"), float("-inf")):
        source = open_source(pa.table({"x": [1.0, odd]}))
        assert "`public.ranges` of `x`" in refusal(source, ranges={"x": [-(10**9), 10**9]})
    require_declared(open_source(pa.table({"x": [1.0, None]})), terms(ranges={"x": [0, 1]}))


def test_a_column_without_values_keeps_everything_but_a_key() -> None:
    source = open_source(
        pa.table({"x": pa.array([None, None], pa.int64()), "t": pa.array([None, None], pa.string())})
    )
    require_declared(source, terms(rows=2, most={"x": 1}, ranges={"x": [0, 0]}, bytes={"t": 1}))
    assert "`public.keys` of `x`" in refusal(source, keys=[["x"]])


@settings(max_examples=40, deadline=None)
@given(st.lists(st.text(st.characters(blacklist_categories=["Cs"], blacklist_characters="\0")), min_size=1))
def test_no_text_is_longer_than_what_was_accepted(texts: list[str]) -> None:
    """The bound is never too small, and exact where all characters are of one width."""
    source = open_source(pa.table({"t": texts}))
    longest = max(len(text.encode()) for text in texts)
    if longest > 1:
        assert "`public.bytes` of `t`" in refusal(source, bytes={"t": min(longest - 1, 255)})
    if all(" " <= sign <= "~" for text in texts for sign in text) and longest <= 255:
        require_declared(source, terms(bytes={"t": max(longest, 1)}))


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.sampled_from([None, 1, 2, 3]), st.sampled_from([None, "a", "b"])), min_size=1))
def test_keys_and_shares_agree_with_pandas(rows: list[tuple[int | None, str | None]]) -> None:
    frame = pd.DataFrame(rows, columns=["size", "groups"]).astype({"size": "Int64", "groups": "string"})
    source = open_source(pa.Table.from_pandas(frame, preserve_index=False))
    largest = int(frame["size"].value_counts().max()) if frame["size"].notna().any() else 0
    if largest > 1:
        assert "`public.most` of `size`" in refusal(source, most={"size": largest - 1})
    require_declared(source, terms(most={"size": max(largest, 1)}))
    if frame.notna().all(axis=None) and not frame.duplicated().any():
        require_declared(source, terms(keys=[["size", "groups"]]))
    else:
        assert "`public.keys` of `groups`, `size`" in refusal(source, keys=[["size", "groups"]])


def test_hostile_names_of_columns_reach_the_engine_quoted() -> None:
    names = ["a) OR (1=1", "declared", "x -- y", "select", "n.m", "größe"]
    source = open_source(pa.table({name: [1, 1] for name in names}))
    require_declared(source, terms(most=dict.fromkeys(names, 2), ranges={name: [1, 1] for name in names}))
    for name in names:
        assert "the source does not keep this" in refusal(source, most={name: 1})
        assert "the source does not keep this" in refusal(source, keys=[[name]])


def test_what_is_declared_of_one_column_is_not_checked_on_another_of_like_spelling() -> None:
    source = open_source(pa.table({"strasse": [1, 2], "straße": [1, 1]}))
    require_declared(source, terms(keys=[["STRASSE"]]))
    assert "`public.keys`" in refusal(source, keys=[["straße"]])
    assert not terms(keys=[["strasse"]]).public.is_unique(["straße"])
    alone = open_source(pa.table({"straße": [1, 1]}))
    assert "which the table does not have" in refusal(alone, most={"strasse": 2})


def test_no_value_or_count_of_the_source_is_said() -> None:
    source = open_source(pa.table({"x": [4711, 4711], "t": ["canary", "canary"]}))
    for public in (
        {"rows": 1},
        {"keys": [["x"]]},
        {"most": {"t": 1}},
        {"ranges": {"x": [0, 1]}},
        {"bytes": {"t": 1}},
    ):
        said = refusal(source, **public)
        assert "4711" not in said
        assert "canary" not in said
        assert not any(sign.isdigit() for sign in said)


def _register(connection: Connection, source: Connector, declared: Terms) -> Signed[ProductRecord]:
    signer = registered.identity("alice").signer
    return products.register(connection, source, declared, signer, registered.ENVIRONMENT, registered.NOW)


def test_a_key_that_is_none_is_refused_before_it_can_mislead_a_join(
    connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A join told that a side is unique would match one of two rows and leave the other out of every sum."""
    source, declared = open_source(SALES), terms(keys=[["size"]])
    # Control: without the check the product is registered, and everybody is told what is false.
    monkeypatch.setattr(products, "require_declared", lambda *_: None, raising=False)
    record = _register(connection, source, declared)
    assert parse(record.document.terms).public.is_unique(["size"])
    assert len(set(SALES["size"].to_pylist())) < SALES.num_rows
    # Defence.
    monkeypatch.undo()
    assert "`public.keys` of `size`" in refusal(source, keys=[["size"]])
