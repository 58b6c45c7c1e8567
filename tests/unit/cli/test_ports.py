import pytest

from shoal.cli.ports import Binding, parse_expose, parse_publish, parse_service_port, show_ports, show_service_ports
from shoal.errors import InvalidArgument


@pytest.mark.parametrize(
    ("text", "bindings"),
    [
        ("80", [Binding(80, "tcp", "", "")]),
        ("8080:80", [Binding(80, "tcp", "", "8080")]),
        ("127.0.0.1::53/udp", [Binding(53, "udp", "127.0.0.1", "")]),
        ("[::1]:80:80", [Binding(80, "tcp", "::1", "80")]),
        ("90-91:80-81", [Binding(80, "tcp", "", "90"), Binding(81, "tcp", "", "91")]),
        ("9000-9010:80", [Binding(80, "tcp", "", "9000-9010")]),
    ],
)
def test_publish(text: str, bindings: list[Binding]) -> None:
    assert parse_publish(text) == bindings


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("99999:80", "invalid hostPort: 99999"),
        ("a:b", "invalid containerPort: b"),
        ("80/foo", "invalid proto: foo"),
        ("x:80:80", "invalid IP address: x"),
        ("1-2:3-5", "invalid ranges specified for container and host Ports: 3-5 and 1-2"),
    ],
)
def test_bad_publish(text: str, message: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        parse_publish(text)
    assert str(caught.value) == message


def test_service_ports_short_and_long() -> None:
    assert parse_service_port("8080:80") == [
        {"Protocol": "tcp", "TargetPort": 80, "PublishedPort": 8080, "PublishMode": "ingress"}
    ]
    assert parse_service_port("target=80,published=8080,mode=host,protocol=udp") == [
        {"Protocol": "udp", "TargetPort": 80, "PublishedPort": 8080, "PublishMode": "host"}
    ]
    with pytest.raises(InvalidArgument, match="missing mandatory field 'target'"):
        parse_service_port("published=80")


def test_expose() -> None:
    assert parse_expose("80-81/udp") == ["80/udp", "81/udp"]


def test_ports_shown_as_ranges() -> None:
    def port(private: int, public: int = 0, ip: str = "") -> dict[str, object]:
        return {"PrivatePort": private, "PublicPort": public, "IP": ip, "Type": "tcp"}

    rows = [
        port(82, 82, "0.0.0.0"),
        port(80),
        port(81),
        port(90, 9000, "0.0.0.0"),
        port(90, 9000, "::"),
        port(83, 83, "0.0.0.0"),
    ]
    shown = "80-81/tcp, 0.0.0.0:82-83->82-83/tcp, 0.0.0.0:9000->90/tcp, [::]:9000->90/tcp"
    assert show_ports(rows) == shown
    ports = [
        {"TargetPort": 90 + n, "PublishedPort": 8090 + n, "Protocol": "tcp", "PublishMode": "ingress"}
        for n in (2, 0, 1)
    ]
    assert show_service_ports(ports) == "*:8090-8092->90-92/tcp"
