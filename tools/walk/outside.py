"""The outside world's name server, for a neighbour that has nothing else: one name, and no other.

python outside.py ADDRESS        serves outside.example on UDP port 53 of ADDRESS, until it is ended
"""

import socket
import struct
import sys

NAME = "outside.example"
ANSWER = "203.0.113.7"


def serve(address: str) -> None:
    """Answer questions one by one."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind((address, 53))
        while True:
            message, sender = sock.recvfrom(1500)
            sock.sendto(_answer(message), sender)


def _answer(message: bytes) -> bytes:
    end = message.index(b"\0", 12) + 5
    question = message[12:end]
    known = question[:-4] == b"".join(bytes([len(part)]) + part.encode() for part in NAME.split(".")) + b"\0"
    wanted = struct.unpack("!H", question[-4:-2])[0]
    record = b""
    if known and wanted == 1:
        record = b"\xc0\x0c" + struct.pack("!HHIH", 1, 1, 60, 4) + socket.inet_aton(ANSWER)
    flags = 0x8180 if known else 0x8183
    return message[:2] + struct.pack("!HHHHH", flags, 1, bool(record), 0, 0) + question + record


if __name__ == "__main__":
    serve(sys.argv[1])
