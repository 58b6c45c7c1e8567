"""Proving to a registry who asks: Basic, and Docker's token protocol (distribution/spec/auth/token and oauth)."""

import base64
import re
from dataclasses import dataclass
from typing import Any

import aiohttp
import msgspec

from shoal.container.distribution.errors import RegistryError, refusal, unreachable

_PARAMETER = re.compile(r'([a-zA-Z_]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s,"]+))')
_CLIENT_ID = "shoal"
_OK = 200


@dataclass(frozen=True, slots=True)
class Basic:
    """A name and a password."""

    name: str
    password: str

    @property
    def header(self) -> str:
        """The Authorization header (RFC 7617)."""
        return "Basic " + base64.b64encode(f"{self.name}:{self.password}".encode()).decode()


class AuthConfig(msgspec.Struct, frozen=True, omit_defaults=True, rename="lower"):
    """What the API's ``X-Registry-Auth`` header and ``POST /auth`` carry (Engine API, AuthConfig)."""

    username: str = ""
    password: str = ""
    auth: str = ""
    email: str = ""
    serveraddress: str = ""
    identitytoken: str = ""
    registrytoken: str = ""

    @property
    def basic(self) -> "Basic | None":
        """Name and password, if it holds them, in either of the two forms."""
        if self.username:
            return Basic(self.username, self.password)
        try:
            name, colon, password = base64.b64decode(self.auth, validate=True).decode().partition(":")
        except ValueError:
            return None
        return Basic(name, password) if colon else None


ANONYMOUS = AuthConfig()


@dataclass(frozen=True, slots=True)
class Challenge:
    """How a registry wants to be asked: the scheme in lower case, and its parameters."""

    scheme: str
    parameters: dict[str, str]


class _Token(msgspec.Struct, frozen=True):
    token: str = ""
    access_token: str = ""
    refresh_token: str = ""

    @property
    def value(self) -> str:
        return self.token or self.access_token


def parse_challenge(header: str) -> Challenge | None:
    """Read one WWW-Authenticate header (RFC 9110, 11.6.1); None when there is none."""
    scheme, _, rest = header.strip().partition(" ")
    if not scheme:
        return None
    found = {m[1].lower(): m[2] if m[2] is not None else m[3] for m in _PARAMETER.finditer(rest)}
    return Challenge(scheme.lower(), found)


async def authorization(
    session: aiohttp.ClientSession, challenge: Challenge, auth: AuthConfig, scope: str, request: str
) -> str:
    """The Authorization header that answers ``challenge``; ``scope`` is empty for a login without a repository.

    ``request`` is the request it is for, in words, for the error text. Raises :class:`RegistryError` when the
    credentials are missing or refused, :class:`RegistryUnreachable` when the token server does not answer.
    """
    if auth.registrytoken:
        return f"Bearer {auth.registrytoken}"
    if challenge.scheme == "basic":
        if (basic := auth.basic) is None:
            raise RegistryError(f"{request}: no basic auth credentials", "UNAUTHORIZED")
        return basic.header
    if challenge.scheme != "bearer" or not challenge.parameters.get("realm"):
        raise RegistryError(f"{request}: unsupported authentication scheme {challenge.scheme!r}", "UNAUTHORIZED")
    return f"Bearer {await _fetch_token(session, challenge, auth, scope)}"


async def _fetch_token(session: aiohttp.ClientSession, challenge: Challenge, auth: AuthConfig, scope: str) -> str:
    realm = challenge.parameters["realm"]
    fields = {"service": challenge.parameters.get("service", ""), "scope": scope}
    fields = {key: value for key, value in fields.items() if value}
    method = "POST" if auth.identitytoken else "GET"
    options: dict[str, Any]
    if auth.identitytoken:
        grant = {"grant_type": "refresh_token", "refresh_token": auth.identitytoken, "client_id": _CLIENT_ID}
        options = {"data": fields | grant}
    else:
        basic = auth.basic
        options = {"params": fields | ({"account": basic.name} if basic is not None else {})}
        options["headers"] = {"Authorization": basic.header} if basic is not None else {}
    try:
        async with session.request(method, realm, **options) as response:
            body = await response.read()
            if response.status != _OK:
                raise refusal(response.status, body)
    except (aiohttp.ClientError, TimeoutError) as error:
        raise unreachable(method, realm, error) from error
    try:
        token = msgspec.json.decode(body, type=_Token).value
    except msgspec.MsgspecError as error:
        raise RegistryError(f"unable to decode token response: {error}") from error
    if not token:
        raise RegistryError("authorization server did not include a token in the response")
    return token
