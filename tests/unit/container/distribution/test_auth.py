"""Credentials and challenges."""

import msgspec

from shoal.container.distribution.auth import AuthConfig, Challenge, parse_challenge


def test_challenges() -> None:
    header = 'Bearer realm="https://a/t?x=1",service="s r",scope="repository:a/b:pull,push"'
    assert parse_challenge(header) == Challenge(
        "bearer", {"realm": "https://a/t?x=1", "service": "s r", "scope": "repository:a/b:pull,push"}
    )
    assert parse_challenge("basic realm=x") == Challenge("basic", {"realm": "x"})
    assert parse_challenge("") is None


def test_what_the_api_sends() -> None:
    auth = msgspec.json.decode(b'{"username":"u","password":"p\xc3\xa4","serveraddress":"r"}', type=AuthConfig)
    assert auth.basic is not None and auth.basic.password == "pä"
    held = AuthConfig(auth="dTpw").basic
    assert held is not None and (held.name, held.password) == ("u", "p")
    assert AuthConfig().basic is None
    assert AuthConfig(auth="!").basic is None
    assert AuthConfig(identitytoken="t").basic is None
