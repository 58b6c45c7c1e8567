"""The filters of the image list."""

import pytest
from tests.fakes.image_records import image

from shoal.api.filters import Filters
from shoal.api.image_filters import select
from shoal.container.image.config import RunConfig
from shoal.errors import InvalidArgument

NGINX = image("nginx:1.25", created="2026-01-02T00:00:00Z", config=RunConfig(labels={"a": "b"}))
PRIVATE = image("reg.example:5000/team/app:q", created="2026-01-01T00:00:00Z")
DANGLING = image(created="2026-01-03T00:00:00Z")
ALL = [DANGLING, NGINX, PRIVATE]


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        ({}, ALL),
        ({"dangling": ["true"]}, [DANGLING]),
        ({"dangling": ["false"]}, [NGINX, PRIVATE]),
        ({"label": ["a"]}, [NGINX]),
        ({"label": ["a=c"]}, []),
        ({"reference": ["nginx"]}, [NGINX]),
        ({"reference": ["docker.io/library/nginx:1.25"]}, [NGINX]),
        ({"reference": ["ngin?:1.*"]}, [NGINX]),
        ({"reference": ["*"]}, [NGINX]),
        ({"reference": ["*/*/*"]}, [PRIVATE]),
        ({"reference": ["reg.example:5000/team/app"]}, [PRIVATE]),
        ({"reference": ["nginx:2", "*/team/*"]}, [PRIVATE]),
    ],
)
def test_filters(filters: dict[str, list[str]], expected: list[object]) -> None:
    assert select(ALL, Filters(filters), before=[], since=[]) == expected


def test_before_and_since() -> None:
    assert select(ALL, Filters({}), before=[NGINX], since=[]) == [PRIVATE]
    assert select(ALL, Filters({}), before=[], since=[NGINX]) == [DANGLING]


def test_dangling_is_a_yes_or_a_no() -> None:
    with pytest.raises(InvalidArgument):
        select(ALL, Filters({"dangling": ["x"]}), before=[], since=[])
