import pytest

from shoal.cli.mounts import parse_device, parse_mount, parse_ulimit, split_volumes
from shoal.errors import InvalidArgument


def test_mounts() -> None:
    assert parse_mount("source=data,target=/d") == {"Type": "volume", "Source": "data", "Target": "/d"}
    assert parse_mount("type=bind,src=/a,dst=/b,ro,bind-propagation=rshared") == {
        "Type": "bind",
        "Source": "/a",
        "Target": "/b",
        "ReadOnly": True,
        "BindOptions": {"Propagation": "rshared"},
    }
    assert parse_mount("type=tmpfs,target=/t,tmpfs-size=1m,tmpfs-mode=1777")["TmpfsOptions"] == {
        "SizeBytes": 1 << 20,
        "Mode": 0o1777,
    }
    assert parse_mount('type=volume,target=/v,"volume-opt=o=a,b",volume-driver=nfs')["VolumeOptions"] == {
        "DriverConfig": {"Name": "nfs", "Options": {"o": "a,b"}}
    }


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("foo", "invalid field 'foo' must be a key=value pair"),
        ("type=bind", "target is required"),
        ("target=/x,foo=bar", "unexpected key 'foo' in 'foo=bar'"),
        ("type=bind,target=/x,tmpfs-size=1m", "cannot mix 'tmpfs-*' options with mount type 'bind'"),
        ("target=/x,readonly=maybe", "invalid value for readonly: maybe"),
    ],
)
def test_bad_mounts(text: str, message: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        parse_mount(text)
    assert str(caught.value) == message


def test_volumes_with_and_without_a_source() -> None:
    assert split_volumes(["/only", "name:/x", "/a:/b:ro"]) == (["name:/x", "/a:/b:ro"], {"/only": {}})


def test_devices() -> None:
    assert parse_device("/dev/a:/dev/b:r") == {
        "PathOnHost": "/dev/a",
        "PathInContainer": "/dev/b",
        "CgroupPermissions": "r",
    }
    assert parse_device("/dev/a:rw")["PathInContainer"] == "/dev/a"


def test_ulimits() -> None:
    assert parse_ulimit("nofile=10") == {"Name": "nofile", "Soft": 10, "Hard": 10}
    assert parse_ulimit("nproc=5:-1") == {"Name": "nproc", "Soft": 5, "Hard": -1}
    with pytest.raises(InvalidArgument, match="soft limit must be less than or equal to hard limit: 5 > 1"):
        parse_ulimit("nofile=5:1")
    with pytest.raises(InvalidArgument, match="invalid ulimit type: foo"):
        parse_ulimit("foo=1")
