"""Run inside a task's network namespace: asks 127.0.0.11 for one name, as fast as it is answered.

    python dnsload.py NAME SECONDS

prints JSON: ``queries_per_second`` and ``loaded_latency`` (median seconds) with WINDOW questions under way, and
``latency`` with one.
"""

import json
import select
import socket
import statistics
import struct
import sys
import time

WINDOW = 32
SOCKETS = 4
ALONE = 1000
_HEADER = struct.Struct("!HHHHHH")
_LOST_SECONDS = 0.5


def question(name: str) -> bytes:
    """A question for the A records of ``name``, without its id."""
    labels = b"".join(bytes([len(label)]) + label.encode() for label in name.split("."))
    return _HEADER.pack(0, 0x0100, 1, 0, 0, 0)[2:] + labels + b"\0" + struct.pack("!HH", 1, 1)


def alone(asked: bytes) -> float:
    """The median seconds for an answer, one question at a time. Raises ValueError for one without addresses."""
    sock = _socket()
    sock.settimeout(2)
    taken = []
    for number in range(ALONE):
        since = time.perf_counter()
        sock.send(number.to_bytes(2) + asked)
        answer = sock.recv(2048)
        taken.append(time.perf_counter() - since)
        if _HEADER.unpack_from(answer)[3] == 0:
            raise ValueError("the name has no address here")
    return statistics.median(taken)


def loaded(asked: bytes, seconds: float) -> tuple[float, float]:
    """Queries a second and median latency with WINDOW questions under way; one that is lost is asked again."""
    sockets = [_socket() for _ in range(SOCKETS)]
    poll = select.epoll()
    by_fd = {sock.fileno(): sock for sock in sockets}
    for sock in sockets:
        sock.setblocking(False)
        poll.register(sock.fileno(), select.EPOLLIN)
    sent: dict[int, float] = {}
    clock = time.perf_counter
    for number in range(WINDOW):
        sent[number] = clock()
        sockets[number % SOCKETS].send(number.to_bytes(2) + asked)
    taken: list[float] = []
    since = clock()
    while (now := clock()) - since < seconds:
        ready = poll.poll(_LOST_SECONDS)
        if not ready:
            for number in range(WINDOW):
                sockets[number % SOCKETS].send(number.to_bytes(2) + asked)
        for descriptor, _ in ready:
            sock = by_fd[descriptor]
            try:
                while True:
                    answer = sock.recv(2048)
                    number = answer[0] << 8 | answer[1]
                    now = clock()
                    taken.append(now - sent[number])
                    sent[number] = now
                    sock.send(answer[:2] + asked)
            except BlockingIOError:
                pass
    return len(taken) / (clock() - since), statistics.median(taken)


def _socket() -> socket.socket:
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.connect(("127.0.0.11", 53))
    return sock


def main() -> int:
    """Measure, print, end."""
    asked = question(sys.argv[1])
    single = alone(asked)
    rate, latency = loaded(asked, float(sys.argv[2]))
    print(json.dumps({"queries_per_second": rate, "loaded_latency": latency, "latency": single}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
