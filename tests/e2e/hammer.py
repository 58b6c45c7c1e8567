"""``python hammer.py SECONDS ADDRESS…``: asks every address for its page, on a new connection each time, without a
pause. Prints how many answers there were and each failure; the status is 1 when there was one."""

import socket
import sys
import threading
import time

_REQUEST = b"GET / HTTP/1.0\r\nHost: x\r\n\r\n"


def ask(address: str) -> None:
    """Raises OSError for anything but the whole page."""
    with socket.create_connection((address, 80), 2) as connection:
        connection.settimeout(2)
        connection.sendall(_REQUEST)
        answer = b""
        while piece := connection.recv(65536):
            answer += piece
    if b" 200 " not in answer[:20] or b"</html>" not in answer:
        raise OSError(f"{len(answer)} bytes that are not the page")


def main() -> int:
    seconds, *addresses = sys.argv[1:]
    end = time.monotonic() + float(seconds)
    answers, failures = [0] * len(addresses), []

    def go(number: int) -> None:
        while time.monotonic() < end:
            try:
                ask(addresses[number])
                answers[number] += 1
            except OSError as error:
                failures.append(f"{time.strftime('%X')} {addresses[number]}: {error}")

    threads = [threading.Thread(target=go, args=(number,)) for number in range(len(addresses))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    print(f"{sum(answers)} answers, {len(failures)} failures")
    print(*failures[:20], sep="\n")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
