"""Certificates: who may open a TLS connection at all, and under which name.

The authority vouches that a public key belongs to a party's *name*; what that party may do is decided by
the registry, from the fingerprint of the key. A certificate names its party alone (no `localhost`, no
address), so that a client that expects `alice` never accepts the certificate of `bob` on alice's port.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from datetime import timedelta

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from records.clock import Clock
from records.errors import MalformedDocument, SignatureInvalid

VALIDITY = timedelta(days=30)
AUTHORITY_VALIDITY = timedelta(days=3650)
BACKDATING = timedelta(minutes=5)
"""Peers' clocks may be a little behind the authority's."""


def public_key_digest(key: ec.EllipticCurvePublicKey) -> str:
    """Return `sha256:<hex>` over the SubjectPublicKeyInfo (DER), the name of a TLS key."""
    info = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return "sha256:" + hashlib.sha256(info).hexdigest()


def certificate_key_digest(certificate_pem: bytes) -> str:
    """Return the name of the public key in the first certificate of `certificate_pem`.

    Raises:
        MalformedDocument: no certificate, or a key of another kind than ECDSA.
    """
    try:
        key = x509.load_pem_x509_certificate(certificate_pem).public_key()
    except ValueError as error:
        raise MalformedDocument("not a certificate") from error
    return public_key_digest(_require_ec(key))


def certificate_digest(certificate_pem: bytes) -> str:
    """Return `sha256:<hex>` over the certificate (DER): what people compare over the telephone.

    Raises:
        MalformedDocument: not a certificate.
    """
    try:
        certificate = x509.load_pem_x509_certificate(certificate_pem)
    except ValueError as error:
        raise MalformedDocument("not a certificate") from error
    return "sha256:" + certificate.fingerprint(hashes.SHA256()).hex()


def signing_request(party: str, key: ec.EllipticCurvePrivateKey) -> bytes:
    """Return a PKCS #10 request (PEM) for `party`, signed by its TLS key."""
    builder = x509.CertificateSigningRequestBuilder().subject_name(_name(party))
    return builder.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM)


def requested_key(request_pem: bytes) -> ec.EllipticCurvePublicKey:
    """Return the key that a request is for, after checking that its holder signed the request.

    Nothing else of a request counts: names and uses are the authority's to write.

    Raises:
        MalformedDocument: not a request, or another kind of key.
        SignatureInvalid: not signed by that key.
    """
    try:
        request = x509.load_pem_x509_csr(request_pem)
        key = _require_ec(request.public_key())
        if request.signature_hash_algorithm is None:
            raise MalformedDocument("not a certificate request")
        key.verify(
            request.signature,
            request.tbs_certrequest_bytes,
            ec.ECDSA(request.signature_hash_algorithm),
        )
    except InvalidSignature as error:
        raise SignatureInvalid("the certificate request is not signed by the key it asks for") from error
    except ValueError as error:
        raise MalformedDocument("not a certificate request") from error
    return key


@dataclass(frozen=True, slots=True)
class Authority:
    """A small certificate authority, as an exchange runs it for its parties."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey = field(repr=False)

    @classmethod
    def create(cls, name: str, clock: Clock) -> Authority:
        """Draw a key and sign its own certificate."""
        key = ec.generate_private_key(ec.SECP256R1())
        now = clock()
        certificate = (
            x509.CertificateBuilder()
            .subject_name(_name(name))
            .issuer_name(_name(name))
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - BACKDATING)
            .not_valid_after(now + AUTHORITY_VALIDITY)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_key_usage(signs_certificates=True), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .sign(key, hashes.SHA256())
        )
        return cls(certificate, key)

    @property
    def pem(self) -> bytes:
        """The authority's certificate."""
        return self.certificate.public_bytes(Encoding.PEM)

    def issue(
        self, party: str, public_key: ec.EllipticCurvePublicKey, clock: Clock, validity: timedelta = VALIDITY
    ) -> bytes:
        """Return a certificate (PEM) that binds `public_key` to `party`, for both ends of TLS."""
        now = clock()
        uses = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
        certificate = (
            x509.CertificateBuilder()
            .subject_name(_name(party))
            .issuer_name(self.certificate.subject)
            .public_key(public_key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - BACKDATING)
            .not_valid_after(now + validity)
            .add_extension(x509.SubjectAlternativeName([x509.DNSName(party)]), critical=False)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_key_usage(signs_certificates=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage(uses), critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key()), critical=False
            )
            .sign(self.key, hashes.SHA256())
        )
        return certificate.public_bytes(Encoding.PEM)

    def private_pem(self) -> bytes:
        """Return the authority's private key (PKCS #8 PEM), to be protected before it is stored."""
        return self.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())

    @classmethod
    def from_pem(cls, certificate_pem: bytes, private_pem: bytes) -> Authority:
        """Return the authority that `pem` and `private_pem` wrote.

        Raises:
            MalformedDocument: another form, or key and certificate are not of one authority.
        """
        try:
            certificate = x509.load_pem_x509_certificate(certificate_pem)
            key = load_pem_private_key(private_pem, password=None)
        except ValueError as error:
            raise MalformedDocument("not a certificate authority") from error
        if not isinstance(key, ec.EllipticCurvePrivateKey) or certificate.public_key() != key.public_key():
            raise MalformedDocument("key and certificate are not of one authority")
        return cls(certificate, key)


def _require_ec(key: object) -> ec.EllipticCurvePublicKey:
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP256R1):
        raise MalformedDocument("a TLS key is ECDSA over P-256")
    return key


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _key_usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )
