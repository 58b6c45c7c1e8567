"""Specs that clients send back as they were shown ask for nothing new."""

import pytest
from msgspec.structs import replace

from shoal.objects.ids import ServiceId, TaskId
from shoal.objects.meaning import is_dirty
from shoal.objects.meta import Version
from shoal.objects.service import ContainerSpec, Service, ServiceSpec, TaskSpec
from shoal.objects.task import Task

MADE = TaskSpec(container_spec=ContainerSpec(image="nginx"))
TASK = Task(id=TaskId("t"), spec=MADE, spec_version=Version(index=1))


@pytest.mark.parametrize(
    ("spec", "dirty"),
    [
        (MADE, False),
        (TaskSpec(container_spec=ContainerSpec(image="nginx", isolation="default"), runtime="container"), False),
        (TaskSpec(container_spec=ContainerSpec(image="nginx", env=[])), False),
        (TaskSpec(container_spec=ContainerSpec(image="nginx", env=["A=b"])), True),
        (replace(MADE, force_update=1), True),
    ],
)
def test_what_makes_a_task_dirty(spec: TaskSpec, dirty: bool) -> None:
    asked = ServiceSpec(name="web", task_template=spec)
    service = Service(id=ServiceId("s"), spec=asked, spec_version=Version(index=2))
    assert is_dirty(TASK, service) is dirty
