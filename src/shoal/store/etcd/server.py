"""An etcd of our own: one member, that shoald starts, finds again and ends.

Clients, which is shoald alone, come over a unix socket in a folder that is root's. Other members come over TLS, each
with its manager's certificate: the swarm's authority has to have signed it, and a manager's name has to be in it, so
that a worker's is not taken. Whoever dials also checks that the certificate names the address that it dialled.
"""

import asyncio
import hashlib
import logging
import os
import shutil
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from ipaddress import ip_address
from pathlib import Path

import msgspec

from shoal.aio.clock import Clock
from shoal.aio.supervisor import PATIENCE_SECONDS, Question, Supervisor
from shoal.durable import files as durable
from shoal.durable.faults import refusal
from shoal.errors import ShoalError, Unavailable
from shoal.store.etcd.address import TLS, Address
from shoal.store.etcd.client import Etcd
from shoal.store.etcd.members import STATUS, Members
from shoal.store.etcd.pb.rpc_pb2 import StatusRequest

_log = logging.getLogger(__name__)

# What an etcd of our own is started with beyond its defaults, for large transactions: 10,000 tasks, packed, are 2 MB.
# It must stay below 10 MiB: etcd 3.4 logs whatever request it takes, and reads back no log with a larger entry, so it
# would never start again.
SERVER_FLAGS = (f"--max-request-bytes={8 << 20}",)
_FLAGS = (
    *SERVER_FLAGS,
    f"--quota-backend-bytes={4 << 30}",
    # A store that is behind by less than this goes on with its watch.
    "--auto-compaction-mode=periodic",
    "--auto-compaction-retention=5m",
    # etcd keeps so many entries in memory, besides 5,000 for members that are behind: by default 100,000.
    "--snapshot-count=10000",
    # One that was cut off and comes back asks whether there is need of an election, before it brings one about.
    "--pre-vote",
    "--logger=zap",
    "--log-level=warn",
    "--log-outputs=stderr",
)
# etcd takes unix sockets only with the look of host:port, and makes them where it runs.
_CLIENT = "client:1"
_METRICS = "metrics:1"
_AUTHORITY = "authority-{}.crt"
_FORCE = "--force-new-cluster"
# How long one that is up is waited for to find a quorum, so that it can be asked at once.
_QUORUM_SECONDS = 3.0
_ATTEMPT_SECONDS = 1.0


# What it says before it ends, each time, when the others have removed it.
_REMOVED = b"member has been permanently removed from the cluster"
_LOG_END = 64 << 10


class _LogLine(msgspec.Struct):
    """A line of its log, as far as a person needs it."""

    level: str
    msg: str = ""
    error: str = ""


class Removed(Unavailable):
    """The others have removed this member: it never runs again with the data that it has."""


def peer_url_of(host: str, port: int) -> str:
    """Where other members find the one at that IP address."""
    return f"https://{_bracketed(host)}:{port}"


def check_installed(binary: str = "etcd") -> None:
    """Raise Unavailable where there is no etcd to run."""
    if shutil.which(binary) is None:
        raise Unavailable(
            f"etcd is not installed: there is no {binary} in PATH, and managers share the swarm's state in it; install "
            "it (apt-get install etcd-server; its own service is not needed) and try again"
        )


class EtcdServer:
    """One member, kept running from :meth:`start` to :meth:`stop`.

    ``data`` is the folder of what it must not lose, ``state`` the one of what a boot may take away: the sockets, the
    pid file, the log. It listens for other members at ``listen`` and is found at ``advertise``, IP addresses both.
    ``certificates`` are read whenever a connection is made, but for the authority: that at the start alone, so one that
    an earlier shoald has left with another authority's does not fit. Other members' certificates have to be made out to
    ``peers``. ``patience`` is the supervisor's.
    """

    def __init__(
        self,
        *,
        name: str,
        data: Path,
        state: Path,
        listen: str,
        advertise: str,
        port: int,
        certificates: TLS,
        peers: str,
        clock: Clock,
        binary: str = "etcd",
        patience: float = PATIENCE_SECONDS,
    ) -> None:
        self.name = name
        self.data = data.absolute()
        self.state = state.absolute()
        self.log_file = self.state / "etcd.log"
        self.peer_url = peer_url_of(advertise, port)
        self.address = Address((f"unix:{self.state / _CLIENT}",))
        self._binary = binary
        self._clock = clock
        data_flag = f"--data-dir={self.data}"
        self._authority = certificates.authority
        self.trusts = b""
        self._fixed_flags = (
            f"--name={name}",
            data_flag,
            f"--listen-client-urls=unix://{_CLIENT}",
            f"--advertise-client-urls=unix://{_CLIENT}",
            f"--listen-metrics-urls=unix://{_METRICS}",
            f"--listen-peer-urls={peer_url_of(listen, port)}",
            f"--initial-advertise-peer-urls={self.peer_url}",
            f"--peer-cert-file={certificates.certificate.absolute()}",
            f"--peer-key-file={certificates.key.absolute()}",
            "--peer-client-cert-auth",
            f"--peer-cert-allowed-hostname={peers}",
            # A manager may dial from another address of its machine's.
            "--experimental-peer-skip-client-san-verification",
            *_FLAGS,
        )
        self._supervisor = Supervisor(
            name="etcd",
            mark=data_flag,
            pid_file=self.state / "etcd.pid",
            log_file=self.log_file,
            sockets=(self.state / _CLIENT, self.state / _METRICS),
            asking=self._asking,
            log=_log,
            clock=clock,
            patience=patience,
        )

    @property
    def pid(self) -> int | None:
        """The process that runs now."""
        return self._supervisor.pid

    async def start(self, *, cluster: Mapping[str, str] | None = None, force_new: bool = False) -> None:
        """Return once it is up: the one that an earlier shoald left, if it was started as this one would be, or a new
        one. Up is also a learner, and a member that has found no quorum after three seconds; where there is one, it
        can be asked at once.

        A member that has no data yet founds an etcd of its own; with ``cluster``, which is all members' peer URLs by
        their names, it joins that one, in which it has to be a member already. With ``force_new`` it goes on with its
        data as the only member. Raises :class:`Removed`, or Unavailable with the end of etcd's log.
        """
        await asyncio.to_thread(check_installed, self._binary)
        for folder in (self.data, self.state):
            try:
                folder.mkdir(mode=0o700, parents=True, exist_ok=True)
                folder.chmod(0o700)
            except OSError as error:
                raise refusal(f"{folder} cannot be made for etcd", error, folder.parent) from error
        await asyncio.to_thread(self._take_authority, None)
        arguments = self._arguments(cluster)
        await self._run(arguments, force_new=force_new)

    async def trust(self, authority: bytes) -> None:
        """Have it trust what that authority (PEM) has signed, and nothing else: it hands over the lead, is ended at
        once, as by a crash, since it would wait for its clients, and started again. Raises as :meth:`start`."""
        await self._hand_over()
        # Once it does not run any more, whoever is stopped here knows that there is something to be done.
        await self._supervisor.kill()
        await asyncio.to_thread(self._take_authority, authority)
        await self._run(self._arguments({}))

    async def _hand_over(self) -> None:
        etcd = Etcd(self.address, attempt=_ATTEMPT_SECONDS)
        try:
            await Members(etcd).hand_over()
        except ShoalError as error:
            _log.info("the other managers' etcds have to elect one of them: %s", error)
        finally:
            await etcd.close()

    async def _run(self, arguments: list[str], *, force_new: bool = False) -> None:
        try:
            if force_new:
                await self._force([*arguments, _FORCE])
            await self._supervisor.start(arguments, fits=self._fits)
        except Unavailable as error:
            if await self.removed():
                raise Removed("the swarm's other managers have removed this one from their etcd") from error
            if reason := await asyncio.to_thread(self._reason):
                raise Unavailable(f"etcd did not start: {reason}; its log is {self.log_file}") from error
            raise

    def _take_authority(self, authority: bytes | None) -> None:
        """Put it (that of the certificates, if it is None) where no other content ever is, so that the flags say which
        it is."""
        try:
            self.trusts = self._authority.read_bytes() if authority is None else authority
            path = self._authority_file(self.trusts)
            durable.write(path, self.trusts)
            for other in self.state.glob(_AUTHORITY.format("*")):
                if other != path:
                    other.unlink()
        except OSError as error:
            raise Unavailable(f"etcd cannot be given its authority: {error}") from error

    def _authority_file(self, authority: bytes) -> Path:
        return self.state / _AUTHORITY.format(hashlib.sha256(authority).hexdigest()[:16])

    @property
    def _flags(self) -> tuple[str, ...]:
        return (*self._fixed_flags, f"--peer-trusted-ca-file={self._authority_file(self.trusts)}")

    async def removed(self) -> bool:
        """Whether the others have removed this member, as far as it has heard: then it ends again and again."""
        return _REMOVED in await asyncio.to_thread(self._log_end)

    def _reason(self) -> str:
        """What it said when it gave up, if it did."""
        for line in reversed(self._log_end().splitlines()):
            with suppress(msgspec.MsgspecError):
                said = msgspec.json.decode(line, type=_LogLine)
                if said.level in ("fatal", "panic", "error"):
                    return said.error or said.msg
        return ""

    async def stop(self) -> None:
        """End it and wait for it, also one that an earlier shoald left. Close connections to it before: it waits for
        their watches to end."""
        await self._supervisor.stop()

    async def detach(self) -> None:
        """Look after it no longer, and leave it running for the next shoald."""
        await self._supervisor.detach()

    async def destroy(self) -> None:
        """End it and remove its data. Others still count it as a member until they have removed it."""
        await self.stop()
        self.log_file.unlink(missing_ok=True)
        await asyncio.to_thread(shutil.rmtree, self.data, ignore_errors=True)

    async def _force(self, arguments: list[str]) -> None:
        """Make its data those of an only member; what is started afterwards must not have that flag any more."""
        await self._supervisor.stop()
        self.log_file.unlink(missing_ok=True)
        await self._supervisor.start(arguments)
        try:
            await self._led()
        finally:
            await self._supervisor.stop()

    def _log_end(self) -> bytes:
        try:
            with self.log_file.open("rb") as log:
                log.seek(max(0, log.seek(0, os.SEEK_END) - _LOG_END))
                return log.read()
        except FileNotFoundError:
            return b""

    def _arguments(self, cluster: Mapping[str, str] | None) -> list[str]:
        members = {**(cluster or {}), self.name: self.peer_url}
        # Of the environment, a proxy would be used for other members, and etcd's own variables beside its flags.
        foreign = [name for name in os.environ if name.startswith("ETCD_") or name.lower().endswith("_proxy")]
        return [
            "env",
            f"--chdir={self.state}",
            *(f"--unset={name}" for name in foreign),
            self._binary,
            *self._flags,
            f"--initial-cluster={','.join(f'{name}={url}' for name, url in members.items())}",
            f"--initial-cluster-state={'new' if cluster is None else 'existing'}",
        ]

    def _fits(self, command: list[str]) -> bool:
        """Whether it was started with our flags, but for what matters to a member's first start alone."""
        first = ("--initial-", "--chdir=", "--unset=")
        return [word for word in command[1:] if word.startswith("--") and not word.startswith(first)] == [
            flag for flag in self._flags if not flag.startswith(first)
        ]

    @asynccontextmanager
    async def _asking(self) -> AsyncIterator[Question]:
        etcd = Etcd(self.address, attempt=_ATTEMPT_SECONDS)
        up_since: float | None = None

        async def serves() -> bool:
            nonlocal up_since
            if not await self._up():
                return False
            try:
                await etcd.ask(STATUS, StatusRequest())
            except ShoalError:
                now = self._clock.monotonic()
                up_since = up_since or now
                return now - up_since >= _QUORUM_SECONDS
            return True

        try:
            yield serves
        finally:
            await etcd.close()

    async def _up(self) -> bool:
        """Whether it has read its data and goes on with them. A member that was started without a quorum says so to
        nobody but those who ask for its metrics: clients it lets wait."""
        try:
            async with asyncio.timeout(_ATTEMPT_SECONDS):
                reader, writer = await asyncio.open_unix_connection(self.state / _METRICS)
                try:
                    writer.write(b"GET / HTTP/1.0\r\n\r\n")
                    return (await reader.readline()).startswith(b"HTTP/")
                finally:
                    writer.close()
                    await writer.wait_closed()
        except (OSError, TimeoutError):
            return False

    async def _led(self) -> None:
        """Return once it has a quorum, which is itself."""
        etcd = Etcd(self.address)
        try:
            while not (await etcd.ask_patiently(STATUS, StatusRequest())).leader:
                await self._clock.sleep(0.01)
        finally:
            await etcd.close()


def _bracketed(host: str) -> str:
    return f"[{host}]" if ip_address(host).version == 6 else host
