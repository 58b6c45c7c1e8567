from hypothesis import given
from hypothesis import strategies as st

from shoal.engine.healthcheck import HEALTHY, STARTING, UNHEALTHY, Check, after, check_of
from shoal.objects.container import ContainerConfig, Health, HealthLog
from shoal.objects.service import HealthConfig

PROBES = st.lists(st.tuples(st.sampled_from([0, 1, -1]), st.floats(0.1, 50)), max_size=20)


def _check(*test: str) -> Check | None:
    return check_of(ContainerConfig(healthcheck=HealthConfig(test=list(test)), shell=["/bin/ash", "-c"]))


def test_forms_of_a_check() -> None:
    shell, plain = _check("CMD-SHELL", "exit 1"), _check("CMD", "a", "b")
    assert shell and shell.command == ("/bin/ash", "-c", "exit 1")
    assert plain and plain.command == ("a", "b") and (plain.interval, plain.timeout, plain.retries) == (30, 30, 3)
    assert _check("NONE") is None and _check() is None and _check("CMD") is None
    assert check_of(ContainerConfig()) is None


@given(PROBES, st.integers(1, 4), st.floats(0, 30))
def test_health_follows_from_the_probes(probes: list[tuple[int, float]], retries: int, start_period: float) -> None:
    check = Check(command=("x",), retries=retries, start_period=start_period)
    health, passed, streak, at = Health(), False, 0, 0.0
    for code, pause in probes:
        at += pause
        health = after(health, HealthLog(exit_code=code), check, at)
        passed = passed or code == 0
        # A failure counts unless it is of a container that is starting still: none passed, none too many failed.
        counts = passed or at >= start_period or health.status == UNHEALTHY
        streak = 0 if code == 0 else streak + 1 if counts else streak
        assert health.failing_streak == streak
        assert (health.status == UNHEALTHY) <= (streak >= retries)
        assert (code == 0) <= (health.status == HEALTHY)
        assert (health.status == STARTING) <= (not passed and streak < retries)
        assert len(health.log) <= 5 and health.log[-1].exit_code == code


def test_probes_are_closer_together_while_it_starts() -> None:
    check = Check(command=("x",), interval=30, start_interval=2, start_period=60)
    assert check.pause(Health(), 10) == 2
    assert check.pause(Health(), 70) == 30
    assert check.pause(Health(status=HEALTHY), 10) == 30


def test_long_output_is_cut() -> None:
    health = after(Health(), HealthLog(exit_code=1, output="x" * 5000), Check(command=("x",)), 1)
    assert health.log[0].output == "x" * 4096 + "..."
