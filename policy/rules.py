"""All rules, and their evaluation over any resources; pure, for the pack, the command and the tests alike."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from policy.ingress import WORLD_OPEN
from policy.machines import METADATA, ODD_CONTROL_PLANES, VOLUMES
from policy.model import UNKNOWN, Finding, Resource, ResourceRule, StackRule
from policy.tags import TAGS

RESOURCE_RULES: tuple[ResourceRule, ...] = (WORLD_OPEN, METADATA, VOLUMES, TAGS)
STACK_RULES: tuple[StackRule, ...] = (ODD_CONTROL_PLANES,)

__all__ = ["RESOURCE_RULES", "STACK_RULES", "UNKNOWN", "Finding", "Resource", "evaluate"]


def evaluate(resources: Iterable[Resource]) -> Iterator[tuple[str, Finding]]:
    """Every finding of every rule.

    Args:
        resources: all of a stack.

    Yields:
        The rule's name and what it found.
    """
    everything = tuple(resources)
    for rule in RESOURCE_RULES:
        for resource in everything:
            for finding in rule.check(resource):
                yield rule.name, finding
    for stack_rule in STACK_RULES:
        for finding in stack_rule.check(everything):
            yield stack_rule.name, finding
