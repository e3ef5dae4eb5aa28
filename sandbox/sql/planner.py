"""From the text of a query to its plan: what one provider answers alone, and what is computed in shares.

    text
    → `grammar`, `names`       a tree of supported constructs, in which every name stands for one thing
    → `disclosure`             the uses of columns that the terms must permit
    → `literals`               texts beside dates and times become dates and times
    → `local`                  all tables of one provider: SQL for its engine, `units` counted for the gate
    | `joint`                  of several: `sources` and `blocks` make relations, which emit parts and steps
    → `plan.Plan`              every node derives it again and compares digests (R3)

`plan` resolves names, asks which uses of columns the query makes, and builds a local plan where all tables
are one provider's, else a joint one. It reads registered metadata, never rows (R12).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import get_args

from policies.columns import ColumnUse
from records.errors import JobRefused, MalformedDocument
from sandbox.sql import disclosure, literals, local, names, placeholders
from sandbox.sql.catalogue import Catalogue, Source
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
    if made.kind == "rows":
        made = replace(made, column_uses=_rows_shown(uses, resolved.sources))
    if not values:
        return made
    return replace(
        made, parts=tuple(replace(part, sql=placeholders.bind_text(part.sql, values)) for part in made.parts)
    )


def _rows_shown(uses: tuple[ColumnUse, ...], sources: Sequence[Source]) -> tuple[ColumnUse, ...]:
    """Return the uses of a query for rows: what chooses single rows of protected units is shown by them."""
    protected = {facts.product for source in sources for facts in source.products if facts.unit is not None}
    shown = [ColumnUse(use.product, use.column, "output") for use in uses if use.product in protected]
    return tuple(sorted({*uses, *shown}))


def _require_technique(asked: Asked, *, several: bool) -> None:
    chosen: Technique = "secret-sharing" if several else "local"
    if asked in ("auto", chosen):
        return
    wanted = f"technique `{asked}` for data of {'several providers' if several else 'one provider'}"
    remedy = f"ask for technique `auto` or `{chosen}`"
    raise JobRefused((refusal("technique", wanted, remedy, limit=f"`{chosen}`"),))
