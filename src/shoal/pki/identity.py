"""What a node's certificate says about it, and what the API shows of that."""

import base64
import random
from dataclasses import dataclass
from datetime import datetime

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import NameOID

from shoal.errors import Forbidden, InvalidArgument
from shoal.objects.ids import ClusterId, NodeId
from shoal.objects.node import TLSInfo
from shoal.pki.pem import parse_certificate, parse_certificates

MANAGER = "manager"
WORKER = "worker"
CA_NAME = "swarm-ca"
MANAGER_NAME = "swarm-manager"
WORKER_NAME = "swarm-worker"

_UNIT_OF_ROLE = {MANAGER: MANAGER_NAME, WORKER: WORKER_NAME}
_ROLE_OF_UNIT = {unit: role for role, unit in _UNIT_OF_ROLE.items()}
# A renewal is due at a random point of this part of the validity, so that nodes that joined together do not renew
# together, and one that is away for a while still has time (SwarmKit's figures).
_RENEW_FROM, _RENEW_TO = 0.5, 0.8


@dataclass(frozen=True)
class NodeIdentity:
    """A node as its certificate names it; ``role`` is ``manager`` or ``worker``."""

    node_id: NodeId
    role: str
    cluster_id: ClusterId

    @property
    def unit(self) -> str:
        """The role as the certificate's OU: ``swarm-manager`` or ``swarm-worker``."""
        try:
            return _UNIT_OF_ROLE[self.role]
        except KeyError as error:
            raise InvalidArgument(f"invalid node role: {self.role}") from error

    def require_manager(self) -> None:
        """Raise :class:`Forbidden` unless the node is a manager."""
        if self.role != MANAGER:
            raise Forbidden(f"node {self.node_id} is a {self.role}, and only a manager may do this")


def identity(certificate: bytes) -> NodeIdentity:
    """The identity in a node's certificate (PEM or DER); raises :class:`Forbidden` if it is none of a node's.

    Says nothing about who signed it: that is for the TLS handshake, which must have come first.
    """
    try:
        subject = parse_certificate(certificate).subject
    except ValueError as error:
        raise Forbidden(f"the certificate's subject cannot be read: {error}") from error
    node_id = NodeId(_only(subject, NameOID.COMMON_NAME))
    unit = _only(subject, NameOID.ORGANIZATIONAL_UNIT_NAME)
    cluster_id = ClusterId(_only(subject, NameOID.ORGANIZATION_NAME))
    if unit not in _ROLE_OF_UNIT:
        raise Forbidden(f"the certificate of {node_id} has the organizational unit {unit}, which is no node's")
    return NodeIdentity(node_id=node_id, role=_ROLE_OF_UNIT[unit], cluster_id=cluster_id)


def addresses(certificate: bytes) -> list[str]:
    """The IP addresses that a certificate is good for."""
    try:
        names = parse_certificate(certificate).extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return []
    return [str(address) for address in names.get_values_for_type(x509.IPAddress)]


def validity(certificate: bytes) -> tuple[datetime, datetime]:
    """From when until when the certificate holds, in UTC."""
    parsed = parse_certificate(certificate)
    return parsed.not_valid_before_utc, parsed.not_valid_after_utc


def renewal_due(certificate: bytes, rng: random.Random) -> datetime:
    """When to renew: a random moment between 50 % and 80 % of the certificate's validity, back-dating included."""
    start, end = validity(certificate)
    return start + (end - start) * rng.uniform(_RENEW_FROM, _RENEW_TO)


def tls_info(trust_root: bytes, certificate: bytes | None = None) -> TLSInfo:
    """What the API shows of the swarm's trust (``trust_root``: PEM), as seen by the holder of ``certificate``.

    The issuer is the certificate among ``trust_root`` that signed the node's one, or the first where none is given.
    Raises :class:`InvalidArgument` if there is none.
    """
    roots = parse_certificates(trust_root)
    issuer = roots[0] if certificate is None else _issuer(parse_certificate(certificate), roots)
    public_key = issuer.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return TLSInfo(
        trust_root=trust_root.decode("ascii"),
        cert_issuer_subject=base64.b64encode(issuer.subject.public_bytes()).decode("ascii"),
        cert_issuer_public_key=base64.b64encode(public_key).decode("ascii"),
    )


def _issuer(certificate: x509.Certificate, roots: list[x509.Certificate]) -> x509.Certificate:
    for root in roots:
        try:
            certificate.verify_directly_issued_by(root)
        except (ValueError, TypeError, InvalidSignature):
            continue
        return root
    raise InvalidArgument("the certificate was not issued by any of the trusted roots")


def _only(subject: x509.Name, oid: x509.ObjectIdentifier) -> str:
    values = subject.get_attributes_for_oid(oid)
    if len(values) != 1 or not values[0].value:
        raise Forbidden(f"the certificate's subject is no node's: {subject.rfc4514_string()}")
    value = values[0].value
    return value if isinstance(value, str) else value.decode("ascii", "replace")
