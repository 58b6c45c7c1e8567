from datetime import timedelta

from tests.fakes.clock import FakeClock

from shoal.aio.clock import SteadyClock


def test_a_steady_clock_never_goes_back_and_never_stands_still() -> None:
    machine = FakeClock()
    steady = SteadyClock(machine)
    before = steady.now()
    machine.jump(timedelta(days=-1))
    machine._now += 10
    assert timedelta(seconds=9.9) < steady.now() - before < timedelta(seconds=10.1)
    machine.jump(timedelta(days=2))
    assert abs(steady.now() - machine.now()) < timedelta(seconds=1)


def test_it_goes_on_from_what_was_written_down() -> None:
    machine = FakeClock()
    steady = SteadyClock(machine)
    written = machine.now() + timedelta(hours=5)
    steady.advance_to(written)
    machine._now += 3
    assert timedelta(seconds=2.9) < steady.now() - written < timedelta(seconds=3.1)
    steady.advance_to(written)
    assert steady.now() > written + timedelta(seconds=2)
