"""Files in and out of real containers: copied, exported, compared with the image; no link leads out."""

import asyncio
import io
import tarfile
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.fakes.engine_rig import Rig, eventually, pieces, rig

from shoal.errors import InvalidArgument, NotFound
from shoal.objects.container import ContainerConfig, HostConfig
from shoal.objects.results import Change

pytestmark = pytest.mark.root


async def _tar(body: AsyncIterator[bytes]) -> dict[str, tarfile.TarInfo]:
    data = b"".join([piece async for piece in body])
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        return {member.name: member for member in tar}


def _packed(*members: tuple[str, bytes, str], owner: int = 5) -> bytes:
    """Members of a tar: name, kind, and content or target."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for name, kind, text in members:
            info = tarfile.TarInfo(name)
            info.type, info.uid, info.gid, info.mtime, info.mode = kind, owner, owner, 1_000_000_000, 0o4750
            if kind == tarfile.REGTYPE:
                info.size = len(text)
                tar.addfile(info, io.BytesIO(text.encode()))
            else:
                info.linkname = text
                tar.addfile(info)
    return buffer.getvalue()


REG, DIR, SYM, LNK = tarfile.REGTYPE, tarfile.DIRTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE


async def _put(node: Rig, ref: str, path: str, data: bytes, *, keep: bool = False, chown: bool = False) -> None:
    await node.archives.archive_put(ref, path, pieces(data), no_overwrite_dir_non_dir=keep, copy_uid_gid=chown)


async def _copies(node: Rig, key: str) -> None:
    """Into and out of ``key``, whether it runs or not."""
    data = _packed(
        ("new", DIR, ""),
        ("new/file", REG, "content"),
        ("in/between/file", REG, ""),
        ("new/link", SYM, "file"),
        ("new/hard", LNK, "new/file"),
        ("file", REG, "x" * 1_000_000),
    )
    await _put(node, key, "/data", data)
    stat = await node.archives.archive_stat(key, "/data/new/file")
    assert (stat.name, stat.size, stat.mode) == ("file", 7, 1 << 23 | 0o750)
    assert stat.mtime.startswith("2001-09-09T01:46:40") and stat.mtime.endswith("Z")
    link = await node.archives.archive_stat(key, "data/new/link")
    assert (link.mode >> 27, link.link_target) == (1, "/data/new/file")
    assert (await node.archives.archive_stat(key, "/data/new/")).mode == 1 << 31 | 1 << 23 | 0o750
    found, body = await node.archives.archive_get(key, "/data/new")
    members = await _tar(body)
    assert found.name == "new" and set(members) == {"new", "new/file", "new/link", "new/hard"}
    assert {members["new/file"].islnk(), members["new/hard"].islnk()} == {True, False}
    assert (members["new"].uid, members["new"].mtime) == (5, 1_000_000_000)
    assert set(await _tar((await node.archives.archive_get(key, "/data/new/link"))[1])) == {"link"}
    assert set(await _tar((await node.archives.archive_get(key, "/data/sub/."))[1])) == {"sub", "sub/file"}
    for path in ("/none", "/data/file/x", "/data/file/"):
        with pytest.raises(NotFound, match=f"^Could not find the file {path} in container {key}$"):
            await node.archives.archive_get(key, path)
    with pytest.raises(InvalidArgument, match="extraction point is not a directory"):
        await _put(node, key, "/data/file", data)
    with pytest.raises(InvalidArgument, match='^cannot overwrite directory "new" with non-directory'):
        await _put(node, key, "/data", _packed(("new", REG, "")), keep=True)
    with pytest.raises(InvalidArgument, match="cannot overwrite non-directory"):
        await _put(node, key, "/data", _packed(("file", DIR, "")), keep=True)
    await _put(node, key, "/data", _packed(("new", REG, "instead")))
    assert (await node.archives.archive_stat(key, "/data/new")).size == 7
    with pytest.raises(InvalidArgument, match="the archive cannot be read"):
        await _put(node, key, "/data", b"no tar at all" * 100)
    # Whoever has read enough stops.
    _, body = await node.archives.archive_get(key, "/data/file")
    assert await anext(body)
    await body.aclose()  # type: ignore[attr-defined]


async def _both() -> None:
    async with rig() as node:
        key = await node.create("sleep", "60")
        await _copies(node, key)
        await node.lifecycle.start(key)
        assert await node.exec(key, "cat", "/data/new") == (0, "instead")
        await _copies(node, key)
        await node.lifecycle.stop(key, timeout=0)
        await _copies(node, key)


def test_files_are_copied_in_and_out_whether_it_runs_or_not() -> None:
    asyncio.run(_both())


async def _escapes(folder: Path) -> None:
    secret, outside = folder / "secret", folder / "outside"
    await asyncio.to_thread(secret.write_text, "secret")
    await asyncio.to_thread(outside.mkdir)
    async with rig() as node:
        # With the host's processes in sight, /proc/<pid>/root would lead straight out.
        links = f"ln -s {folder} /tmp/up; ln -s /proc/self/root{folder} /tmp/magic; ln -s / /tmp/top; sleep 60"
        key = await node.run("sh", "-c", links, host=HostConfig(pid_mode="host"))

        async def are_there() -> bool:
            return (await node.exec(key, "ls", "/tmp/top/bin"))[0] == 0

        await eventually(are_there)
        for _ in ("running", "stopped"):
            for path in ("/tmp/up/secret", "/tmp/magic/secret", "/../../../.." + str(secret)):
                with pytest.raises(NotFound):
                    await node.archives.archive_get(key, path)
            for place in ("/tmp/up", "/tmp/magic"):
                with pytest.raises(NotFound):
                    await _put(node, key, place, _packed(("x", REG, "")))
            for name in ("up/outside/x", "magic/outside/x", "../../x"):
                with pytest.raises(Exception):  # noqa: B017 - whatever it says, it must not be done
                    await _put(node, key, "/tmp", _packed((name, REG, "bad")))
            inside = _packed(("abs", SYM, str(folder)), ("abs/outside/y", REG, "bad"))
            with pytest.raises(InvalidArgument, match="cannot be unpacked"):
                await _put(node, key, "/tmp", inside)
            assert await asyncio.to_thread(lambda: list(outside.iterdir())) == []
            # A link to the top leads to the container's.
            assert (await node.archives.archive_stat(key, "/tmp/top/etc/passwd")).size < 200
            if node.records.get(key).is_running:
                await node.lifecycle.stop(key, timeout=0)


def test_no_link_leads_out_of_the_container(tmp_path: Path) -> None:
    asyncio.run(_escapes(tmp_path))


async def _volumes() -> None:
    async with rig() as node:
        host = HostConfig(binds=["web:/web", "closed:/data/closed:ro"], readonly_rootfs=True)
        key = await node.create("sleep", "60", host=host, config=ContainerConfig(user="ann"))
        with pytest.raises(InvalidArgument, match="^container rootfs is marked read-only$"):
            await _put(node, key, "/tmp", _packed(("x", REG, "")))
        await node.lifecycle.start(key)
        await _put(node, key, "/web", _packed(("x", REG, "web")), chown=True)
        with pytest.raises(InvalidArgument, match="^mounted volume is marked read-only$"):
            await _put(node, key, "/data/closed", _packed(("x", REG, "")))
        path = node.folder / "volumes/web/_data/x"
        status = await asyncio.to_thread(path.stat)
        assert (status.st_uid, status.st_gid) == (7, 8)
        await node.lifecycle.stop(key, timeout=0)
        _, body = await node.archives.archive_get(key, "/web")
        assert set(await _tar(body)) == {"web", "web/x"}
        await _put(node, key, "/web", _packed(("z", REG, "web")))
        assert await asyncio.to_thread((path.parent / "z").exists)


def test_volumes_are_part_of_what_is_copied() -> None:
    asyncio.run(_volumes())


async def _compare() -> None:
    async with rig() as node:
        script = "echo x > /tmp/new; rm /data/sub/file; chmod 700 /etc/group; mkdir /made; sleep 60"
        key = await node.run("sh", "-c", script, host=HostConfig(binds=["web:/vol"]))

        async def is_done() -> bool:
            return (await node.exec(key, "ls", "/made"))[0] == 0

        await eventually(is_done)
        wanted = [
            Change(path="/data", kind=0),
            Change(path="/data/sub", kind=0),
            Change(path="/data/sub/file", kind=2),
            Change(path="/etc", kind=0),
            Change(path="/etc/group", kind=0),
            Change(path="/made", kind=1),
            Change(path="/tmp", kind=0),
            Change(path="/tmp/new", kind=1),
            Change(path="/vol", kind=1),
        ]
        assert await node.archives.changes(key) == wanted
        running = await _tar(await node.archives.export(key))
        await node.lifecycle.stop(key, timeout=0)
        assert await node.archives.changes(key) == wanted
        stopped = await _tar(await node.archives.export(key))
        for members in (running, stopped):
            assert {"tmp/new", "bin/busybox", "made", "vol", "proc"} <= set(members)
            assert "data/sub/file" not in members and not any(name.startswith("proc/") for name in members)
        assert set(stopped) <= set(running)
        own, everything = await node.sizes.of(key)
        assert 0 < own < 1_000_000 < everything
        untouched = await node.create("true")
        assert await node.archives.changes(untouched) == []


def test_a_container_is_compared_with_its_image_and_exported() -> None:
    asyncio.run(_compare())
