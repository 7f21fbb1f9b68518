"""Rules between settings on platform `aws`, and that what only `aws` has stands nowhere else.

Nothing here asks AWS: whether a zone, an image or an instance type exists is told by the first preview.
"""

from __future__ import annotations

from config.aws_access_contradictions import access_findings
from config.aws_machine_contradictions import machine_findings
from config.aws_models import AwsPlatform
from config.aws_network_contradictions import network_findings
from config.mistakes import Finding, Findings, Path
from config.models import Settings

_RESERVED_TAGS = ("hardway.dev/", "kubernetes.io/cluster/")
_MOST_TAGS = 40
"""AWS takes 50 on one thing (General Reference, "Tagging"); the rest is for Hardway's and the cloud controller's."""


def aws_findings(settings: Settings, platform: AwsPlatform) -> Findings:
    """What is wrong between the settings of `aws`, and between them and others."""
    yield from network_findings(settings, platform)
    yield from access_findings(settings, platform)
    yield from machine_findings(settings, platform)
    yield from _tags(platform)


def foreign_findings(settings: Settings) -> Findings:
    """What only `aws` has, on another platform."""
    chosen: list[Path] = [("controlPlane", "aws")] if settings.control_plane.aws else []
    chosen += [("workerPools", index, "aws") for index, pool in enumerate(settings.worker_pools) if pool.aws]
    for path in chosen:
        reason = f"is for 'kind: aws' only, and platform.kind is {settings.platform.kind}; remove it"
        yield Finding(path, reason, (("platform",),))


def _tags(platform: AwsPlatform) -> Findings:
    place: Path = ("platform", "tags")
    for key in platform.tags:
        if key == "Name" or key.startswith(_RESERVED_TAGS):
            yield Finding((*place, key), "is a tag that Hardway sets itself; choose another key")
    if len(platform.tags) > _MOST_TAGS:
        reason = f"{len(platform.tags)} tags; AWS takes 50 with Hardway's own, use at most {_MOST_TAGS}"
        yield Finding(place, reason)
