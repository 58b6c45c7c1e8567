"""A root that somebody brings along: whether a swarm can have it, in SwarmKit's words where it has some.

Nodes check certificates with OpenSSL and etcd does with Go: what one of them does not take would part the swarm.
"""

from datetime import datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from shoal.errors import Forbidden, InvalidArgument
from shoal.pki.authority import RootCA, verify_issued
from shoal.pki.pem import certificate_pem, key_matches, parse_certificates

_LEAST_VALIDITY = timedelta(days=365)
_LEAST_RSA = 2048
_CURVES = ("secp256r1", "secp384r1", "secp521r1")
_LIMITS = (x509.NameConstraints, x509.ExtendedKeyUsage)


def desired_root(certificate: bytes, key: bytes, now: datetime) -> RootCA:
    """The authority of a certificate and its key (both PEM). Raises :class:`InvalidArgument` for what is none, is
    another's, or would not do for a year from ``now``."""
    try:
        found = parse_certificates(certificate)
    except InvalidArgument as error:
        raise InvalidArgument("could not parse the desired CA certificate") from error
    root = found[0]
    if not key_matches(key, certificate):
        raise InvalidArgument("certificate key mismatch")
    if len(found) > 1:
        raise InvalidArgument("the desired CA certificate cannot contain multiple certificates")
    if root.not_valid_after_utc < now + _LEAST_VALIDITY:
        raise InvalidArgument("CA certificate expires too soon")
    pem = certificate_pem(root)
    try:
        verify_issued(pem, pem)
    except Forbidden as error:
        raise InvalidArgument("the desired CA certificate must be a root, which is signed with its own key") from error
    made = RootCA.load(pem, key)
    if (why := _unfit(root, now)) is not None:
        raise InvalidArgument(f"the desired CA certificate cannot be used: {why}")
    return made


def _unfit(root: x509.Certificate, now: datetime) -> str | None:
    """What would keep nodes from trusting what it signs."""
    key, extensions = root.public_key(), root.extensions
    kinds = {type(extension.value) for extension in extensions}
    if root.not_valid_before_utc > now:
        return "it is not valid yet"
    if isinstance(key, rsa.RSAPublicKey) and key.key_size < _LEAST_RSA:
        return f"its key has fewer than {_LEAST_RSA} bits"
    if isinstance(key, ec.EllipticCurvePublicKey) and key.curve.name not in _CURVES:
        return f"the curve of its key is none of {', '.join(_CURVES)}"
    if x509.SubjectKeyIdentifier not in kinds:
        return "it has no subject key identifier, by which roots are told apart"
    if not kinds.isdisjoint(_LIMITS):
        return "it limits what it may sign, to names or purposes"
    if x509.KeyUsage in kinds and not extensions.get_extension_for_class(x509.KeyUsage).value.key_cert_sign:
        return "its key usage does not include signing certificates"
    return None
