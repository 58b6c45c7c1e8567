"""How all of it goes away again, and what may not be removed before."""

from walk.steps.beyond import GLOBAL
from walk.steps.look import CUSTOM, DEFAULT, NETWORK, inspect, link, namespaces
from walk.transcript import Transcript


def refused(t: Transcript) -> None:
    with t.step("What is in use stays"):
        said = t.run(f"{t.client} network rm {NETWORK}", fails=True)
        network, service = inspect(t, NETWORK).get("Id", ""), inspect(t, CUSTOM).get("ID", "")
        expected = (
            "Error response from daemon: rpc error: code = FailedPrecondition desc = network "
            f"{network} is in use by service {service}"
        )
        t.check("Docker's error names who uses the network", expected in said.err, expected, said.err.strip())
        said = t.run(f"{t.client} swarm leave", fails=True)
        expected = "You are attempting to leave the swarm on a node that is participating as a manager."
        t.check("leaving needs --force", expected in said.err, expected, said.err.strip())
        t.check("and the services still run", inspect(t, DEFAULT))


def removed(t: Transcript) -> None:
    with t.step("Cleaning up"):
        for service in (CUSTOM, DEFAULT, GLOBAL):
            said = t.run(f"{t.client} service rm {service}")
            t.check(f"{service} is removed", said.out.strip() == service)
        said = t.run(f"{t.client} network rm {NETWORK}")
        t.check(f"{NETWORK} is removed", said.out.strip() == NETWORK)
        rows = t.read("service ls").out.splitlines()
        t.check("no service is left", len(rows) == 1)
        said = t.run(f"{t.client} swarm leave --force")
        t.check("the node left", said.out.strip() == "Node left the swarm.", found=said.text)
        said = t.run(f"{t.client} node ls", fails=True)
        t.check("and is no manager", "This node is not a swarm manager." in said.err, found=said.err)
        t.run("ip link")
        t.check("docker_gwbridge is gone, docker0 is there", not link(t, "docker_gwbridge") and link(t, "docker0"))
        left = [name for name in namespaces(t) if name.startswith(("ingress_sbox", "1-", "my-nginx-"))]
        t.check("no namespace is left", not left, "none", left)
