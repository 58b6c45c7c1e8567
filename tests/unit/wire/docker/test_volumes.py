"""Volumes as answered."""

import json

from shoal.objects.base import encode
from shoal.objects.volume import Volume, VolumeUsage
from shoal.wire.docker.volumes import VolumeList, VolumesPruned

VOL = Volume(name="vol", mountpoint="/var/lib/docker/volumes/vol/_data", created_at="2026-11-23T19:17:57Z")


def test_the_list_is_dockerds() -> None:
    text = (
        '{"Volumes":[{"CreatedAt":"2026-11-23T19:17:57Z","Driver":"local","Labels":null,'
        '"Mountpoint":"/var/lib/docker/volumes/vol/_data","Name":"vol","Options":null,"Scope":"local"}],"Warnings":null}'
    )
    assert encode(VolumeList([VOL])).decode() == text


def test_usage_and_what_was_pruned() -> None:
    volume = Volume(name="vol", mountpoint="/x", created_at="", usage_data=VolumeUsage(5, 1))
    assert json.loads(encode(volume))["UsageData"] == {"Size": 5, "RefCount": 1}
    assert json.loads(encode(VolumesPruned(["vol"], 3))) == {"VolumesDeleted": ["vol"], "SpaceReclaimed": 3}
