"""Credentials for a registry, as clients send them in ``X-Registry-Auth`` and to ``/auth``."""

import msgspec


class AuthConfig(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, rename="lower"):
    """A user's name and password, or a token in their place; ``serveraddress`` is the registry's host."""

    username: str = ""
    password: str = ""
    auth: str = ""
    email: str = ""
    serveraddress: str = ""
    identitytoken: str = ""
    registrytoken: str = ""


class AuthAnswer(msgspec.Struct, frozen=True, kw_only=True, rename={"status": "Status", "token": "IdentityToken"}):
    """What ``/auth`` answers; ``token`` stands in for the password from then on, where the registry gives one."""

    status: str
    token: str = ""
