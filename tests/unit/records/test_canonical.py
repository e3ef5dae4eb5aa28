"""One document, one encoding: what has no canonical form, or comes in another, is refused."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from records import canonical
from records.canonical import MAX_DEPTH, MAX_DOCUMENT_BYTES, Json
from records.errors import MalformedDocument

TEXT = st.text(st.characters(codec="utf-8"))
PLAIN: st.SearchStrategy[Json] = st.recursive(
    st.none() | st.booleans() | st.integers(1 - (1 << 53), (1 << 53) - 1) | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=20,
)


@given(PLAIN)
def test_what_is_encoded_decodes_to_itself(value: Json) -> None:
    assert canonical.decode(canonical.encode(value)) == value


@given(PLAIN, st.integers(1, 4))
def test_any_other_spelling_is_refused(value: Json, indent: int) -> None:
    other = json.dumps(value, indent=indent).encode()
    if other != canonical.encode(value):
        with pytest.raises(MalformedDocument):
            canonical.decode(other)


@given(PLAIN, PLAIN)
def test_digests_are_equal_only_for_equal_documents(first: Json, second: Json) -> None:
    same = canonical.encode(first) == canonical.encode(second)
    assert (canonical.digest(first) == canonical.digest(second)) == same


@pytest.mark.parametrize(
    "data",
    [
        b"1.5",
        b"1.0",
        b"1e3",
        b"-0",
        b"NaN",
        b"Infinity",
        b"-Infinity",
        b"9007199254740992",
        b'{"a":1,"a":1}',
        b'{"b":1,"a":2}',
        b'{"a": 1}',
        b'"\\u0041"',
        b'"\\ud800"',
        b"[1,]",
        b"01",
        b"\xef\xbb\xbf1",
        b"\xff",
        b"",
        b"1 ",
        b"tru",
        '{"a":1}'.encode("utf-16"),
    ],
)
def test_not_canonical_input_is_refused(data: bytes) -> None:
    with pytest.raises(MalformedDocument):
        canonical.decode(data)


@pytest.mark.parametrize(
    "value", [1.0, float("nan"), 1 << 53, -(1 << 53), b"bytes", {1: 2}, {"a": {3}}, [object()], "\ud800"]
)
def test_values_without_canonical_form_are_refused(value: Json) -> None:
    with pytest.raises(MalformedDocument):
        canonical.encode(value)


def test_nesting_is_bounded_on_both_ways() -> None:
    deepest = b"[" * MAX_DEPTH + b"]" * MAX_DEPTH
    assert canonical.encode(canonical.decode(deepest)) == deepest
    for depth in (MAX_DEPTH + 1, 100_000):
        with pytest.raises(MalformedDocument):
            canonical.decode(b"[" * (depth + 1) + b"]" * (depth + 1))


def test_size_is_bounded() -> None:
    whole = b'"' + b"a" * (MAX_DOCUMENT_BYTES - 2) + b'"'
    assert canonical.decode(whole)
    with pytest.raises(MalformedDocument):
        canonical.decode(whole[:-1] + b'a"')


def test_messages_hold_no_value() -> None:
    with pytest.raises(MalformedDocument) as refusal:
        canonical.decode(b'{"salary":123.5}')
    assert "salary" not in str(refusal.value)
    assert "123" not in str(refusal.value)
