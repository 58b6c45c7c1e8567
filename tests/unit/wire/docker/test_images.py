"""Images as answered, against dockerd's answer for the same one."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from tests.fakes.image_records import ID, image

from shoal.container.image.config import RunConfig
from shoal.container.images import HistoryItem
from shoal.objects.base import encode
from shoal.objects.image import ImagePruneResult
from shoal.wire.docker.images import history, inspect, pruned, summary

OLD, NEW = (1, 41), (1, 50)


def answered(value: object) -> Any:
    return json.loads(encode(value))


def test_an_inspected_image_is_dockerds() -> None:
    expected = json.loads((Path(__file__).parent / "dockerd" / "image.json").read_text())
    got = answered(inspect(image("bb:latest"), OLD))
    assert got.pop("GraphDriver") and expected.pop("GraphDriver")  # the image store is another
    tagged, created = got["Metadata"].pop("LastTagTime"), got.pop("Created")
    assert tagged[:26] == expected["Metadata"].pop("LastTagTime")[:26]
    assert created[:19] == expected.pop("Created")[:19]
    assert got == expected


def test_newer_clients_are_told_less() -> None:
    got = answered(inspect(image("bb:latest"), NEW))
    assert got["Config"] == {"Cmd": ["sh"]}
    assert {"VirtualSize", "ContainerConfig", "Container"}.isdisjoint(got)


def test_a_list_entry_is_dockerds() -> None:
    assert answered(summary(image("bb:latest"), OLD)) == {
        "Containers": -1,
        "Created": 1795461337,
        "Id": ID,
        "Labels": None,
        "ParentId": "",
        "RepoDigests": [],
        "RepoTags": ["bb:latest"],
        "SharedSize": -1,
        "Size": 1982305,
        "VirtualSize": 1982305,
    }


def test_one_without_a_name() -> None:
    old, new = answered(summary(image(), OLD)), answered(summary(image(), NEW))
    assert (old["RepoTags"], old["RepoDigests"]) == (["<none>:<none>"], ["<none>@<none>"])
    assert (new["RepoTags"], new["RepoDigests"]) == ([], [])
    assert "VirtualSize" not in new


def test_labels_and_an_image_without_a_date() -> None:
    got = answered(summary(image(config=RunConfig(labels={"a": "b"}), created=None), NEW))
    assert (got["Labels"], got["Created"]) == ({"a": "b"}, 0)


def test_history() -> None:
    step = HistoryItem(ID, "2026-11-23T19:15:37.006547311Z", "", "Imported from -", ("bb:latest",), 1982305)
    assert answered(history([step, replace(step, id="<missing>", tags=())])) == [
        {
            "Comment": "Imported from -",
            "Created": 1795461337,
            "CreatedBy": "",
            "Id": ID,
            "Size": 1982305,
            "Tags": ["bb:latest"],
        },
        {
            "Comment": "Imported from -",
            "Created": 1795461337,
            "CreatedBy": "",
            "Id": "<missing>",
            "Size": 1982305,
            "Tags": None,
        },
    ]


def test_nothing_pruned() -> None:
    assert answered(pruned(ImagePruneResult([]))) == {"ImagesDeleted": None, "SpaceReclaimed": 0}
