from __future__ import annotations

from policies.terms import parse
from policies.wording import in_words
from tests.unit.policies.factories import terms


def test_the_designs_terms_in_words() -> None:
    sentences = in_words(terms())
    assert (
        "A group is shown only with at least 10 rows, also without the part of any one provider." in sentences
    )
    assert (
        "Column `dep_delay`: visible inside avg, count, sum, var; clamped to -60 … 600 in jobs with ε."
        in sentences
    )
    assert "Price: 5.00 CNY per use, 0.02 CNY per cell, 0.01 CNY per second of computing." in sentences
    assert "Valid from 2026-01-01 until, and not on, 2027-01-01 (UTC)." in sentences


def test_what_is_absent_is_said() -> None:
    said = in_words(parse({}, product="alice.people"))
    for sentence in (
        "No purpose is listed: every job is refused.",
        "No buyer is admitted: every job is refused.",
        "Columns that are not listed may not be used.",
        "The number of uses is not limited.",
        "No ε is granted.",
        "Valid until withdrawn.",
        "No leak beside the result is accepted.",
        "Free of charge.",
    ):
        assert sentence in said


def test_special_cases_are_said() -> None:
    said = in_words(
        terms(
            unit={"none": "measurements of the weather"},
            buyers={"allow": ["*"], "deny": ["zeta"]},
            parties={"accept": []},
            columns={"*": {"reveal": ["plain"], "roles": ["filter"]}},
            valid={"until": "2027-01-01"},
        )
    )
    assert any(sentence.endswith("measurements of the weather") for sentence in said)
    assert "Open to every buyer, except zeta." in said
    assert "No compute party is accepted." in said
    assert "Every other column: visible row by row; serves only as filter." in said
    assert "A group is shown only with at least 10 distinct `day`, `person`" in " ".join(
        in_words(terms(unit=["person", "day"]))
    )


def test_what_everybody_is_told_is_said() -> None:
    declared = {
        "rows": 9,
        "keys": [["id"], ["day", "shop"]],
        "most": {"customer": 5},
        "ranges": {"price": ["0.50", "9.90"]},
        "bytes": {"name": 40},
    }
    said = in_words(parse({"product": "a.b", "public": declared}))
    assert [sentence.partition(": ")[2] for sentence in said if sentence.startswith("Everybody is told")] == [
        "the table has at most 9 rows.",
        "no two rows agree in `day`, `shop`, and no row lacks it.",
        "no two rows agree in `id`, and no row lacks it.",
        "at most 5 rows share one value of `customer`.",
        "`price` lies from 0.5 to 9.9.",
        "a text of `name` has at most 40 bytes.",
    ]
    assert not any("Everybody" in sentence for sentence in in_words(parse({"product": "a.b"})))
