"""Walks the lab on this machine: starts an engine, takes every step with the real commands, and checks each.

    python tools/lab.py              and removes everything at the end
    python tools/lab.py --keep       leaves it up to look around in
    python tools/lab.py --isolated   in namespaces of its own, whatever is on the machine

Needs root. Its last line is ``lab: N of N steps hold``, and its exit status 0 if they all do.
"""

import argparse
import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import images
from box import BoxError
from engine import EngineError, Shoald
from walk import machine
from walk.place import Boxed, Here
from walk.steps import beyond, custom_overlay, default_net, end, swarm
from walk.transcript import Transcript

_TOOLS = Path(__file__).resolve().parent
_BIN = Path(sys.executable).parent
_REGISTRY = "https://registry-1.docker.io/v2/"
# By now the swarm, its networks and its services are up, which is what --keep is for.
_UP = (
    swarm.before, swarm.init, swarm.nodes, swarm.networks, swarm.bridges, swarm.namespaces,
    default_net.create, default_net.inspected, default_net.mesh,
    custom_overlay.create, custom_overlay.inspected, custom_overlay.names, default_net.topology,
    beyond.everywhere, beyond.scale, beyond.update, beyond.repair, beyond.logs, end.refused,
)  # fmt: skip


def main(arguments: Sequence[str] | None = None) -> int:
    """Check the machine, decide where to run, walk."""
    parser = argparse.ArgumentParser(description="Walk the lab on this machine.")
    parser.add_argument("--keep", action="store_true", help="leave everything up at the end")
    parser.add_argument("--isolated", action="store_true", help="run in namespaces of its own in any case")
    options = parser.parse_args(arguments)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    wanting = list(machine.missing())
    for sentence in wanting:
        sys.stderr.write(f"lab: {sentence}\n")
    if wanting:
        return 1
    why = ["asked for with --isolated"] if options.isolated else list(machine.obstacles())
    folder = Path(tempfile.mkdtemp(prefix="shoal-lab-"))
    folder.chmod(0o755)
    try:
        return _walk(folder, why, keep=options.keep)
    except (BoxError, EngineError, images.CannotBuild, subprocess.CalledProcessError) as error:
        sys.stderr.write(f"lab: {error}\n")
        return 1
    except KeyboardInterrupt:
        sys.stderr.write("lab: interrupted; everything is removed\n")
        return 130
    finally:
        if not (options.keep and (folder / "end").exists()):
            shutil.rmtree(folder, ignore_errors=True)


def _walk(folder: Path, why: Sequence[str], *, keep: bool) -> int:
    started = time.monotonic()
    place = Boxed(stay=keep) if why else Here(machine.advertised() or "")
    shoald = Shoald(folder, place.enter, cgroup_parent=f"/{folder.name}")
    clients = ("docker", "shoal") if shutil.which("docker") else ("shoal",)
    env = {"DOCKER_HOST": shoald.host, "PATH": f"{_BIN}:{os.environ['PATH']}"}
    t = Transcript(place=place, clients=clients, env=env)
    with contextlib.ExitStack() as undo:
        undo.callback(shoald.remove_cgroups)
        undo.callback(place.stop)
        place.start()
        _introduce(t, shoald, why)
        if isinstance(place, Boxed):
            server = _start_name_server(place)
            undo.callback(server.wait)
            undo.callback(server.kill)
        bare = _snapshot(t)
        undo.callback(_end_engine, t, shoald)
        shoald.start()
        _bring_images(t, folder, boxed=bool(why))
        _take_steps(t, shoald, bare, keep=keep)
        if keep:
            _leave_up(t, shoald, folder)
            undo.pop_all()
    t.note(f"\nThis took {time.monotonic() - started:.0f} s.")
    t.note(f"lab: {t.held} of {t.steps} steps hold")
    return 0 if t.held == t.steps else 1


def _take_steps(t: Transcript, shoald: Shoald, bare: str, *, keep: bool) -> None:
    engine_only = _snapshot(t)
    for take in _UP:
        take(t)
    if keep:
        return
    end.removed(t)
    with t.step("Nothing of the swarm is left"):
        t.say("Links, namespaces, nft tables, routes, rules, mounts, cgroups and processes, against before init.")
        t.soon_nothing("the machine is as before swarm init", lambda: _differences(t, shoald, engine_only, files=False))
    with t.step("Nothing of the engine is left"):
        t.say("shoald ends on SIGTERM, and with it its containerd: no container needs them.")
        status = shoald.stop()
        t.check("its exit status is 0", status == 0, 0, status)
        t.soon_nothing("the machine is as before the engine", lambda: _differences(t, shoald, bare, files=True))


def _introduce(t: Transcript, shoald: Shoald, why: Sequence[str]) -> None:
    if isinstance(t.place, Boxed):
        t.note(f"The lab runs in network and mount namespaces of its own ({'; '.join(why)}).")
        t.note(f"To look around from another terminal, as long as it runs: nsenter --target {t.place.pid} --all")
    else:
        t.note("The lab runs in this machine's own network namespace: nothing that is there is in its way.")
    t.note(f"The engine's socket: export DOCKER_HOST={shoald.host}")
    versions = [t.quiet(f"{client} --version").out.strip() for client in t.clients]
    t.note(f"Every step is taken with {' and '.join(versions)}.")


def _start_name_server(place: Boxed) -> subprocess.Popen[bytes]:
    """The outside world's names, for as long as there is a neighbour."""
    command = [sys.executable, str(_TOOLS / "walk" / "outside.py"), place.neighbour_address]
    return subprocess.Popen(
        place.enter(command, netns=place.neighbour),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


def _bring_images(t: Transcript, folder: Path, *, boxed: bool) -> None:
    """The real nginx where a registry answers, else one of Debian's packages."""
    if not boxed and t.quiet(f"curl -s -m 3 -o /dev/null {_REGISTRY}").status == 0:
        if t.watch(f"{t.client} pull nginx").status == 0:
            return
    t.note("No registry can be reached: the image nginx is made from Debian's packages.")
    archive = images.build("nginx", _cache())
    t.run(f"{t.client} load --quiet --input {archive}")


def _cache() -> Path:
    """Images made once are kept: in the checkout, where ``make clean`` finds them."""
    return _TOOLS.parent / "build" / "images"


def _snapshot(t: Transcript) -> str:
    """What is on the machine now, for a later comparison."""
    path = Path(tempfile.mkstemp(prefix="shoal-lab-snapshot-")[1])
    try:
        said = t.quiet(f"{sys.executable} {_TOOLS}/leftovers.py snapshot {path}")
        if said.status:
            raise EngineError(said.err)
        return path.read_text()
    finally:
        path.unlink()


def _differences(t: Transcript, shoald: Shoald, before: str, *, files: bool) -> list[str]:
    """What has come or gone since. ``files`` compares for the time without an engine: else its own may be there."""
    was, is_ = json.loads(before), json.loads(_snapshot(t))
    lines = []
    for kind in was:
        if kind == "file" and not files:
            continue
        lines += [f"+ {kind}: {thing}" for thing in sorted(set(is_[kind]) - set(was[kind]))]
        if kind not in ("process", "cgroup"):
            lines += [f"- {kind}: {thing}" for thing in sorted(set(was[kind]) - set(is_[kind]))]
    return [line for line in lines if not _is_nobodys(line, shoald, engine_runs=not files)]


def _is_nobodys(line: str, shoald: Shoald, *, engine_runs: bool) -> bool:
    """Whether a difference tells nothing: other engines' cgroups, the one of all our containers, which stays with the
    engine, and the link-local routes that the kernel gives to a link once it has had a carrier."""
    if line.startswith("+ cgroup:"):
        return shoald.cgroup_parent not in line or (engine_runs and line.endswith(shoald.cgroup_parent))
    return line.startswith("+ route:") and any(net in line for net in (" fe80::", " ff00::/8 "))


def _end_engine(t: Transcript, shoald: Shoald) -> None:
    """However far the walk came: no container, no swarm, no daemon."""
    if shoald.running:
        t.quiet(f"{t.client} swarm leave --force")
        t.quiet(f"{t.client} ps -aq | xargs -r {t.client} rm -f")
        if t.held < t.steps:
            t.note(f"\nThe end of shoald's log:\n{shoald.log_end()}")
        shoald.stop()


def _leave_up(t: Transcript, shoald: Shoald, folder: Path) -> None:
    """Say how to look around, and write down how to end it."""
    inside = " ".join(t.place.enter([])) if isinstance(t.place, Boxed) else ""
    lines = [
        "#!/bin/sh",
        "# Ends what the lab left up, and removes it.",
        f"export DOCKER_HOST={shoald.host} PATH={_BIN}:$PATH",
        f"{inside} {t.client} swarm leave --force >/dev/null",
        f"{inside} {t.client} ps -aq | xargs -r {inside} {t.client} rm -f >/dev/null",
        f"kill {shoald.pid}; while kill -0 {shoald.pid} 2>/dev/null; do sleep 0.1; done",
    ]
    if isinstance(t.place, Boxed):
        lines.append(f"kill -9 {t.place.pid}")
    else:
        lines += ["ip link delete shoal-lab0", f"ip netns delete {t.place.neighbour}"]
    lines.append(f"rm -rf {folder}")
    script = folder / "end"
    script.write_text("\n".join(lines) + "\n")
    script.chmod(0o755)
    t.note("\nEverything is left up. To look around:")
    if isinstance(t.place, Boxed):
        t.note(f"    nsenter --target {t.place.pid} --all")
    t.note(f"    export DOCKER_HOST={shoald.host} PATH={_BIN}:$PATH")
    t.note("    shoal topology, docker service ls, ip netns, ...")
    t.note(f"To end it and remove it: {script}")


if __name__ == "__main__":
    sys.exit(main())
