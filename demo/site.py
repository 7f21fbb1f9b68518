"""The example on a cluster: bring its images, apply its manifests with passwords of this computer's own, look at it."""

from __future__ import annotations

import json
import secrets
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from demo.traffic import Target, answers
from lab import example_images, machines, paths
from lab.client import Client, condition, wait_for
from lab.errors import LabError
from lab.stack import write_private

MANIFESTS = paths.PROJECT / "examples" / "tooling" / "kubernetes"
NODE_PORT = 30080
PORT = 8080
REPLICAS = 2
OVERLAY = "lab"
"""What the demo deploys; see examples/tooling/kubernetes/overlays."""
WELL_SECONDS = 180.0
ADMIN = "admin"

OUT_OF_SERVICE = "node.kubernetes.io/out-of-service"
"""Says that nothing runs on a node any more and nobody will start it behind the cluster's back; see kubernetes.io,
"Non-graceful node shutdown"."""

UNPINNED = {"spec": {"template": {"spec": {"nodeSelector": None}}}}
"""Takes away the node that a scenario has named: `kubectl apply` removes only what it has set itself."""

Pod = dict[str, Any]


@dataclass
class Site:
    """The Tooling web site and its database, in a namespace of their own.

    Attributes:
        client: the cluster from outside.
        namespace: where everything of it is.
    """

    client: Client
    namespace: str = "tooling"

    @property
    def folder(self) -> Path:
        """The manifests' working copy, with the passwords beside them: for this user only, never committed."""
        return self.client.stack.example

    @property
    def balancer(self) -> Target:
        """Where visitors reach the site through the cluster's balancer.

        Raises:
            LabError: the stack forwards no such port.
        """
        balancers = self.client.plan.load_balancers
        if not balancers or NODE_PORT not in self.client.plan.network.forwarded_node_ports:
            raise LabError(
                f"stack {self.client.name}: its balancer does not forward port {NODE_PORT}; write "
                f"'network: {{forwardedNodePorts: [{NODE_PORT}]}}' into {self.client.stack.source.name} and run "
                f"'make up STACK={self.client.name}'"
            )
        return Target(str(balancers[0].address), NODE_PORT)

    def node_port(self, worker: str) -> Target:
        """Where the site answers on a worker itself."""
        return Target(self.client.address(worker), NODE_PORT)

    # Its life

    def deploy(self) -> None:
        """Bring images and manifests, put right what an interrupted demo left, and wait until the site is well.

        Raises:
            LabError: it does not come up in time, with its pods' states.
        """
        self._put_right()
        # The manifests name an image by its version: pods that run an older build of it would go on with that.
        imported = example_images.import_into(self.client.stack, self.client.workers)
        there = self.client.try_kubectl("--namespace", self.namespace, "get", "deployment/web").status == 0
        self.apply(OVERLAY)
        if there:
            self.kubectl("patch", "deployment/web", f"--patch={json.dumps(UNPINNED)}")
        if there and imported:
            self.kubectl("rollout", "restart", "deployment/web", "statefulset/database")
        self.kubectl(
            "rollout", "status", "deployment/web", f"--timeout={WELL_SECONDS:.0f}s", seconds=WELL_SECONDS + 10
        )
        self.wait_until_well()

    def apply(self, overlay: str) -> None:
        """Make the cluster hold what an overlay says."""
        self._copy_manifests()
        self.client.kubectl("apply", "--kustomize", str(self.folder / "overlays" / overlay), seconds=120)

    def _put_right(self) -> None:
        """Give workers without power theirs again, and take back the word that one is gone for good."""
        machines.start_all()
        for worker in self.client.workers:
            self.client.try_kubectl("taint", "node", worker, f"{OUT_OF_SERVICE}-")
        self.client.wait_until_ready(WELL_SECONDS)

    def remove(self) -> None:
        """Take it away, data included."""
        self.client.kubectl(
            "delete", "namespace", self.namespace, "--ignore-not-found", "--timeout=120s", seconds=150
        )

    def _copy_manifests(self) -> None:
        passwords = self._passwords()
        shutil.rmtree(self.folder, ignore_errors=True)
        shutil.copytree(MANIFESTS, self.folder, ignore=shutil.ignore_patterns("secrets.env"))
        text = "".join(f"{name}={value}\n" for name, value in passwords.items())
        write_private(self.folder / "base" / "secrets.env", text)

    def _passwords(self) -> dict[str, str]:
        """Those of the last time, so that another apply changes none."""
        kept = self.password_file
        if not kept.exists():
            names = ("database-password", "session-key", "admin-password")
            write_private(kept, json.dumps({name: secrets.token_urlsafe(24) for name in names}))
        return dict(json.loads(kept.read_text()))

    @property
    def password_file(self) -> Path:
        """Where the passwords are kept."""
        return self.client.stack.example_passwords

    @property
    def admin_password(self) -> str:
        """With which to log in on the page."""
        return self._passwords()["admin-password"]

    # Looking at it

    def kubectl(self, *arguments: str, seconds: float = 60) -> str:
        """Run kubectl in its namespace, which has to succeed."""
        return self.client.kubectl("--namespace", self.namespace, *arguments, seconds=seconds)

    def get(self, *arguments: str) -> Any:
        """`kubectl get ... --output=json` in its namespace, read."""
        return self.client.get("--namespace", self.namespace, *arguments)

    def pods(self, name: str = "web") -> list[Pod]:
        """Its pods of a name (`web` or `database`) that are not being deleted, by name."""
        items = self.get("pods", f"--selector=app.kubernetes.io/name={name}")["items"]
        return sorted(
            (pod for pod in items if "deletionTimestamp" not in pod["metadata"]),
            key=lambda pod: str(pod["metadata"]["name"]),
        )

    def ready(self, name: str = "web", *, without: str = "") -> list[Pod]:
        """Those that are Ready, and not on a node that is left out."""
        return [pod for pod in self.pods(name) if condition(pod, "Ready") and node_of(pod) != without]

    def ready_addresses(self) -> set[str]:
        """Pod addresses to which the Service `web` sends requests just now."""
        slices = self.get("endpointslices", "--selector=kubernetes.io/service-name=web")["items"]
        return {
            address
            for one in slices
            for endpoint in one.get("endpoints") or []
            if endpoint["conditions"].get("ready")
            for address in endpoint["addresses"]
        }

    def wait_until_well(self, seconds: float = WELL_SECONDS) -> None:
        """Wait until all Nodes are Ready, the replicas spread over them, and the page answers with its database."""
        self.client.wait_until_ready(seconds)
        self.wait("the database Ready", lambda: len(self.ready("database")) == 1, seconds)
        self.wait("the replicas Ready", lambda: len(self.ready()) >= REPLICAS, seconds)
        self.wait(
            "the page answers", lambda: answers(self.balancer, lambda page: bool(page["database"])), seconds
        )

    def wait(self, what: str, check: Callable[[], Any], seconds: float = 120) -> Any:
        """Wait for something, with the pods' states as evidence.

        Raises:
            LabError: not in time.
        """
        return wait_for(
            what,
            check,
            seconds,
            lambda: (
                self.client.try_kubectl("-n", self.namespace, "get", "pods", "-o", "wide").output
                + self.client.try_kubectl(
                    "-n",
                    self.namespace,
                    "get",
                    "events",
                    "--sort-by=.lastTimestamp",
                    "--field-selector=type=Warning",
                ).output[-2000:]
            ),
        )


def node_of(pod: Pod) -> str:
    """The node on which a pod is, "" before it has one."""
    return str(pod["spec"].get("nodeName", ""))


def name_of(pod: Pod) -> str:
    """A pod's name."""
    return str(pod["metadata"]["name"])


def address_of(pod: Pod) -> str:
    """A pod's address, "" before it has one."""
    return str(pod["status"].get("podIP", ""))


def restarts_of(pod: Pod) -> int:
    """How often a pod's containers were started again."""
    return sum(int(one["restartCount"]) for one in pod["status"].get("containerStatuses", []))
