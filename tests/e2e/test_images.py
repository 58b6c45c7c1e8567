"""Images: brought in and out as archives, named, pulled from a real registry."""

import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.e2e import registry
from tests.e2e.harness import IMAGES, ROOT, Machine, eventually

pytestmark = [pytest.mark.root, pytest.mark.e2e]


@pytest.fixture(autouse=True)
def only_the_two_images(machine: Machine) -> Iterator[None]:
    yield
    machine.docker("rm", "-f", *machine.docker("ps", "-aq").lines, check=False)
    machine.docker("rmi", "-f", *set(machine.docker("images", "-q", "--no-trunc").lines))
    for name in ("busybox", "nginx"):
        machine.docker("load", "-q", "-i", str(IMAGES / f"{name}.tar"))


def serve(machine: Machine, folder: Path, *, password: bool) -> Iterator[str]:
    process = machine.spawn("docker-registry", "serve", str(registry.config(folder, 5000, password=password)))
    try:
        eventually(lambda: machine.http("http://127.0.0.1:5000/v2/") in ("200", "401"))
        yield "127.0.0.1:5000"
    finally:
        process.kill()
        process.wait()
        for pid in machine.run("pgrep", "-f", f"{folder}/config.yml").lines:
            machine.run("kill", "-9", pid)


@pytest.fixture
def open_registry(machine: Machine, tmp_path: Path) -> Iterator[str]:
    yield from serve(machine, tmp_path, password=False)


@pytest.fixture
def closed_registry(machine: Machine, tmp_path: Path) -> Iterator[str]:
    yield from serve(machine, tmp_path, password=True)


def push(machine: Machine, where: str, name: str, *auth: str) -> str:
    archive = IMAGES / "busybox.tar"
    script = str(ROOT / "tests" / "e2e" / "registry.py")
    ran = machine.run(sys.executable, script, str(archive), f"http://{where}", name, "v1", *auth)
    assert ran.status == 0, ran.err
    return ran.out


def test_ls_inspect_and_history(machine: Machine) -> None:
    rows = machine.docker("images", "--format", "{{.Repository}}:{{.Tag}} {{.Size}}").lines
    assert {row.split()[0] for row in rows} == {"busybox:latest", "nginx:latest"}
    found = machine.docker("image", "inspect", "nginx").json()[0]
    assert found["RepoTags"] == ["nginx:latest"]
    assert found["Config"]["Cmd"] == ["nginx", "-g", "daemon off;"]
    assert found["Config"]["StopSignal"] == "SIGQUIT"
    assert "Debian packages nginx" in machine.docker("history", "--no-trunc", "nginx").out
    assert machine.shoal("images").out == machine.docker("images").out


def test_tag_and_rmi(machine: Machine) -> None:
    machine.docker("tag", "busybox", "other:v2")
    machine.docker("tag", "busybox", "127.0.0.1:5000/some/where:v3")
    assert machine.docker("rmi", "other:v2").out == "Untagged: other:v2"
    used = machine.docker("run", "-d", "--name", "user", "127.0.0.1:5000/some/where:v3", "sleep", "1000")
    assert used.status == 0
    machine.docker("rmi", "127.0.0.1:5000/some/where:v3")
    refused = machine.docker("rmi", "busybox", check=False)
    assert refused.status == 1
    assert "conflict: unable to " in refused.err
    missing = machine.docker("rmi", "nope", check=False)
    assert missing.err.endswith("No such image: nope:latest")
    bad = machine.docker("tag", "busybox", "BAD", check=False)
    assert bad.status == 1


def test_save_and_load(machine: Machine, tmp_path: Path) -> None:
    machine.docker("tag", "busybox", "copy:v1")
    before = machine.inspect("copy:v1")["Id"]
    machine.docker("save", "-o", str(tmp_path / "saved.tar"), "copy:v1")
    with tarfile.open(tmp_path / "saved.tar") as tar:
        assert {"manifest.json", "index.json", "oci-layout"} & set(tar.getnames())
    machine.docker("rmi", "copy:v1")
    assert machine.docker("load", "-i", str(tmp_path / "saved.tar")).out == "Loaded image: copy:v1"
    assert machine.inspect("copy:v1")["Id"] == before
    assert machine.docker("run", "--rm", "copy:v1", "echo", "runs").out == "runs"


def test_import_and_export(machine: Machine, tmp_path: Path) -> None:
    machine.docker("run", "--name", "made", "busybox", "sh", "-c", "echo here >/file")
    machine.docker("export", "-o", str(tmp_path / "root.tar"), "made")
    machine.docker("import", "-c", "CMD cat /file", str(tmp_path / "root.tar"), "flat:v1")
    assert machine.docker("run", "--rm", "flat:v1").out == "here"


def test_an_archive_that_is_none(machine: Machine, tmp_path: Path) -> None:
    (tmp_path / "bad.tar").write_bytes(b"no archive" * 1000)
    assert machine.docker("load", "-i", str(tmp_path / "bad.tar"), check=False).status == 1


def test_pull_by_tag_and_by_digest(machine: Machine, open_registry: str) -> None:
    digest = push(machine, open_registry, "some/busybox")
    said = machine.docker("pull", f"{open_registry}/some/busybox:v1").lines
    assert f"Digest: {digest}" in said
    assert f"Status: Downloaded newer image for {open_registry}/some/busybox:v1" in said
    again = machine.docker("pull", f"{open_registry}/some/busybox:v1").lines
    assert f"Status: Image is up to date for {open_registry}/some/busybox:v1" in again
    assert machine.inspect(f"{open_registry}/some/busybox:v1")["RepoDigests"] == [
        f"{open_registry}/some/busybox@{digest}"
    ]
    machine.docker("pull", f"{open_registry}/some/busybox@{digest}")
    assert machine.docker("run", "--rm", f"{open_registry}/some/busybox:v1", "echo", "pulled").out == "pulled"
    missing = machine.docker("pull", f"{open_registry}/some/busybox:nope", check=False)
    assert missing.status == 1
    assert "manifest for" in missing.err and "not found" in missing.err


def test_pull_with_a_password(machine: Machine, closed_registry: str) -> None:
    push(machine, closed_registry, "secret", "u", "p")
    assert machine.docker("pull", f"{closed_registry}/secret:v1", check=False).status == 1
    wrong = machine.docker("login", "-u", "u", "--password-stdin", closed_registry, check=False, input="wrong")
    assert wrong.status == 1
    assert "unauthorized" in wrong.err.lower()
    assert "Login Succeeded" in machine.docker("login", "-u", "u", "--password-stdin", closed_registry, input="p").text
    try:
        machine.docker("pull", f"{closed_registry}/secret:v1")
        assert machine.docker("run", "--rm", f"{closed_registry}/secret:v1", "echo", "pulled").out == "pulled"
    finally:
        machine.docker("logout", closed_registry)


def test_a_service_pulls_its_image(swarm: Machine, open_registry: str) -> None:
    digest = push(swarm, open_registry, "task")
    swarm.docker("service", "create", "-q", "-d", "--name", "pulled", f"{open_registry}/task:v1", "sleep", "1000")
    swarm.running("pulled", "1/1")
    image = swarm.inspect("pulled")["Spec"]["TaskTemplate"]["ContainerSpec"]["Image"]
    assert image == f"{open_registry}/task:v1@{digest}"


def test_an_image_that_nobody_has(machine: Machine) -> None:
    ran = machine.docker("run", "--rm", "127.0.0.1:1/nope", check=False)
    assert ran.status == 125
    assert "Unable to find image '127.0.0.1:1/nope:latest' locally" in ran.err
