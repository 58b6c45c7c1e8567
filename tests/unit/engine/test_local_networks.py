"""Options of the node's own networks that cannot be."""

import asyncio
from pathlib import Path

import pytest
from msgspec.structs import replace
from tests.fakes.light_engine import bridge, light_engine

from shoal.errors import InvalidArgument
from shoal.objects.local_network import BRIDGE_NAME
from shoal.objects.network import MTU_OPTION


@pytest.mark.parametrize(
    ("key", "value"),
    [
        *((BRIDGE_NAME, value) for value in ("../../x", "a b", "a" * 16, "..", "", 'a"', "a\n", "a\0")),
        *((MTU_OPTION, value) for value in ("x", "-1", "65536", "1" * 5000, "²")),
    ],
)
def test_options_that_cannot_be(tmp_path: Path, key: str, value: str) -> None:
    async def scenario() -> None:
        async with light_engine(tmp_path) as engine:
            with pytest.raises(InvalidArgument, match="invalid value for com.docker.network"):
                await engine.local_networks.create(replace(bridge("n"), options={key: value}))

    asyncio.run(scenario())


def test_names_of_any_length(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with light_engine(tmp_path) as engine:
            await engine.local_networks.create(bridge("n" * 9000))
            key = await engine.run("c" * 9000, network="n" * 9000)
            assert len(engine.kernel.node.sandboxes[key].netns) <= 255

    asyncio.run(scenario())
