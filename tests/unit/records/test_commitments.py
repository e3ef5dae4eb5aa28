"""Commitments bind a name and a value, and say nothing without their salt."""

from __future__ import annotations

import secrets

import pytest
from hypothesis import given
from hypothesis import strategies as st

from records import commitments
from records.canonical import Json
from records.commitments import Opening
from records.errors import EvidenceError

FIELDS: st.SearchStrategy[dict[str, Json]] = st.dictionaries(
    st.text("abc", min_size=1), st.integers(0, 3) | st.text("xy", max_size=2) | st.none(), max_size=4
)


@given(FIELDS)
def test_every_opened_field_matches_its_leaf(fields: dict[str, Json]) -> None:
    openings = commitments.open_fields(fields, secrets.token_bytes)
    leaf = commitments.leaf(openings)
    commitments.check(leaf, openings)
    for name in openings:
        commitments.check(leaf, {name: openings[name]})


def test_another_value_name_or_salt_does_not_open() -> None:
    openings = commitments.open_fields({"charge": 5, "cells": 5}, secrets.token_bytes)
    leaf = commitments.leaf(openings)
    salt = openings["charge"].salt
    for name, opening in (
        ("charge", Opening(salt, 6)),
        ("charge", Opening(salt, "5")),
        ("charge", Opening(openings["cells"].salt, 5)),
        ("cells", openings["charge"]),
        ("tax", openings["charge"]),
    ):
        with pytest.raises(EvidenceError, match=name):
            commitments.check(leaf, {name: opening})


@given(FIELDS)
def test_equal_fields_have_unequal_leaves(fields: dict[str, Json]) -> None:
    first = commitments.leaf(commitments.open_fields(fields, secrets.token_bytes))
    second = commitments.leaf(commitments.open_fields(fields, secrets.token_bytes))
    assert not set(first.values()) & set(second.values())


def test_without_a_salt_a_small_value_could_be_guessed() -> None:
    # The control: the same constant salt everywhere turns a leaf into an index of its values.
    constant = commitments.leaf(commitments.open_fields({"charge": 5}, bytes))
    guessed = [
        n for n in range(10) if commitments.commit("charge", Opening(bytes(16), n)) == constant["charge"]
    ]
    assert guessed == [5]
