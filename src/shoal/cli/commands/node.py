"""``shoal node``."""

from shoal.cli.command import Arguments, Command, Flag
from shoal.cli.context import Context
from shoal.cli.inspection import inspect
from shoal.cli.kinds import LIST, PAIRS, filter_flag, filters_of, format_flag, switch, text_flag
from shoal.cli.listing import Column, Listing, natural
from shoal.cli.many import for_each
from shoal.cli.pretty import node_text
from shoal.cli.tasks import Names, show_tasks
from shoal.client.engine import Json, quote
from shoal.errors import InvalidArgument, ShoalError


def own_id(ctx: Context) -> str:
    """This node's id. Raises the daemon's own error where it is in no swarm."""
    identifier = ctx.engine.get("/info")["Swarm"].get("NodeID", "")
    if not identifier:
        ctx.engine.get("/nodes")
    return str(identifier)


def reference(ctx: Context, name: str) -> str:
    """An id for ``self``, the name otherwise."""
    return own_id(ctx) if name == "self" else name


def run_ls(ctx: Context, args: Arguments) -> int:
    """List the swarm's nodes."""
    nodes = ctx.engine.get("/nodes", {"filters": filters_of(args.items("filter"))})
    info = ctx.engine.get("/info")
    own = info["Swarm"].get("NodeID", "")
    root = ((info["Swarm"].get("Cluster") or {}).get("TLSInfo") or {}).get("TrustRoot", "")

    def manager(row: Json) -> str:
        status = row.get("ManagerStatus") or {}
        return "Leader" if status.get("Leader") else str(status.get("Reachability", "")).capitalize()

    def tls(row: Json) -> str:
        own_root = (row["Description"].get("TLSInfo") or {}).get("TrustRoot", "")
        if not root or not own_root:
            return "Unknown"
        return "Ready" if own_root == root else "Needs Rotation"

    columns = (
        Column("Availability", "AVAILABILITY", lambda row: row["Spec"]["Availability"].capitalize()),
        Column(
            "EngineVersion",
            "ENGINE VERSION",
            lambda row: (row["Description"].get("Engine") or {}).get("EngineVersion", ""),
        ),
        Column("Hostname", "HOSTNAME", lambda row: row["Description"]["Hostname"]),
        Column("ID", "ID", lambda row: row["ID"]),
        Column("ManagerStatus", "MANAGER STATUS", manager),
        Column("Self", "", lambda row: row["ID"] == own),
        Column("Status", "STATUS", lambda row: row["Status"]["State"].capitalize()),
        Column("TLSStatus", "TLS STATUS", tls),
    )
    marked = Column("marked", "ID", lambda row: row["ID"] + (" *" if row["ID"] == own else "  "))
    table = ("marked", "Hostname", "Status", "Availability", "ManagerStatus", "EngineVersion")
    form = args.text("format") or ("" if args.on("quiet") else str(ctx.config.get("nodesFormat", "")))
    shown = (*columns, marked) if form in ("", "table") else columns
    nodes.sort(key=lambda row: natural(row["Description"]["Hostname"]))
    Listing("*node.nodeContext", shown, table).show(ctx, nodes, form, quiet=args.on("quiet"))
    return 0


def run_ps(ctx: Context, args: Arguments) -> int:
    """List the tasks of nodes."""
    tasks: list[Json] = []
    errors: list[str] = []
    for name in args.words or ["self"]:
        try:
            node = ctx.engine.get(f"/nodes/{quote(reference(ctx, name))}")
        except ShoalError as error:
            errors.append(str(error))
            continue
        filters = filters_of([*args.items("filter"), ("node", node["ID"])])
        tasks += ctx.engine.get("/tasks", {"filters": filters})
    if tasks or not errors:
        show_tasks(ctx, args, tasks, Names(ctx, resolve=not args.on("no-resolve")))
    for text in errors:
        ctx.err(text)
    return 1 if errors else 0


def run_inspect(ctx: Context, args: Arguments) -> int:
    """Print nodes."""
    if args.on("pretty") and args.text("format"):
        raise InvalidArgument("--format is incompatible with human friendly format")

    def find(name: str) -> Json:
        node: Json = ctx.engine.get(f"/nodes/{quote(reference(ctx, name))}")
        return node

    if args.on("pretty"):
        for name in args.words:
            ctx.out(node_text(find(name)))
        return 0
    return inspect(ctx, args.words, args.text("format"), find)


def change(
    ctx: Context, name: str, edit: Json, labels: dict[str, str] | None = None, remove: list[str] | None = None
) -> Json:
    """Update a node's spec; the spec as it was before."""
    node = ctx.engine.get(f"/nodes/{quote(name)}")
    before: Json = node["Spec"]
    spec = {**before, **edit}
    if labels or remove:
        kept = {**(before.get("Labels") or {}), **(labels or {})}
        for key in remove or ():
            if key not in kept:
                raise InvalidArgument(f"key {key} doesn't exist in node's labels")
            del kept[key]
        spec["Labels"] = kept
    ctx.engine.post(f"/nodes/{node['ID']}/update", {"version": node["Version"]["Index"]}, spec)
    return before


def run_update(ctx: Context, args: Arguments) -> int:
    """Update a node."""
    edit: Json = {}
    for flag, key, known in (
        ("role", "Role", ("worker", "manager")),
        ("availability", "Availability", ("active", "pause", "drain")),
    ):
        if args.given(flag):
            if args.text(flag).lower() not in known:
                expected = ", ".join(known)
                raise InvalidArgument(f"invalid {flag} {args.text(flag)!r}: must be one of {expected}")
            edit[key] = args.text(flag).lower()
    change(ctx, args.words[0], edit, dict(args.items("label-add")), args.items("label-rm"))
    ctx.out(args.words[0])
    return 0


def _set_role(ctx: Context, names: list[str], role: str, done: str) -> int:
    for name in names:
        node = ctx.engine.get(f"/nodes/{quote(name)}")
        if node["Spec"]["Role"] == role:
            ctx.out(f"Node {name} is already a {role}.")
            continue
        change(ctx, name, {"Role": role})
        ctx.out(done.format(name))
    return 0


def run_promote(ctx: Context, args: Arguments) -> int:
    """Make nodes managers."""
    return _set_role(ctx, args.words, "manager", "Node {} promoted to a manager in the swarm.")


def run_demote(ctx: Context, args: Arguments) -> int:
    """Make managers workers."""
    return _set_role(ctx, args.words, "worker", "Manager {} demoted in the swarm.")


def run_rm(ctx: Context, args: Arguments) -> int:
    """Remove nodes from the swarm."""
    query = {"force": args.on("force") or None}
    return for_each(ctx, args.words, lambda name: ctx.engine.delete(f"/nodes/{quote(name)}", query))


ANY = ("nodes",)
COMMANDS = (
    Command(
        "ls",
        "List nodes in the swarm",
        run_ls,
        most=0,
        flags=(filter_flag(), format_flag(), switch("quiet", "Only display IDs", "q")),
        examples=("node ls", "node ls --filter role=manager"),
    ),
    Command(
        "ps",
        "List tasks running on one or more nodes, defaults to current node",
        run_ps,
        "[NODE...]",
        flags=(
            filter_flag(),
            format_flag(),
            switch("no-resolve", "Do not map IDs to Names"),
            switch("no-trunc", "Do not truncate output"),
            switch("quiet", "Only display task IDs", "q"),
        ),
        examples=("node ps", "node ps --filter desired-state=running worker1"),
        completes=ANY,
    ),
    Command(
        "inspect",
        "Display detailed information on one or more nodes",
        run_inspect,
        "self|NODE [NODE...]",
        1,
        flags=(format_flag("f"), switch("pretty", "Print the information for people")),
        examples=("node inspect self --pretty",),
        completes=ANY,
    ),
    Command(
        "update",
        "Update a node",
        run_update,
        "NODE",
        1,
        1,
        flags=(
            text_flag("availability", 'Availability of the node ("active", "pause", "drain")'),
            Flag("label-add", PAIRS, 'Add or change a label ("key=value")'),
            Flag("label-rm", LIST, "Remove a label"),
            text_flag("role", 'Role of the node ("worker", "manager")'),
        ),
        examples=("node update --availability drain worker1", "node update --label-add disk=ssd worker1"),
        completes=ANY,
    ),
    Command(
        "promote",
        "Promote one or more nodes to manager in the swarm",
        run_promote,
        "NODE [NODE...]",
        1,
        examples=("node promote worker1",),
        completes=ANY,
    ),
    Command(
        "demote",
        "Demote one or more nodes from manager in the swarm",
        run_demote,
        "NODE [NODE...]",
        1,
        examples=("node demote manager2",),
        completes=ANY,
    ),
    Command(
        "rm",
        "Remove one or more nodes from the swarm",
        run_rm,
        "NODE [NODE...]",
        1,
        flags=(switch("force", "Remove even a node that is not down", "f"),),
        examples=("node rm worker1",),
        completes=ANY,
    ),
)
