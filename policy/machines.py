"""Machines: their metadata service, their volumes, and an odd number of control planes.

Values that an instance would take from a launch template or from the account's defaults don't count for it:
what is not written down on the instance itself can change without a preview showing it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from policy.model import UNKNOWN, Finding, Resource, ResourceRule, StackRule, undecided, violation
from policy.tags import CLUSTER_TAG, CONTROL_PLANE, ROLE_TAG

INSTANCE = "aws:ec2/instance:Instance"
SPOT = "aws:ec2/spotInstanceRequest:SpotInstanceRequest"
TEMPLATE = "aws:ec2/launchTemplate:LaunchTemplate"
VOLUME = "aws:ebs/volume:Volume"


def _metadata(resource: Resource) -> Iterator[Finding]:
    """Pods must not get at the machine's role: session tokens only (IMDSv2), which no hop further can be had."""
    if resource.type not in (INSTANCE, SPOT, TEMPLATE):
        return
    options = resource.properties.get("metadataOptions") or {}
    if options is UNKNOWN:
        yield undecided(resource, "metadataOptions")
        return
    if options.get("httpEndpoint") == "disabled":
        return
    for key, wanted in (("httpTokens", "required"), ("httpPutResponseHopLimit", 1)):
        value = options.get(key)
        if value is UNKNOWN:
            yield undecided(resource, f"metadataOptions.{key}")
        elif value != wanted:
            yield violation(
                resource,
                f"metadataOptions.{key} is {'not set' if value is None else value}, so pods could take its role",
                f"set it to {wanted}",
            )


def _volumes(resource: Resource) -> Iterator[Finding]:
    for place, encrypted in _encryptions(resource):
        if encrypted is UNKNOWN:
            yield undecided(resource, place)
        elif encrypted not in (True, "true"):
            yield violation(
                resource, f"{place} is not true, so the volume would be unencrypted", "set it to true"
            )


def _encryptions(resource: Resource) -> Iterator[tuple[str, Any]]:
    """Each place where a resource says whether a volume is encrypted, and what it says."""
    given = resource.properties
    if resource.type == VOLUME:
        yield "encrypted", given.get("encrypted")
    elif resource.type in (INSTANCE, SPOT):
        yield "rootBlockDevice.encrypted", _inner(given.get("rootBlockDevice"), "encrypted")
        yield from _listed(given.get("ebsBlockDevices"), "ebsBlockDevices")
    elif resource.type == TEMPLATE:
        # Without a mapping the image decides, and an image may be unencrypted.
        mappings = given.get("blockDeviceMappings") or [{"ebs": {}}]
        if mappings is UNKNOWN:
            yield "blockDeviceMappings", UNKNOWN
            return
        for number, mapping in enumerate(mappings):
            ebs = _inner(mapping, "ebs")
            if ebs is not None:
                yield f"blockDeviceMappings[{number}].ebs.encrypted", _inner(ebs, "encrypted")


def _listed(devices: Any, place: str) -> Iterator[tuple[str, Any]]:
    if devices is UNKNOWN:
        yield place, UNKNOWN
        return
    for number, device in enumerate(devices or ()):
        yield f"{place}[{number}].encrypted", _inner(device, "encrypted")


def _inner(value: Mapping[str, Any] | Any, key: str) -> Any:
    """A key of a mapping that may be missing or not known."""
    return UNKNOWN if value is UNKNOWN else (value or {}).get(key)


def _odd_control_planes(resources: Sequence[Resource]) -> Iterator[Finding]:
    """An even number of etcd members bears no more losses than one less, and has more to lose."""
    counts: Counter[str] = Counter()
    example: dict[str, Resource] = {}
    for resource in (one for one in resources if one.type in (INSTANCE, SPOT)):
        tags = resource.tags
        if tags is UNKNOWN or UNKNOWN in (tags.get(ROLE_TAG), tags.get(CLUSTER_TAG)):
            yield undecided(resource, f"its tag {ROLE_TAG} or {CLUSTER_TAG}")
        elif tags.get(ROLE_TAG) == CONTROL_PLANE:
            cluster = str(tags.get(CLUSTER_TAG, ""))
            counts[cluster] += 1
            example.setdefault(cluster, resource)
    for cluster, count in counts.items():
        if count % 2 == 0:
            yield violation(
                example[cluster],
                f"is one of {count} control-plane machines of cluster {cluster}, an even number of etcd members",
                f"use {count - 1} or {count + 1} (controlPlane.count)",
            )


METADATA = ResourceRule(
    "no-imdsv1", "Instances give metadata to session tokens only, and to nothing a hop away.", _metadata
)
VOLUMES = ResourceRule("no-unencrypted-volumes", "Every volume is encrypted.", _volumes)
ODD_CONTROL_PLANES = StackRule(
    "no-even-control-plane", "The number of control-plane machines is odd.", _odd_control_planes
)
