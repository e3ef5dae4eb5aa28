"""Every direct dependency has a floor and a reason, and nothing in the environment is under GPL or AGPL."""

from __future__ import annotations

import re
import tomllib
from importlib import metadata
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
REASONS = (ROOT / "docs/dependencies.md").read_text()
GPL = re.compile(r"\bA?GPL|(?<!Lesser )General Public License", re.IGNORECASE)
"""The LGPL is none of them: a library under it is used as it is, and can be put in another's place."""


def _direct() -> dict[str, str]:
    """Return name → version condition of everything that pyproject.toml asks for."""
    document = tomllib.loads((ROOT / "pyproject.toml").read_text())
    extras = document["project"]["optional-dependencies"].values()
    groups = document["dependency-groups"].values()
    lines = [*document["project"]["dependencies"], *(line for part in (*extras, *groups) for line in part)]
    split = (re.fullmatch(r"([A-Za-z0-9-]+)(?:\[[a-z0-9,-]+\])?(.*)", line) for line in lines)
    return {found[1]: found[2] for found in split if found}


def _explained() -> list[str]:
    return re.findall(r"^\| `([A-Za-z0-9-]+)`", REASONS, re.MULTILINE)


def _licence(distribution: metadata.Distribution) -> str:
    """Return what a distribution declares; of a licence's full text the first line only."""
    about = distribution.metadata.json
    text, classifiers = str(about.get("license", "")), about.get("classifier", [])
    of_licences = [item for item in classifiers if item.startswith("License ::")]
    return " ".join([str(about.get("license_expression", "")), text.partition("\n")[0], *of_licences])


@pytest.mark.parametrize(("name", "condition"), _direct().items())
def test_a_dependency_has_a_floor(name: str, condition: str) -> None:
    # Without one the resolver may answer with a release that is years old.
    assert re.match(r"(>=|==)\d", condition), f"{name}{condition}"


def test_every_dependency_has_one_line_of_reasons_and_no_line_lacks_its_dependency() -> None:
    assert sorted(_explained()) == sorted(_direct())


@pytest.mark.parametrize("name", _direct())
def test_a_dependency_is_installed_under_the_licence_that_its_line_names(name: str) -> None:
    line = next(line for line in REASONS.splitlines() if line.startswith(f"| `{name}`"))
    licence = line.split("|")[3].strip()
    declared = _licence(metadata.distribution(name))
    assert licence
    assert all(word in declared for word in re.findall(r"[A-Za-z0-9.]+", licence) if word != "OR"), declared


def test_nothing_installed_is_under_the_gpl() -> None:
    found = {item.metadata["Name"]: _licence(item) for item in metadata.distributions()}
    assert {name: licence for name, licence in found.items() if GPL.search(licence)} == {}


@pytest.mark.parametrize(
    "licence",
    [
        "GPL-3.0-only",
        "GPLv2",
        "AGPL-3.0",
        "GNU General Public License v3",
        "GNU Affero General Public License",
    ],
)
def test_gpl_and_agpl_would_be_noticed(licence: str) -> None:
    assert GPL.search(licence)


@pytest.mark.parametrize(
    "licence",
    ["Apache-2.0 OR MIT", "LGPL-3.0-only", "LGPLv2+", "GNU Lesser General Public License v3 (LGPLv3)"],
)
def test_other_licences_pass(licence: str) -> None:
    assert not GPL.search(licence)


def test_extras_of_a_dependency_are_not_part_of_its_name() -> None:
    assert "[" in (ROOT / "pyproject.toml").read_text().partition("postgresql = ")[2].partition("\n")[0]
    assert _direct()["psycopg"].startswith(">=")
