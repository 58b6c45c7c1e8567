"""Another root by the API: what is refused, in the words of dockerd 20.10, and what is kept of the request."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from msgspec.structs import replace
from tests.fakes.clock import FakeClock

from shoal.errors import InvalidArgument
from shoal.manager.cluster import authority
from shoal.manager.control.cluster import ClusterControl
from shoal.manager.found import FoundingRequest, found
from shoal.objects.cluster import CAConfig, Cluster
from shoal.objects.ids import ClusterId, NodeId
from shoal.pki.authority import RootCA, new_key, request, verify_issued
from shoal.pki.identity import NodeIdentity
from shoal.store.backends.memory import MemoryBackend
from shoal.store.store import Store
from shoal.wire.docker.swarm import TokenRotation

NOW = FakeClock().now()
RPC = "rpc error: code = InvalidArgument desc = "


def made(
    *,
    days: int = 4000,
    is_ca: bool = True,
    is_root: bool = True,
    bits: int = 2048,
    key: ec.EllipticCurvePrivateKey | None = None,
    extension: x509.ExtensionType | None = None,
) -> RootCA:
    """As somebody makes one with openssl: an RSA key, a name of one's own."""
    own = key or rsa.generate_private_key(public_exponent=65537, key_size=bits)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "mine")])
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(own.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(NOW - timedelta(days=1))
        .not_valid_after(NOW + timedelta(days=days))
        .add_extension(x509.BasicConstraints(ca=is_ca, path_length=None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(own.public_key()), critical=False)
    )
    if extension is not None:
        builder = builder.add_extension(extension, critical=True)
    signer = own if is_root else ec.generate_private_key(ec.SECP256R1())
    pem = own.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return RootCA(builder.sign(signer, hashes.SHA256()).public_bytes(Encoding.PEM), pem)


def run(work: Callable[[ClusterControl], Awaitable[None]]) -> None:
    async def main() -> None:
        store = await Store.open(backend=MemoryBackend(), clock=FakeClock())
        objects = found(FoundingRequest("192.0.2.1:2377"), FakeClock().now()).objects
        await store.update(lambda tx: [tx.create(obj) for obj in objects])
        await work(ClusterControl(store, FakeClock()))
        await store.close()

    asyncio.run(main())


async def ask(control: ClusterControl, ca: CAConfig) -> Cluster:
    cluster = control.get()
    await control.update(replace(cluster.spec, ca_config=ca), cluster.version.index, TokenRotation())
    return control.get()


def asked(certificate: bytes = b"", key: bytes = b"") -> CAConfig:
    return CAConfig(signing_ca_cert=certificate.decode() or None, signing_ca_key=key.decode() or None)


def test_what_cannot_be_the_root_is_refused() -> None:
    good, other = made(), made()

    async def work(control: ClusterControl) -> None:
        present = control.get()
        own = authority(present)
        for ca, words in (
            (asked(good.certificate, other.key), "certificate key mismatch"),
            (asked((late := made(days=100)).certificate, late.key), "CA certificate expires too soon"),
            (
                asked(good.certificate + other.certificate, good.key),
                "the desired CA certificate cannot contain multiple certificates",
            ),
            (asked(b"junk", good.key), "could not parse the desired CA certificate"),
            (asked(good.certificate, b"junk"), "invalid private key"),
            (asked(key=good.key), "if a signing CA key is provided, the signing CA cert must also be provided"),
            (
                asked(good.certificate),
                "there must be at least one valid, reachable external CA corresponding to the desired CA certificate",
            ),
            (
                asked((leaf := made(is_ca=False)).certificate, leaf.key),
                "the root certificate is not a certificate authority's",
            ),
            (
                asked((middle := made(is_root=False)).certificate, middle.key),
                "the desired CA certificate must be a root, which is signed with its own key",
            ),
            *(
                (asked(bad.certificate, bad.key), f"the desired CA certificate cannot be used: {why}")
                for bad, why in (
                    (made(bits=1024), "its key has fewer than 2048 bits"),
                    (made(key=ec.generate_private_key(ec.SECP256K1())), "the curve of its key is none of"),
                    (made(extension=_purpose()), "it limits what it may sign"),
                    (made(extension=_signing_nothing()), "its key usage does not include"),
                )
            ),
            (asked(_reissued(own), own.key), "Cannot update to a cert with an identical key"),
        ):
            with pytest.raises(InvalidArgument) as error:
                await ask(control, ca)
            assert str(error.value).startswith(RPC + words)
        with pytest.raises(InvalidArgument, match="external certificate authorities are not supported"):
            await ask(control, CAConfig(external_cas=[{"Protocol": "cfssl", "URL": "https://192.0.2.1"}]))
        assert control.get() == present

    run(work)


def _purpose() -> x509.ExtensionType:
    return x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CODE_SIGNING])


def _signing_nothing() -> x509.ExtensionType:
    return x509.KeyUsage(True, False, False, False, False, False, False, False, False)


def _reissued(own: RootCA) -> bytes:
    """A certificate for the same key, such as one that holds for longer."""
    key = load_pem_private_key(own.key, None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    return made(key=key).certificate


def test_a_root_that_was_given_is_used_and_its_key_is_not_kept_among_the_settings() -> None:
    given = made()

    async def work(control: ClusterControl) -> None:
        before = control.get()
        begun = await ask(control, replace(asked(given.certificate, given.key), node_cert_expiry=7200 * 10**9))
        assert begun.rotation is not None and begun.rotation.certificate.encode() == given.certificate
        assert begun.spec.ca_config == CAConfig(node_cert_expiry=7200 * 10**9)
        # Until it issues certificates itself, the present one does.
        assert authority(begun) == authority(before) and begun.join_tokens == before.join_tokens
        # Settings that are sent back as they were shown change nothing.
        assert (await ask(control, begun.spec.ca_config)).rotation == begun.rotation
        issuing = replace(begun, rotation=replace(begun.rotation, issues=True))
        node = NodeIdentity(NodeId("n1"), "worker", ClusterId("c"))
        verify_issued(authority(issuing).sign(request(new_key()), node, NOW), given.certificate)

    run(work)


def test_each_forced_rotation_is_one_to_a_root_of_the_swarms_own() -> None:
    async def work(control: ClusterControl) -> None:
        first = await ask(control, CAConfig(force_rotate=1))
        assert first.rotation is not None and first.rotations == 1
        assert (await ask(control, CAConfig(force_rotate=1))).rotation == first.rotation
        second = await ask(control, CAConfig(force_rotate=2))
        assert second.rotation is not None and second.rotation.certificate != first.rotation.certificate
        assert second.rotation.others == []

    run(work)
