"""Secrets and configs: data that a service's containers find as files."""

from shoal.objects.base import Object
from shoal.objects.meta import Driver, Version


class SecretSpec(Object, frozen=True):
    """``data`` is base64 and is never sent back to a client."""

    name: str = ""
    labels: dict[str, str] | None = None
    data: str | None = None
    driver: Driver | None = None
    templating: Driver | None = None


class Secret(Object, frozen=True):
    id: str
    version: Version = Version()
    created_at: str = ""
    updated_at: str = ""
    spec: SecretSpec = SecretSpec()


class ConfigSpec(Object, frozen=True):
    """``data`` is base64."""

    name: str = ""
    labels: dict[str, str] | None = None
    data: str | None = None
    templating: Driver | None = None


class Config(Object, frozen=True):
    id: str
    version: Version = Version()
    created_at: str = ""
    updated_at: str = ""
    spec: ConfigSpec = ConfigSpec()
