"""The lab's node really made, on a machine of a test's own (tests/fakes/machine.py)."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

from tests.fakes.lab_network import HOST_ADDRESS, INGRESS, NGINX, lab_node
from tests.fakes.machine import client_machine, serve

from shoal.network.node import INGRESS_NETNS, NodeNetwork, RemoteEndpoint
from shoal.network.reconciler import Reconciler

OVERLAY, NGINX_NS = f"1-{INGRESS[:10]}", f"1-{NGINX[:10]}"
TASKS = ["web.1.xyz", "web.2.xyz"]
CLIENT = "10.99.0.2"
REMOTE, VTEP = "10.0.0.9", "192.0.2.7"


def lab_node_with_a_peer() -> NodeNetwork:
    """The lab's node, and one endpoint of nginx-net on another node."""
    return replace(lab_node(), remotes={NGINX: (RemoteEndpoint(f"{REMOTE}/24", VTEP),)})


@asynccontextmanager
async def reconciled(node: NodeNetwork) -> AsyncIterator[Reconciler]:
    reconciler = Reconciler(owner="shoal")
    try:
        await reconciler.start(node)
        yield reconciler
    finally:
        await reconciler.close()


@asynccontextmanager
async def lab(node: NodeNetwork | None = None) -> AsyncIterator[tuple[Reconciler, str]]:
    """The lab's node with its tasks' servers running, and a client on another machine."""
    node = node or lab_node()
    with client_machine(f"{CLIENT}/24", f"{HOST_ADDRESS}/24") as client:
        async with reconciled(node) as reconciler:
            running = sorted(s.netns for s in node.sandboxes.values() if s.netns != INGRESS_NETNS)
            servers = [await serve(ns, ns, 8080) for ns in running]
            try:
                yield reconciler, client
            finally:
                for server in servers:
                    server.close()
