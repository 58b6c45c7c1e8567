"""Lists of tasks, for ``service ps`` and ``node ps``."""

from shoal.cli.command import Arguments
from shoal.cli.context import Context
from shoal.cli.listing import Column, Listing, ellipsis, natural
from shoal.cli.quantities import human_duration, parse_time
from shoal.client.engine import Json


class Names:
    """Names of services and nodes by their ids, each list asked for once."""

    def __init__(self, ctx: Context, *, resolve: bool) -> None:
        self._ctx = ctx
        self._resolve = resolve
        self._nodes: dict[str, str] | None = None
        self._services: dict[str, str] | None = None

    def node(self, identifier: str) -> str:
        """A node's host name (or its own name, where it has one)."""
        if not self._resolve:
            return identifier
        if self._nodes is None:
            nodes = self._ctx.engine.get("/nodes")
            self._nodes = {node["ID"]: node["Spec"].get("Name") or node["Description"]["Hostname"] for node in nodes}
        return self._nodes.get(identifier, identifier)

    def service(self, identifier: str) -> str:
        """A service's name."""
        if not self._resolve:
            return identifier
        if self._services is None:
            self._services = {service["ID"]: service["Spec"]["Name"] for service in self._ctx.engine.get("/services")}
        return self._services.get(identifier, identifier)

    def task(self, task: Json) -> str:
        """``service.slot``, or ``service.node`` for a global service."""
        service = task.get("ServiceID")
        if not service:
            return str(task.get("Name") or task["ID"])
        return f"{self.service(service)}.{task.get('Slot') or task.get('NodeID', '')}"


def show_tasks(ctx: Context, args: Arguments, tasks: list[Json], names: Names) -> None:
    """Print tasks by service and slot, the newest of each first and the others indented below it."""
    form, trunc = args.text("format"), not args.on("no-trunc")
    rows = [{**task, "name": names.task(task), "node": names.node(task.get("NodeID", ""))} for task in tasks]
    rows.sort(key=lambda row: parse_time(row["CreatedAt"]), reverse=True)
    rows.sort(key=lambda row: (natural(row["name"]), row.get("Slot", 0)))
    if form in ("", "table") or form.startswith("table "):
        previous = ""
        for row in rows:
            row["shown"], previous = (f" \\_ {row['name']}" if row["name"] == previous else row["name"]), row["name"]
    now = ctx.now()

    def error(row: Json) -> str:
        text = row["Status"].get("Err", "")
        return f'"{ellipsis(text, 30) if trunc else text}"' if text else ""

    def image(row: Json) -> str:
        name = str((row["Spec"].get("ContainerSpec") or {}).get("Image", ""))
        return name.partition("@")[0] if trunc else name

    def current(row: Json) -> str:
        age = human_duration(now - parse_time(row["Status"].get("Timestamp", "")))
        return f"{row['Status']['State'].capitalize()} {age[0].lower() + age[1:]} ago"

    def ports(row: Json) -> str:
        found = (row["Status"].get("PortStatus") or {}).get("Ports") or ()
        return ",".join(f"*:{port['PublishedPort']}->{port['TargetPort']}/{port['Protocol']}" for port in found)

    columns = (
        Column("CurrentState", "CURRENT STATE", current),
        Column("DesiredState", "DESIRED STATE", lambda row: row["DesiredState"].capitalize()),
        Column("Error", "ERROR", error),
        Column("ID", "ID", lambda row: row["ID"][:12] if trunc and not args.on("quiet") else row["ID"]),
        Column("Image", "IMAGE", image),
        Column("Name", "NAME", lambda row: row.get("shown", row["name"])),
        Column("Node", "NODE", lambda row: row["node"]),
        Column("Ports", "PORTS", ports),
    )
    table = ("ID", "Name", "Image", "Node", "DesiredState", "CurrentState", "Error", "Ports")
    listing = Listing("*task.taskContext", columns, table, config_key="tasksFormat")
    listing.show(ctx, rows, form, quiet=args.on("quiet"))
