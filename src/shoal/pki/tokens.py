"""Join tokens: ``SWMTKN-1-<digest of the root certificate>-<secret>``, as SwarmKit's.

The digest is SHA-256 over the root certificate's PEM in its canonical form (lines of 64, a newline at the end), which
is what SwarmKit digests, as 50 digits of base 36; the secret is 128 random bits, as 25 digits. The digest lets a new
node recognise the swarm's root certificate, which it fetches over a connection that it cannot trust yet; the secret
lets the manager recognise the node, and says by which of the two secrets it is, as what the node comes.
"""

import hashlib
import hmac
import re
import secrets
from dataclasses import dataclass, field

from shoal.errors import Forbidden, InvalidArgument
from shoal.objects.ids import base36
from shoal.pki.pem import certificate_pem, parse_certificate

_DIGEST_LENGTH, _DIGEST_BITS = 50, 256
_SECRET_LENGTH, _SECRET_BITS = 25, 128
_FORM = re.compile(rf"SWMTKN-1-([0-9a-z]{{{_DIGEST_LENGTH}}})-([0-9a-z]{{{_SECRET_LENGTH}}})")


@dataclass(frozen=True)
class JoinToken:
    """A join token in its parts, both as base 36 digits; ``str()`` gives the token."""

    digest: str
    secret: str = field(repr=False)

    def __str__(self) -> str:
        return f"SWMTKN-1-{self.digest}-{self.secret}"

    def verify_root(self, root: bytes) -> None:
        """Raise :class:`Forbidden` unless ``root`` (PEM) is the certificate that the token pins."""
        if not hmac.compare_digest(self.digest, root_digest(root)):
            raise Forbidden(f"remote CA does not match fingerprint. Expected: {_hex(self.digest)}")


def make_token(root: bytes) -> JoinToken:
    """A token with a fresh secret for the swarm whose root certificate (PEM) is ``root``."""
    return JoinToken(digest=root_digest(root), secret=base36(secrets.randbits(_SECRET_BITS), _SECRET_LENGTH))


def parse_token(text: str) -> JoinToken:
    """The token that ``text`` is; raises :class:`InvalidArgument` with Docker's words, whatever is wrong with it."""
    match = _FORM.fullmatch(text.strip())
    if match is None:
        raise InvalidArgument("invalid join token")
    digest, secret = match.groups()
    if int(digest, 36) >> _DIGEST_BITS or int(secret, 36) >> _SECRET_BITS:
        raise InvalidArgument("invalid join token")
    return JoinToken(digest=digest, secret=secret)


def same_token(given: str, expected: str) -> bool:
    """Whether two tokens are the same, in a time that tells nothing about where they differ."""
    return hmac.compare_digest(given.encode(), expected.encode())


def root_digest(root: bytes) -> str:
    """The digest part of a token for the root certificate (PEM) ``root``; raises :class:`InvalidArgument`."""
    pem = certificate_pem(parse_certificate(root))
    return base36(int.from_bytes(hashlib.sha256(pem).digest(), "big"), _DIGEST_LENGTH)


def _hex(digest: str) -> str:
    return f"{int(digest, 36):064x}"
