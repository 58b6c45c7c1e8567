"""The swarm's root CA, and the requests that it signs.

The certificates are SwarmKit's in all that another node or a reader of the lab can see: ECDSA P-256 keys, the root
``CN=swarm-ca`` for 20 years, a node's one with the node's id, role and swarm in its subject and the role as a DNS
name, so that a client checks whom it talks to by the name ``swarm-manager`` wherever the manager happens to be.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from ipaddress import ip_address

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from shoal.errors import Forbidden, InvalidArgument
from shoal.pki.identity import CA_NAME, MANAGER, NodeIdentity
from shoal.pki.pem import certificate_pem, key_matches, key_pem, parse_certificate, parse_certificates, parse_key

ROOT_VALIDITY = timedelta(days=20 * 365)
NODE_VALIDITY = timedelta(days=90)
SHORTEST_VALIDITY = timedelta(hours=1)
# Clocks differ, and are set back: a certificate holds from some time before it was signed, as long as it holds at most.
BACKDATE = timedelta(days=7)
# What is vouched for begins so, as no certificate does.
_VOUCHED = b"trusted by a swarm beside its root certificate:\n"


@dataclass(frozen=True)
class RootCA:
    """The root certificate and its key, both PEM."""

    certificate: bytes
    key: bytes = field(repr=False)

    @classmethod
    def create(cls, now: datetime) -> "RootCA":
        """A new, self-signed root, valid for 20 years from ``now``."""
        key = _new_key()
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, CA_NAME)])
        builder = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - BACKDATE)
            .not_valid_after(now + ROOT_VALIDITY)
            .add_extension(_key_usage(signs_certificates=True), critical=True)
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        )
        return cls(certificate=certificate_pem(builder.sign(key, hashes.SHA256())), key=key_pem(key))

    @classmethod
    def load(cls, certificate: bytes, key: bytes) -> "RootCA":
        """A root from PEM; raises :class:`InvalidArgument` if the two do not belong together or it is no CA."""
        parsed = parse_certificate(certificate)
        try:
            is_ca = parsed.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
        except x509.ExtensionNotFound:
            is_ca = False
        if not is_ca:
            raise InvalidArgument("the root certificate is not a certificate authority's")
        if not key_matches(key, certificate):
            raise InvalidArgument("the key is not the root certificate's")
        return cls(certificate=certificate_pem(parsed), key=key)

    def sign(
        self,
        csr: bytes,
        node: NodeIdentity,
        now: datetime,
        validity: timedelta = NODE_VALIDITY,
        *,
        addresses: Sequence[str] = (),
    ) -> bytes:
        """The node's certificate (PEM) for the request ``csr`` (PEM), valid for ``validity`` from ``now``.

        ``addresses`` are the IP addresses at which it is dialled by who checks those: a manager's, by other managers'
        etcds. Only the public key is taken from the request: who the node is, is what the manager knows of it. Raises
        :class:`InvalidArgument` for a broken request, a validity under an hour or what is no IP address.
        """
        if validity < SHORTEST_VALIDITY:
            raise InvalidArgument("the certificate's validity must be at least one hour")
        root = parse_certificate(self.certificate)
        root_key = parse_key(self.key)
        public_key = _requested_key(csr)
        names = [node.unit, node.node_id] + ([CA_NAME] if node.role == MANAGER else [])
        alternatives = [*(x509.DNSName(name) for name in names), *(_ip_name(address) for address in addresses)]
        builder = (
            x509.CertificateBuilder()
            .subject_name(_subject(node))
            .issuer_name(root.subject)
            .public_key(public_key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - min(BACKDATE, validity))
            .not_valid_after(min(now + validity, root.not_valid_after_utc))
            .add_extension(_key_usage(signs_certificates=False), critical=True)
            .add_extension(
                x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]),
                critical=False,
            )
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(public_key), critical=False)
            .add_extension(_authority_identifier(root), critical=False)
            .add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
        )
        return certificate_pem(builder.sign(root_key, hashes.SHA256()))

    def vouch(self, bundle: bytes) -> bytes:
        """A signature by which who trusts this root alone knows that ``bundle`` (PEM) is to be trusted too."""
        key, text = parse_key(self.key), _VOUCHED + bundle
        if isinstance(key, rsa.RSAPrivateKey):
            return key.sign(text, padding.PKCS1v15(), hashes.SHA256())
        return key.sign(text, ec.ECDSA(hashes.SHA256()))


def check_voucher(voucher: bytes, bundle: bytes, root: bytes) -> None:
    """Raise :class:`Forbidden` unless ``root`` (one PEM certificate) vouches for ``bundle``."""
    key, text = parse_certificate(root).public_key(), _VOUCHED + bundle
    try:
        if isinstance(key, rsa.RSAPublicKey):
            key.verify(voucher, text, padding.PKCS1v15(), hashes.SHA256())
        elif isinstance(key, ec.EllipticCurvePublicKey):
            key.verify(voucher, text, ec.ECDSA(hashes.SHA256()))
        else:
            raise Forbidden("the swarm's root certificate has a key of a kind that vouches for nothing")
    except InvalidSignature as error:
        raise Forbidden("the swarm's root certificate does not vouch for the others that the manager names") from error


def verify_issued(certificate: bytes, trust_roots: bytes) -> None:
    """Raise :class:`Forbidden` unless one of ``trust_roots`` (PEM) signed ``certificate`` (PEM)."""
    if not any(_is_issued(parse_certificate(certificate), root) for root in parse_certificates(trust_roots)):
        raise Forbidden("the certificate was not issued by this swarm's certificate authority")


def _is_issued(certificate: x509.Certificate, root: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(root)
    except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm):
        return False
    return True


def new_key() -> bytes:
    """A new private key (ECDSA P-256) as PEM."""
    return key_pem(_new_key())


def request(key: bytes) -> bytes:
    """A certificate signing request (PEM) for ``key`` (PEM); its subject is left empty, the manager knows it."""
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
    return builder.sign(parse_key(key), hashes.SHA256()).public_bytes(Encoding.PEM)


def _new_key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


def _subject(node: NodeIdentity) -> x509.Name:
    try:
        return x509.Name(
            [
                x509.NameAttribute(NameOID.ORGANIZATION_NAME, node.cluster_id),
                x509.NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, node.unit),
                x509.NameAttribute(NameOID.COMMON_NAME, node.node_id),
            ]
        )
    except ValueError as error:
        raise InvalidArgument(f"invalid node identity: {error}") from error


def _ip_name(address: str) -> x509.IPAddress:
    try:
        return x509.IPAddress(ip_address(address))
    except ValueError as error:
        raise InvalidArgument(f"a certificate cannot be made out to {address}, which is no IP address") from error


def _authority_identifier(root: x509.Certificate) -> x509.AuthorityKeyIdentifier:
    """As the root has it: by this, roots of one name are told apart."""
    try:
        own = root.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    except x509.ExtensionNotFound:
        key = root.public_key()
        assert isinstance(key, ec.EllipticCurvePublicKey | rsa.RSAPublicKey)
        return x509.AuthorityKeyIdentifier.from_issuer_public_key(key)
    return x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(own)


def _requested_key(csr: bytes) -> ec.EllipticCurvePublicKey:
    try:
        parsed = x509.load_pem_x509_csr(csr)
        valid = parsed.is_signature_valid
        public_key = parsed.public_key()
    except (ValueError, UnsupportedAlgorithm) as error:
        raise InvalidArgument(f"invalid certificate signing request: {error}") from error
    if not valid:
        raise InvalidArgument("invalid certificate signing request: its signature is wrong")
    if not isinstance(public_key, ec.EllipticCurvePublicKey) or public_key.key_size < ec.SECP256R1().key_size:
        raise InvalidArgument("invalid certificate signing request: the key must be ECDSA with 256 bits or more")
    return public_key


def _key_usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        content_commitment=False,
        key_encipherment=not signs_certificates,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )
