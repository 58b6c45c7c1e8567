"""Engine API versions: which one a request speaks, and what clients of older ones see otherwise.

A path without a version means the newest. Versions compare as ``(major, minor)``.
"""

from typing import Final

from aiohttp import web

from shoal.errors import InvalidArgument
from shoal.version import API_VERSION, MIN_API_VERSION

ApiVersion = tuple[int, int]

VERSION_KEY: Final[web.RequestKey[ApiVersion]] = web.RequestKey("api_version", tuple[int, int])


def parse_version(text: str) -> ApiVersion:
    """``1.41`` as (1, 41), ``1`` as (1, 0)."""
    major, _, minor = text.partition(".")
    return int(major or 0), int(minor.partition(".")[0] or 0)


_OLDEST: Final = parse_version(MIN_API_VERSION)
NEWEST: Final = parse_version(API_VERSION)


def check_version(text: str) -> ApiVersion:
    """The version that a path begins with. Raises InvalidArgument, in Docker's words, for one that is not spoken."""
    version = parse_version(text)
    if version < _OLDEST:
        raise InvalidArgument(
            f"client version {text} is too old. Minimum supported API version is {MIN_API_VERSION}, "
            "please upgrade your client to a newer version"
        )
    if version > NEWEST:
        raise InvalidArgument(f"client version {text} is too new. Maximum supported API version is {API_VERSION}")
    return version


def version_of(request: web.Request) -> ApiVersion:
    """The version that the request speaks."""
    version: ApiVersion = request.get(VERSION_KEY, NEWEST)
    return version
