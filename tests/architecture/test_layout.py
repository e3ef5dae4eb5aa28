"""How the tree is laid out: names that are ours alone, modules that fit in a head."""

from __future__ import annotations

import sysconfig
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SITE_PACKAGES = Path(sysconfig.get_path("purelib"))
MAX_LINES = 400
VAGUE_NAMES = {"utils", "util", "common", "helpers", "helper", "manager", "misc"}


def _packages() -> list[str]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    packages: list[str] = project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
    return packages


def _modules() -> Iterator[Path]:
    for package in (*_packages(), "benchmarks", "examples"):
        for path in (ROOT / package).rglob("*.py"):
            if "rpc" not in path.parts:  # generated
                yield path


@pytest.mark.parametrize("package", _packages())
def test_no_foreign_package_has_one_of_our_names(package: str) -> None:
    # Our names are generic, and whichever folder comes first on the path wins (docs/decisions/0001).
    found = [path.name for path in SITE_PACKAGES.iterdir() if path.name.partition(".")[0] == package]
    assert found == []


def test_our_packages_are_imported_from_this_tree() -> None:
    for package in _packages():
        module = __import__(package)
        assert Path(str(module.__file__)).parent == ROOT / package


def test_the_distribution_can_never_be_uploaded() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert "Private :: Do Not Upload" in project["classifiers"]


def test_every_folder_with_python_is_a_declared_package_or_development_code() -> None:
    folders = {path.parent.name for path in ROOT.glob("*/__init__.py")}
    assert folders == {*_packages(), "tests", "examples"} | folders & {"benchmarks"}


def test_modules_are_short() -> None:
    lengths = {
        str(path.relative_to(ROOT)): len(path.read_text().splitlines())
        for path in _modules()
        if "migrations/versions" not in path.as_posix()
    }
    assert {name: length for name, length in lengths.items() if length > MAX_LINES} == {}


def test_modules_are_named_by_nouns_of_the_field() -> None:
    assert [str(path.relative_to(ROOT)) for path in _modules() if path.stem in VAGUE_NAMES] == []


def test_modules_say_what_they_are_for() -> None:
    silent = [
        str(path.relative_to(ROOT))
        for path in _modules()
        if path.name != "__init__.py" and not path.read_text().startswith(('"""', 'r"""'))
    ]
    assert silent == []


def test_no_module_serialises_with_pickle() -> None:
    # A pickle from a peer runs code of the peer's choosing.
    offending = [
        str(path.relative_to(ROOT))
        for path in _modules()
        if any(line.split()[:2] in (["import", "pickle"], ["from", "pickle"]) for line in _lines(path))
    ]
    assert offending == []


def test_databases_are_opened_by_the_store_alone() -> None:
    opening = {str(path.relative_to(ROOT)) for path in _modules() if "create_engine(" in path.read_text()}
    assert opening == {"sandbox/store/store.py"}


def _lines(path: Path) -> list[str]:
    return path.read_text().splitlines()
