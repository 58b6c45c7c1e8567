"""Volumes: made, filled from the image, mounted while used, refused to be removed while used, pruned."""

import asyncio
from pathlib import Path

import pytest
from tests.fakes.engine_rig import CLOCK, read_all, rig

from shoal.engine.volumes import Volumes
from shoal.errors import Conflict, InvalidArgument, NotFound
from shoal.kernel.mounts import is_mounted
from shoal.objects.container import HostConfig
from shoal.objects.service import Mount
from shoal.objects.volume import VolumeCreateOptions

pytestmark = pytest.mark.root


async def _named_and_anonymous() -> None:
    async with rig() as node:
        host = HostConfig(binds=["web:/data", "/tmp", f"{node.folder}/made/here:/bound:ro"])
        key = await node.create("sh", "-c", "cat /data/sub/file; echo more > /data/new; echo x > /bound/y", host=host)
        (named, anonymous, bind) = node.records.get(key).mounts
        assert (named.type, named.name, named.destination, named.rw) == ("volume", "web", "/data", True)
        assert (bind.type, bind.rw, bind.propagation) == ("bind", False, "rprivate")
        assert await asyncio.to_thread((node.folder / "made/here").is_dir)

        data = node.folder / "volumes/web/_data"
        status = await asyncio.to_thread(data.stat)
        assert (status.st_uid, status.st_mode & 0o777) == (7, 0o750)  # the image's folder's own
        with pytest.raises(Conflict, match=rf"^remove web: volume is in use - \[{key}\]$"):
            await node.volumes.remove("web", force=True)

        streams = await node.streams.attach(key, stdin=False, stdout=True, stderr=True, logs=False)
        await node.lifecycle.start(key)
        out = await read_all(streams)
        assert "from the image" in out and "Read-only file system" in out
        assert await asyncio.to_thread((data / "new").read_text) == "more\n"

        await node.containers.remove(key, force=True, volumes=True)
        left = [volume.name for volume in await node.volumes.list({})]
        assert left == ["web"] and anonymous.name not in left
        sizes = await node.volumes.usage()
        assert sizes[0].usage_data and sizes[0].usage_data.ref_count == 0
        assert sizes[0].usage_data.size == len("from the image\n") + len("more\n")

        # A volume that has something in it is not filled again.
        await asyncio.to_thread((data / "sub/file").unlink)
        assert "No such file" in await node.output("cat", "/data/sub/file", host=HostConfig(binds=["web:/data"]))
        await node.volumes.remove("web", force=False)
        assert not await asyncio.to_thread(data.parent.exists)
        with pytest.raises(NotFound, match="^get web: no such volume$"):
            await node.volumes.get("web")
        await node.volumes.remove("web", force=True)


def test_volumes_are_filled_from_the_image_and_outlive_their_container() -> None:
    asyncio.run(_named_and_anonymous())


async def _wrong() -> None:
    async with rig() as node:
        host = HostConfig(mounts=[Mount(type="bind", source=f"{node.folder}/none", target="/x")])
        with pytest.raises(InvalidArgument, match='^invalid mount config for type "bind": bind source path does not'):
            await node.create("true", host=host)
        # The anonymous volume that was made before the failure is gone again.
        host = HostConfig(binds=["/a", "/b"], mounts=host.mounts)
        with pytest.raises(InvalidArgument):
            await node.create("true", host=host)
        assert await node.volumes.list({}) == []
        for name in ("-x", "a/b", "..", "x"):
            with pytest.raises(InvalidArgument):
                await node.volumes.create(VolumeCreateOptions(name=name))
        with pytest.raises(NotFound, match='plugin "nfs" not found'):
            await node.volumes.create(VolumeCreateOptions(name="web", driver="nfs"))
        for options in ({"colour": "red"}, {"type": "tmpfs"}, {"device": "/x"}):
            with pytest.raises(InvalidArgument):
                await node.volumes.create(VolumeCreateOptions(name="web", driver_opts=options))


def test_what_cannot_be_is_refused_and_leaves_nothing() -> None:
    asyncio.run(_wrong())


async def _with_options() -> None:
    async with rig() as node:
        await node.volumes.create(
            VolumeCreateOptions(name="fast", driver_opts={"type": "tmpfs", "device": "tmpfs", "o": "size=1m,uid=7"})
        )
        source = node.folder / "precious"
        await asyncio.to_thread(source.mkdir)
        await asyncio.to_thread((source / "file").write_text, "keep\n")
        bind = {"type": "none", "device": str(source), "o": "bind"}
        await node.volumes.create(VolumeCreateOptions(name="mine", driver_opts=bind))
        host = HostConfig(binds=["fast:/fast", "mine:/mine"])
        command = ("sh", "-c", "cat /mine/file; stat -c %u /fast; echo y > /mine/new; sleep 60")
        first, second = await node.create(*command, host=host), await node.create(*command, host=host)
        target = node.folder / "volumes/mine/_data"
        assert not await asyncio.to_thread(is_mounted, target)
        for key in (first, second):
            await node.lifecycle.start(key)
        assert await asyncio.to_thread(is_mounted, target)
        await node.containers.remove(first, force=True)
        assert await asyncio.to_thread(is_mounted, target)
        # Another shoald takes over: it knows from the records who uses what.
        again = Volumes(
            records=node.records,
            runtime=node.runtime,
            db=node.db,
            events=node.events,
            clock=CLOCK,
            root=node.folder / "volumes",
        )
        await again.load()
        with pytest.raises(Conflict):
            await again.remove("mine", force=False)
        await node.containers.remove(second, force=True)
        assert not await asyncio.to_thread(is_mounted, target)
        await node.volumes.remove("mine", force=False)
        names = await asyncio.to_thread(lambda: sorted(path.name for path in source.iterdir()))
        assert names == ["file", "new"]  # what was mounted is somebody else's


def test_volumes_with_options_are_mounted_while_they_are_used() -> None:
    asyncio.run(_with_options())


async def _prune() -> None:
    async with rig() as node:
        await node.volumes.create(VolumeCreateOptions(name="named", labels={"a": "b"}))
        key = await node.create("true", host=HostConfig(binds=["/data"]))
        (used,) = node.records.get(key).mounts
        await node.volumes.create(VolumeCreateOptions())
        dangling = await node.volumes.list({"dangling": ["true"]})
        assert used.name not in [volume.name for volume in dangling] and len(dangling) == 2
        assert [v.name for v in await node.volumes.list({"label": ["a=b"]})] == ["named"]
        pruned = await node.volumes.prune({})
        assert len(pruned.deleted) == 1 and "named" not in pruned.deleted
        assert (await node.volumes.prune({"all": ["true"], "label": ["a=c"]})).deleted == []
        assert (await node.volumes.prune({"all": ["true"]})).deleted == ["named"]
        assert [volume.name for volume in await node.volumes.list({})] == [used.name]
        with pytest.raises(InvalidArgument, match="^invalid filter 'colour'$"):
            await node.volumes.prune({"colour": ["red"]})
        await node.containers.remove(key)  # without -v its volume stays
        assert len(await node.volumes.list({})) == 1
        assert Path(used.source).parent.name == used.name


def test_a_prune_takes_what_nobody_uses() -> None:
    asyncio.run(_prune())
