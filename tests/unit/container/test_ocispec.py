"""What a container shall be, as the specification that makes runc do it."""

import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shoal.container import capabilities, oci, ocispec
from shoal.container.cgroups import CgroupHost
from shoal.container.ocispec import HOST, Namespaces, SpecHost, SpecInput
from shoal.errors import InvalidArgument

V1, V2 = SpecHost(cgroup=CgroupHost(1)), SpecHost(cgroup=CgroupHost(2))
PLAIN = SpecInput(args=("true",), cgroup_path="/shoal/x")


def build(host: SpecHost = V2, **fields: object) -> oci.OciSpec:
    return ocispec.build(msgspec.structs.replace(PLAIN, **fields), host)


def mount_at(spec: oci.OciSpec, destination: str) -> oci.Mount | None:
    return next((mount for mount in spec.mounts if mount.destination == destination), None)


def kinds(spec: oci.OciSpec) -> dict[str, str]:
    return {namespace.type: namespace.path for namespace in spec.linux.namespaces}


def test_the_json_is_in_the_words_of_the_specification() -> None:
    spec = json.loads(msgspec.json.encode(build(memory=1 << 20, blkio_weight=300, oom_kill_disable=True, host=V1)))
    assert spec["ociVersion"] == "1.0.2"
    assert spec["process"]["args"] == ["true"]
    assert spec["root"] == {"path": "rootfs"}
    assert spec["linux"]["cgroupsPath"] == "/shoal/x"
    assert spec["linux"]["resources"]["memory"] == {"limit": 1 << 20, "swap": 2 << 20, "disableOOMKiller": True}
    assert spec["linux"]["resources"]["blockIO"] == {"weight": 300}
    assert spec["linux"]["resources"]["devices"][0] == {"allow": False, "access": "rwm"}
    assert spec["linux"]["seccomp"]["defaultAction"] == "SCMP_ACT_ALLOW"
    assert "/proc/kcore" in spec["linux"]["maskedPaths"]
    assert "/proc/sys" in spec["linux"]["readonlyPaths"]


def test_root_has_its_capabilities_and_others_only_may_get_them() -> None:
    root = build().process.capabilities
    assert root is not None
    assert set(root.bounding) == set(root.effective) == set(root.permitted) == set(capabilities.DEFAULT)
    other = build(user=oci.User(uid=1)).process.capabilities
    assert other is not None
    assert set(other.bounding) == set(capabilities.DEFAULT)
    assert other.effective == other.permitted == other.inheritable == other.ambient == ()


def test_namespaces() -> None:
    private = dict.fromkeys(("mount", "network", "pid", "ipc", "uts"), "")
    assert kinds(build(V1)) == private
    assert kinds(build(V2)) == private | {"cgroup": ""}
    mixed = build(V2, namespaces=Namespaces(network="/run/netns/x", pid=HOST, uts=HOST, cgroup=HOST), hostname="h")
    assert kinds(mixed) == {"mount": "", "network": "/run/netns/x", "ipc": ""}
    assert mixed.hostname == ""
    assert build(hostname="h").hostname == "h"


def test_sysctls_that_need_the_container_to_have_the_namespace() -> None:
    assert build(namespaces=Namespaces(network=HOST)).linux.sysctl == {}
    ours = build(sysctls={"net.ipv4.ip_unprivileged_port_start": "1024"}, domainname="lan").linux.sysctl
    assert ours["net.ipv4.ip_unprivileged_port_start"] == "1024"
    assert ours["net.ipv4.ping_group_range"] == "0 2147483647"
    assert ours["kernel.domainname"] == "lan"


def test_mounts_of_the_users_stand_in_for_default_ones_and_come_outer_first() -> None:
    mine = [
        oci.Mount(destination=path, type="bind", source="/x", options=("rbind",))
        for path in ("/data/inner/most", "/dev/shm/", "/data")
    ]
    spec = build(mounts=tuple(mine), init_path="/usr/bin/init")
    destinations = [mount.destination for mount in spec.mounts]
    assert destinations.index("/data") < destinations.index("/data/inner/most")
    assert "/dev/shm" not in destinations
    assert destinations.index("/dev") < destinations.index("/dev/shm/")
    assert spec.process.args == ("/sbin/docker-init", "--", "true")
    assert mount_at(spec, "/sbin/docker-init") is not None


def test_shared_memory() -> None:
    own = mount_at(build(shm_size=1234), "/dev/shm")
    assert own is not None
    assert "size=1234" in own.options
    hosts = mount_at(build(namespaces=Namespaces(ipc=HOST)), "/dev/shm")
    assert hosts is not None
    assert (hosts.type, hosts.source) == ("bind", "/dev/shm")


def test_privileged() -> None:
    spec = build(privileged=True)
    assert spec.process.capabilities is not None
    assert spec.process.capabilities.effective == capabilities.ALL
    assert spec.linux.seccomp is None
    assert spec.linux.masked_paths == spec.linux.readonly_paths == ()
    assert spec.linux.resources.devices == (oci.DeviceRule(allow=True, access="rwm"),)
    for path in ("/sys", "/sys/fs/cgroup"):
        mount = mount_at(spec, path)
        assert mount is not None
        assert "rw" in mount.options
        plain = mount_at(build(), path)
        assert plain is not None
        assert "ro" in plain.options


def test_cpus_and_memory() -> None:
    cpu = build(nano_cpus=1_500_000_000, cpuset_cpus="0-1").linux.resources.cpu
    assert cpu == oci.Cpu(quota=150_000, period=100_000, cpus="0-1")
    assert build().linux.resources.cpu is None
    assert build().linux.resources.memory is None
    without_swap = SpecHost(cgroup=CgroupHost(1, swap=False))
    assert build(without_swap, memory=10).linux.resources.memory == oci.Memory(limit=10)
    assert build(memory=10, memory_swap=-1).linux.resources.memory == oci.Memory(limit=10, swap=-1)


def test_an_exec_has_the_containers_rights_unless_told_otherwise() -> None:
    wanted = msgspec.structs.replace(PLAIN, cap_drop=("ALL",), env=("A=1",), cwd="/w", tty=True)
    same = ocispec.process(wanted, V2, args=("id",))
    assert same.capabilities == oci.Capabilities()
    assert (same.cwd, same.terminal) == ("/w", True)
    assert "TERM=xterm" in same.env
    more = ocispec.process(wanted, V2, args=("id",), privileged=True, tty=False, env=("PATH=/p",), cwd="")
    assert more.capabilities is not None
    assert more.capabilities.effective == capabilities.ALL
    assert (more.cwd, more.terminal, more.env) == ("/", False, ("PATH=/p",))


def test_a_capability_that_does_not_exist() -> None:
    with pytest.raises(InvalidArgument, match='invalid capability: "NONSENSE"'):
        build(cap_add=("NONSENSE",))


paths = st.lists(st.sampled_from("abc"), min_size=1, max_size=4).map(lambda parts: "/" + "/".join(parts))


@given(st.lists(paths, unique=True, max_size=8))
def test_no_mount_hides_one_that_was_made_before(destinations: list[str]) -> None:
    mounts = tuple(oci.Mount(destination=path, type="tmpfs", source="tmpfs") for path in destinations)
    made = [mount.destination for mount in build(mounts=mounts).mounts]
    for number, path in enumerate(made):
        assert not any(earlier.startswith(f"{path}/") for earlier in made[:number])
    assert set(destinations) <= set(made)
