from __future__ import annotations

from pathlib import Path

from tests.unit.cli.running import asked, invoke

TERMS = """\
product: alice.people
unit: row
purposes: [research]
buyers: {allow: ["*"]}
columns: {city: {reveal: [after-group-by]}}
"""


def test_terms_are_checked_with_and_without_their_source(tmp_path: Path) -> None:
    file, source = tmp_path / "terms.yaml", tmp_path / "people.csv"
    file.write_text(TERMS)
    source.write_text("city,age\nBerlin,30\n")
    told = asked("terms", "check", file)
    assert told["product"] == "alice.people"
    assert told["digest"].startswith("sha256:")
    assert asked("terms", "check", file, "--source", source)["columns_in_source"]["city"] == "VARCHAR"
    source.write_text("town,age\nBerlin,30\n")
    failed = asked("terms", "check", file, "--source", source, exit_code=1)["error"]
    assert "`city`" in failed["message"]


def test_a_product_is_named_in_the_file_or_beside_it(tmp_path: Path) -> None:
    file = tmp_path / "terms.yaml"
    file.write_text(TERMS.replace("product: alice.people\n", ""))
    assert asked("terms", "check", file, exit_code=1)["error"]["code"] == "document-malformed"
    assert asked("terms", "check", file, "--product", "bob.people")["product"] == "bob.people"
    file.write_text(TERMS)
    assert invoke("terms", "check", file, "--product", "bob.people").exit_code == 1


def test_terms_are_explained_in_words(tmp_path: Path) -> None:
    file = tmp_path / "terms.yaml"
    file.write_text(TERMS)
    said = invoke("terms", "explain", file)
    assert said.exit_code == 0
    assert "May be used for research." in said.stdout
    assert asked("terms", "explain", file)["words"] == said.stdout.splitlines()


def test_a_fault_is_named_by_its_path(tmp_path: Path) -> None:
    file = tmp_path / "terms.yaml"
    file.write_text(TERMS.replace("after-group-by", "after-lunch"))
    failed = asked("terms", "check", file, exit_code=1)["error"]
    assert "columns.city.reveal" in failed["message"]
    assert "after-lunch" not in failed["message"]
