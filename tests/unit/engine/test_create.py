"""Requests for containers: what is filled in, what is refused and with which words."""

import pytest
from tests.fakes.image_records import image

from shoal.container.image.config import RunConfig
from shoal.engine.create import checked, parse_port, published
from shoal.engine.merge import command, merged
from shoal.engine.mounts import wanted
from shoal.engine.signals import parse_signal
from shoal.errors import InvalidArgument
from shoal.objects.container import ContainerConfig, HostConfig, LogConfig, PortBinding, RestartPolicyConfig
from shoal.objects.service import Mount


@pytest.mark.parametrize(
    ("host", "words"),
    [
        (HostConfig(restart_policy=RestartPolicyConfig(name="sometimes")), "unknown policy 'sometimes'"),
        (
            HostConfig(restart_policy=RestartPolicyConfig(name="always", maximum_retry_count=3)),
            "maximum retry count can only be used with 'on-failure'",
        ),
        (
            HostConfig(restart_policy=RestartPolicyConfig(name="always"), auto_remove=True),
            "can't create 'AutoRemove' container with restart policy",
        ),
        (HostConfig(memory=1 << 20), "Minimum memory limit allowed is 6MB"),
        (HostConfig(log_config=LogConfig(type="syslog")), "no log driver named 'syslog' is registered"),
        (
            HostConfig(log_config=LogConfig(config={"colour": "red"})),
            "unknown log opt 'colour' for json-file log driver",
        ),
        (HostConfig(log_config=LogConfig(config={"max-file": "0"})), "max-file cannot be less than 1"),
        (HostConfig(log_config=LogConfig(config={"max-file": "many"})), "max-file"),
        (HostConfig(log_config=LogConfig(config={"max-size": "big"})), "invalid size: 'big'"),
    ],
)
def test_what_cannot_be(host: HostConfig, words: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        checked(host)
    assert words in str(caught.value)


def test_ports() -> None:
    config = ContainerConfig(exposed_ports={"80/tcp": {}, "53/udp": {}})
    host = HostConfig(
        port_bindings={"80/tcp": [PortBinding(host_port="8080"), PortBinding(host_ip="127.0.0.1", host_port="")]},
        publish_all_ports=True,
    )
    found = [(p.protocol, p.container_port, p.host_port, p.host_ip) for p in published(config, host)]
    assert found == [("tcp", 80, 8080, ""), ("tcp", 80, 0, "127.0.0.1"), ("udp", 53, 0, "")]
    for binding in (PortBinding(host_port="65536"), PortBinding(host_port="x"), PortBinding(host_ip="localhost")):
        with pytest.raises(InvalidArgument):
            published(ContainerConfig(), HostConfig(port_bindings={"80/tcp": [binding]}))
    for text in ("8090-8080", "8080-", "-8080", "0-8080", "8080-65536", "1-2-3"):
        with pytest.raises(InvalidArgument, match=f"invalid port specification: '{text}'"):
            published(ContainerConfig(), HostConfig(port_bindings={"80/tcp": [PortBinding(host_port=text)]}))
    for text in ("0/tcp", "65536", "80/icmp", "x", "80/tcp/udp"):
        with pytest.raises(InvalidArgument, match="invalid port specification"):
            parse_port(text)


def test_a_range_of_ports_leaves_the_named_ones_alone() -> None:
    bindings = {"80/tcp": [PortBinding(host_port="8080-8090")], "81/tcp": [PortBinding(host_port="8080-8080")]}
    found = published(ContainerConfig(), HostConfig(port_bindings=bindings))
    assert [(p.container_port, p.host_port, p.last_host_port) for p in found] == [(81, 8080, 0), (80, 8080, 8090)]


def test_the_image_fills_in_what_the_user_leaves_out() -> None:
    own = RunConfig(
        entrypoint=["/e"], cmd=["c"], env=["A=1", "B=2"], working_dir="/w", labels={"a": "1", "b": "2"}, user="u"
    )
    made = image("x:1", config=own).run_config
    plain = merged(ContainerConfig(), made)
    assert (plain.entrypoint, plain.cmd, plain.env, plain.working_dir) == (["/e"], ["c"], ["A=1", "B=2"], "/w")
    assert command(plain) == ("/e", ["c"])
    other = merged(ContainerConfig(cmd=["d"], env=["B=3", "C=4", "A"], labels={"b": "3"}, user="v"), made)
    assert (command(other), other.env) == (("/e", ["d"]), ["B=3", "C=4"])
    assert (other.labels, other.user) == ({"a": "1", "b": "3"}, "v")
    # Another entrypoint has no use for the image's command.
    assert command(merged(ContainerConfig(entrypoint=["/x"]), made)) == ("/x", [])
    with pytest.raises(InvalidArgument, match="no command specified"):
        command(merged(ContainerConfig(entrypoint=[""]), made))


def test_mounts_that_cannot_be() -> None:
    for host in (
        HostConfig(binds=["relative:/a:b:c"]),
        HostConfig(binds=["/a:relative"]),
        HostConfig(binds=["/a:/b:loud"]),
        HostConfig(binds=["/a:/b", "/c:/b"]),
        HostConfig(binds=["/a:/"]),
        HostConfig(mounts=[Mount(type="npipe", target="/a")]),
        HostConfig(mounts=[Mount(type="bind", source="relative", target="/a")]),
        HostConfig(mounts=[Mount(type="volume")]),
    ):
        with pytest.raises(InvalidArgument):
            wanted(ContainerConfig(), host)


def test_signals() -> None:
    assert [parse_signal(text) for text in ("TERM", "sigterm", "15", "RTMIN+1", "SIGRTMAX-1")] == [15, 15, 15, 35, 63]
    for text in ("", "0", "65", "NOPE", "RTMIN+99", "-1"):
        with pytest.raises(InvalidArgument, match="Invalid signal"):
            parse_signal(text)
