"""Waits until a service runs as its spec says, showing how far it is: the bars of ``service create`` and the like."""

import time
from typing import TextIO

from shoal.cli.context import Context
from shoal.cli.progress import Display
from shoal.cli.quantities import SECOND
from shoal.client.engine import Json
from shoal.errors import FailedPrecondition

STAGES = {
    state: number
    for number, state in enumerate(
        ("new", "allocated", "pending", "assigned", "accepted", "preparing", "ready", "starting", "running"), start=1
    )
}
LAST = STAGES["running"]
STATE_WIDTH = max(len(state) for state in STAGES)
MOST_BARS = 20
MONITOR = 5 * SECOND
PAUSE = 0.2
ERROR_WIDTH = 75


class Tracker:
    """What is drawn of a service: one line over all, and a bar a task as long as there are few.

    It remembers the order in which slots were first seen, so that a bar stays where it is.
    """

    def __init__(self, stream: TextIO) -> None:
        self._display = Display(stream)
        self._shown: dict[str, tuple[str, int]] = {}
        self._order: dict[object, str] = {}
        self._started = False

    def say(self, identifier: str, status: str, stage: int = 0) -> None:
        """Show a line, unless it stands there already."""
        if self._shown.get(identifier) == (status, stage):
            return
        self._shown[identifier] = status, stage
        detail = {"current": stage, "total": LAST, "hidecounts": True} if stage else {}
        self._display.show({"id": identifier, "status": status, "progressDetail": detail})

    def update(self, service: Json, tasks: list[Json], active: set[str], *, rollback: bool) -> bool:
        """Draw the state of things; whether everything that should run does."""
        mode = service["Spec"]["Mode"]
        if "ReplicatedJob" in mode or "GlobalJob" in mode:
            return self._update_job(service, tasks)
        current = newest(tasks, active, by_node="Global" in mode)
        wanted = len(current) if "Global" in mode else int(mode["Replicated"].get("Replicas", 0))
        if "Global" in mode and not current and not self._started:
            return False
        if not self._started:
            self._overall(0, wanted, rollback=rollback)
            if wanted <= MOST_BARS and "Global" not in mode:
                for number in range(1, wanted + 1):
                    self.say(self._bar_name(number, wanted), " ")
            self._started = True
        running = 0
        for key, task in current.items():
            if key not in self._order:
                self._order[key] = str(key)[:12] if "Global" in mode else self._bar_name(len(self._order) + 1, wanted)
            running += task["Status"]["State"] == "running"
            if wanted <= MOST_BARS and len(self._order) <= wanted:
                self._task(self._order[key], task, rollback=rollback)
        self._overall(running, wanted, rollback=rollback)
        return running == wanted

    def _update_job(self, service: Json, tasks: list[Json]) -> bool:
        mode = service["Spec"]["Mode"]
        iteration = (service.get("JobStatus") or {}).get("JobIteration", {}).get("Index", 0)
        own = [task for task in tasks if (task.get("JobIteration") or {}).get("Index", 0) == iteration]
        done = sum(task["Status"]["State"] == "complete" for task in own)
        job = mode.get("ReplicatedJob")
        wanted = int(job.get("TotalCompletions") or job.get("MaxConcurrent") or 1) if job else len(own)
        self.say("job progress", f"{done} out of {wanted} complete")
        return bool(own) and done >= wanted

    @staticmethod
    def _bar_name(number: int, total: int) -> str:
        return f"{number:>{len(str(total))}}/{total}"

    def _overall(self, running: int, wanted: int, *, rollback: bool) -> None:
        prefix = "rolling back update: " if rollback else ""
        self.say("overall progress", f"{prefix}{running} out of {wanted} tasks")

    def _task(self, identifier: str, task: Json, *, rollback: bool) -> None:
        status = task["Status"]
        if status.get("Err"):
            self.say(identifier, status["Err"].replace("\n", " ")[:ERROR_WIDTH])
            return
        stage = STAGES[status["State"]]
        self.say(identifier, status["State"].ljust(STATE_WIDTH), LAST - stage if rollback else stage)


def newest(tasks: list[Json], active: set[str], *, by_node: bool) -> dict[object, Json]:
    """The task that counts of each slot (of each node for a global service): the one furthest on its way."""
    chosen: dict[object, Json] = {}
    for task in sorted(tasks, key=lambda task: (task.get("Slot", 0), task["CreatedAt"])):
        state, desired, node = task["Status"]["State"], task["DesiredState"], task.get("NodeID", "")
        if state not in STAGES or desired not in STAGES or (node and node not in active):
            continue
        if by_node and not node:
            continue
        key: object = node if by_node else task.get("Slot", 0)
        before = chosen.get(key)
        rank = STAGES[desired], STAGES[state]
        if before is None or rank > (STAGES[before["DesiredState"]], STAGES[before["Status"]["State"]]):
            chosen[key] = task
    return chosen


def wait_for_service(ctx: Context, identifier: str, shown: str, stream: TextIO) -> None:
    """Return when the service has converged and stayed so for as long as its updates are monitored.

    ``shown`` is how the user named it. Raises FailedPrecondition when the update was paused or rolled back.
    """
    tracker = Tracker(stream)
    filters = {"service": {identifier: True}, "_up-to-date": {"true": True}}
    stable_since: float | None = None
    rollback = False
    while True:
        service = ctx.engine.get(f"/services/{identifier}")
        update = service.get("UpdateStatus") or {}
        match update.get("State"):
            case "paused":
                raise FailedPrecondition(f"service update paused: {update.get('Message', '')}")
            case "rollback_started":
                rollback = True
            case "rollback_paused":
                raise FailedPrecondition(f"service rollback paused: {update.get('Message', '')}")
            case "rollback_completed" if not rollback and stable_since is None:
                rollback = True
        config = service["Spec"].get("RollbackConfig" if rollback else "UpdateConfig") or {}
        nodes = ctx.engine.get("/nodes")
        active = {
            node["ID"]
            for node in nodes
            if node["Status"]["State"] == "ready" or node["Spec"]["Availability"] == "active"
        }
        converged = tracker.update(service, ctx.engine.get("/tasks", {"filters": filters}), active, rollback=rollback)
        if "ReplicatedJob" in service["Spec"]["Mode"] or "GlobalJob" in service["Spec"]["Mode"]:
            if converged:
                tracker.say("verify", "job complete")
                break
        elif converged:
            stable_since = stable_since or time.monotonic()
            left = (config.get("Monitor") or MONITOR) / SECOND - (time.monotonic() - stable_since)
            if left < 0:
                tracker.say("verify", f"Service {shown} converged")
                break
            tracker.say("verify", f"Waiting {int(left) + 1} seconds to verify that tasks are stable...")
        elif stable_since is not None:
            tracker.say("verify", "Detected task failure")
            stable_since = None
        time.sleep(PAUSE)
    stream.flush()
    if rollback and update.get("State") == "rollback_completed" and "rolled back" not in shown:
        message = str(update.get("Message", ""))
        if message and "rollback completed" not in message:
            raise FailedPrecondition(f"service rolled back: {message}")
