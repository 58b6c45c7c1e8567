"""Credentials of registries: Docker's ``config.json``, and the header that carries them to the daemon."""

import base64
import json
import os
from typing import Any

from shoal.errors import Internal

HUB = "https://index.docker.io/v1/"


def config_directory(chosen: str = "") -> str:
    """Where ``config.json`` is: what the user chose, ``$DOCKER_CONFIG``, ``~/.docker``."""
    return chosen or os.environ.get("DOCKER_CONFIG") or os.path.expanduser("~/.docker")


def load_config(directory: str) -> dict[str, Any]:
    """The configuration file's content; empty when there is none. Raises Internal when it is no JSON."""
    path = os.path.join(directory, "config.json")
    try:
        with open(path, encoding="utf-8") as file:
            content: dict[str, Any] = json.load(file)
    except FileNotFoundError:
        return {}
    except ValueError as error:
        raise Internal(f"loading config file: {path}: {error}") from error
    return content


def save_config(directory: str, config: dict[str, Any]) -> None:
    """Replace the configuration file, readable by its owner alone."""
    os.makedirs(directory, mode=0o700, exist_ok=True)
    path = os.path.join(directory, "config.json")
    scratch = f"{path}.{os.getpid()}"
    with open(os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
        json.dump(config, file, indent="\t")
    os.replace(scratch, path)


def registry_of(image: str) -> str:
    """The key under which the credentials for an image's registry are kept."""
    first, separator, _ = image.partition("/")
    if not separator or not (set(".:") & set(first) or first == "localhost"):
        return HUB
    return HUB if first in ("docker.io", "index.docker.io") else first


def auth_of(config: dict[str, Any], registry: str) -> dict[str, str]:
    """The stored credentials for a registry, as the API's AuthConfig; empty when there are none."""
    entry = config.get("auths", {}).get(registry)
    if entry is None:
        return {}
    found = {"serveraddress": registry}
    if auth := entry.get("auth"):
        user, _, password = base64.b64decode(auth).decode().partition(":")
        found |= {"username": user, "password": password.rstrip("\0")}
    if token := entry.get("identitytoken"):
        found["identitytoken"] = token
    return found


def auth_header(auth: dict[str, str]) -> dict[str, str]:
    """The ``X-Registry-Auth`` header (base64url of the JSON; Engine API, "Authentication")."""
    return {"X-Registry-Auth": base64.urlsafe_b64encode(json.dumps(auth).encode()).decode()}
