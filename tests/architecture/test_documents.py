"""What the documents claim about the tree is true: generated parts, paths, links, rules."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from sandbox.lifecycle import TRANSITIONS
from tests.architecture import generated_docs

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
TOP = {path.name for path in ROOT.iterdir()}
RULES = [f"R{number}" for number in range(1, 25)]


def _named_paths(page: Path) -> Iterator[str]:
    """Yield what stands in backticks and looks like a path of this tree: `a/b.py`, `a/b/`, `a/{b,c}.py`."""
    for code in re.findall(r"`([^`\n]+)`", page.read_text()):
        text = code.partition("::")[0]
        if re.fullmatch(r"[\w.{},*/-]+", text) and "/" in text and text.split("/")[0] in TOP:
            braces = re.search(r"\{([^}]*)\}", text)
            for choice in braces[1].split(",") if braces else ("",):
                yield text.replace(braces[0], choice) if braces else text


def _links(page: Path) -> Iterator[str]:
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        if not re.match(r"[a-z]+:|#", target):
            yield target.partition("#")[0]


@pytest.mark.parametrize(("page", "name"), generated_docs.PARTS)
def test_a_generated_part_is_what_the_code_says(page: str, name: str) -> None:
    # Differs? `make docs` writes it anew.
    assert generated_docs.committed(page, name) == generated_docs.PARTS[page, name]()


def test_the_diagram_shows_every_transition_and_no_other() -> None:
    diagram = generated_docs.committed("lifecycle.md", "diagram")
    arrows = set(re.findall(r"^ +(\w+) --> (\w+)$", diagram, re.MULTILINE))
    assert arrows == {(str(a), str(b)) for a, following in TRANSITIONS.items() for b in following}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_file_that_a_page_names_exists(page: Path) -> None:
    assert [name for name in _named_paths(page) if not list(ROOT.glob(name.rstrip("/")))] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_somewhere(page: Path) -> None:
    assert [target for target in _links(page) if not (page.parent / target).exists()] == []


def test_the_threat_model_judges_every_rule() -> None:
    text = (ROOT / "docs/threat-model.md").read_text()
    assert re.findall(r"^\| \*\*(R\d+)", text, re.MULTILINE) == RULES
    assert all(
        re.search(rf"^\| \*\*{rule} .*\| (holds|partly|not yet) \|", text, re.MULTILINE) for rule in RULES
    )


def test_every_glossary_word_stands_once() -> None:
    words = re.findall(r"^\| \*\*(.+?)\*\*", (ROOT / "docs/glossary.md").read_text(), re.MULTILINE)
    assert len(words) == len(set(words))
    assert len(words) > 30


def test_the_readme_fits_a_page() -> None:
    assert len((ROOT / "README.md").read_text().splitlines()) <= 110


def test_decisions_fit_a_page_and_are_numbered_without_gaps() -> None:
    decisions = sorted((ROOT / "docs/decisions").glob("*.md"))
    assert [path.name[:4] for path in decisions] == [f"{n:04}" for n in range(1, len(decisions) + 1)]
    assert {path.name: len(path.read_text().splitlines()) for path in decisions if _is_long(path)} == {}


def _is_long(path: Path) -> bool:
    return len(path.read_text().splitlines()) > 60
