"""Every Python example of the README and of `docs/` runs as it stands, in an empty folder."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
BLOCK = re.compile(r"^```python\n(.*?)^```$", re.DOTALL | re.MULTILINE)


def _examples() -> list[tuple[str, int, str]]:
    """Return (page, line, code) of every example."""
    found = []
    for page in (ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))):
        text = page.read_text()
        for block in BLOCK.finditer(text):
            line = text.count("\n", 0, block.start(1)) + 1
            found.append((str(page.relative_to(ROOT)), line, block[1]))
    return found


@pytest.mark.parametrize(
    ("page", "line", "code"), _examples(), ids=[f"{page}:{line}" for page, line, _ in _examples()]
)
def test_example_runs(
    page: str, line: int, code: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    # Lines of a traceback are then those of the page.
    exec(compile("\n" * (line - 1) + code, ROOT / page, "exec"), {"__name__": "__main__"})  # noqa: S102


def test_the_readme_has_an_example() -> None:
    assert any(page == "README.md" for page, _, _ in _examples())
