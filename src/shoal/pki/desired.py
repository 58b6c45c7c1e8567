"""A root that somebody brings along: whether a swarm can have it, in SwarmKit's words where it has some."""

from datetime import datetime, timedelta

from cryptography import x509

from shoal.errors import Forbidden, InvalidArgument
from shoal.pki.authority import RootCA, verify_issued
from shoal.pki.pem import certificate_pem, key_matches, parse_certificates

_LEAST_VALIDITY = timedelta(days=365)


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
    try:
        root.extensions.get_extension_for_class(x509.SubjectKeyIdentifier)
    except x509.ExtensionNotFound as error:
        raise InvalidArgument(
            "the desired CA certificate has no subject key identifier, by which roots are told apart"
        ) from error
    return RootCA.load(pem, key)
