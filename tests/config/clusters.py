"""Clusters that tests start from: the lab's own stack file, and hosts."""

from __future__ import annotations

import copy
import hashlib
from pathlib import Path
from typing import Any

import yaml

from config.plan import ClusterPlan, plan_cluster
from config.settings import load_settings
from config.stack_file import KEY
from config.versions import (
    ARCHITECTURES,
    ARTIFACTS,
    KUBERNETES_BINARIES,
    KUBERNETES_SUPPORTED,
    kubernetes_artifact,
)

PROJECT = Path(__file__).parents[2]
LAB_FILE = PROJECT / "Pulumi.lab.yaml"
HOSTS_FILE = PROJECT / "Pulumi.hosts.example.yaml"
AWS_FILE = PROJECT / "Pulumi.dev.yaml"
PROD_FILE = PROJECT / "Pulumi.prod.example.yaml"
REGION = "eu-central-1"
"""What both of the AWS files name."""


def cluster_of(path: Path) -> dict[str, Any]:
    """A fresh copy of a stack file's structured value."""
    value: dict[str, Any] = yaml.safe_load(path.read_text())["config"][KEY]
    return copy.deepcopy(value)


def lab(**changes: Any) -> dict[str, Any]:
    """The lab's settings with whole sections replaced."""
    return {**cluster_of(LAB_FILE), **changes}


def hosts(**changes: Any) -> dict[str, Any]:
    """The hosts example's settings with whole sections replaced."""
    return {**cluster_of(HOSTS_FILE), **changes}


def dev(**changes: Any) -> dict[str, Any]:
    """The small AWS cluster's settings with a digest for everything and whole sections replaced."""
    return {**cluster_of(AWS_FILE), "artifacts": {"digests": any_digests()}, **changes}


def prod(**changes: Any) -> dict[str, Any]:
    """The large AWS cluster's settings with a digest for everything and whole sections replaced."""
    return {**cluster_of(PROD_FILE), "artifacts": {"digests": any_digests()}, **changes}


def any_digests() -> dict[str, str]:
    """A digest, of no real file, for every artifact that Hardway knows."""
    kubernetes = [
        kubernetes_artifact(name, version) for name in KUBERNETES_BINARIES for version in KUBERNETES_SUPPORTED
    ]
    keys = [artifact.key(arch) for artifact in (*kubernetes, *ARTIFACTS.values()) for arch in ARCHITECTURES]
    return {key: hashlib.sha256(key.encode()).hexdigest() for key in keys}


def plan_of(value: dict[str, Any], region: str = REGION) -> ClusterPlan:
    """The plan of a structured value that has to be valid; the region counts on AWS only."""
    return plan_cluster(load_settings(value, "Pulumi.test.yaml"), region=region)
