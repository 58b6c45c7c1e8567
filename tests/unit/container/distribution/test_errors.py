"""The words of Docker for what registries answer."""

import pytest
from aiohttp import InvalidURL

from shoal.container.distribution.errors import RegistryError, for_pull, for_push, refusal, unreachable
from shoal.container.reference import parse
from shoal.errors import NotFound, Unavailable

REFERENCE = parse("nginx:9")
UNKNOWN = b'{"errors":[{"code":"MANIFEST_UNKNOWN","message":"manifest unknown","detail":{"Tag":"9"}}]}'


@pytest.mark.parametrize(
    ("status", "body", "challenge", "kind", "message"),
    [
        (404, UNKNOWN, "", NotFound, "manifest for nginx:9 not found: manifest unknown: manifest unknown"),
        (404, b"<html>", "", NotFound, "manifest for nginx:9 not found: manifest unknown: manifest unknown"),
        (
            401,
            b"",
            'Bearer realm="r",error="insufficient_scope"',
            NotFound,
            "pull access denied for nginx, repository does not exist or may require 'docker login': "
            "denied: requested access to the resource is denied",
        ),
        (401, b"", "Basic", RegistryError, "unauthorized: authentication required"),
        (
            403,
            b'{"errors":[{"code":"DENIED","message":"no"}]}',
            "",
            NotFound,
            "pull access denied for nginx, repository does not exist or may require 'docker login': denied: no",
        ),
        (429, b'{"errors":[{"code":"TOOMANYREQUESTS","message":"slow"}]}', "", RegistryError, "toomanyrequests: slow"),
        (500, b"", "", RegistryError, "received unexpected HTTP status: 500 Internal Server Error"),
        (599, b"[]", "", RegistryError, "received unexpected HTTP status: 599"),
    ],
)
def test_pull(status: int, body: bytes, challenge: str, kind: type[Exception], message: str) -> None:
    error = for_pull(refusal(status, body, challenge), REFERENCE)
    assert isinstance(error, kind)
    assert str(error) == message


def test_push() -> None:
    denied = for_push(refusal(401, b"", 'Bearer error="insufficient_scope"'))
    assert str(denied) == "denied: requested access to the resource is denied"
    assert str(for_push(RegistryError('Head "x": no basic auth credentials', "UNAUTHORIZED"))) == (
        "no basic auth credentials"
    )


def test_no_answer() -> None:
    error = unreachable("GET", "https://r/v2/", TimeoutError())
    assert isinstance(error, Unavailable)
    assert (
        str(error) == 'Get "https://r/v2/": net/http: request canceled (Client.Timeout exceeded while awaiting headers)'
    )


def test_an_address_that_is_none() -> None:
    assert str(unreachable("GET", "https://\x95r/v2/", InvalidURL("https://\x95r/v2/"))).endswith(": invalid host name")
