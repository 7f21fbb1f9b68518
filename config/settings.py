"""Settings from the stack's structured value, checked before anything is touched.

`load_settings` turns `hardway:cluster` into `Settings` or raises one `SettingsError` that lists every
mistake with its place, its reason and the way out. Whether a key file exists is not asked here: that is the
fleet's business.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from config.aws_models import AwsControlPlane, AwsPlatform, AwsWorkers
from config.contradictions import contradictions, findings, machine_counts
from config.mistakes import Path, Problem, SettingsError, closest_key, path_of, place_of, reason_of
from config.model import Model
from config.models import (
    CONTROL_PLANE_MAXIMUM,
    CONTROL_PLANE_OFFSET,
    GRACE_SECONDS_DEFAULT,
    LEASE_SECONDS_DEFAULT,
    LOAD_BALANCER_OFFSET,
    POOL_BLOCK,
    POOL_OFFSET,
    AddOns,
    Artifacts,
    CertificateSettings,
    Cni,
    Component,
    ControlPlaneSettings,
    EtcdSettings,
    Host,
    HostsPlatform,
    KubeletSettings,
    Kubernetes,
    LabPlatform,
    NetworkSettings,
    Platform,
    Settings,
    Ssh,
    Taint,
    WorkerPoolSettings,
    network_policies_from_image,
    storage_add_on,
)
from config.salvage import salvage, validate

__all__ = [
    "CONTROL_PLANE_MAXIMUM",
    "CONTROL_PLANE_OFFSET",
    "GRACE_SECONDS_DEFAULT",
    "LEASE_SECONDS_DEFAULT",
    "LOAD_BALANCER_OFFSET",
    "POOL_BLOCK",
    "POOL_OFFSET",
    "AddOns",
    "Artifacts",
    "AwsControlPlane",
    "AwsPlatform",
    "AwsWorkers",
    "CertificateSettings",
    "Cni",
    "Component",
    "ControlPlaneSettings",
    "EtcdSettings",
    "Host",
    "HostsPlatform",
    "KubeletSettings",
    "Kubernetes",
    "LabPlatform",
    "Model",
    "NetworkSettings",
    "Platform",
    "Problem",
    "Settings",
    "SettingsError",
    "Ssh",
    "Taint",
    "WorkerPoolSettings",
    "contradictions",
    "load_settings",
    "machine_counts",
    "network_policies_from_image",
    "storage_add_on",
]


def load_settings(value: object, source: str, around: Sequence[Problem] = ()) -> Settings:
    """Check the stack's structured value.

    Args:
        value: the parsed `hardway:cluster` (a mapping).
        source: what to call it in errors, such as `Pulumi.dev.yaml`.
        around: what is wrong beside it, such as a missing region; told in the same run.

    Raises:
        SettingsError: with every mistake that can be told at once.
    """
    if not isinstance(value, Mapping):
        problem = ("cluster", "has to be a mapping; Pulumi.lab.yaml shows one that works")
        raise SettingsError(source, [*around, problem])
    try:
        settings = validate(dict(value))
    except ValidationError as error:
        details = error.errors(include_url=False)
        problems = [(place_of(path_of(detail["loc"])), reason_of(detail)) for detail in details]
        raise SettingsError(source, [*around, *problems, *_further_problems(dict(value), details)]) from None
    problems = [*around, *contradictions(settings)]
    if problems:
        raise SettingsError(source, problems)
    return settings


def _further_problems(value: Mapping[str, object], details: list[ErrorDetails]) -> Iterator[Problem]:
    """Contradictions between the values that are good."""
    bad = [path_of(detail["loc"]) for detail in details]
    rest = salvage(value, bad)
    if rest is None:
        return
    doubtful = [*bad, *_probably_meant(details)]
    for finding in findings(rest.settings):
        path = rest.path_in_file(finding.path)
        grounds = [path, *map(rest.path_in_file, finding.involves)]
        if not any(_touch(ground, place) for ground in grounds for place in doubtful):
            yield place_of(path), finding.reason


def _probably_meant(details: list[ErrorDetails]) -> Iterator[Path]:
    """Places whose values are lost since their keys were misspelt."""
    for detail in details:
        guess = closest_key(detail["loc"]) if detail["type"] == "extra_forbidden" else None
        if guess:
            yield (*path_of(detail["loc"])[:-1], guess)


def _touch(one: Path, other: Path) -> bool:
    """Whether one of two places lies in the other."""
    shorter = min(len(one), len(other))
    return one[:shorter] == other[:shorter]
