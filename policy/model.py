"""Resources as rules see them, and what rules find. Plain values: nothing of Pulumi is imported here."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Final


class Unknown(Enum):
    """The type of a value that a preview can't know yet."""

    UNKNOWN = "unknown"


UNKNOWN: Final = Unknown.UNKNOWN

PROVIDER: Final = "pulumi:providers:aws"
"""Type of the resource that holds the AWS provider's settings."""


@dataclass(frozen=True)
class Resource:
    """One resource.

    Attributes:
        type: its token, such as `aws:ec2/instance:Instance`.
        name: its logical name.
        properties: inputs in the provider's own words; what is not known yet is `UNKNOWN`.
        default_tags: tags that its provider adds, see `default_tags_of`.
    """

    type: str
    name: str
    properties: Mapping[str, Any]
    default_tags: Mapping[str, Any] | Unknown = field(default_factory=dict)

    @property
    def tags(self) -> dict[str, Any] | Unknown:
        """The tags that AWS will see: the provider's, and its own over them."""
        result: dict[str, Any] = {}
        for tags in (self.default_tags, self.properties.get("tags"), self.properties.get("tagsAll")):
            if tags is UNKNOWN:
                return UNKNOWN
            result |= dict(tags or {})
        return result


@dataclass(frozen=True)
class Finding:
    """One thing that a rule has to say.

    Attributes:
        resource: type and name of the resource.
        reason: what is wrong with it, or can't be judged.
        way_out: what to do about it.
        known: False if a value is not known before `up`, so that only `up` can judge; True for a violation.
    """

    resource: str
    reason: str
    way_out: str
    known: bool = True

    def __str__(self) -> str:
        """Place, reason and way out in a line."""
        return f"{self.resource}: {self.reason}; {self.way_out}"


def violation(resource: Resource, reason: str, way_out: str) -> Finding:
    """What must not be."""
    return Finding(f"{resource.type} {resource.name}", reason, way_out)


def undecided(resource: Resource, value: str) -> Finding:
    """What can't be judged yet, because the named value is not known."""
    reason = f"{value} is not known in a preview"
    return Finding(
        f"{resource.type} {resource.name}", reason, "the pack judges it during 'pulumi up'", known=False
    )


@dataclass(frozen=True)
class ResourceRule:
    """A rule that judges each resource by itself.

    Attributes:
        name: its identifier in the pack.
        description: what it rejects, in a sentence.
        check: gives the findings of one resource.
    """

    name: str
    description: str
    check: Callable[[Resource], Iterator[Finding]]


@dataclass(frozen=True)
class StackRule:
    """A rule that judges all resources together; fields as in `ResourceRule`."""

    name: str
    description: str
    check: Callable[[Sequence[Resource]], Iterator[Finding]]


def default_tags_of(provider: Mapping[str, Any]) -> dict[str, Any] | Unknown:
    """The tags that an AWS provider adds to all it makes.

    Args:
        provider: properties of a `pulumi:providers:aws`; `defaultTags` is JSON there, as any nested value is.
    """
    value = provider.get("defaultTags") or {}
    if isinstance(value, str):
        value = json.loads(value)
    tags = value if value is UNKNOWN else value.get("tags") or {}
    return tags if tags is UNKNOWN else dict(tags)
