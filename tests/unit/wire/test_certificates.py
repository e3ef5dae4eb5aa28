from __future__ import annotations

from datetime import timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID

from records.clock import utc_now
from records.errors import MalformedDocument, SignatureInvalid
from sandbox.wire.certificates import (
    Authority,
    certificate_digest,
    certificate_key_digest,
    public_key_digest,
    requested_key,
    signing_request,
)

KEY = ec.generate_private_key(ec.SECP256R1())
AUTHORITY = Authority.create("ca", utc_now)


def test_a_certificate_names_its_party_alone_and_lives_short() -> None:
    certificate = x509.load_pem_x509_certificate(AUTHORITY.issue("weather_bureau", KEY.public_key(), utc_now))
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert list(names) == [x509.DNSName("weather_bureau")]
    assert certificate.not_valid_after_utc - certificate.not_valid_before_utc < timedelta(days=31)
    assert not certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    uses = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert set(uses) == {ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH}
    certificate.verify_directly_issued_by(AUTHORITY.certificate)


def test_a_certificate_is_known_by_its_key() -> None:
    pem = AUTHORITY.issue("alice", KEY.public_key(), utc_now)
    assert certificate_key_digest(pem) == public_key_digest(KEY.public_key())
    assert certificate_digest(pem) != certificate_digest(AUTHORITY.pem)
    with pytest.raises(MalformedDocument):
        certificate_key_digest(b"no certificate")
    with pytest.raises(MalformedDocument):
        certificate_digest(b"no certificate")


def test_a_request_proves_the_key_it_asks_for() -> None:
    assert requested_key(signing_request("alice", KEY)) == KEY.public_key()
    other = ec.generate_private_key(ec.SECP256R1())
    good = x509.load_pem_x509_csr(signing_request("alice", KEY)).public_bytes(Encoding.DER)
    swapped = good.replace(_point(KEY), _point(other))
    pem = x509.load_der_x509_csr(swapped).public_bytes(Encoding.PEM)
    with pytest.raises(SignatureInvalid):
        requested_key(pem)


@pytest.mark.parametrize("data", [b"", b"-----BEGIN CERTIFICATE REQUEST-----\n-----END"])
def test_what_is_no_request_is_refused(data: bytes) -> None:
    with pytest.raises(MalformedDocument):
        requested_key(data)


def test_keys_of_other_kinds_are_refused() -> None:
    name = x509.Name([])
    builder = x509.CertificateSigningRequestBuilder().subject_name(name)
    request = builder.sign(ed25519.Ed25519PrivateKey.generate(), None).public_bytes(Encoding.PEM)
    with pytest.raises(MalformedDocument):
        requested_key(request)


def test_an_authority_comes_back_from_what_it_wrote() -> None:
    back = Authority.from_pem(AUTHORITY.pem, AUTHORITY.private_pem())
    assert back.certificate == AUTHORITY.certificate
    with pytest.raises(MalformedDocument):
        Authority.from_pem(Authority.create("ca", utc_now).pem, AUTHORITY.private_pem())
    with pytest.raises(MalformedDocument):
        Authority.from_pem(b"x", b"y")
    assert AUTHORITY.private_pem().decode() not in repr(AUTHORITY)


def _point(key: ec.EllipticCurvePrivateKey) -> bytes:
    numbers = key.public_key().public_numbers()
    return numbers.x.to_bytes(32, "big") + numbers.y.to_bytes(32, "big")
