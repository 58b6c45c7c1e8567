import hashlib
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shoal.errors import Forbidden, InvalidArgument
from shoal.pki.authority import RootCA
from shoal.pki.tokens import JoinToken, make_token, parse_token, root_digest, same_token

ROOT = RootCA.create(datetime(2026, 11, 23, tzinfo=UTC)).certificate
OTHER = RootCA.create(datetime(2026, 11, 23, tzinfo=UTC)).certificate
TOKEN = str(make_token(ROOT))


def test_a_token_reads_back() -> None:
    token = make_token(ROOT)
    assert parse_token(str(token)) == token
    assert parse_token(f"  {token}\n") == token
    start, version, digest, secret = str(token).split("-")
    assert (start, version, len(digest), len(secret)) == ("SWMTKN", "1", 50, 25)


def test_the_digest_is_sha256_of_the_pem() -> None:
    assert int(root_digest(ROOT), 36) == int(hashlib.sha256(ROOT).hexdigest(), 16)
    assert root_digest(b"\n" + ROOT.rstrip().replace(b"\n", b"\r\n")) == root_digest(ROOT)


def test_secrets_differ_and_stay_out_of_logs() -> None:
    tokens = {make_token(ROOT).secret for _ in range(50)}
    assert len(tokens) == 50
    token = make_token(ROOT)
    assert token.secret not in repr(token)


def test_a_token_knows_its_root() -> None:
    token = make_token(ROOT)
    token.verify_root(ROOT)
    with pytest.raises(Forbidden, match="does not match fingerprint. Expected: [0-9a-f]{64}$"):
        token.verify_root(OTHER)


def test_same_token() -> None:
    assert same_token(TOKEN, TOKEN)
    assert not same_token(TOKEN, str(make_token(ROOT)))
    assert not same_token("ü", TOKEN)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "foo",
        "SWMTKN-1-abc-def",
        TOKEN[:-1],
        TOKEN + "0",
        TOKEN.replace("SWMTKN-1", "SWMTKN-2"),
        TOKEN.upper(),
        f"SWMTKN-1-{'z' * 50}-{'0' * 25}",
        f"SWMTKN-1-{'0' * 50}-{'z' * 25}",
        f"SWMTKN-1-{'_' * 50}-{'0' * 25}",
        f"SWMTKN-1-{'٣' * 50}-{'0' * 25}",
        f"{TOKEN}\n{TOKEN}",
    ],
    ids=range(12),
)
def test_anything_else_is_an_invalid_join_token(text: str) -> None:
    with pytest.raises(InvalidArgument, match="^invalid join token$"):
        parse_token(text)


@given(st.text())
def test_no_text_breaks_the_parser(text: str) -> None:
    with pytest.raises(InvalidArgument):
        parse_token(text)


@given(st.integers(0, 2**256 - 1), st.integers(0, 2**128 - 1))
def test_every_number_has_its_digits(digest: int, secret: int) -> None:
    def digits(number: int, length: int) -> str:
        text = ""
        while number:
            number, digit = divmod(number, 36)
            text = "0123456789abcdefghijklmnopqrstuvwxyz"[digit] + text
        return text.rjust(length, "0")

    token = JoinToken(digits(digest, 50), digits(secret, 25))
    assert parse_token(str(token)) == token
