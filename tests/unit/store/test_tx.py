"""A transaction's view against a plain dict that does the same."""

from collections.abc import Callable

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from shoal.errors import Conflict, NotFound
from shoal.objects.ids import NodeId, ServiceId, TaskId
from shoal.objects.service import Service, ServiceSpec
from shoal.objects.task import Task
from shoal.store.tables import Tables
from shoal.store.tx import Tx, View

IDS = st.sampled_from(["a", "b", "c", "d", "e"])
OWNERS = st.sampled_from(["", "x", "y"])


def refuses(kind: type[Exception], call: Callable[[], object]) -> None:
    with pytest.raises(kind):
        call()


class Overlay(RuleBasedStateMachine):
    """Writes go to a transaction and to a model; commits move the transaction's changes into the tables."""

    @initialize()
    def begin(self) -> None:
        self.tables = Tables()
        self.tx = Tx(self.tables)
        self.tasks: dict[str, Task] = {}
        self.services: dict[str, Service] = {}
        self.committed = (self.tasks, self.services)

    @rule(key=IDS, service=OWNERS, node=OWNERS, create=st.booleans())
    def task(self, key: str, service: str, node: str, create: bool) -> None:
        task = Task(id=TaskId(key), service_id=ServiceId(service) or None, node_id=NodeId(node) or None)
        if create == (key in self.tasks):
            call = self.tx.create if create else self.tx.update
            refuses(Conflict if create else NotFound, lambda: call(task))
            return
        (self.tx.create if create else self.tx.update)(task)
        self.tasks = {**self.tasks, key: task}

    @rule(key=IDS, name=IDS)
    def create_service(self, key: str, name: str) -> None:
        service = Service(id=ServiceId(key), spec=ServiceSpec(name=name))
        if key in self.services or any(s.name == name for s in self.services.values()):
            refuses(Conflict, lambda: self.tx.create(service))
            return
        self.tx.create(service)
        self.services = {**self.services, key: service}

    @rule(key=IDS)
    def rename_service(self, key: str) -> None:
        if (service := self.services.get(key)) is not None:
            renamed = Service(id=service.id, spec=ServiceSpec(name=service.name + "'"))
            if any(s.name == renamed.name for s in self.services.values()):
                return
            self.tx.update(renamed)
            self.services = {**self.services, key: renamed}

    @rule(key=IDS)
    def delete(self, key: str) -> None:
        self.tx.delete(Task(id=TaskId(key)))
        self.tx.delete(Service(id=ServiceId(key)))
        self.tasks = {k: v for k, v in self.tasks.items() if k != key}
        self.services = {k: v for k, v in self.services.items() if k != key}

    @rule()
    def commit(self) -> None:
        for (kind, key), obj in self.tx.changed.items():
            self.tables.remove(kind, key) if obj is None else self.tables.put(obj)
        self.committed = (self.tasks, self.services)
        self.tx = Tx(self.tables)

    @rule()
    def abandon(self) -> None:
        self.tasks, self.services = self.committed
        self.tx = Tx(self.tables)

    @invariant()
    def agrees(self) -> None:
        view: View = self.tx
        assert {t.id: t for t in view.all(Task)} == self.tasks
        assert len(view.all(Task)) == len(self.tasks)
        assert {s.id: s for s in view.all(Service)} == self.services
        for key in "abcde":
            assert view.get(Task, key) == self.tasks.get(key)
            assert view.get(Service, key) == self.services.get(key)
            for name in (key, key + "'", key + "''"):
                expected = next((s for s in self.services.values() if s.name == name), None)
                assert view.by_name(Service, name) == expected
        for owner in ("x", "y"):
            of_service, of_node = view.tasks_of_service(owner), view.tasks_of_node(owner)
            assert sorted(t.id for t in of_service) == sorted(k for k, t in self.tasks.items() if t.service_id == owner)
            assert sorted(t.id for t in of_node) == sorted(k for k, t in self.tasks.items() if t.node_id == owner)


Overlay.TestCase.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
TestOverlay = Overlay.TestCase


def test_one_transaction_may_change_very_many_tasks() -> None:
    tables = Tables()
    tx = Tx(tables)
    for number in range(20_000):
        tx.create(Task(id=TaskId(str(number)), service_id=ServiceId(f"s{number % 500}"), node_id=NodeId("n")))
        tx.by_name(Service, "web")
        assert len(tx.tasks_of_service(f"s{number % 500}")) == number // 500 + 1
    assert len(tx.tasks_of_node("n")) == 20_000
