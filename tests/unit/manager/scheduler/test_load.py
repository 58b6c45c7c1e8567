from msgspec.structs import replace
from tests.fakes.nodes import a_node
from tests.unit.manager.scheduler.test_scheduler import a_task

from shoal.manager.scheduler.load import NodeLoad
from shoal.objects.service import PortConfig


def test_of_tasks_that_are_gone_nothing_is_kept() -> None:
    load = NodeLoad(a_node("n1"))
    port = PortConfig(target_port=80, published_port=80, publish_mode="host")
    first = a_task("t1", "web", ports=[port], Resources={"Reservations": {"MemoryBytes": 1000}})
    second = a_task("t2", "web")
    for task in (first, second, replace(first)):
        load.add(task)
    assert load.of_service(second) == 2 and load.host_ports == {("tcp", 80): 1}
    for task in (first, second, second):
        load.remove(task.id)
    assert vars(load) == vars(NodeLoad(load.node))
    # Counters are equal whatever zeros they keep.
    assert not dict(load._services) and not dict(load.host_ports)
