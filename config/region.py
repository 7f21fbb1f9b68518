"""Pulumi's own key `aws:region`, which stands beside the settings in the stack's file.

Whether AWS has such a region, and whether the account may use it, is told by the first preview.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from config.fields import REGION
from config.mistakes import Problem, SettingsError

REGION_KEY = "aws:region"
_ZONE = re.compile(rf"({REGION.pattern})([a-z]|(-[a-z0-9]+)+)", re.ASCII)
"""An availability zone (eu-central-1a), a Local Zone or a Wavelength Zone (us-west-2-lax-1a)."""


FOREIGN_KEYS = (
    "accessKey", "allowedAccountIds", "assumeRole", "assumeRoles", "defaultTags", "endpoints", "forbiddenAccountIds",
    "profile", "secretKey", "sharedConfigFiles", "sharedCredentialsFiles", "token",
)  # fmt: skip
"""Keys of Pulumi's own AWS provider, which Hardway does not use: its provider is made with region and tags."""


def is_on_aws(cluster: object) -> bool:
    """Whether unchecked settings of a cluster ask for `aws`, whatever else may be wrong with them."""
    platform = cluster.get("platform") if isinstance(cluster, Mapping) else None
    return isinstance(platform, Mapping) and platform.get("kind") == "aws"


def provider_problems(value_of: Mapping[str, object]) -> list[Problem]:
    """What is wrong with the keys of Pulumi's AWS provider in a stack.

    Args:
        value_of: values of those that are there, by their names below `aws:`.
    """
    foreign = foreign_problems(key for key in FOREIGN_KEYS if key in value_of)
    return [*region_problems(value_of.get("region")), *foreign]


def foreign_problems(present: Iterable[str]) -> list[Problem]:
    """Keys beside `aws:region` that would silently do nothing.

    Args:
        present: names below `aws:` that have a value.
    """
    reason = (
        "is not read: Hardway's provider takes the region from here and the account from the environment; remove it and"
        " export AWS_PROFILE (a profile may assume a role), or write platform.tags for tags"
    )
    return [(f"config.aws:{key}", reason) for key in present]


def check_region(region: object, source: str) -> str:
    """The region, once it has the form of one.

    Args:
        region: value of `aws:region`, or None.
        source: what to call the stack's file in errors, such as `Pulumi.dev.yaml`.

    Raises:
        SettingsError: it is missing, or something else stands in its place.
    """
    problems = region_problems(region)
    if problems:
        raise SettingsError(source, problems)
    return str(region)


def region_problems(region: object) -> list[Problem]:
    """What is wrong with a value of `aws:region`."""
    place = f"config.{REGION_KEY}"
    if region is None or region == "":
        reason = (
            f"is missing; write `{REGION_KEY}: eu-central-1` beside hardway:cluster, or run `pulumi config set"
            f" {REGION_KEY} eu-central-1`, with the region of your choice"
        )
        return [(place, reason)]
    if not isinstance(region, str):
        return [(place, "has to be text: " + REGION.form)]
    if re.fullmatch(REGION.pattern, region, re.ASCII):
        return []
    zone = _ZONE.fullmatch(region)
    if zone:
        return [(place, f"is a zone, and machines are spread over a region's zones; write {zone[1]}")]
    return [(place, REGION.wrong)]
