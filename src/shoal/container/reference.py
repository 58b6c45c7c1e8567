"""Image references as Docker reads them: ``nginx`` is ``docker.io/library/nginx:latest``.

The grammar is the one of the ``distribution/reference`` specification, with Docker's short ("familiar") forms and its
error texts, which clients show as they are.
"""

import re
from dataclasses import dataclass, replace

from shoal.errors import InvalidArgument

DEFAULT_DOMAIN = "docker.io"
LEGACY_DOMAIN = "index.docker.io"
OFFICIAL_NAMESPACE = "library"
DEFAULT_TAG = "latest"

_ALNUM = r"[a-z0-9]+"
_COMPONENT = rf"{_ALNUM}(?:(?:\.|_{{1,2}}|-+){_ALNUM})*"
_PATH = rf"{_COMPONENT}(?:/{_COMPONENT})*"
_LABEL = r"(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9])"
_DOMAIN = rf"(?:{_LABEL}(?:\.{_LABEL})*|\[[a-fA-F0-9:]+\])(?::[0-9]+)?"
_TAG = r"[\w][\w.-]{0,127}"
_DIGEST = r"[A-Za-z][A-Za-z0-9]*(?:[-_+.][A-Za-z][A-Za-z0-9]*)*:[0-9a-fA-F]{32,}"
_REFERENCE = re.compile(
    rf"(?P<domain>{_DOMAIN})/(?P<path>{_PATH})(?::(?P<tag>{_TAG}))?(?:@(?P<digest>{_DIGEST}))?", re.ASCII
)
_HEX_ID = re.compile(r"[0-9a-f]{64}")
_TAG_ONLY = re.compile(_TAG, re.ASCII)
_SHA256 = re.compile(r"sha256:[0-9a-f]{64}")
_DIGEST_LENGTHS = {"sha256": 64, "sha384": 96, "sha512": 128}
_NAME_LIMIT = 255


@dataclass(frozen=True, slots=True)
class Reference:
    """A repository on a registry, and which image of it: a tag, a digest, both, or neither."""

    domain: str
    path: str
    tag: str | None = None
    digest: str | None = None

    @property
    def name(self) -> str:
        """The repository with its registry: ``docker.io/library/nginx``."""
        return f"{self.domain}/{self.path}"

    @property
    def familiar_name(self) -> str:
        """The repository as people write it: ``nginx``."""
        if self.domain != DEFAULT_DOMAIN:
            return self.name
        first, _, rest = self.path.partition("/")
        if first == OFFICIAL_NAMESPACE and "/" not in rest:
            return rest
        return self.name if _reads_as_domain(first) else self.path

    @property
    def familiar(self) -> str:
        """The whole reference as people write it: ``nginx:latest``."""
        return self.familiar_name + self._suffix()

    @property
    def name_only(self) -> bool:
        """Whether it names a repository, and no image of it."""
        return self.tag is None and self.digest is None

    def __str__(self) -> str:
        return self.name + self._suffix()

    def _suffix(self) -> str:
        tag = f":{self.tag}" if self.tag is not None else ""
        return tag + (f"@{self.digest}" if self.digest is not None else "")

    def with_tag(self, tag: str) -> "Reference":
        """This repository's image ``tag``, without a digest. Raises :class:`InvalidArgument` when it is no tag."""
        if not _TAG_ONLY.fullmatch(tag):
            raise InvalidArgument("invalid tag format")
        return replace(self, tag=tag, digest=None)

    def with_digest(self, digest: str) -> "Reference":
        """This repository's image with that digest, without a tag. Raises :class:`InvalidArgument`."""
        check_digest(digest)
        return replace(self, tag=None, digest=digest)

    def or_latest(self) -> "Reference":
        """Itself, or the image ``latest`` when it only names a repository."""
        return replace(self, tag=DEFAULT_TAG) if self.name_only else self


def parse(text: str) -> Reference:
    """Read what a person typed; no tag is added. Raises :class:`InvalidArgument` with Docker's text."""
    if _HEX_ID.fullmatch(text):
        raise InvalidArgument(f"invalid repository name ({text}), cannot specify 64-byte hexadecimal strings")
    domain, remainder = _split_domain(text)
    path = remainder.partition("@")[0]
    if ":" in path:
        path = path[: path.index(":")]
    if path.lower() != path:
        raise InvalidArgument(f"invalid reference format: repository name ({path}) must be lowercase")
    match = _REFERENCE.fullmatch(f"{domain}/{remainder}")
    # The domain's pattern could take the path's first component for itself; the split above decides, not the pattern.
    if match is None or match["domain"] != domain:
        raise InvalidArgument("invalid reference format")
    if len(match["path"]) > _NAME_LIMIT:
        raise InvalidArgument(f"repository name must not be more than {_NAME_LIMIT} characters")
    if match["digest"] is not None:
        check_digest(match["digest"])
    return Reference(domain, match["path"], match["tag"], match["digest"])


def parse_image(text: str, tag: str = "") -> Reference:
    """The Engine API's pair ``fromImage``/``repo`` and ``tag``, where the tag may be a digest and may be missing.

    An explicit tag replaces the one in ``text``. Raises :class:`InvalidArgument`.
    """
    reference = parse(text)
    if not tag:
        return reference
    return reference.with_digest(tag) if ":" in tag else reference.with_tag(tag)


def check_digest(digest: str) -> None:
    """Raise :class:`InvalidArgument` unless it is ``algorithm:hex`` with an algorithm that registries use."""
    algorithm, colon, value = digest.partition(":")
    if not colon or re.fullmatch(r"[0-9a-f]+", value) is None:
        raise InvalidArgument("invalid checksum digest format")
    if algorithm not in _DIGEST_LENGTHS:
        raise InvalidArgument("unsupported digest algorithm")
    if len(value) != _DIGEST_LENGTHS[algorithm]:
        raise InvalidArgument("invalid checksum digest length")


def is_image_id(text: str) -> bool:
    """Whether it is a whole image id, ``sha256:`` and 64 digits."""
    return _SHA256.fullmatch(text) is not None


def _reads_as_domain(component: str) -> bool:
    return any(c in component for c in ".:") or component == "localhost" or component.lower() != component


def _split_domain(text: str) -> tuple[str, str]:
    """The registry's host and the rest; the part before the first slash is a host if it can be nothing else."""
    first, slash, rest = text.partition("/")
    if not slash or not _reads_as_domain(first):
        domain, rest = DEFAULT_DOMAIN, text
    else:
        domain = DEFAULT_DOMAIN if first == LEGACY_DOMAIN else first
    if domain == DEFAULT_DOMAIN and "/" not in rest:
        rest = f"{OFFICIAL_NAMESPACE}/{rest}"
    return domain, rest
