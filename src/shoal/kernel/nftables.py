"""nftables through libnftables: scripts in nft's own syntax, each one transaction, and what there is.

A context is opened once for a namespace and kept: a script of 12 lines then costs 0.25 ms, against 13 ms with a
context of its own, since closing one that has removed anything waits for an RCU grace period.
"""

import ctypes
import errno
import hashlib
import os
import re
from dataclasses import dataclass
from pathlib import Path

from shoal.errors import Internal, InvalidArgument, ShoalError
from shoal.kernel import netlink_codec as nl
from shoal.kernel import netns
from shoal.kernel.faults import KernelNotFound, fault
from shoal.kernel.netlink_socket import NETLINK_NETFILTER, NetlinkSocket

# NFNL_SUBSYS_NFTABLES, with NFT_MSG_GETTABLE, GETCHAIN, GETRULE, GETGEN
_GETTABLE, _GETCHAIN, _GETRULE, _GETGEN = (10 << 8 | message for message in (1, 4, 7, 16))
_TABLE_NAME, _TABLE_USERDATA = 1, 6
_RULE_TABLE, _GEN_ID = 1, 1
_HEAD = 4  # struct nfgenmsg, whose last two bytes change with every transaction
_COMMENT = 0  # NFTNL_UDATA_TABLE_COMMENT
_FAMILIES = {1: "inet", 2: "ip", 3: "arp", 5: "netdev", 7: "bridge", 10: "ip6"}
_NUMBER_OF_FAMILY = {word: number for number, word in _FAMILIES.items()}
_STATELESS = 1 << 2  # NFT_CTX_OUTPUT_STATELESS: no counters, so that equal rules read equal

# What the kernel, or libnftables' picture of it, says; everything else is the script's own fault.
_REFUSED = re.compile(r"(?:Error: |Could not process rule: )+([^;\n]+)")
_NUMBERS = {
    os.strerror(number): number
    for number in (errno.ENOENT, errno.EEXIST, errno.EBUSY, errno.EPERM, errno.EACCES, errno.ENOMEM, errno.EOPNOTSUPP)
}


@dataclass(frozen=True, slots=True)
class NftTable:
    """A table; ``family`` as nft writes it, ``comment`` "" if it has none."""

    family: str
    name: str
    comment: str


class Nftables:
    """nft in one namespace; it keeps the namespace alive until closed."""

    def __init__(self, path: Path | None, lib: ctypes.CDLL, context: int, tables: NetlinkSocket) -> None:
        self._path = path
        self._lib = lib
        self._context = context
        self._tables = tables

    @classmethod
    def open(cls, path: Path | None) -> "Nftables":
        """A context in the namespace at ``path`` (None: the thread's own). Raises NotFound."""
        lib = _load()
        tables = NetlinkSocket(NETLINK_NETFILTER, path)
        context = netns.run_in(path, lambda: lib.nft_ctx_new(0))  # its socket is of the namespace it is made in
        if not context:
            tables.close()
            raise Internal("libnftables gives no context")
        lib.nft_ctx_buffer_output(context)
        lib.nft_ctx_buffer_error(context)
        lib.nft_ctx_output_set_flags(context, _STATELESS)
        return cls(path, lib, context, tables)

    def close(self) -> None:
        """Let the namespace go; closing twice is fine."""
        if self._context:
            self._lib.nft_ctx_free(self._context)
            self._context = 0
        self._tables.close()

    def run(self, script: str) -> str:
        """Apply a script, all of it or none, and return what nft prints.

        The script must not ``define`` anything: that would outlive it. Raises InvalidArgument for a script that nft
        does not understand, else what the kernel's errno means (NotFound, Conflict, Forbidden, Internal), each with
        nft's own text.
        """
        # nft looks up the names after `iif` and `oif` where the thread is, not where its socket is
        failed = netns.run_in(self._path, lambda: self._lib.nft_run_cmd_from_buffer(self._context, script.encode()))
        # reading the buffers empties them
        output: bytes = self._lib.nft_ctx_get_output_buffer(self._context)
        errors: bytes = self._lib.nft_ctx_get_error_buffer(self._context)
        if failed:
            raise _translate(errors.decode(errors="replace").strip())
        return output.decode(errors="replace")

    def list_table(self, family: str, name: str) -> str:
        """A table in nft's own syntax, counters left out. Raises NotFound."""
        return self.run(f"list table {family} {name}")

    def list_tables(self) -> list[NftTable]:
        """All tables with their comments, which nft's JSON (1.0.6) leaves out and the kernel has."""
        frames = self._tables.dump(_GETTABLE, bytes(4))
        return [_decode_table(frame.body) for frame in frames]

    def generation(self) -> int:
        """A number that every transaction in this namespace, whoever makes it, counts up by one; 5 us."""
        answer = self._tables.ask(_GETGEN, bytes(_HEAD), "ask for the ruleset's generation")
        return int.from_bytes(nl.attributes(answer.body, _HEAD)[_GEN_ID], "big")

    def signature(self, family: str, name: str) -> str:
        """A hash of a table as the kernel has it, its handles included: another one after any change of its chains or
        rules, even one that was taken back. What the anonymous sets of its rules hold cannot be changed in place."""
        number = _NUMBER_OF_FAMILY[family]
        head, wanted = bytes((number, 0, 0, 0)), name.encode() + b"\0"
        tables = self._tables.dump(_GETTABLE, head)
        chains = self._tables.dump(_GETCHAIN, head)
        rules = self._tables.dump(_GETRULE, head + nl.string(_RULE_TABLE, name))
        digest = hashlib.sha256()
        for frame in (*tables, *chains, *rules):
            body = frame.body[_HEAD:]
            # The table's name is attribute 1 of all three.
            if frame.body[0] == number and nl.attributes(body)[_TABLE_NAME] == wanted:
                digest.update(body)
        return digest.hexdigest()


def delete_table(family: str, name: str) -> str:
    """The script that removes a table whether it is there or not; nft 1.0.6 has no ``destroy`` yet."""
    return f"add table {family} {name}\ndelete table {family} {name}\n"


def _decode_table(body: bytes) -> NftTable:
    attrs = nl.attributes(body, 4)
    comment, data = "", attrs.get(_TABLE_USERDATA, b"")
    while len(data) >= 2:
        if data[0] == _COMMENT:
            comment = nl.to_string(data[2 : 2 + data[1]])
        data = data[2 + data[1] :]
    return NftTable(_FAMILIES.get(body[0], str(body[0])), nl.to_string(attrs[_TABLE_NAME]), comment)


def _translate(text: str) -> ShoalError:
    for found in _REFUSED.finditer(text):
        if number := _NUMBERS.get(found[1].strip()):
            return fault(number, "nft", text)
    if "Could not process rule" in text or not text:
        return Internal(f"nft: {text or 'failed without a word'}")
    return InvalidArgument(f"nft: {text}")


def _load() -> ctypes.CDLL:
    try:
        lib = ctypes.CDLL("libnftables.so.1")
    except OSError as error:
        raise KernelNotFound(f"libnftables is not installed: {error}", errno.ENOENT) from error
    context = ctypes.c_void_p
    lib.nft_ctx_new.argtypes, lib.nft_ctx_new.restype = [ctypes.c_uint32], context
    lib.nft_ctx_free.argtypes, lib.nft_ctx_free.restype = [context], None
    lib.nft_ctx_buffer_output.argtypes = lib.nft_ctx_buffer_error.argtypes = [context]
    lib.nft_ctx_output_set_flags.argtypes, lib.nft_ctx_output_set_flags.restype = [context, ctypes.c_uint], None
    lib.nft_run_cmd_from_buffer.argtypes = [context, ctypes.c_char_p]
    for buffer in (lib.nft_ctx_get_output_buffer, lib.nft_ctx_get_error_buffer):
        buffer.argtypes, buffer.restype = [context], ctypes.c_char_p
    return lib
