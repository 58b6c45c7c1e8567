"""Between PEM and the ``cryptography`` library's types, with our own errors."""

from typing import TypeAlias

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from shoal.errors import InvalidArgument

# A node's key is an elliptic curve's; an authority that somebody brings along may have another.
Key: TypeAlias = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey


def parse_certificate(pem_or_der: bytes) -> x509.Certificate:
    """The (first) certificate in PEM or DER; raises :class:`InvalidArgument`."""
    try:
        if pem_or_der.lstrip().startswith(b"-----BEGIN"):
            return x509.load_pem_x509_certificate(pem_or_der)
        return x509.load_der_x509_certificate(pem_or_der)
    except ValueError as error:
        raise InvalidArgument(f"invalid certificate: {error}") from error


def parse_certificates(pem: bytes) -> list[x509.Certificate]:
    """All certificates in PEM, at least one; raises :class:`InvalidArgument`."""
    try:
        return x509.load_pem_x509_certificates(pem)
    except ValueError as error:
        raise InvalidArgument(f"invalid certificate: {error}") from error


def split_certificates(pem: bytes) -> list[bytes]:
    """All certificates in PEM, at least one, each on its own in the canonical form; raises :class:`InvalidArgument`."""
    return [certificate_pem(certificate) for certificate in parse_certificates(pem)]


def certificate_pem(certificate: x509.Certificate) -> bytes:
    """The certificate as PEM in the one form that is used everywhere: lines of 64, a newline at the end."""
    return certificate.public_bytes(Encoding.PEM)


def parse_key(key: bytes) -> Key:
    """A private key in PEM, without a passphrase; raises :class:`InvalidArgument` for another kind than :data:`Key`."""
    try:
        parsed = load_pem_private_key(key, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise InvalidArgument(f"invalid private key: {error}") from error
    if not isinstance(parsed, ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey):
        raise InvalidArgument("invalid private key: it is neither an elliptic curve's nor RSA's")
    return parsed


def key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    """The private key as PEM (PKCS #8), without a passphrase."""
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def key_matches(key: bytes, certificate: bytes) -> bool:
    """Whether the private key (PEM) is the certificate's; raises :class:`InvalidArgument` if either is broken."""
    own = parse_key(key).public_key()
    try:
        return own == parse_certificate(certificate).public_key()
    except (ValueError, UnsupportedAlgorithm) as error:
        raise InvalidArgument(f"invalid certificate: {error}") from error
