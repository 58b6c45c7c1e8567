import asyncio

import pytest

from shoal.engine.volumemount import checked_options, mount_call
from shoal.errors import InvalidArgument
from shoal.kernel.mounts import MountCall


def test_options_are_checked() -> None:
    full = {"type": "nfs", "device": ":/x", "o": "addr=1.2.3.4"}
    assert checked_options("v", full) == full
    assert checked_options("v", {}) == {}
    for options, text in (
        ({"colour": "red"}, 'create v: invalid option: "colour"'),
        ({"type": "tmpfs"}, 'create v: missing required option: "device"'),
        ({"device": "/x", "o": "bind"}, 'create v: missing required option: "type"'),
        ({"size": "5m"}, "create v: quota size requested but no quota support"),
    ):
        with pytest.raises(InvalidArgument) as caught:
            checked_options("v", options)
        assert str(caught.value) == text


def test_names_of_servers_become_addresses() -> None:
    options = {"type": "nfs", "device": ":/x", "o": "addr=127.0.0.1,rw,,nolock"}
    assert asyncio.run(mount_call(options)) == MountCall("nfs", ":/x", ("addr=127.0.0.1", "rw", "nolock"))
    found = asyncio.run(mount_call({**options, "o": "addr=localhost"}))
    assert found.options[0] in ("addr=127.0.0.1", "addr=::1")
