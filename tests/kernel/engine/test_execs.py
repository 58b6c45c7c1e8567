"""Execs in real containers: streams, exit codes, users, errors, and what is left of them."""

import asyncio
import json
from functools import partial
from pathlib import Path

import pytest
from tests.fakes.engine_rig import CLOCK, Rig, eventually, read_all, rig

from shoal.aio.tasks import spawn
from shoal.container import host
from shoal.engine.execs import Execs
from shoal.errors import Conflict, InvalidArgument, NotFound
from shoal.objects.container import ContainerConfig
from shoal.objects.exec import ExecConfig

pytestmark = pytest.mark.root


async def _runs() -> None:
    async with rig() as node:
        key = await node.run("sleep", "60", config=ContainerConfig(env=["A=1", "B=2"], working_dir="/tmp"))
        code, text = await node.exec(key, "sh", "-c", "echo $A $B $C; pwd; echo err >&2; exit 7", env=["B=3", "C=4"])
        assert code == 7 and sorted(text.split("\n")) == sorted(["1 3 4", "/tmp", "err", ""])
        assert await node.exec(key, "id", user="ann") == (0, "uid=7(ann) gid=8 groups=8,9(adm)\n")
        assert await node.exec(key, "sh", "-c", "echo $HOME; pwd", user="7:0", working_dir="/etc") == (
            0,
            "/home/ann\n/etc\n",
        )
        code, text = await node.exec(key, "nonsense")
        assert code == 127 and "executable file not found in $PATH" in text and text.endswith("\r\n")
        code, text = await node.exec(key, "/etc/passwd/x")
        assert code in (126, 127) and text
        code, text = await node.exec(key, "id", user="bob")
        assert "unable to find user bob" in text
        assert await node.exec(key, "sh", "-c", "kill -9 $$") == (137, "")
        folder = node.folder / "stdio" / key
        await eventually(lambda: not [path for path in folder.iterdir() if path.is_dir()])

        async def forgotten() -> bool:
            return list((await node.keeper.client.hello()).containers) == [key]

        await eventually(forgotten)
        actions = [event.action.partition(":")[0] for event in node.events.since(CLOCK.now().replace(year=2000))]
        assert actions.count("exec_create") == 7 and actions.count("exec_die") == 4


def test_processes_run_with_their_own_user_variables_and_folder() -> None:
    asyncio.run(_runs())


async def _input() -> None:
    async with rig() as node:
        key = await node.run("sleep", "60")
        config = ExecConfig(cmd=["cat"], attach_stdin=True, attach_stdout=True, attach_stderr=True)
        made = await node.execs.exec_create(key, config)
        assert node.execs.execs_of(key) == [made]
        before = await node.execs.exec_inspect(made)
        assert (before.running, before.exit_code, before.pid) == (False, None, 0)
        streams = await node.execs.exec_start(made, tty=False, detach=False)
        assert streams is not None
        with pytest.raises(Conflict, match=f"^Error: Exec command {made} is already running$"):
            await node.execs.exec_start(made, tty=False, detach=False)
        running = await node.execs.exec_inspect(made)
        assert running.running and running.pid > 0
        data = b"x" * 1_000_000
        await streams.write(data)
        await streams.close_stdin()
        assert await read_all(streams) == data.decode()
        after = await node.execs.exec_inspect(made)
        assert (after.running, after.exit_code) == (False, 0)
        with pytest.raises(Conflict, match="has already run"):
            await node.execs.exec_start(made, tty=False, detach=False)
        assert json.loads(json.dumps(after.process_config.arguments)) == []


def test_input_is_passed_on_and_ended() -> None:
    asyncio.run(_input())


async def _terminal_and_detached() -> None:
    async with rig() as node:
        key = await node.run("sleep", "60")
        config = ExecConfig(cmd=["sh", "-c", "stty size; read x; stty size"], tty=True, attach_stdin=True)
        config = ExecConfig(cmd=config.cmd, tty=True, attach_stdin=True, attach_stdout=True)
        made = await node.execs.exec_create(key, config)
        streams = await node.execs.exec_start(made, tty=True, detach=False, console_size=(20, 30))
        assert streams is not None
        pieces = aiter(streams)
        assert await anext(pieces) == (1, b"20 30\r\n")
        await node.execs.exec_resize(made, 40, 50)
        await streams.write(b"\n")
        rest = b"".join([data async for _, data in pieces])
        await streams.aclose()
        assert rest.split() == [b"40", b"50"]

        for tty in (False, True):
            made = await node.execs.exec_create(key, ExecConfig(cmd=["sh", "-c", "seq 100000; exit 3"], tty=tty))
            assert await node.execs.exec_start(made, tty=tty, detach=True) is None
            await eventually(partial(_ended, node, made))
            assert (await node.execs.exec_inspect(made)).exit_code == 3
        made = await node.execs.exec_create(key, ExecConfig(cmd=["nonsense"]))
        with pytest.raises(Exception, match="executable file not found"):
            await node.execs.exec_start(made, tty=False, detach=True)


async def _ended(node: Rig, made: str) -> bool:
    return (await node.execs.exec_inspect(made)).can_remove


def test_terminals_and_detached_processes() -> None:
    asyncio.run(_terminal_and_detached())


async def _refused() -> None:
    async with rig() as node:
        with pytest.raises(NotFound, match="^No such exec instance: none$"):
            await node.execs.exec_inspect("none")
        key = await node.create("sleep", "60")
        with pytest.raises(Conflict, match=f"^Container {key} is not running$"):
            await node.execs.exec_create(key, ExecConfig(cmd=["true"]))
        await node.lifecycle.start(key)
        with pytest.raises(InvalidArgument, match="^No exec command specified$"):
            await node.execs.exec_create(key, ExecConfig())
        await node.lifecycle.pause(key, paused=True)
        with pytest.raises(Conflict, match="is paused, unpause the container before exec"):
            await node.execs.exec_create(key, ExecConfig(cmd=["true"]))
        await node.lifecycle.pause(key, paused=False)


def test_what_cannot_run_is_refused_in_dockers_words() -> None:
    asyncio.run(_refused())


async def _vanish() -> None:
    async with rig() as node:
        key = await node.run("sleep", "60")
        config = ExecConfig(cmd=["sleep", "50"], attach_stdout=True)
        made = await node.execs.exec_create(key, config)
        never = await node.execs.exec_create(key, config)
        streams = await node.execs.exec_start(made, tty=False, detach=False)
        assert streams is not None
        reading = spawn(read_all(streams), name="read")
        await node.lifecycle.kill(key, "KILL")
        assert await asyncio.wait_for(reading, 5) == ""
        await eventually(lambda: _ended(node, made))
        assert (await node.execs.exec_inspect(made)).exit_code == 137
        with pytest.raises(NotFound):
            await node.execs.exec_inspect(never)
        assert node.execs.execs_of(key) == []


def test_execs_end_with_their_container() -> None:
    asyncio.run(_vanish())


async def _taken_over() -> None:
    async with rig() as node:
        key = await node.run("sleep", "60")
        config = ExecConfig(cmd=["sh", "-c", "sleep 1; seq 100000; echo y > /tmp/done"], attach_stdout=True)
        made = await node.execs.exec_create(key, config)
        streams = await node.execs.exec_start(made, tty=False, detach=False)
        assert streams is not None
        await streams.aclose()
        await node.execs.stop_watching()
        again = Execs(
            records=node.records,
            runtime=node.runtime,
            keeper=node.keeper.client,
            events=node.events,
            clock=CLOCK,
            spec_host=host.detect(),
            stdio_root=node.folder / "stdio",
        )
        await again.restore()
        folder: Path = node.folder / "stdio" / key / made
        assert await asyncio.to_thread(folder.exists)
        await eventually(lambda: not folder.exists())
        assert await node.exec(key, "cat", "/tmp/done") == (0, "y\n")


def test_an_exec_goes_on_while_shoald_restarts_and_is_cleared_away_then() -> None:
    asyncio.run(_taken_over())
