"""Listing, updating and removing nodes."""

from collections.abc import Callable

from msgspec.structs import replace

from shoal.aio.clock import Clock
from shoal.errors import FailedPrecondition, InvalidArgument
from shoal.manager.admission import detach_all, note_removal
from shoal.manager.control.refusals import in_use, out_of_sequence
from shoal.manager.control.resolve import resolve
from shoal.objects.node import Node, NodeSpec
from shoal.store.store import Store
from shoal.store.tx import Tx


class NodeControl:
    """The API's hand on nodes; ``self_id`` is what users call ``self``. ``check_more`` raises FailedPrecondition where
    there cannot be more managers than this one."""

    def __init__(
        self, store: Store, self_id: str, clock: Clock, *, check_more: Callable[[None], None] = lambda kind: None
    ) -> None:
        self._store = store
        self._check_more = check_more
        self._clock = clock
        self._self_id = self_id

    def list(self) -> list[Node]:
        """Every node."""
        return self._store.view.all(Node)

    def get(self, text: str) -> Node:
        """The node meant by an id, a host name or the beginning of an id."""
        return resolve(self._store.view, Node, self._self_id if text == "self" else text)

    async def update(self, text: str, spec: NodeSpec, version: int) -> None:
        """Replace the node's spec; ``version`` is the one that it was made from."""
        if spec.availability not in ("active", "pause", "drain"):
            raise InvalidArgument(f'invalid Availability: "{spec.availability or ""}"')
        if spec.role not in ("worker", "manager"):
            raise InvalidArgument(f'invalid Role: "{spec.role or ""}"')

        def change(tx: Tx) -> None:
            node = resolve(tx, Node, self._self_id if text == "self" else text)
            if node.version.index != version:
                raise out_of_sequence()
            if node.spec.role == "worker" and spec.role == "manager":
                self._check_more(None)
            if node.spec.role == "manager" and spec.role == "worker":
                _check_demotion(tx, node)
            tx.update(replace(node, spec=spec))

        await self._store.update(change)

    async def demote(self, node_id: str) -> None:
        """Make a worker of a manager. Raises FailedPrecondition where the others would be no quorum."""

        def change(tx: Tx) -> None:
            node = resolve(tx, Node, node_id)
            if node.spec.role == "manager":
                _check_demotion(tx, node)
                tx.update(replace(node, spec=replace(node.spec, role="worker")))

        await self._store.update(change)

    async def remove(self, text: str, *, force: bool) -> None:
        """Remove a node that is down; with ``force`` one that is not."""

        def change(tx: Tx) -> None:
            node = resolve(tx, Node, self._self_id if text == "self" else text)
            if node.spec.role == "manager" or node.manager_status is not None:
                # Also one that was demoted, until its seat has been taken from it.
                raise in_use(
                    f"node {node.id} is a cluster manager and is a member of the raft cluster. "
                    "It must be demoted to worker before removal"
                )
            if not force and node.status.state == "ready":
                raise FailedPrecondition(
                    f"rpc error: code = FailedPrecondition desc = node {node.id} is not down and can't be removed"
                )
            # Services' tasks are the orchestrator's.
            detach_all(tx, node.id)
            tx.delete(node)
            note_removal(tx, node.id, self._clock.now())

        await self._store.update(change)


def _check_demotion(tx: Tx, node: Node) -> None:
    """Raise FailedPrecondition, in Docker's words, unless the other managers are a quorum without this one."""
    others = [n for n in tx.all(Node) if n.spec.role == "manager" and n.id != node.id]
    if not others:
        raise in_use("attempting to demote the last manager of the swarm")
    reached = [n for n in others if n.manager_status is not None and n.manager_status.reachability == "reachable"]
    if len(reached) <= len(others) // 2:
        raise in_use("can't remove member from the raft: this would result in a loss of quorum")
