"""Clusters that tests start from: the lab's own stack file, and hosts."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import yaml

from config.plan import ClusterPlan, plan_cluster
from config.settings import load_settings
from config.stack_file import KEY

PROJECT = Path(__file__).parents[2]
LAB_FILE = PROJECT / "Pulumi.lab.yaml"
HOSTS_FILE = PROJECT / "Pulumi.hosts.example.yaml"


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


def plan_of(value: dict[str, Any]) -> ClusterPlan:
    """The plan of a structured value that has to be valid."""
    return plan_cluster(load_settings(value, "Pulumi.test.yaml"))
