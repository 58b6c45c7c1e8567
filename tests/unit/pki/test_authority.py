from datetime import UTC, datetime, timedelta
from ipaddress import ip_address

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding

from shoal.errors import Forbidden, InvalidArgument
from shoal.objects.ids import ClusterId, NodeId
from shoal.pki.authority import RootCA, check_voucher, new_key, request, verify_issued
from shoal.pki.identity import NodeIdentity, validity

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
NODE = NodeIdentity(NodeId("node1"), "worker", ClusterId("cluster1"))


def test_the_root_is_swarmkits() -> None:
    root = x509.load_pem_x509_certificate(RootCA.create(NOW).certificate)
    assert root.subject.rfc4514_string() == root.issuer.rfc4514_string() == "CN=swarm-ca"
    assert root.not_valid_after_utc == NOW + timedelta(days=20 * 365)
    key = root.public_key()
    assert isinstance(key, ec.EllipticCurvePublicKey) and key.curve.name == "secp256r1"
    usage = root.extensions.get_extension_for_class(x509.KeyUsage)
    assert usage.critical and usage.value.key_cert_sign and usage.value.crl_sign and not usage.value.digital_signature
    assert root.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    root.verify_directly_issued_by(root)


@pytest.mark.parametrize(
    ("role", "names"),
    [("manager", ["swarm-manager", "node1", "swarm-ca"]), ("worker", ["swarm-worker", "node1"])],
)
def test_a_nodes_certificate_names_it(role: str, names: list[str]) -> None:
    pem = RootCA.create(NOW).sign(request(new_key()), NodeIdentity(NodeId("node1"), role, ClusterId("cluster1")), NOW)
    certificate = x509.load_pem_x509_certificate(pem)
    assert certificate.subject.rfc4514_string() == f"CN=node1,OU=swarm-{role},O=cluster1"
    alternatives = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert alternatives.get_values_for_type(x509.DNSName) == names
    assert not certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    assert validity(pem) == (NOW - timedelta(days=7), NOW + timedelta(days=90))


def test_a_certificate_is_good_for_the_addresses_that_it_is_made_out_to() -> None:
    root = RootCA.create(NOW)
    pem = root.sign(request(new_key()), NODE, NOW, addresses=["192.0.2.1", "2001:db8::1"])
    alternatives = x509.load_pem_x509_certificate(pem).extensions.get_extension_for_class(x509.SubjectAlternativeName)
    assert alternatives.value.get_values_for_type(x509.DNSName) == ["swarm-worker", "node1"]
    addresses = alternatives.value.get_values_for_type(x509.IPAddress)
    assert addresses == [ip_address("192.0.2.1"), ip_address("2001:db8::1")]
    with pytest.raises(InvalidArgument, match=r"manager\.example, which is no IP address"):
        root.sign(request(new_key()), NODE, NOW, addresses=["manager.example"])


def test_a_certificate_never_outlives_the_root() -> None:
    root = RootCA.create(NOW)
    late = NOW + timedelta(days=20 * 365 - 1)
    assert validity(root.sign(request(new_key()), NODE, late))[1] == NOW + timedelta(days=20 * 365)


def test_a_validity_under_an_hour_is_refused() -> None:
    with pytest.raises(InvalidArgument, match="one hour"):
        RootCA.create(NOW).sign(request(new_key()), NODE, NOW, timedelta(minutes=59))


def test_the_requests_own_subject_counts_for_nothing() -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "another-node")])
    csr = x509.CertificateSigningRequestBuilder().subject_name(name).sign(key, hashes.SHA256())
    certificate = x509.load_pem_x509_certificate(RootCA.create(NOW).sign(csr.public_bytes(Encoding.PEM), NODE, NOW))
    assert "another-node" not in certificate.subject.rfc4514_string()
    assert certificate.public_key() == key.public_key()


def _rsa_request() -> bytes:
    key = rsa.generate_private_key(65537, 2048)
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
    return builder.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM)


def _forged_request() -> bytes:
    der = bytearray(x509.load_pem_x509_csr(request(new_key())).public_bytes(Encoding.DER))
    der[-1] ^= 1
    return x509.load_der_x509_csr(bytes(der)).public_bytes(Encoding.PEM)


@pytest.mark.parametrize(
    "csr", [b"", b"hello", _rsa_request(), _forged_request()], ids=["empty", "text", "rsa", "forged"]
)
def test_broken_requests_are_refused(csr: bytes) -> None:
    with pytest.raises(InvalidArgument, match="certificate signing request"):
        RootCA.create(NOW).sign(csr, NODE, NOW)


def test_an_identity_that_fits_no_certificate_is_refused() -> None:
    for node in (
        NodeIdentity(NodeId(""), "worker", ClusterId("c")),
        NodeIdentity(NodeId("n"), "boss", ClusterId("c")),
        NodeIdentity(NodeId("n" * 65), "worker", ClusterId("c")),
    ):
        with pytest.raises(InvalidArgument):
            RootCA.create(NOW).sign(request(new_key()), node, NOW)


def test_who_issued_it_is_checked() -> None:
    root, other = RootCA.create(NOW), RootCA.create(NOW)
    certificate = root.sign(request(new_key()), NODE, NOW)
    verify_issued(certificate, root.certificate)
    with pytest.raises(Forbidden, match="not issued by this swarm"):
        verify_issued(certificate, other.certificate)


def test_load_takes_a_ca_and_its_key_only() -> None:
    root = RootCA.create(NOW)
    assert RootCA.load(root.certificate, root.key) == root
    with pytest.raises(InvalidArgument, match="key is not the root"):
        RootCA.load(root.certificate, new_key())
    key = new_key()
    with pytest.raises(InvalidArgument, match="not a certificate authority"):
        RootCA.load(root.sign(request(key), NODE, NOW), key)
    with pytest.raises(InvalidArgument, match="private key"):
        RootCA.load(root.certificate, b"hello")


def test_the_roots_key_stays_out_of_logs() -> None:
    assert "PRIVATE" not in repr(RootCA.create(NOW))


def test_one_of_several_roots_will_do() -> None:
    one, other = RootCA.create(NOW), RootCA.create(NOW)
    certificate = other.sign(request(new_key()), NODE, NOW)
    verify_issued(certificate, one.certificate + other.certificate)
    with pytest.raises(Forbidden):
        verify_issued(certificate, one.certificate)


def test_a_root_vouches_for_others_and_nobody_else_can_in_its_name() -> None:
    root, other = RootCA.create(NOW), RootCA.create(NOW)
    bundle = root.certificate + other.certificate
    check_voucher(root.vouch(bundle), bundle, root.certificate)
    for voucher, text in (
        (other.vouch(bundle), bundle),
        (root.vouch(bundle), bundle + RootCA.create(NOW).certificate),
        (root.vouch(bundle)[:-1], bundle),
        (b"", bundle),
    ):
        with pytest.raises(Forbidden, match="does not vouch"):
            check_voucher(voucher, text, root.certificate)
