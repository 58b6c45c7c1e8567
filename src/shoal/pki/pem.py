"""Between PEM and the ``cryptography`` library's types, with our own errors."""

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from shoal.errors import InvalidArgument


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


def certificate_pem(certificate: x509.Certificate) -> bytes:
    """The certificate as PEM in the one form that is used everywhere: lines of 64, a newline at the end."""
    return certificate.public_bytes(Encoding.PEM)


def parse_key(key: bytes) -> ec.EllipticCurvePrivateKey:
    """A private key in PEM, without a passphrase; raises :class:`InvalidArgument` unless it is an elliptic curve's."""
    try:
        parsed = load_pem_private_key(key, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise InvalidArgument(f"invalid private key: {error}") from error
    if not isinstance(parsed, ec.EllipticCurvePrivateKey):
        raise InvalidArgument("invalid private key: it is not an elliptic curve's")
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
