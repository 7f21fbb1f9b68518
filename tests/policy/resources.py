"""Resources of AWS that every rule is content with, to be changed for the worse."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

from policy.ingress import VPC_RULE
from policy.machines import INSTANCE, TEMPLATE, VOLUME
from policy.model import Resource
from policy.rules import evaluate

DEFAULTS = {"hardway.dev/cluster": "dev"}

GOOD: dict[str, dict[str, Any]] = {
    INSTANCE: {
        "metadataOptions": {
            "httpEndpoint": "enabled",
            "httpTokens": "required",
            "httpPutResponseHopLimit": 1,
        },
        "rootBlockDevice": {"encrypted": True, "volumeType": "gp3"},
        "tags": {"Name": "dev-cp-0", "hardway.dev/role": "control-plane"},
    },
    TEMPLATE: {
        "metadataOptions": {"httpTokens": "required", "httpPutResponseHopLimit": 1},
        "blockDeviceMappings": [{"deviceName": "/dev/xvda", "ebs": {"encrypted": "true"}}],
    },
    VOLUME: {"availabilityZone": "eu-central-1a", "encrypted": True},
    VPC_RULE: {"ipProtocol": "tcp", "fromPort": 22, "toPort": 22, "cidrIpv4": "198.51.100.0/24"},
}


def resource(type_: str, name: str = "one", *, defaults: Any = DEFAULTS, **changes: Any) -> Resource:
    """A good resource of a type with properties replaced; None removes one."""
    properties = {**copy.deepcopy(GOOD.get(type_, {})), **changes}
    return Resource(type_, name, {key: one for key, one in properties.items() if one is not None}, defaults)


def found(*resources: Resource) -> list[tuple[str, str, bool]]:
    """What rules find: their name, the reason, and whether it is a violation."""
    return [(rule, finding.reason, finding.known) for rule, finding in evaluate(resources)]


def violated(*resources: Resource) -> set[str]:
    """Names of the rules that are violated."""
    return {rule for rule, _, known in found(*resources) if known}


def with_properties(one: Resource, properties: Mapping[str, Any]) -> Resource:
    """The same resource with other properties."""
    return Resource(one.type, one.name, properties, one.default_tags)
