"""A cluster as a person at the keyboard has it: kubectl, SSH, and the power switch of a lab machine.

Every call is bounded in time and fails with what was said. Nothing here decides what a cluster should be.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from config.plan import ClusterPlan
from lab import cluster, paths, stack_plan
from lab import stack as lab_stack
from lab.errors import LabError


@dataclass(frozen=True)
class Finished:
    """How a command ended: its exit status, all it said, seconds it took."""

    status: int
    output: str
    seconds: float

    def tail(self, lines: int = 60) -> str:
        """Its last lines."""
        return "\n".join(self.output.splitlines()[-lines:])


def run(
    command: list[str],
    *,
    stdin: str | None = None,
    seconds: float = 60,
    environment: Mapping[str, str] | None = None,
) -> Finished:
    """Run a command of this computer from the project's root; standard error goes with the output.

    Raises:
        LabError: it did not end in time, with what it said until then.
    """
    begin = time.monotonic()
    try:
        done = subprocess.run(
            command,
            input=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL if stdin is None else None,
            text=True,
            timeout=seconds,
            check=False,
            cwd=paths.PROJECT,
            env={**os.environ, **(environment or {})},
        )
    except subprocess.TimeoutExpired as late:
        said = late.stdout.decode(errors="replace") if isinstance(late.stdout, bytes) else str(late.stdout)
        raise LabError(f"{command} did not end within {seconds:.0f} s; it said:\n{said[-6000:]}") from None
    return Finished(done.returncode, done.stdout, time.monotonic() - begin)


def wait_for(
    what: str, check: Callable[[], Any], seconds: float, evidence: Callable[[], str] | None = None
) -> Any:
    """Call `check` until it gives something true, and give that back.

    Raises:
        LabError: not in time, with the evidence.
    """
    deadline = time.monotonic() + seconds
    while True:
        found = check()
        if found:
            return found
        if time.monotonic() > deadline:
            raise LabError(f"{what}: not within {seconds:.0f} s. {evidence() if evidence else ''}")
        time.sleep(0.5)


@dataclass
class Client:
    """One stack with its cluster, from outside.

    Attributes:
        name: of the stack.
    """

    name: str

    @property
    def stack(self) -> lab_stack.Stack:
        """The stack, with its folder."""
        return lab_stack.Stack(self.name)

    @property
    def plan(self) -> ClusterPlan:
        """The plan of its committed settings, as its file has them now."""
        return stack_plan.plan_of(self.stack)

    @property
    def workers(self) -> list[str]:
        """Names of the workers."""
        return [machine.name for machine in self.plan.workers]

    @property
    def control_plane(self) -> list[str]:
        """Names of the control-plane machines."""
        return [machine.name for machine in self.plan.control_plane]

    @property
    def nodes(self) -> list[str]:
        """Names of all machines that are Nodes."""
        return [machine.name for machine in self.plan.nodes]

    def address(self, machine: str) -> str:
        """A machine's address."""
        return str(self.plan.machine(machine).address)

    # kubectl and the API

    def try_kubectl(self, *arguments: str, stdin: str | None = None, seconds: float = 60) -> Finished:
        """Run kubectl as the cluster's administrator, whatever comes of it."""
        return run(
            [str(cluster.client(self.plan)), "--kubeconfig", str(self.stack.kubeconfig), *arguments],
            stdin=stdin,
            seconds=seconds,
        )

    def kubectl(self, *arguments: str, stdin: str | None = None, seconds: float = 60) -> str:
        """Run kubectl, which has to succeed; gives what it said."""
        done = self.try_kubectl(*arguments, stdin=stdin, seconds=seconds)
        if done.status:
            raise LabError(f"kubectl {' '.join(arguments)}: {done.output}")
        return done.output

    def get(self, *arguments: str) -> Any:
        """`kubectl get ... --output=json`, read."""
        return json.loads(self.kubectl("get", *arguments, "--output=json"))

    def apply(self, *documents: Mapping[str, Any]) -> None:
        """Create or change objects."""
        self.kubectl(
            "apply",
            "--filename=-",
            stdin=json.dumps({"apiVersion": "v1", "kind": "List", "items": documents}),
        )

    def ready_nodes(self) -> set[str]:
        """Names of the Nodes that the API calls Ready; none while it does not answer."""
        done = self.try_kubectl("get", "nodes", "--output=json", "--request-timeout=5s")
        if done.status:
            return set()
        return {
            node["metadata"]["name"] for node in json.loads(done.output)["items"] if condition(node, "Ready")
        }

    def wait_until_ready(self, seconds: float = 120) -> None:
        """Wait until every planned Node is Ready."""
        names = set(self.nodes)
        wait_for(
            "all Nodes Ready",
            lambda: self.ready_nodes() >= names,
            seconds,
            lambda: self.try_kubectl("get", "nodes", "--request-timeout=5s").output,
        )

    # Machines

    def try_ssh(
        self, machine: str, command: str, *, stdin: str | None = None, seconds: float = 60
    ) -> Finished:
        """A command on a machine, as root, whatever comes of it."""
        return run(lab_stack.ssh_command(self.stack, machine, command), stdin=stdin, seconds=seconds)

    def ssh(self, machine: str, command: str, *, stdin: str | None = None, seconds: float = 60) -> str:
        """A command on a machine that has to succeed; gives what it said."""
        done = self.try_ssh(machine, command, stdin=stdin, seconds=seconds)
        if done.status:
            raise LabError(f"{machine}: {command!r} failed with {done.status}: {done.output}")
        return done.output

    def machine(self, verb: str, name: str, seconds: float = 120) -> None:
        """`python3 -m lab machine VERB NAME`, behind the engine's back."""
        done = run([sys.executable, "-m", "lab", "machine", verb, name], seconds=seconds)
        if done.status:
            raise LabError(f"machine {verb} {name}: {done.output}")


def condition(thing: Mapping[str, Any], kind: str) -> bool:
    """Whether an object's condition of that kind is True."""
    found = thing.get("status", {}).get("conditions", [])
    return any(entry["type"] == kind and entry["status"] == "True" for entry in found)
