"""A stack of the unchanged program with a real engine, a file backend in a folder, and fake providers.

The stack's folder holds links to the program and its own `Pulumi.yaml`, stack file and state: copying it copies the
cluster, and nothing is written into the checkout.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from lab import engine, paths
from tests.config.clusters import REGION, any_digests
from tests.engine.journal import DONE, Call, Journal

STACK = "engine"
PROGRAM = ("__main__.py", "components", "config", ".venv", "requirements.txt")
SECONDS = 300.0
"""After which a `pulumi` command is taken for hung."""
IMAGE = "ami-0aaaaaaaaaaaaaaa1"


def settings(**changes: Any) -> dict[str, Any]:
    """Three control-plane machines and two workers in private subnets behind a bastion, sections replaced."""
    return {
        "name": "engine",
        "platform": platform(),
        "controlPlane": {"count": 3},
        "workerPools": [{"name": "general", "count": 2}],
        "artifacts": {"digests": any_digests()},
        **changes,
    }


def platform(**changes: Any) -> dict[str, Any]:
    """The platform with single settings replaced."""
    return {
        "kind": "aws",
        "zones": ["a", "b"],
        "images": {"arm64": IMAGE},
        "adminCidrs": ["203.0.113.0/24"],
        **changes,
    }


@dataclass(frozen=True)
class Run:
    """What a `pulumi` command did.

    Attributes:
        ok: whether it ended well.
        text: all that it printed.
        changes: how many resources of each operation, as its summary says.
        calls: what the fake providers were asked.
    """

    ok: bool
    text: str
    changes: Mapping[str, int]
    calls: tuple[Call, ...]

    @property
    def done(self) -> list[str]:
        """What changed something, in words and in order."""
        return [call.action for call in self.calls if call.method in DONE and not call.preview]

    def about(self, *names: str) -> list[str]:
        """What was done to resources whose logical name ends in one of these."""
        return [action for action in self.done if action.endswith(names)]

    def calls_of(self, action: str) -> list[Call]:
        """What was really asked in these words."""
        return [call for call in self.calls if call.action == action and not call.preview]

    def phases(self) -> list[tuple[str, str]]:
        """Command and phase of what ran on machines; drains that only stand by left out."""
        ran = [(call.name, call.ran) for call in self.calls if call.ran is not None]
        return [(name, str(done[1]["phase"])) for name, done in ran if done[0] != "true"]


class Cluster:
    """One stack in a folder."""

    def __init__(self, folder: Path, journal: Journal, attached: str, *, seconds: float = SECONDS) -> None:
        self._folder, self._journal, self._attached, self._seconds = folder, journal, attached, seconds

    @classmethod
    def new(cls, folder: Path, journal: Journal, attached: str, *, seconds: float = SECONDS) -> Cluster:
        """An empty stack in a folder that is there."""
        for name in PROGRAM:
            (folder / name).symlink_to(paths.PROJECT / name)
        shutil.copyfile(paths.PROJECT / "Pulumi.yaml", folder / "Pulumi.yaml")
        (folder / "state").mkdir()
        cluster = cls(folder, journal, attached, seconds=seconds)
        made = cluster._pulumi("stack", "init", "--no-select")
        assert made.returncode == 0, made.stdout
        return cluster

    def copied_to(self, folder: Path) -> Cluster:
        """A second cluster in the same state; what happens to one does not happen to the other."""
        shutil.copytree(self._folder, folder, symlinks=True, dirs_exist_ok=True)
        return Cluster(folder, self._journal, self._attached)

    def up(self, value: Mapping[str, Any], *, failing: str = "") -> Run:
        """`pulumi up` with these settings; one action may be told to fail."""
        return self._run(value, failing, "up", "--yes", "--skip-preview")

    def preview(self, value: Mapping[str, Any], *options: str) -> Run:
        """`pulumi preview`."""
        return self._run(value, "", "preview", *options)

    def destroy(self, value: Mapping[str, Any]) -> Run:
        """`pulumi destroy`, which reads the state and runs no program."""
        # With its preview, which alone keeps a protected cluster whole: the engine finds out about a resource when it
        # is that one's turn.
        return self._run(value, "", "destroy", "--yes")

    def checkpoint(self) -> str:
        """The state as it lies on the disk."""
        return self._checkpoint.read_text()

    def opened(self) -> str:
        """The state with its secrets in plain text."""
        return self._pulumi("stack", "export", "--show-secrets").stdout

    def resources(self) -> dict[str, dict[str, Any]]:
        """The state's custom resources by kind and logical name, such as `Instance machine-cp-0`."""
        latest = json.loads(self.checkpoint())["checkpoint"]["latest"]
        custom = [resource for resource in latest.get("resources", []) if resource.get("custom")]
        return {
            f"{one['type'].rsplit(':', 1)[1]} {one['urn'].rsplit('::', 1)[1]}": one
            for one in custom
            if not one["type"].startswith("pulumi:")
        }

    @property
    def _checkpoint(self) -> Path:
        return self._folder / "state" / ".pulumi" / "stacks" / "hardway" / f"{STACK}.json"

    def _run(self, value: Mapping[str, Any], failing: str, *command: str) -> Run:
        self._write(value)
        self._journal.start(failing=failing)
        log = self._folder / "events.json"
        log.unlink(missing_ok=True)
        done = self._pulumi(*command, "--parallel", "32", "--event-log", str(log))
        return Run(done.returncode == 0, done.stdout, _changes(log), tuple(self._journal.calls))

    def _write(self, value: Mapping[str, Any]) -> None:
        """The stack file, with the salt that the engine has put into it."""
        file = self._folder / f"Pulumi.{STACK}.yaml"
        content = yaml.safe_load(file.read_text())
        content["config"] = {"aws:region": REGION, "hardway:cluster": dict(value)}
        file.write_text(yaml.safe_dump(content))

    def _pulumi(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        environment = {
            **engine.environment(),
            "PULUMI_BACKEND_URL": f"file://{self._folder / 'state'}",
            "PULUMI_CONFIG_PASSPHRASE": "of a test",
            "PULUMI_DEBUG_COMMANDS": "true",
            "PULUMI_DEBUG_PROVIDERS": self._attached,
        }
        line = [
            str(engine.BIN / "pulumi"),
            *arguments,
            "--stack",
            STACK,
            "--non-interactive",
            "--color",
            "never",
        ]
        return subprocess.run(
            line,
            cwd=self._folder,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=self._seconds,
            check=False,
        )


def _changes(log: Path) -> Mapping[str, int]:
    if not log.exists():
        return {}
    events = [json.loads(line) for line in log.read_text().splitlines()]
    summary: Counter[str] = Counter()
    for event in events:
        summary.update(event.get("summaryEvent", {}).get("resourceChanges") or {})
    return dict(summary)
