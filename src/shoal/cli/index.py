"""Which module has which command: the only list of them all. A module is loaded when its command is called."""

NOUNS: dict[str, str] = {
    "container": "Manage containers",
    "image": "Manage images",
    "lab": "Make several machines of this one, to try a Swarm on",
    "network": "Manage networks",
    "node": "Manage Swarm nodes",
    "service": "Manage Swarm services",
    "state": "Save and restore a Swarm's state",
    "swarm": "Manage Swarm",
    "system": "Manage Shoal",
    "volume": "Manage volumes",
}

# noun -> command -> module below shoal.cli.commands; the noun "" is for commands that have none.
MODULES: dict[str, dict[str, str]] = {
    "": {
        "completion": "completion",
        "inspect": "inspect",
        "login": "login",
        "logout": "login",
        "topology": "topology",
        "version": "version",
    },
    "container": {
        "attach": "attach",
        "cp": "copy",
        "create": "run",
        "exec": "exec",
        "export": "copy",
        "inspect": "container_inspect",
        "kill": "lifecycle",
        "logs": "logs",
        "ls": "ps",
        "pause": "lifecycle",
        "port": "container_inspect",
        "prune": "lifecycle",
        "rename": "lifecycle",
        "restart": "lifecycle",
        "rm": "lifecycle",
        "run": "run",
        "start": "attach",
        "stats": "stats",
        "stop": "lifecycle",
        "top": "container_inspect",
        "unpause": "lifecycle",
        "update": "update",
        "wait": "lifecycle",
    },
    "image": {
        "history": "image_list",
        "import": "image_transfer",
        "inspect": "image_list",
        "load": "image_transfer",
        "ls": "image_list",
        "prune": "image",
        "pull": "image_transfer",
        "push": "image_transfer",
        "rm": "image",
        "save": "image_transfer",
        "tag": "image",
    },
    "lab": {
        **dict.fromkeys(("cut", "env", "exec", "heal", "kill", "ls", "pause", "reboot", "resume", "start"), "lab"),
        **dict.fromkeys(("down", "load", "up"), "lab_up"),
    },
    "network": dict.fromkeys(("connect", "create", "disconnect", "inspect", "ls", "prune", "rm"), "network"),
    "node": dict.fromkeys(("demote", "inspect", "ls", "promote", "ps", "rm", "update"), "node"),
    "service": {
        "create": "service_create",
        "inspect": "service_inspect",
        "logs": "service_logs",
        "ls": "service",
        "ps": "service",
        "rm": "service",
        "rollback": "service_update",
        "scale": "service_update",
        "update": "service_update",
    },
    "state": dict.fromkeys(("export", "import"), "state"),
    "swarm": dict.fromkeys(("ca", "init", "join", "join-token", "leave", "update"), "swarm"),
    "system": {"df": "df", "events": "events", "info": "info", "prune": "system_prune"},
    "volume": dict.fromkeys(("create", "inspect", "ls", "prune", "rm"), "volume"),
}

ALIASES: dict[str, dict[str, str]] = {
    "container": {"list": "ls", "ps": "ls", "remove": "rm"},
    "image": {"list": "ls", "remove": "rm"},
    "lab": {"list": "ls"},
    "network": {"list": "ls", "remove": "rm"},
    "node": {"list": "ls", "remove": "rm"},
    "service": {"list": "ls", "remove": "rm"},
    "volume": {"list": "ls", "remove": "rm"},
}

# Verbs that stand for a noun's command.
SHORTHANDS: dict[str, tuple[str, str]] = {
    **{verb: ("container", verb) for verb in MODULES["container"] if verb not in ("ls", "inspect", "prune")},
    **{verb: ("image", verb) for verb in ("history", "import", "load", "pull", "push", "save", "tag")},
    "events": ("system", "events"),
    "images": ("image", "ls"),
    "info": ("system", "info"),
    "ps": ("container", "ls"),
    "rmi": ("image", "rm"),
}

COMMON = ("run", "exec", "ps", "pull", "push", "images", "login", "logout", "version", "info")
SWARM = ("node", "service", "state", "swarm")


def locate(words: list[str]) -> tuple[str, str, int] | None:
    """The noun, the command and how many words named it; None when there is no such command."""
    first = words[0]
    if first in MODULES[""]:
        return "", first, 1
    if first in SHORTHANDS:
        return *SHORTHANDS[first], 1
    if first in NOUNS and len(words) > 1:
        verb = ALIASES.get(first, {}).get(words[1], words[1])
        if verb in MODULES[first]:
            return first, verb, 2
    return None


def names_of(noun: str, verb: str) -> list[str]:
    """All forms by which a command can be called, the noun's first."""
    if not noun:
        return [verb]
    names = [f"{noun} {verb}"]
    names += [f"{noun} {alias}" for alias, target in ALIASES.get(noun, {}).items() if target == verb]
    return names + [short for short, target in SHORTHANDS.items() if target == (noun, verb)]
