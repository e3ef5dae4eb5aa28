"""RFC 8785: its own samples, and those of the reference test data (cyberphone/json-canonicalization).

Samples with floats are cut to what signed documents hold: our encoder refuses the rest.
"""

from __future__ import annotations

import json

import pytest

from records import canonical
from records.errors import MalformedDocument

SAMPLES = {
    "section 3.2.2, strings and literals": (
        r"""{"string": "\u20ac$\u000F\u000aA'\u0042\u0022\u005c\\\"\/", "literals": [null, true, false]}""",
        bytes.fromhex(
            "7b226c69746572616c73223a5b6e756c6c2c747275652c66616c73655d2c"
            "22737472696e67223a22e282ac245c75303030665c6e4127425c225c5c5c5c5c222f227d"
        ),
    ),
    "section 3.2.3, names sort by UTF-16 units": (
        r"""{"\u20ac": "Euro Sign", "\r": "Carriage Return", "\ufb33": "Hebrew Letter Dalet With Dagesh",
             "1": "One", "\ud83d\ude00": "Emoji: Grinning Face", "\u0080": "Control",
             "\u00f6": "Latin Small Letter O With Diaeresis"}""",
        (
            '{"\\r":"Carriage Return","1":"One","\u0080":"Control",'
            '"ö":"Latin Small Letter O With Diaeresis","€":"Euro Sign",'
            '"\U0001f600":"Emoji: Grinning Face","\ufb33":"Hebrew Letter Dalet With Dagesh"}'
        ).encode(),
    ),
    "arrays.json": (
        '[56, {"d": true, "10": null, "1": []}]',
        b'[56,{"1":[],"10":null,"d":true}]',
    ),
    "french.json": (
        """{"peach": "This sorting order", "péché": "is wrong according to French",
            "pêche": "but canonicalization MUST", "sin": "ignore locale"}""",
        '{"peach":"This sorting order","péché":"is wrong according to French",'
        '"pêche":"but canonicalization MUST","sin":"ignore locale"}'.encode(),
    ),
    "structures.json": (
        r"""{"1": {"f": {"f": "hi", "F": 5}, "\n": 56}, "10": {}, "": "empty", "a": {},
             "111": [{"e": "yes", "E": "no"}], "A": {}}""",
        rb"""{"":"empty","1":{"\n":56,"f":{"F":5,"f":"hi"}},"10":{},"111":[{"E":"no","e":"yes"}],"A":{},"a":{}}""",
    ),
    "unicode.json, not normalised": (
        r'{"Unnormalized Unicode": "A\u030a"}',
        '{"Unnormalized Unicode":"A\u030a"}'.encode(),
    ),
}
INTEGERS = {
    0: b"0",
    -1: b"-1",
    (1 << 53) - 1: b"9007199254740991",
    1 - (1 << 53): b"-9007199254740991",
}


@pytest.mark.parametrize("name", SAMPLES)
def test_samples_have_their_canonical_form(name: str) -> None:
    text, expected = SAMPLES[name]
    value = json.loads(text)
    assert canonical.encode(value) == expected
    assert canonical.decode(expected) == value


@pytest.mark.parametrize("number", INTEGERS)
def test_integers_of_appendix_b(number: int) -> None:
    assert canonical.encode(number) == INTEGERS[number]


@pytest.mark.parametrize(
    "text", [b"9007199254740992", b"-9007199254740992", b"295147905179352830000", b"1e0"]
)
def test_numbers_that_doubles_blur_are_refused(text: bytes) -> None:
    with pytest.raises(MalformedDocument):
        canonical.decode(text)
