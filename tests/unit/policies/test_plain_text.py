from __future__ import annotations

import os
from contextlib import suppress
from datetime import UTC, date, datetime
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from policies.plain_text import MAX_TEXT_BYTES, read, show_path
from policies.terms import parse
from records import canonical
from records.errors import MalformedDocument

LAUGHS = "a: &a [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{name}: &{name} [{', '.join(['*' + previous] * 10)}]\n"
    for previous, name in zip("abcde", "bcdef", strict=True)
)


def refusal(source: Any) -> str:
    with pytest.raises(MalformedDocument) as caught:
        read(source)
    return str(caught.value)


def leaves(value: Any) -> int:
    return sum(map(leaves, value)) if isinstance(value, list) else 1


def test_billion_laughs_are_refused() -> None:
    assert leaves(yaml.safe_load(LAUGHS)["f"]) == 10**6  # control: the usual loader expands them
    assert "alias" in refusal(LAUGHS) or "anchor" in refusal(LAUGHS)
    assert "alias" in refusal("a: 1\nb: *a\n")


def test_merge_keys_are_refused_or_plain() -> None:
    text = "base: &b {deny: ['x']}\nbuyers: {<<: *b}\n"
    assert yaml.safe_load(text)["buyers"] == {"deny": ["x"]}  # control
    assert "anchor" in refusal(text)


def test_a_duplicate_key_is_refused_in_yaml_and_json() -> None:
    assert yaml.safe_load("buyers: 1\nbuyers: 2") == {"buyers": 2}  # control: the last one wins silently
    assert refusal("buyers: 1\nbuyers: 2") == "the field `buyers` stands twice"
    assert refusal('{"a": {"buyers": 1, "buyers": 2}}') == "the field `buyers` stands twice"


def test_tags_build_nothing() -> None:
    text = "product: !!python/object/apply:os.getcwd []"
    assert yaml.unsafe_load(text) == {"product": os.getcwd()}  # control: an unsafe loader runs the call
    assert "tag" in refusal(text)
    for tagged in ("a: !!set {b}", "a: !!binary aGk=", "a: !x 1", "a: !!str 1", "!!map {a: 1}"):
        assert "tag" in refusal(tagged)


def test_words_that_old_yaml_turns_into_booleans_stay_text() -> None:
    assert yaml.safe_load("regions: [NO]") == {"regions": [False]}  # control
    assert read("regions: [NO]\ndifferencing: off\nday: 2026-01-01\ntime: 1:30") == {
        "regions": ["NO"],
        "differencing": "off",
        "day": "2026-01-01",
        "time": "1:30",
    }


@pytest.mark.parametrize("number", ["0.1", "1.", ".5", "1e3", "-2.5E-3", ".inf", "-.INF", ".nan"])
def test_floats_are_refused_in_yaml(number: str) -> None:
    assert refusal(f"release: {{p_ratio: {number}}}") == (
        "`release.p_ratio`: a float has no exact form; write an integer, or a decimal in quotes"
    )


@pytest.mark.parametrize("number", ["0.1", "1e3", "NaN", "Infinity"])
def test_floats_are_refused_in_json(number: str) -> None:
    assert "`a[1]`: a float" in refusal(f'{{"a": [1, {number}]}}')


def test_huge_integers_are_refused_and_large_ones_kept() -> None:
    assert read(f"a: {2**53 - 1}\nb: -{2**53 - 1}") == {"a": 2**53 - 1, "b": 1 - 2**53}
    for digits in (str(2**53), "9" * 20, "9" * 21, "9" * 5000):
        assert "at most 2^53" in refusal(f"a: {digits}")
    assert "at most 2^53" in refusal(f'{{"a": {2**53}}}')
    assert "not JSON" in refusal('{"a": ' + "9" * 5000 + "}")
    assert "at most 2^53" in refusal({"a": 10**6000})


def test_depth_is_limited_in_every_form() -> None:
    assert "deeply" in refusal("a: " + "[" * 50_000)
    assert "not JSON" in refusal('{"a": ' + "[" * 100_000)
    assert "deeply" in refusal('{"a": ' + "[" * 20 + "]" * 20 + "}")
    endless: list[Any] = []
    endless.append(endless)
    assert "deeply" in refusal({"a": endless})
    assert read("a: [[[[1]]]]") == {"a": [[[[1]]]]}


def test_size_is_limited_by_bytes() -> None:
    assert "128 KiB" in refusal("a: " + "x" * MAX_TEXT_BYTES)
    assert "128 KiB" in refusal("a: " + "é" * (MAX_TEXT_BYTES // 2))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "- a\n- b",
        "just text",
        "a: 1\n---\nb: 2",
        "a: [",
        "\ta: 1",
        "{a: 1}",
        "a: \x00",
        "? [x]\n: 1",
        "1: x",
    ],
)
def test_what_is_no_single_mapping_is_refused(text: str) -> None:
    refusal(text)


def test_messages_do_not_quote_the_text() -> None:
    for text in ("a: [canary", "a: &canary 1", "a: !canary 1", '{"a": canary', "a: \x01canary", "a: 'canary"):
        assert "canary" not in refusal(text)


def test_control_characters_and_lone_surrogates_are_refused() -> None:
    assert "control character" in refusal({"a": "x\ny"})
    assert "control character" in refusal('{"a": "\\ud800"}')
    assert "control character" in refusal({"a\x1b[2J": 1})


def test_mappings_give_days_and_refuse_other_objects() -> None:
    assert read({"a": date(2026, 1, 1), "b": (1, 2)}) == {"a": "2026-01-01", "b": [1, 2]}
    for value in (datetime(2026, 1, 1, tzinfo=UTC), {1}, b"x", 0.5, object()):
        assert "`a`" in refusal({"a": value})
    assert "is text" in refusal({1: 2})


def test_paths_hide_what_is_no_plain_name() -> None:
    assert show_path(("columns", "dep delay", 3)) == "columns.?[3]"
    assert show_path(()) == "the document"


@given(st.text(max_size=200))
def test_any_text_is_parsed_or_refused(text: str) -> None:
    with suppress(MalformedDocument):
        parse(text)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53) + 1, 2**53 - 1) | st.text("abc é0.:#-", max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text("abc", max_size=3), inner, max_size=3)
    ),
    max_leaves=12,
)


@given(st.dictionaries(st.text("abcdef", min_size=1, max_size=4), VALUES, max_size=4))
def test_yaml_and_json_of_a_value_read_back_as_it(value: dict[str, Any]) -> None:
    assert read(canonical.encode(value).decode()) == value
    quoted = yaml.dump(value, Dumper=_QuotedDumper, allow_unicode=True)
    assert read(quoted) == value or quoted.lstrip().startswith("{")


class _QuotedDumper(yaml.SafeDumper):
    """Quotes all text and repeats instead of naming anchors."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


_QuotedDumper.add_representer(
    str, lambda dumper, text: dumper.represent_scalar("tag:yaml.org,2002:str", text, style='"')
)
