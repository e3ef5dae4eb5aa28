"""DSSE v1: the encoding and the signature of the protocol's own test vector (secure-systems-lab/dsse)."""

from __future__ import annotations

import base64

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256

from records.dsse import pre_authentication_encoding

KIND, PAYLOAD = "http://example.com/HelloWorld", b"hello world"
PUBLIC = ec.EllipticCurvePublicNumbers(
    46950820868899156662930047687818585632848591499744589407958293238635476079160,
    5640078356564379163099075877009565129882514886557779369047442380624545832820,
    ec.SECP256R1(),
).public_key()
SIGNATURE = base64.b64decode(
    "A3JqsQGtVsJ2O2xqrI5IcnXip5GToJ3F+FnZ+O88SjtR6rDAajabZKciJTfUiHqJPcIAriEGAHTVeCUjW2JIZA=="
)
"""ECDSA over P-256 and SHA-256, r ‖ s: ours are Ed25519, but what is signed is the same."""


def verify(message: bytes) -> None:
    r, s = int.from_bytes(SIGNATURE[:32], "big"), int.from_bytes(SIGNATURE[32:], "big")
    PUBLIC.verify(encode_dss_signature(r, s), message, ec.ECDSA(SHA256()))


def test_encoding_of_the_vector() -> None:
    encoded = pre_authentication_encoding(KIND, PAYLOAD)
    assert encoded == b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"


def test_signature_of_the_vector_stands_over_our_encoding() -> None:
    verify(pre_authentication_encoding(KIND, PAYLOAD))
    with pytest.raises(InvalidSignature):
        verify(pre_authentication_encoding(KIND + "s", PAYLOAD))


def test_lengths_count_bytes() -> None:
    assert pre_authentication_encoding("ü", "é".encode()) == "DSSEv1 2 ü 2 é".encode()
