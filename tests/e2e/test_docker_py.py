"""docker-py, which Ansible, Testcontainers and many scripts are built on, against a real shoald."""

import gc
import io
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import docker
import docker.errors
import pytest
from docker.types import EndpointSpec, ServiceMode
from tests.e2e.harness import Machine, eventually

pytestmark = [
    pytest.mark.root,
    pytest.mark.e2e,
    # docker-py leaves the connections of streams to the garbage collector.
    pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning"),
]


@pytest.fixture
def client(machine: Machine) -> Iterator[Any]:
    found = docker.DockerClient(base_url=machine.shoald.host, version="auto", timeout=60)
    yield found
    found.close()
    gc.collect()


def tar_of(name: str, content: bytes) -> bytes:
    written = io.BytesIO()
    with tarfile.open(fileobj=written, mode="w") as archive:
        member = tarfile.TarInfo(name)
        member.size = len(content)
        archive.addfile(member, io.BytesIO(content))
    return written.getvalue()


def test_it_finds_the_engine(client: Any) -> None:
    assert client.ping()
    assert client.version()["ApiVersion"] == "1.50"
    assert client.info()["Swarm"]["LocalNodeState"] == "inactive"
    assert client.df()["Volumes"] in (None, [])


def test_a_container_gives_its_output(client: Any) -> None:
    said = client.containers.run("busybox", ["sh", "-c", "echo out; echo err >&2"], remove=True, stderr=True)
    assert sorted(said.splitlines()) == [b"err", b"out"]
    assert list(client.containers.run("busybox", "echo a b", remove=True, stream=True)) == [b"a b\n"]
    with pytest.raises(docker.errors.ContainerError) as failed:
        client.containers.run("busybox", ["sh", "-c", "echo why >&2; exit 3"], remove=True)
    assert (failed.value.exit_status, failed.value.stderr) == (3, b"why\n")
    with pytest.raises(docker.errors.NotFound, match="No such container: nope"):
        client.containers.get("nope")
    assert client.containers.list(all=True) == []


def test_the_life_of_a_container(client: Any) -> None:
    container = client.containers.run(
        "busybox",
        ["sh", "-c", "trap 'exit 4' TERM; echo up; while :; do sleep 0.05; done"],
        detach=True,
        name="c0",
        environment={"A": "b"},
        labels={"x": "y"},
        mem_limit="64m",
        ports={"80/tcp": 8080},
    )
    container.reload()
    assert (container.status, container.name, container.labels) == ("running", "c0", {"x": "y"})
    assert container.ports["80/tcp"][0] == {"HostIp": "0.0.0.0", "HostPort": "8080"}
    assert [c.id for c in client.containers.list(filters={"label": "x=y"})] == [container.id]
    assert container.image.tags == ["busybox:latest"]
    stats = container.stats(stream=False)
    assert stats["memory_stats"]["limit"] == 64 << 20
    assert stats["cpu_stats"]["cpu_usage"]["total_usage"] > 0
    assert container.top()["Titles"][0] == "UID"
    container.pause()
    container.unpause()
    container.rename("c1")
    container.update(mem_limit="32m")
    assert eventually(lambda: container.logs() == b"up\n")
    container.stop(timeout=10)
    assert container.wait()["StatusCode"] == 4
    container.start()
    container.restart(timeout=0)
    container.kill()
    container.remove()
    assert client.containers.prune()["ContainersDeleted"] in (None, [])


def test_logs_and_events_are_streamed(client: Any) -> None:
    events = client.events(decode=True, filters={"type": "container", "container": "talker"})
    container = client.containers.create("busybox", ["sh", "-c", "for n in 1 2 3; do echo $n; done"], name="talker")
    container.start()
    assert b"".join(container.logs(stream=True, follow=True)) == b"1\n2\n3\n"
    assert container.logs(tail=1, timestamps=True).split()[1] == b"3"
    container.wait()
    seen: list[str] = []
    for event in events:
        assert event["Actor"]["Attributes"]["name"] == "talker"
        seen.append(event["Action"])
        if event["Action"] == "die":
            break
    events.close()
    assert seen == ["create", "start", "die"]


def test_execs(client: Any) -> None:
    container = client.containers.run("busybox", "sleep 1000", detach=True)
    assert container.exec_run("echo hello") == (0, b"hello\n")
    code, (out, err) = container.exec_run(["sh", "-c", "echo o; echo e >&2; exit 7"], demux=True)
    assert (code, out, err) == (7, b"o\n", b"e\n")
    assert (
        b"".join(
            container.exec_run(["sh", "-c", "echo $X; pwd"], environment={"X": "y"}, workdir="/tmp", stream=True).output
        )
        == b"y\n/tmp\n"
    )
    assert container.exec_run("tty", tty=True) == (0, b"/dev/pts/0\r\n")

    made = client.api.exec_create(container.id, ["cat"], stdin=True)
    container.reload()
    assert container.attrs["ExecIDs"] == [made["Id"]]
    sock = client.api.exec_start(made["Id"], socket=True)
    assert client.api.exec_inspect(made["Id"])["Running"] is True
    sock._sock.sendall(b"echoed")
    assert sock.read(14)[8:] == b"echoed"
    sock.close()


def test_archives_go_in_and_out(client: Any) -> None:
    container = client.containers.run("busybox", "sleep 1000", detach=True)
    assert container.put_archive("/tmp", tar_of("file", b"text"))
    assert container.exec_run("cat /tmp/file").output == b"text"
    pieces, stat = container.get_archive("/tmp/file")
    assert (stat["name"], stat["size"]) == ("file", 4)
    with tarfile.open(fileobj=io.BytesIO(b"".join(pieces))) as archive:
        found = archive.extractfile("file")
        assert found is not None and found.read() == b"text"
    with pytest.raises(docker.errors.NotFound, match="Could not find the file /nope"):
        container.get_archive("/nope")
    assert {"Path": "/tmp/file", "Kind": 1} in container.diff()


def test_attached_both_ways(client: Any) -> None:
    container = client.containers.create("busybox", "cat", stdin_open=True)
    sock = container.attach_socket(params={"stdin": 1, "stdout": 1, "stream": 1})
    container.start()
    sock._sock.sendall(b"echoed\n")
    assert sock.read(15)[8:] == b"echoed\n"
    sock.close()


def test_networks_and_volumes(client: Any) -> None:
    network = client.networks.create("inner", driver="bridge", labels={"x": "y"})
    volume = client.volumes.create("data", labels={"x": "y"})
    web = client.containers.run(
        "nginx", detach=True, name="web", network="inner", volumes={"data": {"bind": "/data", "mode": "rw"}}
    )
    assert b"Welcome" in client.containers.run("busybox", "wget -qO- http://web", network="inner", remove=True)
    network.reload()
    assert [c.name for c in network.containers] == ["web"]
    with pytest.raises(docker.errors.APIError, match="has active endpoints"):
        network.remove()
    other = client.containers.run("busybox", "sleep 1000", detach=True)
    network.connect(other, aliases=["friend"])
    assert other.exec_run("wget -qO- http://web").exit_code == 0
    network.disconnect(other)
    assert [n.name for n in client.networks.list(names=["inner"])] == ["inner"]
    assert [v.name for v in client.volumes.list(filters={"label": "x=y"})] == ["data"]
    with pytest.raises(docker.errors.APIError, match="volume is in use"):
        volume.remove()
    web.remove(force=True)
    network.remove()
    volume.remove()
    with pytest.raises(docker.errors.NotFound):
        client.volumes.get("data")


def test_images(client: Any, tmp_path: Path) -> None:
    busybox = client.images.get("busybox")
    assert {"busybox:latest", "nginx:latest"} <= {tag for image in client.images.list() for tag in image.tags}
    assert busybox.tag("mine", "1")
    assert [image.id for image in client.images.list(name="mine")] == [busybox.id]
    saved = tmp_path / "mine.tar"
    saved.write_bytes(b"".join(client.images.get("mine:1").save(named="mine:1")))
    client.images.remove("mine:1")
    (loaded,) = client.images.load(saved.read_bytes())
    assert loaded.id == busybox.id and "mine:1" in loaded.tags
    assert busybox.history()
    client.images.remove("mine:1")
    with pytest.raises(docker.errors.ImageNotFound, match="No such image: mine:1"):
        client.images.get("mine:1")


def test_a_swarm_and_its_services(client: Any, machine: Machine) -> None:
    assert client.swarm.init(advertise_addr=machine.address)
    client.swarm.reload()
    assert client.swarm.attrs["JoinTokens"]["Worker"].startswith("SWMTKN-1-")
    (node,) = client.nodes.list(filters={"role": "manager"})
    assert node.attrs["Status"]["State"] == "ready"
    network = client.networks.create("inner", driver="overlay", attachable=True)
    service = client.services.create(
        "nginx",
        name="web",
        mode=ServiceMode("replicated", replicas=2),
        networks=["inner"],
        endpoint_spec=EndpointSpec(ports={80: 80}),
        stop_grace_period=500_000_000,
    )

    def running() -> int:
        states = (task["Status"]["State"] for task in service.tasks(filters={"desired-state": "running"}))
        return sum(state == "running" for state in states)

    eventually(lambda: running() == 2)
    assert machine.http(f"http://{machine.address}", netns=machine.neighbour, agent="neighbour") == "200"
    assert eventually(lambda: b"neighbour" in b"".join(service.logs(stdout=True, stderr=True)))
    service.reload()
    assert service.scale(3)
    eventually(lambda: running() == 3)
    service.reload()
    assert service.update(env=["A=b"], mode=ServiceMode("replicated", replicas=1))
    service.reload()
    assert service.attrs["Spec"]["TaskTemplate"]["ContainerSpec"]["Env"] == ["A=b"]
    # It begins a moment after the answer.
    eventually(lambda: (service.reload(), service.attrs.get("UpdateStatus", {}).get("State"))[1] == "completed")
    assert service.force_update()
    plain = client.containers.run("busybox", "sleep 1000", detach=True, network="inner")
    assert eventually(lambda: b"Welcome" in plain.exec_run("wget -qO- http://web").output)
    plain.remove(force=True)
    assert [s.name for s in client.services.list(filters={"name": "web"})] == ["web"]
    with pytest.raises(docker.errors.APIError, match="is in use by service"):
        network.remove()
    assert service.remove()
    assert client.services.list() == []
    network.remove()
    alone = client.services.create("busybox", "sleep 1000", name="alone", stop_grace_period=0)
    eventually(lambda: alone.tasks())
    assert alone.scale(2)
    assert alone.remove()
    assert client.swarm.leave(force=True)
    with pytest.raises(docker.errors.APIError, match="This node is not a swarm manager"):
        client.services.list()
