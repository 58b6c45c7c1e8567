"""Placeholders in a service's hostname, env and mounts: ``{{.Service.Name}}``, ``{{.Task.Slot}}`` and their like.

``docker service create``, "Create services using templates": the fields of Service, Node and Task. What is none of
these stays as it is written.
"""

import re

from shoal.objects.task import Task

_FIELD = re.compile(r"\{\{\s*\.([A-Za-z.]+)\s*\}\}|\{\{\s*index\s+\.Service\.Labels\s+\"([^\"]+)\"\s*\}\}")


def expand(text: str, task: Task, *, node_hostname: str = "") -> str:
    """``text`` with the placeholders of a task filled in."""
    if "{{" not in text:
        return text
    values = {
        "Service.ID": task.service_id or "",
        "Service.Name": task.service_name or "",
        "Node.ID": task.node_id or "",
        "Node.Hostname": node_hostname,
        "Task.ID": task.id,
        "Task.Name": task.full_name,
        "Task.Slot": str(task.slot or ""),
    }

    def value(match: re.Match[str]) -> str:
        if match[2]:
            return match[0]
        return values.get(match[1], match[0])

    return _FIELD.sub(value, text)
