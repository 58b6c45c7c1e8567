"""The instructions of --change."""

import pytest

from shoal.container.image.changes import apply_changes
from shoal.container.image.config import RunConfig
from shoal.errors import InvalidArgument

BASE = RunConfig(env=["PATH=/bin"], cmd=["old"])


def changed(*changes: str) -> RunConfig:
    return apply_changes(BASE, changes)


def test_commands() -> None:
    assert changed('CMD ["nginx", "-g", "daemon off;"]').cmd == ["nginx", "-g", "daemon off;"]
    assert changed("cmd echo hi").cmd == ["/bin/sh", "-c", "echo hi"]
    both = changed('ENTRYPOINT ["a"]')
    assert (both.entrypoint, both.cmd) == (["a"], None)
    both = changed('ENTRYPOINT ["a"]', 'CMD ["b"]')
    assert (both.entrypoint, both.cmd) == (["a"], ["b"])


def test_pairs() -> None:
    assert changed("ENV A=1 B='x y' PATH=/usr").env == ["PATH=/usr", "A=1", "B=x y"]
    assert changed("ENV A some text").env == ["PATH=/bin", "A=some text"]
    assert changed("LABEL a=b", 'LABEL "c d"=e').labels == {"a": "b", "c d": "e"}


def test_the_rest() -> None:
    config = changed("EXPOSE 80 53/udp 8000-8001", "USER app", "WORKDIR /a", "WORKDIR ../b/./c", "VOLUME /x /y")
    assert config.exposed_ports == {"80/tcp": {}, "53/udp": {}, "8000/tcp": {}, "8001/tcp": {}}
    assert (config.user, config.working_dir) == ("app", "/b/c")
    assert config.volumes == {"/x": {}, "/y": {}}
    assert changed('VOLUME ["/a b"]').volumes == {"/a b": {}}
    config = changed("STOPSIGNAL SIGQUIT\n# a remark\nHEALTHCHECK --interval=1m30s --retries=2 CMD true")
    assert config.stop_signal == "SIGQUIT"
    assert config.healthcheck is not None
    assert (config.healthcheck.test, config.healthcheck.interval) == (["CMD-SHELL", "true"], 90 * 10**9)
    assert config.healthcheck.retries == 2


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("RUN true", "run is not a valid change command"),
        ("ENV", "ENV requires at least one argument"),
        ("ENV A", "ENV must have two arguments"),
        ("ENV A=1 B", "can't find = in 'B'"),
        ("EXPOSE x", "Invalid containerPort: x"),
        ("EXPOSE 70000", "Invalid containerPort: 70000"),
        ("HEALTHCHECK FOO", "Unknown type 'FOO' in HEALTHCHECK"),
        ("HEALTHCHECK --interval=1 CMD x", 'invalid duration "1"'),
        ("LABEL a='b", "Syntax error"),
    ],
)
def test_bad_changes(change: str, message: str) -> None:
    with pytest.raises(InvalidArgument) as error:
        changed(change)
    assert message in str(error.value)
