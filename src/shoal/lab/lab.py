"""A lab: made, looked at, disturbed, removed."""

import shutil
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from ipaddress import IPv4Network
from pathlib import Path
from typing import BinaryIO

import msgspec

from shoal.client.engine import json_lines
from shoal.errors import Conflict, Internal, InvalidArgument, NotFound
from shoal.kernel import routes
from shoal.lab import state as states
from shoal.lab import swarm
from shoal.lab.host import Condition, Host
from shoal.lab.parallel import for_all
from shoal.lab.state import EVERYBODY, LabState, Wish
from shoal.lab.swarm import Say
from shoal.lab.underlay import Underlay

_CHUNK = 1 << 20


def _silent(host: str, what: str) -> None:
    pass


class Lab:
    """A lab that there is, by its folder; its hosts may be on or off."""

    def __init__(self, folder: Path, state: LabState) -> None:
        self.folder = folder
        self.name = state.name
        self.subnet = state.subnet
        self._underlay = Underlay(state)
        self.hosts = [
            Host(folder=folder / host.name, state=host, lab=state, underlay=self._underlay) for host in state.hosts
        ]

    @classmethod
    def open(cls, name: str = "lab", root: Path = states.ROOT) -> "Lab":
        """The lab of that name. Raises NotFound, Damaged."""
        folder = states.folder_of(root, name)
        return cls(folder, states.load(folder))

    @classmethod
    def up(cls, wish: Wish, say: Say = _silent) -> "Lab":
        """Make a lab: start its hosts, bring the images, form the swarm, wait until every node is ready.

        ``say`` is told what has become of a host, in any thread. Raises Conflict when there is one of that name; what
        an attempt that fails has made stays until :meth:`down`.
        """
        lab = cls.planned(wish)
        lab.make(wish, say)
        return lab

    def make(self, wish: Wish, say: Say = _silent) -> None:
        """The rest of :meth:`up`, for a lab that is planned."""
        self._wire()

        def set_up(host: Host) -> None:
            say(host.name, "starting")
            host.start()
            for image in wish.images:
                say(host.name, f"loading {image.name}")
                load(host, image)
            say(host.name, "up")

        for_all(self.hosts, set_up)
        if wish.managers:
            swarm.form(self.hosts, wish.managers, say)

    @classmethod
    def planned(cls, wish: Wish) -> "Lab":
        """Write down what is to be made, before anything is. Raises InvalidArgument, Conflict."""
        states.check(wish)
        folder = states.folder_of(wish.root, wish.name)
        folder.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        try:
            with states.locked(folder.parent):
                return cls._written(wish, folder)
        finally:
            _remove_empty(folder.parent)

    @classmethod
    def _written(cls, wish: Wish, folder: Path) -> "Lab":
        if (folder / states.FILE).exists():
            count = len(states.load(folder).hosts)
            raise Conflict(
                f"there is a lab called {wish.name} already, of {count} host{'s' if count != 1 else ''}:"
                f" shoal lab ls shows it, shoal lab down removes it"
            )
        others = [IPv4Network(states.load(folder.parent / name).subnet) for name in states.names(folder.parent)]
        taken = [route for route in routes.host_routes() if isinstance(route, IPv4Network)]
        state = states.plan(wish, [*taken, *others])
        lab = cls(folder, state)
        lab._refuse_anothers()
        folder.mkdir(mode=0o755, exist_ok=True)
        states.save(folder, state)
        return lab

    def _refuse_anothers(self) -> None:
        """Raise Conflict where a name is somebody's: cgroups are the whole machine's, whatever folder a lab is in."""
        if any(host.is_another_labs for host in self.hosts):
            raise Conflict(
                f"another lab called {self.name} runs on this machine, not in {self.folder}: choose a --name"
            )
        if self._underlay.is_taken:
            raise Conflict(
                f"there is a link {self._underlay.link} or a network namespace {self._underlay.namespace.name} here"
                " that is not this lab's: remove it, or choose a --name"
            )

    def host(self, name: str) -> Host:
        """One host. Raises NotFound."""
        for host in self.hosts:
            if host.name == name:
                return host
        raise NotFound(f"the lab {self.name} has no host {name}: it has {self.hosts[0].name} to {self.hosts[-1].name}")

    @property
    def cuts(self) -> tuple[states.Cut, ...]:
        """Who is cut off from whom, now."""
        return states.load(self.folder).cuts

    def cut(self, one: str, other: str = EVERYBODY) -> None:
        """Let all frames between two hosts, or a host and everybody, vanish; their links stay up."""
        self._change(lambda cuts: states.with_cut(cuts, *self._two(one, other)))

    def heal(self, one: str, other: str = EVERYBODY) -> None:
        """Undo :meth:`cut`; of a host alone, every cut that it has part in."""
        self._change(lambda cuts: states.without_cut(cuts, *self._two(one, other)))

    def _two(self, one: str, other: str) -> tuple[str, str]:
        for name in {one, other} - {EVERYBODY}:
            self.host(name)
        if one == other:
            raise InvalidArgument(f"{one} cannot be cut off from itself")
        return one, other

    def _change(self, change: Callable[[tuple[states.Cut, ...]], tuple[states.Cut, ...]]) -> None:
        with states.locked(self.folder):
            now = states.load(self.folder)
            cuts = change(now.cuts)
            states.save(self.folder, msgspec.structs.replace(now, cuts=cuts))
            self._underlay.set_cuts(cuts)

    def start(self, name: str) -> None:
        """Switch a host on; its underlay too, where the machine has booted since."""
        host = self.host(name)
        self._wire()
        host.start()

    def _wire(self) -> None:
        """See that the underlay is there, with its cuts, which another process may have made."""
        self._underlay.make()
        self._underlay.set_cuts(self.cuts)

    def reboot(self, name: str) -> None:
        """Kill a host and switch it on again."""
        self.host(name).kill()
        self.start(name)

    def load(self, archive: Path, say: Say = _silent) -> list[str]:
        """Put the images of an archive (as of ``docker save``) on all hosts that run; the names of those that do not.

        Raises what the first host to fail answers.
        """
        running = [host for host in self.hosts if host.condition is Condition.RUNNING]

        def put(host: Host) -> None:
            say(host.name, f"loading {archive.name}")
            load(host, archive)
            say(host.name, "loaded")

        for_all(running, put)
        return [host.name for host in self.hosts if host not in running]

    def down(self) -> None:
        """Remove everything: processes, namespaces, links, cgroups, files."""
        for_all(self.hosts, Host.kill)
        self._underlay.delete()
        # The state goes last: as long as there is something to remove, it says what.
        for host in self.hosts:
            shutil.rmtree(host.folder, ignore_errors=True)
        shutil.rmtree(self.folder)
        _remove_empty(self.folder.parent)


def _remove_empty(folder: Path) -> None:
    with suppress(OSError):  # other labs are there, or it was not empty before
        folder.rmdir()


def load(host: Host, archive: Path) -> None:
    """Load an archive's images. Raises what the host's engine answers."""
    with open(archive, "rb") as file, closing(host.engine()) as engine:
        response = engine.stream("POST", "/images/load", {"quiet": True}, body=_pieces(file))
        for message in json_lines(response):
            if "error" in message:
                raise Internal(f"{host.name}: {message['error']}")


def _pieces(file: BinaryIO) -> Iterator[bytes]:
    while piece := file.read(_CHUNK):
        yield piece
