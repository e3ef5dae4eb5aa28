"""The terms as English sentences, for catalogues and quotes: what a buyer may do, and what is not limited."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from policies.public import Public
from policies.terms import EVERY_OTHER_COLUMN, ColumnTerms, NoUnit, Terms
from policies.vocabulary import LEAKS, Reveal
from records.money import Money

_VISIBLE: Mapping[Reveal, str] = {
    "plain": "row by row",
    "after-join": "after a join",
    "join-payload": "beside the key of a join",
    "after-group-by": "as the key of a group",
    "after-compare": "in the outcome of a comparison",
    "rank": "by its rank",
}


def in_words(terms: Terms) -> tuple[str, ...]:
    """Return the terms as sentences, in the order of the document."""
    return (
        f"Product {terms.product}, graded {terms.grade} (GB/T 43697).",
        _unit(terms),
        _listed(terms.purposes, "May be used for {}.", "No purpose is listed: every job is refused."),
        _buyers(terms),
        _listed(terms.techniques, "May be computed by {}.", "No technique is listed: every job is refused."),
        _parties(terms),
        *(_column(name, column) for name, column in terms.columns.items()),
        *_unlisted_columns(terms),
        *_public(terms.public),
        f"A result of more than {terms.release.max_rows} rows is withheld.",
        _privacy(terms),
        _uses(terms),
        _valid(terms),
        *(f"Accepted leak: {LEAKS[leak]}." for leak in terms.leaks),
        *(() if terms.leaks else ("No leak beside the result is accepted.",)),
        _price(terms),
    )


def _unit(terms: Terms) -> str:
    if isinstance(terms.unit, NoUnit):
        return f"No subject is protected, so groups of any size are shown: {terms.unit.none}"
    counted = "rows" if not terms.unit_columns else f"distinct {_names(terms.unit_columns)}"
    return (
        f"A group is shown only with at least {terms.release.min_units} {counted}, also without the part of "
        "any one provider."
    )


def _buyers(terms: Terms) -> str:
    allow, deny = terms.buyers.allow, terms.buyers.deny
    if not allow or "*" in deny:
        return "No buyer is admitted: every job is refused."
    admitted = "every buyer" if "*" in allow else ", ".join(allow)
    return f"Open to {admitted}{', except ' + ', '.join(deny) if deny else ''}."


def _parties(terms: Terms) -> str:
    kinds, regions = terms.parties.accept, terms.parties.regions
    if not kinds or not regions:
        return "No compute party is accepted."
    words = {"notary": "a notary", "provider": "a provider of the same job", "exchange": "the exchange"}
    where = "in any region" if "*" in regions else f"in {', '.join(regions)}"
    return f"Shares may be held by {' or '.join(words[kind] for kind in kinds)} {where}."


def _column(name: str, column: ColumnTerms) -> str:
    shown = [_VISIBLE[level] for level in column.reveal if level in _VISIBLE]
    clauses = [f"visible {', '.join(shown)}"] if shown else []
    if "after-aggregate" in column.reveal:
        clauses.append(f"visible inside {', '.join(column.functions)}")
    if not clauses:
        clauses.append("never visible")
    if column.roles:
        clauses.append(f"serves only as {', '.join(column.roles)}")
    if column.clamp is not None:
        clauses.append(f"clamped to {column.clamp[0]} … {column.clamp[1]} in jobs with ε")
    who = "Every other column" if name == EVERY_OTHER_COLUMN else f"Column `{name}`"
    return f"{who}: {'; '.join(clauses)}."


def _unlisted_columns(terms: Terms) -> Iterator[str]:
    if EVERY_OTHER_COLUMN not in terms.columns:
        yield "Columns that are not listed may not be used."


def _public(public: Public) -> Iterator[str]:
    if public.rows is not None:
        yield f"Everybody is told: the table has at most {public.rows} rows."
    for key in public.keys:
        yield f"Everybody is told: no two rows agree in {_names(key)}, and no row lacks it."
    for name, count in public.most.items():
        yield f"Everybody is told: at most {count} rows share one value of `{name}`."
    for name, (least, greatest) in public.ranges.items():
        yield f"Everybody is told: `{name}` lies from {least} to {greatest}."
    for name, count in public.bytes.items():
        yield f"Everybody is told: a text of `{name}` has at most {count} bytes."


def _privacy(terms: Terms) -> str:
    caps = (
        ("per job", terms.privacy.epsilon_per_job),
        ("per buyer", terms.privacy.epsilon_per_buyer),
        ("in total", terms.privacy.epsilon_total),
    )
    granted = ", ".join(f"{cap} {scope}" for scope, cap in caps if cap is not None)
    return f"Noised results spend ε of at most {granted}." if granted else "No ε is granted."


def _uses(terms: Terms) -> str:
    limits = (
        ("in total", terms.uses.total),
        ("per buyer", terms.uses.per_buyer),
        ("per day", terms.uses.per_day),
    )
    kept = ", ".join(f"{limit} {scope}" for scope, limit in limits if limit is not None)
    return f"Number of uses: at most {kept}." if kept else "The number of uses is not limited."


def _valid(terms: Terms) -> str:
    start, end = terms.valid.from_, terms.valid.until
    if start is None and end is None:
        return "Valid until withdrawn."
    since = f" from {start.isoformat()}" if start else ""
    until = f" until, and not on, {end.isoformat()}" if end else ""
    return f"Valid{since}{until} (UTC)."


def _price(terms: Terms) -> str:
    parts = (
        ("use", terms.price.per_use),
        ("cell", terms.price.per_cell),
        ("second of computing", terms.price.per_compute_second),
    )
    charged = ", ".join(
        f"{Money(amount, terms.price.currency)} per {what}" for what, amount in parts if amount
    )
    return f"Price: {charged}." if charged else "Free of charge."


def _listed(entries: Sequence[str], sentence: str, none: str) -> str:
    return sentence.format(", ".join(entries)) if entries else none


def _names(columns: Sequence[str]) -> str:
    return ", ".join(f"`{column}`" for column in columns)
