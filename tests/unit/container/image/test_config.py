"""The image config, as Docker writes it, is read, and ids follow from it."""

import hashlib

import pytest

from shoal.container.image.config import chain_ids, encode_config, parse_config
from shoal.errors import InvalidArgument

CONFIG = b"""{"architecture":"amd64","os":"linux","created":"2024-01-02T03:04:05.123456789Z","container":"x",
"config":{"Hostname":"","User":"","ExposedPorts":{"80/tcp":{}},"Env":["A=b"],"Cmd":["x"],"Volumes":null,
"Entrypoint":null,"OnBuild":null,"Labels":{"a":"b"},"WorkingDir":"/w","StopSignal":"SIGQUIT",
"Healthcheck":{"Test":["CMD-SHELL","true"],"Interval":5000000000,"Retries":3}},
"history":[{"created":"x","created_by":"y"},{"empty_layer":true}],
"rootfs":{"type":"layers","diff_ids":["sha256:a","sha256:b"]}}"""


def test_reads_what_docker_writes() -> None:
    config = parse_config(CONFIG)
    run = config.config
    assert run is not None
    assert (run.cmd, run.env, run.exposed_ports, run.working_dir) == (["x"], ["A=b"], {"80/tcp": {}}, "/w")
    assert run.healthcheck is not None and run.healthcheck.interval == 5_000_000_000
    assert config.created == "2024-01-02T03:04:05.123456789Z"
    assert config.rootfs.diff_ids == ["sha256:a", "sha256:b"]
    assert parse_config(encode_config(config)) == config
    assert b'"type":"layers"' in encode_config(config)


def test_what_is_no_config_is_refused() -> None:
    with pytest.raises(InvalidArgument, match="invalid image config"):
        parse_config(b'{"rootfs":[]}')


def test_chain_ids() -> None:
    assert chain_ids([]) == []
    second = "sha256:" + hashlib.sha256(b"sha256:a sha256:b").hexdigest()
    third = "sha256:" + hashlib.sha256(f"{second} sha256:c".encode()).hexdigest()
    assert chain_ids(["sha256:a", "sha256:b", "sha256:c"]) == ["sha256:a", second, third]
