"""What registries and the way to them answer when it goes wrong, in the words of Docker."""

import errno
import socket
import ssl
from http import HTTPStatus

import aiohttp
import msgspec

from shoal.container.reference import Reference
from shoal.errors import Internal, NotFound, ShoalError, Unavailable

_NAME_UNKNOWN = "NAME_UNKNOWN"
_MANIFEST_UNKNOWN = "MANIFEST_UNKNOWN"
_DENIED = "DENIED"
_UNAUTHORIZED = "UNAUTHORIZED"
_DEFAULT_TEXTS = {
    _DENIED: "requested access to the resource is denied",
    _UNAUTHORIZED: "authentication required",
    _MANIFEST_UNKNOWN: "manifest unknown",
    _NAME_UNKNOWN: "repository name not known to registry",
}
_UNKNOWN_AUTHORITY = frozenset({18, 19, 20, 21})
"""OpenSSL's verify codes for a chain that ends in nobody we know."""


class RegistryError(Internal):
    """A registry refused. Not :class:`Unauthorized`: dockerd answers 500, and on 401 the client would ask to log in."""

    def __init__(self, message: str, code: str = "") -> None:
        super().__init__(message)
        self.code = code


class RegistryUnreachable(Unavailable):
    """No answer from the registry: name, connection, TLS or time."""


class _Entry(msgspec.Struct, frozen=True):
    code: str = ""
    message: str = ""


class _Body(msgspec.Struct, frozen=True):
    errors: list[_Entry] = []


def refusal(status: int, body: bytes, challenge: str = "") -> RegistryError:
    """The error for an answer with ``status``; ``challenge`` is its WWW-Authenticate header.

    OCI distribution specification, "Error codes"; RFC 6750 for ``insufficient_scope``.
    """
    if status == HTTPStatus.UNAUTHORIZED and 'error="insufficient_scope"' in challenge:
        return _coded(_DENIED, "")
    try:
        entries = msgspec.json.decode(body, type=_Body).errors if body else []
    except msgspec.MsgspecError:
        entries = []
    if entries:
        return _coded(entries[0].code, entries[0].message)
    if status == HTTPStatus.UNAUTHORIZED:
        return _coded(_UNAUTHORIZED, "")
    if status == HTTPStatus.FORBIDDEN:
        return _coded(_DENIED, "")
    return RegistryError(f"received unexpected HTTP status: {status} {_phrase(status)}".rstrip(), str(status))


def for_pull(error: RegistryError, reference: Reference) -> ShoalError:
    """What a pull of ``reference`` that ended in ``error`` says."""
    if error.code in (_MANIFEST_UNKNOWN, str(HTTPStatus.NOT_FOUND.value)):
        cause = str(error) if error.code == _MANIFEST_UNKNOWN else "manifest unknown: manifest unknown"
        return NotFound(f"manifest for {reference.familiar} not found: {cause}")
    if error.code == _DENIED:
        return NotFound(
            f"pull access denied for {reference.familiar_name}, "
            f"repository does not exist or may require 'docker login': {error}"
        )
    if error.code == _NAME_UNKNOWN:
        return NotFound(f"repository {reference.familiar_name} not found: {error}")
    return error


def for_push(error: RegistryError) -> ShoalError:
    """What a push that ended in ``error`` says."""
    if error.code == _UNAUTHORIZED and "no basic auth credentials" in str(error):
        return RegistryError("no basic auth credentials", error.code)
    return error


def unreachable(method: str, url: str, error: Exception) -> RegistryUnreachable:
    """The error for a request that got no answer."""
    return RegistryUnreachable(f'{method.capitalize()} "{url}": {_reason(error)}')


def _reason(error: Exception) -> str:
    match error:
        case aiohttp.InvalidURL():
            return "invalid host name"
        case aiohttp.ClientConnectorDNSError():
            reason = "server misbehaving" if error.os_error.errno == socket.EAI_AGAIN else "no such host"
            return f"dial tcp: lookup {error.host}: {reason}"
        case aiohttp.ClientConnectorCertificateError():
            return _certificate_reason(error.certificate_error)
        case aiohttp.ClientConnectorSSLError():
            if isinstance(error.os_error, ssl.SSLError) and error.os_error.reason in (
                "WRONG_VERSION_NUMBER",
                "RECORD_LAYER_FAILURE",
                "HTTP_REQUEST",
            ):
                return "http: server gave HTTP response to HTTPS client"
            return f"tls: {error.os_error}"
        case aiohttp.ClientConnectorError():
            number = error.os_error.errno
            text = errno.errorcode.get(number, "") if number else ""
            words = {"ECONNREFUSED": "connection refused", "EHOSTUNREACH": "no route to host"}
            reason = words.get(text) or str(error.os_error.strerror or error.os_error).lower()
            return f"dial tcp {error.host}:{error.port}: connect: {reason}"
        case TimeoutError():
            return "net/http: request canceled (Client.Timeout exceeded while awaiting headers)"
        case aiohttp.ServerDisconnectedError():
            return "EOF"
        case _:
            return str(error) or type(error).__name__


def _certificate_reason(error: Exception) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        if error.verify_code in _UNKNOWN_AUTHORITY:
            return "tls: failed to verify certificate: x509: certificate signed by unknown authority"
        return f"tls: failed to verify certificate: x509: {error.verify_message}"
    return f"tls: {error}"


def _coded(code: str, message: str) -> RegistryError:
    text = message or _DEFAULT_TEXTS.get(code, "unknown error")
    return RegistryError(f"{code.lower().replace('_', ' ')}: {text}", code)


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return ""
