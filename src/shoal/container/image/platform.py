"""Which of an index's manifests runs here."""

import platform as _machine
from collections.abc import Sequence

from shoal.container.image.manifest import Descriptor, Platform
from shoal.errors import InvalidArgument

_ARCHITECTURES = {
    "x86_64": "amd64",
    "x86-64": "amd64",
    "i386": "386",
    "i686": "386",
    "aarch64": "arm64",
    "armhf": "arm",
    "armv7l": "arm",
    "armv6l": "arm",
    "armel": "arm",
}
_VARIANTS = {"armhf": "v7", "armv7l": "v7", "armv6l": "v6", "armel": "v6"}
_SYSTEMS = {"macos": "darwin"}
_ARM_DEFAULT = "v7"


def host_platform() -> Platform:
    """The platform of this machine."""
    return parse_platform(f"linux/{_machine.machine()}")


def parse_platform(text: str) -> Platform:
    """Read ``os/arch``, ``os/arch/variant``, ``arch`` or ``os``. Raises :class:`InvalidArgument` with Docker's text."""
    parts = text.lower().split("/")
    if not all(parts) or len(parts) > 3 or not all(c.isalnum() or c in "_-." for p in parts for c in p):
        raise InvalidArgument(f'"{text}": unknown operating system or architecture: invalid argument')
    if len(parts) == 1:
        if parts[0] in ("linux", "windows", "darwin", "macos", "freebsd"):
            return Platform(os=_SYSTEMS.get(parts[0], parts[0]), architecture=host_platform().architecture)
        parts.insert(0, "linux")
    return normalise(Platform(os=parts[0], architecture=parts[1], variant=parts[2] if len(parts) == 3 else ""))


def normalise(platform: Platform) -> Platform:
    """One spelling for each: ``aarch64`` is ``arm64``, ``arm64/v8`` is ``arm64``, ``arm`` is ``arm/v7``."""
    architecture = platform.architecture.lower()
    variant = platform.variant.lower() or _VARIANTS.get(architecture, "")
    architecture = _ARCHITECTURES.get(architecture, architecture)
    if architecture == "arm64" and variant in ("8", "v8"):
        variant = ""
    elif architecture == "arm":
        variant = f"v{variant.removeprefix('v')}" if variant else _ARM_DEFAULT
    elif architecture == "amd64" and variant == "v1":
        variant = ""
    system = platform.os.lower()
    return Platform(os=_SYSTEMS.get(system, system), architecture=architecture, variant=variant)


def candidates(wanted: Platform) -> list[Platform]:
    """The platforms that run where ``wanted`` is asked for, best first: older ARM and x86-64 levels run on newer."""
    wanted = normalise(wanted)
    level = wanted.variant.removeprefix("v")
    if wanted.architecture in ("arm", "amd64") and level.isdigit():
        lowest = 5 if wanted.architecture == "arm" else 1
        levels = [f"v{n}" for n in range(int(level), lowest - 1, -1)]
        found = [normalise(Platform(os=wanted.os, architecture=wanted.architecture, variant=v)) for v in levels]
        return found or [wanted]
    if wanted.architecture == "arm64" and not wanted.variant:
        arm = [Platform(os=wanted.os, architecture="arm", variant=v) for v in ("v8", "v7", "v6", "v5")]
        return [wanted, *arm]
    return [wanted]


def select(manifests: Sequence[Descriptor], wanted: Platform) -> Descriptor | None:
    """The manifest to run for ``wanted``, or None; a manifest without a platform is anybody's, but comes last."""
    offered = [(normalise(m.platform), m) for m in manifests if m.platform is not None]
    for candidate in candidates(wanted):
        for platform, manifest in offered:
            if (platform.os, platform.architecture, platform.variant) == (
                candidate.os,
                candidate.architecture,
                candidate.variant,
            ):
                return manifest
    return next((m for m in manifests if m.platform is None), None)


def matches(offered: Platform, wanted: Platform) -> bool:
    """Whether an image for ``offered`` answers a request for ``wanted``."""
    return normalise(offered) in candidates(wanted)
