"""Query values and credentials as clients send them."""

import base64

import msgspec
import pytest
from aiohttp import web
from aiohttp.test_utils import make_mocked_request
from hypothesis import given
from hypothesis import strategies as st
from yarl import URL

from shoal.api.moments import query_moment, rfc3339_nano
from shoal.api.requests import query_bool, query_int, query_tail, registry_auth, required_version
from shoal.errors import InvalidArgument
from shoal.wire.docker.auth import AuthConfig


def asking(**query: str) -> web.Request:
    return make_mocked_request("GET", str(URL("/x").with_query(query)))


@pytest.mark.parametrize("text", ["1", "true", "True", "on", "yes", "TRUE", " 1 "])
def test_yes(text: str) -> None:
    assert query_bool(asking(all=text), "all")


@pytest.mark.parametrize("text", ["", "0", "false", "False", "no", "none"])
def test_no(text: str) -> None:
    assert not query_bool(asking(all=text), "all", default=True)


def test_what_is_not_asked_is_the_default() -> None:
    assert query_bool(asking(), "all", default=True)
    assert query_int(asking(t=""), "t", 7) == 7


@given(st.integers(-(2**63), 2**63 - 1))
def test_numbers(number: int) -> None:
    assert query_int(asking(t=str(number)), "t") == number


@pytest.mark.parametrize("text", ["abc", "1.5", "1_0", "٣", "0x1"])
def test_no_numbers(text: str) -> None:
    with pytest.raises(InvalidArgument, match=f'strconv.Atoi: parsing "{text}": invalid syntax'):
        query_int(asking(t=text), "t")


def test_versions_of_objects() -> None:
    assert required_version(asking(version="12"), "service") == 12
    for text in ("", "x", "-1", "٣", "1" * 5000):
        with pytest.raises(InvalidArgument, match=f"invalid service version '{text}': strconv.ParseUint"):
            required_version(asking(version=text), "service")


@given(st.text(max_size=20), st.text(max_size=20), st.booleans())
def test_credentials_come_back(name: str, password: str, padded: bool) -> None:
    auth = AuthConfig(username=name, password=password, serveraddress="localhost:5000")
    text = base64.urlsafe_b64encode(msgspec.json.encode(auth)).decode()
    header = {"X-Registry-Auth": text if padded else text.rstrip("=")}
    assert registry_auth(make_mocked_request("GET", "/x", headers=header)) == auth


DEEP = base64.urlsafe_b64encode(b"[" * 40_000).decode()


@pytest.mark.parametrize("text", [DEEP, "", "!!", "eA==", "W10=", "eyJ1c2VybmFtZSI6MX0="])
def test_credentials_that_cannot_be_read_are_none(text: str) -> None:
    assert registry_auth(make_mocked_request("GET", "/x", headers={"X-Registry-Auth": text})) is None


@given(st.integers(0, 2**32), st.integers(0, 999_999_999))
def test_moments(seconds: int, nanoseconds: int) -> None:
    moment = query_moment(asking(since=f"{seconds}.{nanoseconds:09d}"), "since")
    assert moment == seconds * 10**9 + nanoseconds
    assert rfc3339_nano(moment).endswith(f".{nanoseconds:09d}Z")


@pytest.mark.parametrize("text", ["99999999999", "999999999999", "-99999999999"])
def test_moments_that_64_bits_do_not_hold_are_the_farthest_that_they_do(text: str) -> None:
    moment = query_moment(asking(since=text), "since")
    assert moment is not None
    assert -(2**63) < moment < 2**63
    assert rfc3339_nano(moment)


def test_tails() -> None:
    assert query_tail(asking(tail="5")) == 5
    assert {query_tail(asking(tail=text)) for text in ("", "all", "-1", "1.5", "٣", "9" * 5000)} == {None}


def test_moments_that_are_none() -> None:
    assert query_moment(asking(), "since") is None
    with pytest.raises(InvalidArgument, match='strconv.ParseInt: parsing "abc": invalid syntax'):
        query_moment(asking(since="abc"), "since")
