import base64
import json
import random
from datetime import UTC, datetime, timedelta

import pytest

from shoal.errors import Forbidden, InvalidArgument
from shoal.objects.ids import ClusterId, NodeId
from shoal.pki.authority import RootCA, new_key, request
from shoal.pki.identity import NodeIdentity, identity, renewal_due, tls_info, validity

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
# A root certificate as dockerd 20.10 shows it, and what it shows of the issuer.
PEER = json.loads(
    r"""{"TrustRoot": "-----BEGIN CERTIFICATE-----\nMIIBajCCARCgAwIBAgIUQwVYzaDV5y6+BQ8A02JlpaUejccwCgYIKoZIzj0EAwIw\nEzERMA8GA1UEAxMIc3dhcm0tY2EwHhcNMjYxMTIzMTU0OTAwWhcNNDYxMTE4MTU0\nOTAwWjATMREwDwYDVQQDEwhzd2FybS1jYTBZMBMGByqGSM49AgEGCCqGSM49AwEH\nA0IABL23jvByc523krmmsCci2wtkdeaduXgM1yv4WC+di1zMnTXCFvZo1oSR1hMV\nO4yGNGKY/HBHctffoKu+ZOmuRHWjQjBAMA4GA1UdDwEB/wQEAwIBBjAPBgNVHRMB\nAf8EBTADAQH/MB0GA1UdDgQWBBTMFEOCM/Mm/c3VqJLX9pA8M/ACcjAKBggqhkjO\nPQQDAgNIADBFAiEA2LiT5dPjRD46a5oO+UUrQy8UxMWiKNwPbkVWfS/5qrICIFvW\n4wtxfz18YM5LizimvYOw7MRKVFe7byvo6PwJ3GF3\n-----END CERTIFICATE-----\n",
    "CertIssuerSubject": "MBMxETAPBgNVBAMTCHN3YXJtLWNh",
    "CertIssuerPublicKey": "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEvbeO8HJznbeSuaawJyLbC2R15p25eAzXK/hYL52LXMydNcIW9mjWhJHWExU7jIY0Ypj8cEdy19+gq75k6a5EdQ=="}"""  # noqa: E501
)


def test_identity_is_what_was_signed_for() -> None:
    root = RootCA.create(NOW)
    for role in ("manager", "worker"):
        node = NodeIdentity(NodeId("taan1mj3bpyavx3q8stks1uqe"), role, ClusterId("z4szcdleajnx5q65cxymlxn8s"))
        assert identity(root.sign(request(new_key()), node, NOW)) == node


def test_the_roots_certificate_is_no_nodes() -> None:
    with pytest.raises(Forbidden):
        identity(RootCA.create(NOW).certificate)


def test_what_is_no_certificate_is_refused() -> None:
    for junk in (b"", b"hello", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"):
        with pytest.raises(InvalidArgument):
            identity(junk)


def test_only_a_manager_passes_for_one() -> None:
    NodeIdentity(NodeId("n"), "manager", ClusterId("c")).require_manager()
    with pytest.raises(Forbidden, match="only a manager"):
        NodeIdentity(NodeId("n"), "worker", ClusterId("c")).require_manager()


def test_renewal_is_due_between_half_and_four_fifths() -> None:
    root = RootCA.create(NOW)
    certificate = root.sign(
        request(new_key()), NodeIdentity(NodeId("n"), "worker", ClusterId("c")), NOW, timedelta(hours=99)
    )
    start, end = validity(certificate)
    assert (start, end) == (NOW - timedelta(hours=99), NOW + timedelta(hours=99))
    moments = {renewal_due(certificate, random.Random(seed)) for seed in range(200)}
    assert len(moments) > 100
    assert min(moments) >= start + timedelta(hours=99)
    assert max(moments) <= start + timedelta(hours=158.4)
    assert max(moments) - min(moments) > timedelta(hours=25)


def test_tls_info_is_the_peers_for_the_peers_root() -> None:
    shown = tls_info(PEER["TrustRoot"].encode())
    assert shown.trust_root == PEER["TrustRoot"]
    assert shown.cert_issuer_subject == PEER["CertIssuerSubject"]
    assert shown.cert_issuer_public_key == PEER["CertIssuerPublicKey"]


def test_tls_info_finds_the_issuer_among_the_roots() -> None:
    old, new = RootCA.create(NOW), RootCA.create(NOW)
    node = NodeIdentity(NodeId("n"), "worker", ClusterId("c"))
    both = old.certificate + new.certificate
    assert tls_info(both, new.sign(request(new_key()), node, NOW)).cert_issuer_public_key == (
        tls_info(new.certificate).cert_issuer_public_key
    )
    with pytest.raises(InvalidArgument, match="not issued"):
        tls_info(old.certificate, new.sign(request(new_key()), node, NOW))
    assert b"swarm-ca" in base64.b64decode(tls_info(old.certificate).cert_issuer_subject or "")
