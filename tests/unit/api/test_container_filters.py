"""The filters of the container list, one by one."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from tests.fakes.container_records import AA, EXITED, RUNNING, container

from shoal.api.container_filters import select
from shoal.api.filters import Filters
from shoal.errors import InvalidArgument, NotFound
from shoal.objects.container import Container, ContainerState, EndpointSettings, Health

OLDEST = container(id="1" * 64, name="oldest", created="2026-11-23T10:00:00.1Z", state=EXITED)
TASK = container(
    id="2" * 64,
    name="web.1.x",
    created="2026-11-23T11:00:00Z",
    task_id="t",
    config=replace(container().config, image="nginx:latest", labels={"a": "b"}),
    image_id="sha256:" + "9" * 64,
    networks={"web-net": EndpointSettings(network_id="netid")},
    sandbox=None,
    mounts=[],
)
SICK = container(
    id="3" * 64,
    name="sick",
    created="2026-11-23T12:00:00Z",
    state=replace(RUNNING, health=Health(status="unhealthy")),
    sandbox=None,
)
NEW = container(id="4" * 64, name="new", created="2026-11-23T13:00:00Z", state=ContainerState())
AA_TOO = container()
ALL = [OLDEST, TASK, SICK, NEW, AA_TOO]


def find(ref: str) -> Container:
    for one in ALL:
        if one.name == ref:
            return one
    raise NotFound(f"No such container: {ref}")


def names(all_states: bool = True, limit: int = 0, **filters: str) -> list[str]:
    values = {key.replace("_", "-"): [value] for key, value in filters.items()}
    return [one.name for one in select(ALL, Filters(values), all_states=all_states, limit=limit, find=find)]


def test_newest_first_and_the_running_ones() -> None:
    assert names() == ["aa", "new", "sick", "web.1.x", "oldest"]
    assert names(all_states=False) == ["aa", "sick", "web.1.x"]
    assert names(all_states=False, limit=2) == ["aa", "new"]


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        ({"id": AA[:6]}, ["aa"]),
        ({"id": "^3"}, ["sick"]),
        ({"name": "e"}, ["new", "web.1.x", "oldest"]),
        ({"name": "^/sick$"}, ["sick"]),
        ({"name": "^sick$"}, ["sick"]),
        ({"name": "("}, []),
        ({"label": "a=b"}, ["web.1.x"]),
        ({"label": "x"}, ["aa", "new", "sick", "oldest"]),
        ({"status": "created"}, ["new"]),
        ({"exited": "3"}, ["oldest"]),
        ({"exited": "0"}, []),
        ({"health": "unhealthy"}, ["sick"]),
        ({"health": "none"}, ["aa", "new", "web.1.x", "oldest"]),
        ({"is_task": "true"}, ["web.1.x"]),
        ({"is_task": "0"}, ["aa", "new", "sick", "oldest"]),
        ({"ancestor": "nginx"}, ["web.1.x"]),
        ({"ancestor": "docker.io/library/nginx:latest"}, ["web.1.x"]),
        ({"ancestor": "nginx:1"}, []),
        ({"ancestor": "999999"}, ["web.1.x"]),
        ({"before": "sick"}, ["web.1.x", "oldest"]),
        ({"since": "sick"}, ["aa", "new"]),
        ({"network": "web-net"}, ["web.1.x"]),
        ({"network": "neti"}, ["web.1.x"]),
        ({"network": "web"}, []),
        ({"volume": "vol"}, ["aa", "new", "sick", "oldest"]),
        ({"volume": "/t"}, ["aa", "new", "sick", "oldest"]),
        ({"publish": "8080"}, ["aa"]),
        ({"publish": "9000-9005/udp"}, ["aa"]),
        ({"publish": "80"}, []),
        ({"expose": "70/tcp"}, ["aa", "new", "sick", "web.1.x", "oldest"]),
        ({"expose": "71"}, []),
    ],
)
def test_filters(filters: dict[str, str], expected: list[str]) -> None:
    assert names(**filters) == expected


def test_one_that_is_about_to_be_restarted_is_listed() -> None:
    waiting = container(name="again", state=replace(EXITED, status="restarting", restarting=True))
    (found,) = select([OLDEST, waiting], Filters({}), all_states=False, limit=0, find=find)
    assert found.name == "again"


def test_status_shows_what_does_not_run_without_all() -> None:
    assert names(all_states=False, status="exited") == ["oldest"]
    assert names(all_states=False, exited="3") == []


@pytest.mark.parametrize(
    ("key", "value"), [("status", "x"), ("health", "x"), ("exited", "x"), ("publish", "zz"), ("publish", "0"),
                       ("expose", "70000"), ("is_task", "x")]
)  # fmt: skip
def test_values_that_cannot_be(key: str, value: str) -> None:
    with pytest.raises(InvalidArgument):
        names(**{key: value})


def test_an_unknown_container_to_compare_with() -> None:
    with pytest.raises(NotFound):
        names(before="zz")


@given(st.text(max_size=8), st.sampled_from(["id", "name", "ancestor", "network", "volume", "label"]))
def test_no_text_breaks_a_filter(text: str, key: str) -> None:
    assert set(names(**{key: text})) <= set(names())
