"""What the lab mentions and does not try: scale, update, logs, repair, global services, ports of a node."""

from walk.steps.look import CUSTOM, DEFAULT, inspect, replicas, states, status_of, tasks
from walk.transcript import Transcript

GLOBAL = "my-nginx-everywhere"


def scale(t: Transcript) -> None:
    with t.step("Scaling"):
        t.say("One more task of the first service, and one less again.")
        t.run(f"{t.client} service scale --detach {DEFAULT}=3")
        t.eventually("3/3 run", lambda: replicas(t, DEFAULT) == "3/3")
        t.run(f"{t.client} service scale --detach {DEFAULT}=2")
        t.eventually("2/2 run", lambda: replicas(t, DEFAULT) == "2/2" and len(tasks(t, DEFAULT)) == 2)
        t.eventually(
            "and two are all that answer",
            lambda: {status_of(t, f"http://{t.place.address}") for _ in range(4)} == {"200"},
        )


def update(t: Transcript) -> None:
    with t.step("A rolling update: another image, a variable, a port, and one task more"):
        t.run(f"{t.client} tag nginx:latest nginx:next")
        before = {task["id"] for task in tasks(t, CUSTOM)}
        said = t.watch(
            f"{t.client} service update --image nginx:next --env-add COLOUR=blue --publish-add 82:80 --replicas 3 "
            f"--update-monitor 1s {CUSTOM}"
        )
        t.check("the service converges", said.status == 0 and "converged" in said.out, found=said.out[-200:])
        t.read(f"service ps {CUSTOM}")
        now = tasks(t, CUSTOM)
        t.check("three tasks run, none of the old ones", len(now) == 3 and not before & {task["id"] for task in now})
        spec = inspect(t, CUSTOM).get("Spec", {}).get("TaskTemplate", {}).get("ContainerSpec", {})
        t.check("the image is the new one", str(spec.get("Image", "")).startswith("nginx:next"), found=spec)
        variables = [t.quiet(f"{t.client} exec {task['id']} sh -c 'echo $COLOUR'").out.strip() for task in now]
        t.check("each has COLOUR=blue", variables == ["blue"] * 3, found=variables)
        for port in (81, 82):
            t.check(f"port {port} answers", status_of(t, f"http://{t.place.address}:{port}") == "200")


def repair(t: Transcript) -> None:
    with t.step("A task that dies is replaced, after its restart delay of five seconds"):
        victim = tasks(t, DEFAULT)[0]
        t.run(f"{t.client} kill {victim['id'][:12]}")
        t.eventually("it is seen as failed", lambda: "Failed" in states(t, DEFAULT), seconds=5)
        t.check(
            "no request is sent to it",
            {status_of(t, f"http://{t.place.address}") for _ in range(6)} == {"200"},
        )
        t.eventually(
            "another one runs in its place",
            lambda: replicas(t, DEFAULT) == "2/2" and victim["id"] not in {task["id"] for task in tasks(t, DEFAULT)},
        )
        t.read(f"service ps {DEFAULT}")


def everywhere(t: Transcript) -> None:
    with t.step("A global service, on its node's own port"):
        t.say("One task on every node; with mode=host the port is the node's alone, with no mesh before it.")
        t.run(
            f"{t.client} service create --detach --name {GLOBAL} --mode global "
            "--publish mode=host,target=80,published=8090 nginx"
        )
        t.eventually("its one task runs", lambda: replicas(t, GLOBAL) == "1/1")
        t.read("service ls")
        t.read(f"service ps {GLOBAL}")
        t.eventually("port 8090 answers", lambda: status_of(t, f"http://{t.place.address}:8090") == "200", seconds=5)
        said = t.run(f"curl -s -o /dev/null -A node-port http://{t.place.address}:8090", netns=t.place.neighbour)
        t.check("from the other host too", said.status == 0)
        t.eventually("its log has the other host's address", lambda: _seen_from_outside(t), seconds=5)


def _seen_from_outside(t: Transcript) -> bool:
    lines = t.quiet(f"{t.client} service logs {GLOBAL}").out.splitlines()
    return any("node-port" in line and f" {t.place.neighbour_address} " in line for line in lines)


def logs(t: Transcript) -> None:
    with t.step("The logs of a service, task by task"):
        t.read(f"service logs --timestamps --tail 2 {DEFAULT}", same=False)
        said = t.quiet(f"{t.client} service logs {DEFAULT}")
        writers = {line.partition("@")[0].rpartition(".")[0] for line in said.text.splitlines() if "@" in line}
        t.check("lines of both slots", {f"{DEFAULT}.1", f"{DEFAULT}.2"} <= writers, found=writers)
