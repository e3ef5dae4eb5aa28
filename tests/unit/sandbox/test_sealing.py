"""Sealed shares (R5): every node's key and the buyer's own are needed, each in its place."""

from __future__ import annotations

import base64
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from records import canonical
from records.errors import EvidenceError, UsufructError
from sandbox.hpke import SealingKey
from sandbox.sealing import SealContext, open_share, seal_share, share_commitment

BUYER, MALLORY = SealingKey.generate(), SealingKey.generate()
NODES = {name: SealingKey.generate() for name in ("alice", "bob", "notary")}
PUBLIC = {name: key.public for name, key in NODES.items()}
CONTEXT = SealContext("sha256:acceptance", 1, "sha256:plan", "alice", 0)
SHARE = b"one share of the result"
SEALED = seal_share(SHARE, BUYER.public, PUBLIC, CONTEXT)


@settings(deadline=None, max_examples=10)
@given(st.binary(max_size=2000), st.sets(st.sampled_from(sorted(NODES)), min_size=1))
def test_the_buyer_opens_with_all_keys(share: bytes, names: set[str]) -> None:
    sealed = seal_share(share, BUYER.public, {name: PUBLIC[name] for name in names}, CONTEXT)
    assert open_share(sealed, BUYER, {name: NODES[name] for name in names}, CONTEXT) == share


@pytest.mark.parametrize("missing", NODES)
def test_every_release_key_is_needed(missing: str) -> None:
    rest = {name: key for name, key in NODES.items() if name != missing}
    with pytest.raises(EvidenceError):
        open_share(SEALED, BUYER, rest, CONTEXT)
    with pytest.raises(EvidenceError):
        open_share(SEALED, BUYER, rest | {missing: MALLORY}, CONTEXT)


@pytest.mark.parametrize("missing", NODES)
def test_a_header_without_a_node_does_not_open_either(missing: str) -> None:
    # Dropping the name of the node whose key is missing leaves the wrong combination of secrets.
    size = int.from_bytes(SEALED[:4], "big")
    header = canonical.decode(SEALED[4 : 4 + size])
    assert isinstance(header, dict)
    rest = {name: key for name, key in NODES.items() if name != missing}
    cut = canonical.encode({name: value for name, value in header.items() if name != missing})
    with pytest.raises(EvidenceError):
        open_share(len(cut).to_bytes(4, "big") + cut + SEALED[4 + size :], BUYER, rest, CONTEXT)


def test_all_nodes_together_do_not_open_without_the_buyer() -> None:
    with pytest.raises(EvidenceError):
        open_share(SEALED, MALLORY, NODES, CONTEXT)


def test_two_keys_exchanged_do_not_open() -> None:
    exchanged = NODES | {"alice": NODES["bob"], "bob": NODES["alice"]}
    with pytest.raises(EvidenceError):
        open_share(SEALED, BUYER, exchanged, CONTEXT)


@pytest.mark.parametrize(
    "other",
    [
        replace(CONTEXT, acceptance_digest="sha256:other"),
        replace(CONTEXT, attempt=2),
        replace(CONTEXT, plan_digest="sha256:other"),
        replace(CONTEXT, node="bob"),
        replace(CONTEXT, index=1),
    ],
)
def test_a_share_opens_in_its_own_place_only(other: SealContext) -> None:
    with pytest.raises(EvidenceError):
        open_share(SEALED, BUYER, NODES, other)


@settings(deadline=None, max_examples=60)
@given(st.integers(0, len(SEALED) - 1), st.integers(1, 255))
def test_one_changed_byte_does_not_open(position: int, flip: int) -> None:
    changed = bytearray(SEALED)
    changed[position] ^= flip
    with pytest.raises(UsufructError):
        open_share(bytes(changed), BUYER, NODES, CONTEXT)


@settings(deadline=None, max_examples=30)
@given(st.integers(0, len(SEALED) - 1))
def test_a_cut_container_does_not_open(length: int) -> None:
    with pytest.raises(UsufructError):
        open_share(SEALED[:length], BUYER, NODES, CONTEXT)


@settings(deadline=None, max_examples=60)
@given(st.binary(max_size=64))
def test_garbage_is_refused_and_nothing_else(garbage: bytes) -> None:
    with pytest.raises(UsufructError):
        open_share(garbage, BUYER, NODES, CONTEXT)


@pytest.mark.parametrize("value", [5, "not base64!", "é", base64.b64encode(b"short").decode()])
def test_a_header_of_other_values_is_refused(value: int | str) -> None:
    header = canonical.encode(dict.fromkeys(NODES, value))
    with pytest.raises(UsufructError):
        open_share(len(header).to_bytes(4, "big") + header + bytes(40), BUYER, NODES, CONTEXT)


def test_a_container_of_another_node_does_not_pass_for_this_one() -> None:
    bobs = seal_share(SHARE, BUYER.public, PUBLIC, replace(CONTEXT, node="bob"))
    with pytest.raises(EvidenceError):
        open_share(bobs, BUYER, NODES, CONTEXT)


def test_commitments_of_two_holders_agree_and_others_do_not() -> None:
    salt = bytes(range(32))
    assert share_commitment(salt, SHARE) == share_commitment(salt, SHARE)
    assert share_commitment(salt, SHARE) != share_commitment(salt, SHARE + b"\0")
    assert share_commitment(salt, SHARE) != share_commitment(bytes(32), SHARE)
