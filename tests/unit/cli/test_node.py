from __future__ import annotations

import shutil
import stat
from pathlib import Path

import pytest
import yaml

from sandbox.cli import node_file
from sandbox.node.configuration import NodeConfiguration
from tests.unit.cli.running import asked, invoke, new_provider

KEY_ID = "ed25519:" + "ab" * 32
TERMS = """\
unit: row
purposes: [research]
buyers: {allow: ["*"]}
columns: {city: {reveal: [after-group-by]}}
"""


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return new_provider(tmp_path_factory.mktemp("parties") / "alice")


@pytest.fixture
def alice(drawn: Path, tmp_path: Path) -> Path:
    folder = tmp_path / "alice"
    shutil.copytree(drawn, folder)
    asked("node", "init", folder)
    (tmp_path / "people.csv").write_text("city,age\nBerlin,30\nWuhan,40\n")
    (tmp_path / "terms.yaml").write_text(TERMS)
    return folder


def test_the_first_file_is_empty_and_explains_itself(alice: Path) -> None:
    path = alice / node_file.NAME
    assert NodeConfiguration.read(path) == NodeConfiguration()
    assert path.read_text().startswith("# What this node trusts")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert asked("node", "init", alice, exit_code=1)["error"]["code"] == "state-conflict"


def test_a_pin_is_added_and_replaced_and_the_explanations_stay(alice: Path) -> None:
    asked("node", "pin", alice, "bob", KEY_ID)
    asked("node", "pin", alice, "carol", KEY_ID)
    other = KEY_ID.replace("ab", "cd")
    asked("node", "pin", alice, "bob", other)
    assert node_file.read(alice).pins == {"bob": other, "carol": KEY_ID}
    assert (alice / node_file.NAME).read_text().startswith(node_file.HEADER)


@pytest.mark.parametrize("key", ["", "ab", "ed25519:xyz", KEY_ID + "0", KEY_ID.upper()])
def test_a_key_id_has_one_form(alice: Path, key: str) -> None:
    assert invoke("node", "pin", alice, "bob", key).exit_code == 2
    assert node_file.read(alice).pins == {}


def test_a_table_is_registered_with_its_collections(alice: Path, tmp_path: Path) -> None:
    told = asked(
        "product",
        "register",
        alice,
        "people",
        tmp_path / "people.csv",
        tmp_path / "terms.yaml",
        "--collection",
        "everyone",
    )
    assert told["product"] == "alice.people"
    assert told["columns"] == {"city": "VARCHAR", "age": "BIGINT"}
    offer = node_file.read(alice).products["people"]
    assert offer.collections == ("everyone",)
    assert offer.source_within(alice) == tmp_path / "people.csv"


def test_files_within_the_folder_move_with_it(alice: Path, tmp_path: Path) -> None:
    for name in ("people.csv", "terms.yaml"):
        shutil.copy(tmp_path / name, alice / name)
    asked("product", "register", alice, "people", alice / "people.csv", alice / "terms.yaml")
    offer = node_file.read(alice).products["people"]
    assert (offer.source, offer.terms) == ("people.csv", "terms.yaml")


@pytest.mark.parametrize(
    ("source", "terms", "code"),
    [
        ("city,age\n", TERMS, "source-unreadable"),
        ("city,age\nBerlin\nWuhan,40,1\n", TERMS, "source-unreadable"),
        ("town,age\nBerlin,30\n", TERMS, "document-malformed"),
        ("city,age\nBerlin,30\n", TERMS + "purpose: [fun]\n", "document-malformed"),
        ("city,age\nBerlin,30\n", "product: bob.people\n" + TERMS, "document-malformed"),
        ("city,age\nBerlin,30\n", "{", "document-malformed"),
    ],
)
def test_what_cannot_be_offered_is_not_written(
    alice: Path, tmp_path: Path, source: str, terms: str, code: str
) -> None:
    (tmp_path / "people.csv").write_text(source)
    (tmp_path / "terms.yaml").write_text(terms)
    before = (alice / node_file.NAME).read_bytes()
    arguments = ("product", "register", alice, "people", tmp_path / "people.csv", tmp_path / "terms.yaml")
    failed = asked(*arguments, exit_code=1)["error"]
    assert failed["code"] == code
    assert "Berlin" not in failed["message"]
    assert (alice / node_file.NAME).read_bytes() == before


def test_a_bad_name_or_a_missing_file_is_refused(alice: Path, tmp_path: Path) -> None:
    files = (tmp_path / "people.csv", tmp_path / "terms.yaml")
    assert invoke("product", "register", alice, "Peo ple", *files).exit_code == 1
    assert invoke("product", "register", alice, "people", *files, "--collection", "No!").exit_code == 1
    assert invoke("product", "register", alice, "people", tmp_path / "none.csv", files[1]).exit_code == 1
    assert invoke("product", "register", alice, "people", files[0], tmp_path / "none.yaml").exit_code == 2
    assert node_file.read(alice).products == {}


def test_a_node_file_with_an_unknown_field_is_refused(alice: Path) -> None:
    path = alice / node_file.NAME
    path.write_text(yaml.safe_dump({"pin": {"bob": KEY_ID}}))
    assert asked("node", "pin", alice, "bob", KEY_ID, exit_code=1)["error"]["code"] == "document-malformed"
    path.unlink()
    failed = asked("node", "pin", alice, "bob", KEY_ID, exit_code=1)["error"]
    assert "usufruct node init" in failed["message"]
