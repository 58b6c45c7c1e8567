"""The state machine, over all of its table."""

import itertools

from shoal.agent.fsm import Step, next_step
from shoal.objects.state import TaskState, is_terminal


def test_every_pair_has_its_step() -> None:
    for state, desired in itertools.product(TaskState, TaskState):
        step = next_step(state, desired)
        assert (step is Step.IDLE) >= is_terminal(state)
        if not is_terminal(state) and desired >= TaskState.SHUTDOWN:
            assert step is Step.SHUT_DOWN
        if step is Step.START:
            assert TaskState.READY <= state < TaskState.RUNNING <= desired < TaskState.SHUTDOWN


def test_the_way_up() -> None:
    way = [
        (TaskState.ASSIGNED, Step.ACCEPT),
        (TaskState.ACCEPTED, Step.PREPARE),
        (TaskState.PREPARING, Step.PREPARE),
        (TaskState.READY, Step.START),
        (TaskState.STARTING, Step.START),
        (TaskState.RUNNING, Step.WATCH),
    ]
    for state, step in way:
        assert next_step(state, TaskState.RUNNING) is step
    assert next_step(TaskState.READY, TaskState.READY) is Step.IDLE
    assert next_step(TaskState.STARTING, TaskState.READY) is Step.IDLE
