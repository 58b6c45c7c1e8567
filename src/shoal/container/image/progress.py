"""The JSON messages that Docker streams while it pulls, pushes, loads and imports."""

from collections.abc import Callable, Sequence
from typing import Protocol

import msgspec

from shoal.container.image.manifest import Descriptor

_BAR = 50
_SHORT = 12
_UNITS = ("B", "kB", "MB", "GB", "TB", "PB")


class ErrorDetail(msgspec.Struct, frozen=True, omit_defaults=True):
    """Why it failed; ``message`` is the text the client shows."""

    message: str
    code: int = 0


class Detail(msgspec.Struct, frozen=True, omit_defaults=True):
    """How far it got, in bytes; a total of 0 is an unknown one."""

    current: int = 0
    total: int = 0


class Pushed(msgspec.Struct, frozen=True, rename="pascal"):
    """What a push ended with."""

    tag: str
    digest: str
    size: int


class Progress(msgspec.Struct, frozen=True, omit_defaults=True):
    """One message; encode it with :func:`msgspec.json.encode` and end it with CR LF, and it is what clients expect."""

    status: str = ""
    id: str = ""
    progress_detail: Detail | None = msgspec.field(name="progressDetail", default=None)
    progress: str = ""
    stream: str = ""
    error: str = ""
    error_detail: ErrorDetail | None = msgspec.field(name="errorDetail", default=None)
    aux: Pushed | None = None


Report = Callable[[Progress], None]
"""Takes a message; never waits and never raises."""


def silent(_message: Progress) -> None:
    """For those who do not listen."""


def line(status: str, id: str = "") -> Progress:
    """A plain message; with an ``id`` and no detail it starts a line of its own."""
    return Progress(status=status, id=id)


def step(id: str, status: str) -> Progress:
    """What the layer ``id`` does now."""
    return Progress(status=status, id=id, progress_detail=Detail())


def transfer(id: str, status: str, current: int, total: int) -> Progress:
    """How far the layer ``id`` has got, in bytes."""
    return Progress(status=status, id=id, progress_detail=Detail(current, total), progress=bar(current, total))


def failure(message: str) -> Progress:
    """The last message of an operation that failed after its answer had begun."""
    return Progress(error=message, error_detail=ErrorDetail(message))


def bar(current: int, total: int) -> str:
    """The bar with its figures, for clients that do not draw one themselves."""
    if total <= 0 or current > total:
        return f"[{'=' * _BAR}>] {human(current):>8}" if total > 0 else f"{human(current):>8}"
    done = min(_BAR, int(current / total * 100) // 2)
    return f"[{'=' * done}>{' ' * (_BAR - done)}] {human(current):>8}/{human(total)}"


def human(size: float) -> str:
    """A size as Docker's clients write it: four digits, decimal units."""
    unit = 0
    while size >= 1000 and unit < len(_UNITS) - 1:
        size /= 1000
        unit += 1
    return f"{size:.4g}{_UNITS[unit]}"


def short(digest: str) -> str:
    """The id that messages call a layer by."""
    return digest.partition(":")[2][:_SHORT]


class LayerReport(Protocol):
    """Hears how an image's layers come in, each by its index, bottom first."""

    def found(self, here: Sequence[bool]) -> None:
        """Which of them are here already."""
        ...

    def receiving(self, index: int, done: int) -> None:
        """So many bytes have come."""
        ...

    def received(self, index: int) -> None:
        """All of it has come, and is what it should be."""
        ...

    def unpacking(self, index: int) -> None:
        """It is being unpacked."""
        ...

    def unpacked(self, index: int) -> None:
        """It is ready."""
        ...


class PullReport:
    """In the words of ``docker pull``; what is here already is said once."""

    def __init__(self, layers: Sequence[Descriptor], report: Report) -> None:
        self._layers = layers
        self._report = report
        self._here: Sequence[bool] = [False] * len(layers)

    def found(self, here: Sequence[bool]) -> None:
        self._here = here
        for layer, whole in zip(self._layers, here, strict=True):
            self._report(step(short(layer.digest), "Already exists" if whole else "Pulling fs layer"))

    def receiving(self, index: int, done: int) -> None:
        if not self._here[index]:
            layer = self._layers[index]
            self._report(transfer(short(layer.digest), "Downloading", done, layer.size))

    def received(self, index: int) -> None:
        self._step(index, "Verifying Checksum")
        self._step(index, "Download complete")

    def unpacking(self, index: int) -> None:
        if not self._here[index]:
            layer = self._layers[index]
            self._report(transfer(short(layer.digest), "Extracting", layer.size, layer.size))

    def unpacked(self, index: int) -> None:
        self._step(index, "Pull complete")

    def _step(self, index: int, status: str) -> None:
        if not self._here[index]:
            self._report(step(short(self._layers[index].digest), status))


class LoadReport:
    """In the words of ``docker load``, which calls layers by their diff ids and says nothing of those that are here."""

    def __init__(self, layers: Sequence[Descriptor], diff_ids: Sequence[str], report: Report) -> None:
        self._layers = layers
        self._diff_ids = diff_ids
        self._report = report
        self._here: Sequence[bool] = [False] * len(layers)

    def found(self, here: Sequence[bool]) -> None:
        self._here = here

    def receiving(self, index: int, done: int) -> None:
        if not self._here[index]:
            self._report(transfer(short(self._diff_ids[index]), "Loading layer", done, self._layers[index].size))

    def received(self, index: int) -> None:
        return

    def unpacking(self, index: int) -> None:
        return

    def unpacked(self, index: int) -> None:
        return
