"""Where the API listens."""

import asyncio
import os
import socket
import stat
from pathlib import Path

import pytest
from aiohttp import ClientSession, UnixConnector, web

from shoal.api.app import build_app
from shoal.api.server import ApiServer, Listener, parse_listener
from shoal.errors import Conflict, InvalidArgument


async def ok(request: web.Request) -> web.Response:
    return web.Response(text="OK")


def server(*listeners: Listener) -> ApiServer:
    return ApiServer(app=build_app([web.get("/ok", ok)]), listeners=listeners)


def unix(path: Path) -> Listener:
    return Listener("unix", path=str(path))


@pytest.mark.parametrize(
    ("text", "listener"),
    [
        ("unix:///run/x.sock", Listener("unix", path="/run/x.sock")),
        ("unix://", Listener("unix", path="/var/run/docker.sock")),
        ("tcp://127.0.0.1:2375", Listener("tcp", host="127.0.0.1", port=2375)),
        ("tcp://0.0.0.0", Listener("tcp", host="0.0.0.0", port=2375)),
        ("tcp://:4000", Listener("tcp", host="127.0.0.1", port=4000)),
        ("tcp://[::1]:2375", Listener("tcp", host="::1", port=2375)),
        ("tcp://[::1]", Listener("tcp", host="::1", port=2375)),
        ("fd://", Listener("fd")),
    ],
)
def test_listeners_as_h_names_them(text: str, listener: Listener) -> None:
    assert parse_listener(text) == listener


def test_with_tls_the_port_is_another() -> None:
    assert parse_listener("tcp://0.0.0.0", tls=True).port == 2376


@pytest.mark.parametrize("text", ["", "x", "http://x", "tcp://x:y", "tcp://x:99999"])
def test_no_listeners(text: str) -> None:
    with pytest.raises(InvalidArgument):
        parse_listener(text)


def test_several_listeners_answer_and_leave_nothing(tmp_path: Path) -> None:
    async def scenario() -> None:
        path = tmp_path / "made" / "a.sock"
        running = server(unix(path), unix(tmp_path / "b.sock"), Listener("tcp", host="127.0.0.1"))
        await running.start()
        assert stat.S_IMODE(path.stat().st_mode) == 0o660
        (port,) = [address[1] for address in running.addresses if isinstance(address, tuple)]
        for name in (path, tmp_path / "b.sock"):
            async with ClientSession(connector=UnixConnector(str(name))) as client, client.get("http://d/ok") as answer:
                assert answer.status == 200
        async with ClientSession() as client, client.get(f"http://127.0.0.1:{port}/v1.40/ok") as answer:
            assert await answer.text() == "OK"
        await running.stop()
        assert not path.exists()
        assert not (tmp_path / "b.sock").exists()

    asyncio.run(scenario())


def test_a_stale_socket_is_replaced_and_a_living_one_is_not(tmp_path: Path) -> None:
    async def scenario() -> None:
        path = tmp_path / "a.sock"
        with socket.socket(socket.AF_UNIX) as dead:
            dead.bind(str(path))
        first, second = server(unix(path)), server(unix(tmp_path / "b.sock"), unix(path))
        await first.start()
        with pytest.raises(Conflict, match="another daemon is listening"):
            await second.start()
        assert not (tmp_path / "b.sock").exists()
        async with ClientSession(connector=UnixConnector(str(path))) as client, client.get("http://d/ok") as answer:
            assert answer.status == 200
        await first.stop()

    asyncio.run(scenario())


def test_a_file_that_is_no_socket_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "precious"
    path.write_text("x")
    with pytest.raises(Conflict, match="is no socket"):
        asyncio.run(server(unix(path)).start())
    assert path.read_text() == "x"


def test_anothers_socket_in_our_place_is_left_alone(tmp_path: Path) -> None:
    async def scenario() -> None:
        path = tmp_path / "a.sock"
        running = server(unix(path))
        await running.start()
        path.unlink()
        path.write_text("another's")
        await running.stop()
        assert path.exists()

    asyncio.run(scenario())


def test_a_taken_port(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(Conflict, match=f"listen tcp 127.0.0.1:{port}: bind: address already in use"):
            asyncio.run(server(Listener("tcp", host="127.0.0.1", port=port)).start())


def test_socket_activation_without_sockets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LISTEN_PID", str(os.getpid() + 1))
    monkeypatch.setenv("LISTEN_FDS", "1")
    with pytest.raises(InvalidArgument, match="socket activation"):
        asyncio.run(server(Listener("fd")).start())
