"""containerd's configuration."""

import tomllib
from pathlib import Path

from shoal.container.containerd.supervisor import config_toml


def test_paths_of_any_kind_survive() -> None:
    odd = Path('/data "root"\\x')
    config = tomllib.loads(config_toml(root=odd, state=Path("/run/s"), socket=Path("/run/s/c.sock")))
    assert config["root"] == str(odd)
    assert config["state"] == "/run/s"
    assert config["grpc"]["address"] == "/run/s/c.sock"
    assert "io.containerd.grpc.v1.cri" in config["disabled_plugins"]
