import socket
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from shoal.client.engine import Engine, encode_query, json_lines, version_key
from shoal.client.transport import Endpoint, parse_endpoint
from shoal.errors import InvalidArgument, NotFound, Unavailable

PING = b"HTTP/1.1 200 OK\r\nApi-Version: 1.41\r\nContent-Length: 2\r\n\r\nOK"


@pytest.fixture
def serve(tmp_path: Path) -> Callable[..., tuple[Engine, list[bytes]]]:
    """A daemon that reads a request and sends the next of its answers, whatever was asked."""

    def start(*answers: bytes) -> tuple[Engine, list[bytes]]:
        path = str(tmp_path / "s")
        server = socket.socket(socket.AF_UNIX)
        server.bind(path)
        server.listen()
        heads: list[bytes] = []

        def run() -> None:
            left = list(answers)
            while left:
                connection, _ = server.accept()
                with connection:
                    while left and (head := connection.recv(65536)):
                        heads.append(head)
                        answer = left.pop(0)
                        connection.sendall(answer)
                        if b"Connection: close" in answer or b"Content-Length" not in answer:
                            break
            server.close()

        threading.Thread(target=run, daemon=True).start()
        return Engine(parse_endpoint(f"unix://{path}")), heads

    return start


def test_endpoints() -> None:
    assert parse_endpoint("unix:///x") == Endpoint("unix:///x", path="/x")
    assert parse_endpoint("tcp://h:1") == Endpoint("tcp://h:1", host="h", port=1)
    assert parse_endpoint("tcp://[::1]:5").host == "::1"
    assert parse_endpoint("h").port == 2375
    for bad in ("ftp://x", "tcp://h:x", "tcp://h:99999"):
        with pytest.raises(InvalidArgument):
            parse_endpoint(bad)


def test_version_is_negotiated_once_on_one_connection(serve: Callable[..., tuple[Engine, list[bytes]]]) -> None:
    engine, heads = serve(
        PING,
        b'HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\n{"a": 1}',
        b"HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n",
    )
    assert engine.get("/x", {"all": True, "none": None}) == {"a": 1}
    assert engine.post("/y", body={"b": 2}) is None
    engine.close()
    assert heads[0].startswith(b"GET /_ping HTTP/1.1\r\n")
    assert heads[1].startswith(b"GET /v1.41/x?all=1 HTTP/1.1\r\n")
    assert heads[2].startswith(b"POST /v1.41/y HTTP/1.1\r\n") and heads[2].endswith(b'{"b":2}')


def test_chunks_and_json_values_cut_anywhere(serve: Callable[..., tuple[Engine, list[bytes]]]) -> None:
    body = b'5\r\n{"a":\r\n7\r\n"\xc3\xa9"}{"\r\n6\r\nb":2}\n\r\n0\r\n\r\n'
    engine, _ = serve(PING, b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + body)
    assert list(json_lines(engine.call("GET", "/events"))) == [{"a": "é"}, {"b": 2}]
    engine.close()


def test_errors_become_kinds(serve: Callable[..., tuple[Engine, list[bytes]]]) -> None:
    engine, _ = serve(PING, b'HTTP/1.1 404 Not Found\r\nContent-Length: 18\r\n\r\n{"message":"gone"}')
    with pytest.raises(NotFound, match="^Error response from daemon: gone$"):
        engine.get("/x")
    engine.close()
    with pytest.raises(Unavailable, match="Is the docker daemon running"):
        Engine(Endpoint("unix:///nope", path="/nope")).get("/x")


def test_queries() -> None:
    assert encode_query({"f": {"a": {"b": True}}, "n": ["x y", "z"], "t": 5, "no": False, "e": ""}) == (
        "f=%7B%22a%22%3A%7B%22b%22%3Atrue%7D%7D&n=x%20y&n=z&t=5&no=0"
    )
    assert min("1.9", "1.41", key=version_key) == "1.9"
