"""``shoal login`` and ``logout``."""

import base64
import getpass
import sys

from shoal.cli.command import Arguments, Command
from shoal.cli.context import Context
from shoal.cli.kinds import switch, text_flag
from shoal.client.registry import HUB, save_config
from shoal.errors import InvalidArgument


def server_of(words: list[str]) -> str:
    """The registry's key in the configuration: its host, or Docker Hub's URL."""
    if not words or words[0] in ("docker.io", "index.docker.io", "registry-1.docker.io"):
        return HUB
    return words[0].removeprefix("https://").removeprefix("http://").partition("/")[0]


def run_login(ctx: Context, args: Arguments) -> int:
    """Have the daemon try credentials at a registry, and keep them."""
    server, user, password = server_of(args.words), args.text("username"), args.text("password")
    if args.on("password-stdin"):
        if password:
            raise InvalidArgument("--password and --password-stdin are mutually exclusive")
        if not user:
            raise InvalidArgument("Must provide --username with --password-stdin")
        password = sys.stdin.read().rstrip("\r\n")
    elif password:
        ctx.err("WARNING! Using --password via the CLI is insecure. Use --password-stdin.")
    if not user or not password:
        if not sys.stdin.isatty():
            raise InvalidArgument("Error: Cannot perform an interactive login from a non TTY device")
        user = user or input("Username: ").strip()
        password = password or getpass.getpass("Password: ")
    if not user or not password:
        raise InvalidArgument("Error: Username and password required")
    answer = ctx.engine.post("/auth", body={"username": user, "password": password, "serveraddress": server})
    entry = {"auth": base64.b64encode(f"{user}:{password}".encode()).decode()}
    if answer and answer.get("IdentityToken"):
        entry = {"auth": base64.b64encode(f"{user}:".encode()).decode(), "identitytoken": answer["IdentityToken"]}
    config = ctx.config
    config.setdefault("auths", {})[server] = entry
    save_config(ctx.config_dir, config)
    ctx.out((answer or {}).get("Status") or "Login Succeeded")
    return 0


def run_logout(ctx: Context, args: Arguments) -> int:
    """Forget the credentials of a registry."""
    server = server_of(args.words)
    config = ctx.config
    if config.get("auths", {}).pop(server, None) is None:
        ctx.out(f"Not logged in to {server}")
        return 0
    ctx.out(f"Removing login credentials for {server}")
    save_config(ctx.config_dir, config)
    return 0


COMMANDS = (
    Command(
        "login",
        "Authenticate to a registry",
        run_login,
        "[SERVER]",
        most=1,
        flags=(
            text_flag("password", "Password or personal access token", "p"),
            switch("password-stdin", "Read the password from STDIN"),
            text_flag("username", "Username", "u"),
        ),
        examples=("login registry.example:5000", "login -u me --password-stdin < token"),
        detail="Without a server, Docker Hub is meant.",
    ),
    Command(
        "logout",
        "Log out from a registry",
        run_logout,
        "[SERVER]",
        most=1,
        examples=("logout registry.example:5000",),
    ),
)
