"""A node's own parts of a plan: several of a provider, with the literals that are sealed to it."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from records.errors import EvidenceError
from records.job import Job
from sandbox import parameters
from sandbox.derivation import derive
from sandbox.node.decisions import BoundParts, VerifiedJob, bound_parts
from tests.unit.sandbox.registered import identity, job, product
from tests.unit.sandbox.test_derivation import facts, offered

QUERY = "SELECT origin, COUNT(*) AS n FROM everyone WHERE origin <> $t1 GROUP BY origin HAVING COUNT(*) > $n2"
VALUES = ("somebody's secret", "7")
PROVIDERS = ("alice", "bob")


def sealed(values: tuple[str, ...], to: Mapping[str, str]) -> Job:
    """Return a job with `values` sealed to parties, each under the key of the party that it names."""
    of = job(products=[offered(name) for name in PROVIDERS], query=QUERY, collections=("everyone",)).document
    keys = {name: bytes.fromhex(str(identity(who).record.document.sealing_key)) for name, who in to.items()}
    return of.model_copy(update={"parameters": parameters.seal(values, keys, of.job_id)})


def bound(of: Job, node: str) -> BoundParts:
    known = facts([offered(name) for name in PROVIDERS])
    verified = VerifiedJob(of.sign(identity("acme", "buyer").signer), known, {}, ())
    own = identity(node, "notary") if node == "notary" else identity(node)
    return bound_parts(verified, derive(of, known), own)


def test_a_provider_fills_in_its_own_parts_and_no_others() -> None:
    of = sealed(VALUES, {name: name for name in PROVIDERS})
    plan = derive(of, facts([offered(name) for name in PROVIDERS])).plan
    for provider in PROVIDERS:
        found = bound(of, provider)
        assert found.literals == VALUES
        assert {plan.parts[number].provider for number in found.parts} == {provider}
        for number, part in found.parts.items():
            assert "'somebody''s secret'" in part.sql
            assert "$" not in part.sql
            assert "somebody" not in plan.parts[number].sql
            assert (part.tables, part.rows, part.columns) == (
                plan.parts[number].tables,
                plan.parts[number].rows,
                plan.parts[number].columns,
            )


def test_a_notary_has_neither_parts_nor_literals() -> None:
    assert bound(sealed(VALUES, {name: name for name in PROVIDERS}), "notary") == BoundParts({}, ())


def test_literals_are_not_shown() -> None:
    assert "secret" not in repr(bound(sealed(VALUES, {name: name for name in PROVIDERS}), "alice"))


def test_literals_sealed_to_another_key_do_not_open() -> None:
    with pytest.raises(EvidenceError):
        bound(sealed(VALUES, {"alice": "bob", "bob": "bob"}), "alice")


def test_a_query_without_literals_runs_as_it_is_agreed() -> None:
    of = job(products=[product("alice")], query="SELECT COUNT(*) AS n FROM alice.flights").document
    known = facts([product("alice")])
    verified = VerifiedJob(of.sign(identity("acme", "buyer").signer), known, {}, ())
    derived = derive(of, known)
    assert bound_parts(verified, derived, identity("alice")) == BoundParts({0: derived.plan.parts[0]}, ())
