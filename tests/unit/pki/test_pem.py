from datetime import UTC, datetime

import pytest

from shoal.errors import InvalidArgument
from shoal.pki.authority import RootCA, new_key
from shoal.pki.pem import certificate_pem, key_matches, key_pem, parse_certificate, parse_certificates, parse_key

ROOT = RootCA.create(datetime(2026, 11, 23, tzinfo=UTC))


def test_pem_reads_back() -> None:
    assert certificate_pem(parse_certificate(ROOT.certificate)) == ROOT.certificate
    assert key_pem(parse_key(ROOT.key)) == ROOT.key
    assert len(parse_certificates(ROOT.certificate * 2)) == 2


def test_a_key_matches_its_certificate_only() -> None:
    assert key_matches(ROOT.key, ROOT.certificate)
    assert not key_matches(new_key(), ROOT.certificate)


@pytest.mark.parametrize("junk", [b"", b"hello", ROOT.certificate[:100]], ids=["empty", "text", "cut"])
def test_junk_is_refused(junk: bytes) -> None:
    for parse in (parse_certificate, parse_certificates, parse_key):
        with pytest.raises(InvalidArgument):
            parse(junk)
