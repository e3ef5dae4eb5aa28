"""The parts of `docs/` that are written by the code they describe; `make docs` writes them anew.

A part stands between `<!-- generated: NAME -->` and `<!-- end: NAME -->`. A test holds the committed text
equal to what this module makes of the code.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from policies.columns import TRANSFER, USES
from policies.enforced import ENFORCED, INERT
from policies.terms import Terms
from policies.vocabulary import LEAKS
from records.canonical import Json
from sandbox.lifecycle import TERMINAL, TRANSITIONS, State
from sandbox.wire.authorisation import RULES
from tests.architecture import sql_page

DOCS = Path(__file__).parents[2] / "docs"


def lifecycle_diagram() -> str:
    """Return the transition table as a Mermaid state diagram, states in the order of the line."""
    arrows = [
        f"    {source} --> {target}"
        for source in State
        for target in sorted(TRANSITIONS[source], key=list(State).index)
    ]
    ends = [f"    {state} --> [*]" for state in State if state in TERMINAL]
    start = f"    [*] --> {next(iter(State))}"
    return "\n".join(["```mermaid", "stateDiagram-v2", start, *arrows, *ends, "```"])


def knobs() -> str:
    """Return every knob of the terms with its default and what enforces it."""
    defaults = Terms(product="provider.table", columns={}).to_json()

    def rows() -> Iterator[tuple[str, str, str]]:
        for path, enforced_by in ENFORCED.items():
            yield f"`{path}`", _shown(_at(defaults, path)), enforced_by
        for path, neutral in INERT.items():
            yield f"`{path}`", _shown(_at(defaults, path)), f"nothing yet: refused unless {_shown(neutral)}"

    return _table(("knob", "where it is absent", "enforced by"), sorted(rows()))


def column_uses() -> str:
    """Return every use of a column with what its terms must say."""
    return _table(
        ("use", "what it is", "permitted by `reveal`", "or by"),
        [
            (
                f"`{name}`",
                use.meaning,
                ", ".join(f"`{level}`" for level in ("plain", use.reveal) if level),
                f"`roles: [{use.role}]`" if use.role_suffices else "",
            )
            for name, use in USES.items()
        ],
    )


def transformations() -> str:
    """Return every transformation of a column with the level that grants what it leaves."""
    return _table(
        ("after", "what it is", "granted by `reveal`"),
        [
            (
                f"`{name}`",
                passed.meaning,
                f"`{passed.reveal}`" + (f" with `functions: [{passed.function}]`" if passed.function else ""),
            )
            for name, passed in TRANSFER.items()
        ],
    )


def leaks() -> str:
    """Return every leak id with who sees what."""
    return _table(("leak", "who sees what"), [(f"`{name}`", text) for name, text in LEAKS.items()])


def methods() -> str:
    """Return every method of the wire with the roles that may call it and its longest deadline."""
    return _table(
        ("method", "roles", "deadline, s"),
        [
            (
                f"`{path.rpartition('.')[2]}`",
                ", ".join(sorted(rule.roles)) or "none: by invitation",
                f"{rule.deadline_s:.0f}",
            )
            for path, rule in RULES.items()
        ],
    )


PARTS: Mapping[tuple[str, str], Callable[[], str]] = {
    ("lifecycle.md", "diagram"): lifecycle_diagram,
    ("terms.md", "knobs"): knobs,
    ("terms.md", "uses"): column_uses,
    ("terms.md", "transformations"): transformations,
    ("terms.md", "leaks"): leaks,
    ("sql.md", "functions"): lambda: _table(("functions", "names"), sql_page.functions()),
    ("sql.md", "grants"): lambda: _table(("column `x` is", "as in", "use", "granted by"), sql_page.grants()),
    ("sql.md", "refusals"): lambda: _table(("clause", "refused", "what passes"), sql_page.refusals()),
    ("sql.md", "limits"): lambda: _table(("of", "at most"), sql_page.limits()),
    ("architecture.md", "methods"): methods,
}


def committed(page: str, name: str) -> str:
    """Return the part as it stands in the page."""
    return _found(page, name)[2].removesuffix("\n")


def write() -> None:
    """Write every part anew."""
    for (page, name), make in PARTS.items():
        found, path = _found(page, name), DOCS / page
        path.write_text(path.read_text().replace(found[0], f"{found[1]}{make()}\n{found[3]}"))


def _found(page: str, name: str) -> re.Match[str]:
    """Return the part with the marks around it: groups 1 and 3 are the marks, 2 is what stands between."""
    start, end = f"<!-- generated: {name} -->\n", f"<!-- end: {name} -->"
    text = (DOCS / page).read_text()
    found = re.search(f"({re.escape(start)})(.*?)({re.escape(end)})", text, re.DOTALL)
    assert found is not None, f"{page} has no part `{name}`"
    return found


def _at(document: Mapping[str, Json], path: str) -> Json:
    section, _, field = path.partition(".")
    value = document[section]
    return value[field] if field and isinstance(value, Mapping) else value


def _shown(value: Json) -> str:
    return f"`{json.dumps(value, ensure_ascii=False)}`"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


if __name__ == "__main__":
    write()
