"""`python -m tests.adversarial [--json FILE]`: try every attack, without its defence and with it."""

from __future__ import annotations

import argparse
import json
import logging
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

from rich.console import Console
from rich.progress import track
from rich.table import Table

from tests.adversarial.attack import Attack
from tests.adversarial.registry import ATTACKS, INERT


@dataclass(frozen=True, slots=True)
class Row:
    """How an attack ended: its control must succeed, and the defence must block it."""

    name: str
    suite: str
    control_succeeds: bool
    defended_blocks: bool

    @property
    def holds(self) -> bool:
        """Whether the attack shows that the defence holds."""
        return self.control_succeeds and self.defended_blocks


def tried(attack: Attack) -> Row:
    """Run an attack both ways."""
    return Row(attack.name, attack.suite, attack.attack(False), not attack.attack(True))


def main() -> int:
    """Return 0 if every control succeeds and every defence blocks, else 1."""
    parser = argparse.ArgumentParser(prog="python -m tests.adversarial")
    parser.add_argument("--json", metavar="FILE", help="write the rows as JSON; `-` for standard output")
    target = parser.parse_args().json
    logging.disable(logging.CRITICAL)  # what the attacked parties log is no part of the report
    console = Console(stderr=target == "-")
    rows = [tried(attack) for attack in track(ATTACKS, "attacking", console=console)]
    table = Table("suite", "attack", "control succeeds", "defence blocks")
    for row in rows:
        table.add_row(
            row.suite,
            row.name,
            *("yes" if ok else "NO" for ok in (row.control_succeeds, row.defended_blocks)),
        )
    console.print(table)
    for name, reason in INERT.items():
        console.print(f"inert: {name}: {reason}")
    if target is not None:
        document = {
            "rows": [asdict(row) for row in rows],
            "inert": [{"name": name, "reason": reason} for name, reason in INERT.items()],
        }
        text = json.dumps(document, indent=2) + "\n"
        if target == "-":
            sys.stdout.write(text)
        else:
            Path(target).write_text(text)
    return 0 if all(row.holds for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
