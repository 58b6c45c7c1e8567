"""``--network`` of run and of services: a name, or ``name=NET,alias=A,ip=…,driver-opt=K=V``."""

from shoal.cli.texts import split_csv
from shoal.client.engine import Json
from shoal.errors import InvalidArgument


def parse_attachment(text: str) -> Json:
    """The API's NetworkAttachmentConfig with the addresses that only ``run`` knows. Raises InvalidArgument."""
    fields = split_csv(text)
    if "=" not in fields[0] or len(fields) == 1 and not fields[0].startswith("name="):
        return {"Target": text}
    attachment: Json = {"Target": ""}
    for field in fields:
        key, separator, value = field.partition("=")
        if not separator:
            raise InvalidArgument(f"invalid field {field}")
        match key.strip().lower():
            case "name":
                attachment["Target"] = value
            case "alias":
                attachment.setdefault("Aliases", []).append(value)
            case "driver-opt":
                option, _, content = value.partition("=")
                attachment.setdefault("DriverOpts", {})[option] = content
            case "ip":
                attachment["IPv4Address"] = value
            case "ip6":
                attachment["IPv6Address"] = value
            case "link-local-ip":
                attachment.setdefault("LinkLocalIPs", []).append(value)
            case "mac-address":
                attachment["MacAddress"] = value
            case "gw-priority":
                attachment["GwPriority"] = int(value)
            case _:
                raise InvalidArgument(f"invalid field key {key}")
    if not attachment["Target"]:
        raise InvalidArgument("network name/id is not specified")
    return attachment


def endpoint_settings(attachment: Json) -> Json:
    """The API's EndpointSettings of a parsed ``--network``."""
    settings: Json = {
        key: attachment[key]
        for key in ("Aliases", "DriverOpts", "MacAddress", "GwPriority", "Links")
        if attachment.get(key)
    }
    ipam = {key: attachment[key] for key in ("IPv4Address", "IPv6Address", "LinkLocalIPs") if attachment.get(key)}
    return settings | ({"IPAMConfig": ipam} if ipam else {})
