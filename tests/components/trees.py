"""Trees to look at: which machines, their files, and what their units' command lines say."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from functools import cache
from typing import Any

import yaml

from components.render import File
from components.tree import machine_files
from config.plan import ClusterPlan, MachinePlan
from tests.config.clusters import hosts, lab, plan_of

UNIT_FOLDER = "/etc/systemd/system/"


def single_host() -> dict[str, Any]:
    """One control-plane host and one worker with labels and taints; the CNI is the operator's own."""
    key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIExampleExampleExampleExampleExampleExamplA"
    cp = {"name": "solo", "role": "control-plane", "address": "192.168.40.10", "hostKey": key}
    worker = {
        "name": "batch-a",
        "role": "worker",
        "pool": "batch",
        "address": "192.168.40.20",
        "hostKey": key,
    }
    pool = {
        "name": "batch",
        "labels": {"example.com/tier": "batch", "example.com/disk": "ssd"},
        "taints": [
            {"key": "example.com/batch", "value": "only", "effect": "NoSchedule"},
            {"key": "example.com/spot", "effect": "PreferNoSchedule"},
        ],
        "kubelet": {"maxPods": 40},
    }
    platform = {
        "kind": "hosts",
        "ssh": {"privateKeyFile": "id"},
        "hosts": [cp, {**worker, "zone": "rack-2"}],
    }
    network = {**hosts()["network"], "cni": "none"}
    return hosts(
        name="solo",
        platform=platform,
        network=network,
        workerPools=[pool],
        addOns={"coredns": True, "storage": "none"},
        controlPlane={
            "apiServer": {"extraArgs": {"event-ttl": "2h", "v": "2"}},
            "scheduler": {"extraArgs": {"v": "3"}},
            "operationsMachine": "solo",
        },
    )


def lab_settings() -> dict[str, Any]:
    """The committed lab with its pool pinned: who tries a pool in the stack file changes no golden tree."""
    return lab(workerPools=[{"name": "general", "count": 2}])


@cache
def lab_plan() -> ClusterPlan:
    """The lab: three control planes, two workers, one balancer."""
    return plan_of(lab_settings())


@cache
def single_plan() -> ClusterPlan:
    """The plan of `single_host`."""
    return plan_of(single_host())


def every_machine() -> list[tuple[ClusterPlan, MachinePlan]]:
    """Each machine of both plans."""
    return [(plan, machine) for plan in (lab_plan(), single_plan()) for machine in plan.machines]


def tree(plan: ClusterPlan, name: str) -> dict[str, File]:
    """A machine's files without secrets."""
    return machine_files(plan, plan.machine(name))


def document(files: dict[str, File], path: str) -> Any:
    """A YAML or JSON file of the tree, parsed."""
    return yaml.safe_load(files[path].text)


@dataclass(frozen=True)
class Started:
    """What a unit starts: its program, flags by name (the last one wins, as in the programs), other words."""

    program: str
    flags: dict[str, str]
    words: tuple[str, ...]


def unit_files(files: dict[str, File]) -> dict[str, str]:
    """Units by name, with their text."""
    prefix = UNIT_FOLDER
    return {path.removeprefix(prefix): file.text for path, file in files.items() if path.startswith(prefix)}


def directive(text: str, name: str) -> list[str]:
    """All values of one directive of a unit, continued lines joined."""
    joined = re.sub(r"\\\n\s*", " ", text)
    return re.findall(rf"^{name}=(.*)$", joined, re.MULTILINE)


def started(files: dict[str, File], unit: str) -> Started:
    """What a unit's ExecStart says, with `$EXTRA_ARGS` and `${NAME}` filled from its environment files."""
    text = files[UNIT_FOLDER + unit].text
    values: dict[str, str] = {}
    for path in directive(text, "EnvironmentFile"):
        if path in files:
            values |= environment_of(files[path].text)
    (line,) = directive(text, "ExecStart")
    words: list[str] = []
    for word in shlex.split(line):
        if word.startswith("$") and not word.startswith("${"):
            words += values[word[1:]].split()
        else:
            words.append(re.sub(r"\$\{(\w+)\}", lambda found: values[found.group(1)], word))
    program, *rest = words
    flags = dict(word.removeprefix("--").split("=", 1) for word in rest if re.match(r"--[^=]+=", word))
    return Started(program, flags, tuple(word for word in rest if not re.match(r"--[^=]+=", word)))


def environment_of(text: str) -> dict[str, str]:
    """An environment file's values."""
    return {name: value.strip('"') for name, value in (line.split("=", 1) for line in text.splitlines())}
