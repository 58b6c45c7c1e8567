"""Handshakes over loopback: who is let in, who is not, and what each side learns of the other."""

import asyncio
import ssl
from datetime import UTC, datetime
from pathlib import Path

import pytest

from shoal.errors import InvalidArgument, Unauthorized
from shoal.objects.ids import ClusterId, NodeId
from shoal.pki import contexts
from shoal.pki.authority import RootCA, new_key, request
from shoal.pki.files import NodeFiles, load, save
from shoal.pki.identity import MANAGER_NAME, NodeIdentity

# How asyncio tells a client that the server refused its certificate depends on which of the two is quicker.
REFUSED = (ssl.SSLError, ConnectionError)


def _node(folder: Path, root: RootCA, role: str, node_id: str = "node1") -> Path:
    key = new_key()
    certificate = root.sign(request(key), NodeIdentity(NodeId(node_id), role, ClusterId("cluster1")), datetime.now(UTC))
    save(folder, NodeFiles(root=root.certificate, certificate=certificate, key=key))
    return folder


async def _talk(server: ssl.SSLContext, client: ssl.SSLContext, name: str = MANAGER_NAME) -> str:
    """What the server says of the client that connects; raises what the client sees fail, a mute end included."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            who = contexts.peer_identity(writer.get_extra_info("ssl_object"))
            writer.write(f"{who.role} {who.node_id} of {who.cluster_id}\n".encode())
        except Unauthorized as error:
            writer.write(f"{error}\n".encode())
        writer.close()
        await writer.wait_closed()

    listener = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=server)
    async with listener:
        port = listener.sockets[0].getsockname()[1]
        reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=client, server_hostname=name)
        try:
            # With TLS 1.3 a client learns of its refusal only when it reads.
            if not (line := await reader.readline()):
                raise ConnectionResetError("the server hung up")
            return line.decode().strip()
        finally:
            writer.close()
            await asyncio.gather(writer.wait_closed(), return_exceptions=True)


def _run(server: ssl.SSLContext, client: ssl.SSLContext, name: str = MANAGER_NAME) -> str:
    return asyncio.run(asyncio.wait_for(_talk(server, client, name), 10))


@pytest.fixture(name="root")
def _root() -> RootCA:
    return RootCA.create(datetime.now(UTC))


def test_a_worker_and_a_manager_know_each_other(tmp_path: Path, root: RootCA) -> None:
    manager = _node(tmp_path / "m", root, "manager")
    worker = _node(tmp_path / "w", root, "worker", "node2")
    server = contexts.swarm_server(manager)
    assert _run(server, contexts.swarm_client(worker)) == "worker node2 of cluster1"
    assert _run(server, contexts.swarm_client(manager)) == "manager node1 of cluster1"


def test_a_worker_passes_for_no_manager(tmp_path: Path, root: RootCA) -> None:
    server = contexts.swarm_server(_node(tmp_path / "w", root, "worker"))
    with pytest.raises(ssl.SSLCertVerificationError, match="not valid for 'swarm-manager'"):
        _run(server, contexts.swarm_client(_node(tmp_path / "m", root, "manager")))


def test_another_swarms_manager_is_not_trusted(tmp_path: Path, root: RootCA) -> None:
    server = contexts.swarm_server(_node(tmp_path / "m", RootCA.create(datetime.now(UTC)), "manager"))
    with pytest.raises(ssl.SSLCertVerificationError):
        _run(server, contexts.swarm_client(_node(tmp_path / "w", root, "worker")))


@pytest.mark.parametrize("require", [True, False])
def test_another_swarms_node_is_not_let_in(tmp_path: Path, root: RootCA, *, require: bool) -> None:
    server = contexts.swarm_server(_node(tmp_path / "m", root, "manager"), require_certificate=require)
    stranger = _node(tmp_path / "w", RootCA.create(datetime.now(UTC)), "worker")
    client = contexts.untrusting_client()
    client.load_cert_chain(stranger / "swarm-node.crt", stranger / "swarm-node.key")
    with pytest.raises(REFUSED):
        _run(server, client)


def test_who_has_no_certificate_gets_in_only_where_that_is_allowed(tmp_path: Path, root: RootCA) -> None:
    manager = _node(tmp_path / "m", root, "manager")
    client = contexts.joining_client(root.certificate)
    optional = contexts.swarm_server(manager, require_certificate=False)
    assert _run(optional, client) == "the request needs a node's certificate"
    assert _run(optional, contexts.untrusting_client()) == "the request needs a node's certificate"
    with pytest.raises(REFUSED):
        _run(contexts.swarm_server(manager), client)


def test_a_joining_node_trusts_its_root_only(tmp_path: Path, root: RootCA) -> None:
    server = contexts.swarm_server(_node(tmp_path / "m", root, "manager"), require_certificate=False)
    with pytest.raises(ssl.SSLCertVerificationError):
        _run(server, contexts.joining_client(RootCA.create(datetime.now(UTC)).certificate))
    with pytest.raises(InvalidArgument, match="root certificate"):
        contexts.joining_client(b"hello")


def test_a_renewed_certificate_is_used_by_new_connections(tmp_path: Path, root: RootCA) -> None:
    server = contexts.swarm_server(_node(tmp_path / "m", root, "manager"))
    worker = _node(tmp_path / "w", root, "worker", "node2")
    client = contexts.swarm_client(worker)
    assert _run(server, client) == "worker node2 of cluster1"
    _node(tmp_path / "w", root, "manager", "node2")
    contexts.reload(client, worker)
    assert _run(server, client) == "manager node2 of cluster1"


def test_a_root_that_is_trusted_no_more_lets_nobody_in(tmp_path: Path, root: RootCA) -> None:
    other = RootCA.create(datetime.now(UTC))
    manager = _node(tmp_path / "m", root, "manager")
    server, client = contexts.swarm_server(manager), contexts.swarm_client(_node(tmp_path / "w", root, "worker"))
    both = root.certificate + other.certificate
    held = load(manager)
    save(manager, NodeFiles(root=both, certificate=held.certificate, key=held.key))
    contexts.reload(server, manager)
    changed = _node(tmp_path / "w2", other, "worker")
    save(changed, NodeFiles(root=both, certificate=load(changed).certificate, key=load(changed).key))
    assert _run(server, client) == _run(server, contexts.swarm_client(changed)) == "worker node1 of cluster1"
    _node(tmp_path / "m", other, "manager")
    contexts.reload(server, manager)
    assert _run(server, contexts.swarm_client(changed)) == "worker node1 of cluster1"
    with pytest.raises(REFUSED):
        _run(server, client)


def test_old_tls_is_refused(tmp_path: Path, root: RootCA) -> None:
    folder = _node(tmp_path / "m", root, "manager")
    for context in (contexts.swarm_server(folder), contexts.swarm_client(folder), contexts.untrusting_client()):
        assert context.minimum_version == ssl.TLSVersion.TLSv1_2


def test_the_apis_sockets_verify_when_told_to(tmp_path: Path, root: RootCA) -> None:
    folder = _node(tmp_path / "m", root, "manager")
    cert, key, ca = folder / "swarm-node.crt", folder / "swarm-node.key", folder / "swarm-root-ca.crt"
    strict = contexts.api_server(cert=cert, key=key, ca=ca, verify=True)
    stranger = ssl.create_default_context(cafile=str(ca))
    with pytest.raises(REFUSED):
        _run(strict, stranger, "node1")
    known = ssl.create_default_context(cafile=str(ca))
    known.load_cert_chain(cert, key)
    assert _run(strict, known, "node1") == "manager node1 of cluster1"
    lax = contexts.api_server(cert=cert, key=key, ca=None, verify=False)
    assert _run(lax, stranger, "node1") == "the request needs a node's certificate"


def test_files_that_are_missing_or_broken_are_named(tmp_path: Path, root: RootCA) -> None:
    folder = _node(tmp_path / "m", root, "manager")
    cert, key = folder / "swarm-node.crt", folder / "swarm-node.key"
    with pytest.raises(InvalidArgument, match="nowhere.pem"):
        contexts.api_server(cert=tmp_path / "nowhere.pem", key=key, ca=None, verify=False)
    with pytest.raises(InvalidArgument, match="could not read CA certificate .*nowhere.pem"):
        contexts.api_server(cert=cert, key=key, ca=tmp_path / "nowhere.pem", verify=True)
    with pytest.raises(InvalidArgument, match="--tlscacert"):
        contexts.api_server(cert=cert, key=key, ca=None, verify=True)
