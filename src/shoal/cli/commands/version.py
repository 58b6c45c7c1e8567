"""``shoal version``."""

import os
import sys
import time

from shoal.cli.command import Arguments, Command
from shoal.cli.context import Context
from shoal.cli.inspection import show_one
from shoal.cli.kinds import text_flag
from shoal.cli.quantities import parse_time
from shoal.client.engine import Json
from shoal.errors import ShoalError
from shoal.version import API_VERSION, VERSION

DETAIL_TITLES = {
    "ApiVersion": "API version",
    "GoVersion": "Go version",
    "GitCommit": "Git commit",
    "BuildTime": "Built",
    "Experimental": "Experimental",
}


def client_version(version: str) -> Json:
    """What this client is."""
    machine = {"x86_64": "amd64", "aarch64": "arm64"}.get(os.uname().machine, os.uname().machine)
    return {
        "Version": VERSION,
        "ApiVersion": version,
        "DefaultAPIVersion": API_VERSION,
        "PythonVersion": ".".join(str(number) for number in sys.version_info[:3]),
        "Os": "linux",
        "Arch": machine,
        "Context": "default",
    }


def _client_lines(client: Json) -> list[str]:
    api = client["ApiVersion"]
    if api != API_VERSION:
        api += f" (downgraded from {API_VERSION})"
    rows = [
        ("Version", client["Version"]),
        ("API version", api),
        ("Python version", client["PythonVersion"]),
        ("OS/Arch", f"{client['Os']}/{client['Arch']}"),
        ("Context", client["Context"]),
    ]
    return ["Client:", *(f" {name + ':':<18}{value}" for name, value in rows)]


def _server_lines(server: Json) -> list[str]:
    lines = [f"Server: {(server.get('Platform') or {}).get('Name', '')}".rstrip()]
    for component in server.get("Components") or ():
        details = component.get("Details") or {}
        lines.append(f" {component['Name']}:")
        rows = [("Version", component["Version"])]
        if component["Name"] == "Engine":
            minimum = details.get("MinAPIVersion")
            api = details.get("ApiVersion", "") + (f" (minimum version {minimum})" if minimum else "")
            rows.append(("API version", api))
            rows += [
                (title, details.get(key, ""))
                for key, title in DETAIL_TITLES.items()
                if key in ("GoVersion", "GitCommit", "BuildTime")
            ]
            rows.append(("OS/Arch", f"{details.get('Os', '')}/{details.get('Arch', '')}"))
            rows.append(("Experimental", details.get("Experimental", "")))
        else:
            rows += sorted(details.items())
        lines += [f"  {name + ':':<17}{value}" for name, value in rows]
    return lines


def ansi_time(text: str) -> str:
    """An RFC 3339 time as C's asctime(3) writes it; what is none stays as it is."""
    try:
        return time.asctime(time.gmtime(parse_time(text)))
    except ValueError:
        return text


def run_version(ctx: Context, args: Arguments) -> int:
    """Print the versions of client and daemon."""
    problem = ""
    try:
        server = ctx.engine.get("/version")
        for component in server.get("Components") or ():
            if built := (component.get("Details") or {}).get("BuildTime"):
                component["Details"]["BuildTime"] = ansi_time(built)
        client = client_version(ctx.engine.version)
    except ShoalError as error:
        server, client, problem = None, client_version(API_VERSION), str(error)
    if form := args.text("format"):
        show_one(ctx, {"Client": client, "Server": server}, form)
    else:
        ctx.out("\n".join(_client_lines(client)))
        if server:
            ctx.out("\n" + "\n".join(_server_lines(server)))
    if problem:
        ctx.err(problem)
        return 1
    return 0


COMMANDS = (
    Command(
        "version",
        "Show the Shoal version information",
        run_version,
        most=0,
        flags=(text_flag("format", "Output format: 'json' or a Go template", "f"),),
        examples=("version", "version -f '{{.Server.Version}}'"),
    ),
)
