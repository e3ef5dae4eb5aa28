"""From the text of a query to its plan: what one provider answers alone, and what is computed in shares.

`plan` resolves names, asks which uses of columns the query makes, and builds a local plan where all tables are one
provider's, else a joint one. It reads registered metadata, never rows (R12).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import get_args

from records.errors import JobRefused, MalformedDocument
from sandbox.sql import disclosure, literals, local, names, placeholders
from sandbox.sql.catalogue import Catalogue
from sandbox.sql.joint import joint_plan, opened_parts
from sandbox.sql.plan import Asked, Plan, Technique
from sandbox.sql.refusal import refusal
from sandbox.sql.trees import unique_aliases

MAX_ROWS = 1_000_000


def plan(
    text: str, catalogue: Catalogue, *, technique: Asked, max_rows: int, values: Sequence[str] = ()
) -> Plan:
    """Derive the plan of a query; at most `max_rows` rows are released.

    With `values`, the literals stand in the SQL of the parts; nothing else depends on them.

    Raises:
        MalformedDocument: not SQL, types that do not fit, or arguments out of range.
        UnknownObject: a name that is not in the catalogue.
        LimitExceeded: the query is too large.
        JobRefused: something not supported, with a rewrite that would pass.
    """
    if technique not in get_args(Asked):
        raise MalformedDocument("a query is computed `local` or with `secret-sharing`; or ask for `auto`")
    if not 1 <= max_rows <= MAX_ROWS:
        raise MalformedDocument(f"`max_groups` lies between 1 and {MAX_ROWS}")
    resolved = names.resolve(text, catalogue)
    providers = {facts.provider for source in resolved.sources for facts in source.products}
    uses = disclosure.column_uses(resolved if len(providers) == 1 else opened_parts(resolved))
    _require_technique(technique, several=len(providers) > 1)
    tree = literals.typed(unique_aliases(resolved.tree), catalogue)
    build = joint_plan if len(providers) > 1 else local.local_plan
    made = build(tree, resolved.outputs, catalogue, max_rows, uses)
    if not values:
        return made
    return replace(
        made, parts=tuple(replace(part, sql=placeholders.bind_text(part.sql, values)) for part in made.parts)
    )


def _require_technique(asked: Asked, *, several: bool) -> None:
    chosen: Technique = "secret-sharing" if several else "local"
    if asked in ("auto", chosen):
        return
    wanted = f"technique `{asked}` for data of {'several providers' if several else 'one provider'}"
    remedy = f"ask for technique `auto` or `{chosen}`"
    raise JobRefused((refusal("technique", wanted, remedy, limit=f"`{chosen}`"),))
