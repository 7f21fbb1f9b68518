"""The cluster under test, as a person at the keyboard has it: the lab's command line, kubectl, SSH, the API.

Nothing here asserts what a cluster should be; it runs things, bounded in time, and fails with what they said.
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import signal
import ssl
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from config.plan import ClusterPlan, plan_cluster
from config.settings import load_settings
from config.stack_file import KEY
from config.versions import kubernetes_artifact
from lab import paths
from lab import stack as lab_stack

UP_SECONDS = 900.0
"""More than any bring-up with artifacts cached; a first one on a new machine builds them before."""


@dataclass(frozen=True)
class Finished:
    """How a command ended: its exit status, all it said, seconds it took."""

    status: int
    output: str
    seconds: float

    def tail(self, lines: int = 60) -> str:
        return "\n".join(self.output.splitlines()[-lines:])


def run(
    command: list[str],
    *,
    stdin: str | None = None,
    seconds: float = 60,
    environment: Mapping[str, str] | None = None,
) -> Finished:
    """Run a command of this computer from the project's root; standard error goes with the output."""
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
        raise AssertionError(
            f"{command} did not end within {seconds:.0f} s; it said:\n{said[-6000:]}"
        ) from None
    return Finished(done.returncode, done.stdout, time.monotonic() - begin)


def wait_for(
    what: str, check: Callable[[], Any], seconds: float, evidence: Callable[[], str] | None = None
) -> Any:
    """Call `check` until it gives something true, and give that back.

    Raises:
        AssertionError: not in time, with the evidence.
    """
    deadline = time.monotonic() + seconds
    while True:
        found = check()
        if found:
            return found
        if time.monotonic() > deadline:
            raise AssertionError(f"{what}: not within {seconds:.0f} s. {evidence() if evidence else ''}")
        time.sleep(0.5)


@dataclass
class Cluster:
    """One stack with its cluster.

    Attributes:
        name: of the stack.
        logs: folder for what the command line said, run by run.
        figures: measured values by name, shown at the session's end.
    """

    name: str
    logs: Path
    figures: dict[str, str] = field(default_factory=dict)
    _runs: int = 0

    @property
    def stack(self) -> lab_stack.Stack:
        return lab_stack.Stack(self.name)

    @property
    def plan(self) -> ClusterPlan:
        return plan_cluster(load_settings(self.stack.settings(), self.stack.source.name))

    @property
    def workers(self) -> list[str]:
        return [machine.name for machine in self.plan.workers]

    @property
    def control_plane(self) -> list[str]:
        return [machine.name for machine in self.plan.control_plane]

    @property
    def nodes(self) -> list[str]:
        return [machine.name for machine in self.plan.nodes]

    def address(self, machine: str) -> str:
        return str(self.plan.machine(machine).address)

    # The lab's command line

    def lab(self, verb: str, *arguments: str, seconds: float = UP_SECONDS, **environment: str) -> Finished:
        """`python3 -m lab VERB --stack NAME -- ARGUMENTS`; its output is kept as a file too."""
        begin = time.monotonic()
        process, log = self.begin(verb, *arguments, **environment)
        try:
            process.wait(seconds)
        except subprocess.TimeoutExpired:
            # The engine too: it must not go on behind the next test's back.
            os.killpg(process.pid, signal.SIGINT)
            process.wait(60)
            raise AssertionError(
                f"lab {verb} took over {seconds:.0f} s:\n{log.read_text()[-6000:]}"
            ) from None
        return Finished(process.returncode, log.read_text(), time.monotonic() - begin)

    def begin(self, verb: str, *arguments: str, **environment: str) -> tuple[subprocess.Popen[bytes], Path]:
        """Start it in a process group of its own, as a terminal would, and return at once."""
        self._runs += 1
        log = self.logs / f"{self.name}-{self._runs:02}-{verb}.log"
        line = [sys.executable, "-m", "lab", verb, "--stack", self.name]
        with log.open("wb") as sink:
            process = subprocess.Popen(
                [*line, *(["--", *arguments] if arguments else [])],
                stdin=subprocess.DEVNULL,
                stdout=sink,
                stderr=subprocess.STDOUT,
                cwd=paths.PROJECT,
                env={**os.environ, **environment},
                start_new_session=True,
            )
        return process, log

    def up(self, *arguments: str) -> Finished:
        """An `up` that has to succeed."""
        done = self.lab("up", *arguments)
        assert done.status == 0, f"up failed with status {done.status}:\n{done.tail()}"
        return done

    def machine(self, verb: str, name: str, seconds: float = 120) -> None:
        """`python3 -m lab machine VERB NAME`, behind the engine's back."""
        done = run([sys.executable, "-m", "lab", "machine", verb, name], seconds=seconds)
        assert done.status == 0, done.output

    def changes(self) -> dict[str, int]:
        """How many resources the engine's last run created, updated and so on, by its own count."""
        text = lab_stack.capture(
            ["pulumi", "stack", "history", "--stack", self.name, "--json", "--page-size", "1"]
        )
        return {kind: int(count) for kind, count in json.loads(text)[0]["resourceChanges"].items()}

    def applied(self) -> dict[str, dict[str, Any]]:
        """What every machine confirmed at the last good run."""
        return dict(self.stack.outputs()["applied"])

    # kubectl and the API

    def try_kubectl(self, *arguments: str, stdin: str | None = None, seconds: float = 60) -> Finished:
        """kubectl as the cluster's administrator, whatever comes of it."""
        artifact = kubernetes_artifact("kubectl", self.plan.kubernetes_version)
        program = str(paths.MIRROR / artifact.key(paths.architecture()) / "kubectl")
        return run(
            [program, "--kubeconfig", str(self.stack.kubeconfig), *arguments], stdin=stdin, seconds=seconds
        )

    def kubectl(self, *arguments: str, stdin: str | None = None, seconds: float = 60) -> str:
        """kubectl that has to succeed; gives what it said."""
        done = self.try_kubectl(*arguments, stdin=stdin, seconds=seconds)
        assert done.status == 0, f"kubectl {' '.join(arguments)}: {done.output}"
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

    def credential(self) -> tuple[str, ssl.SSLContext]:
        """The API's URL as clients outside have it, and TLS with the administrator's certificate."""
        config = yaml.safe_load(self.stack.kubeconfig.read_text())
        endpoint, user = config["clusters"][0]["cluster"], config["users"][0]["user"]
        authority = base64.b64decode(endpoint["certificate-authority-data"]).decode()
        context = ssl.create_default_context(cadata=authority)
        pair = self.logs / "admin.key"
        with os.fdopen(os.open(pair, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            for name in ("client-certificate-data", "client-key-data"):
                file.write(base64.b64decode(user[name]) + b"\n")
        context.load_cert_chain(pair)
        return endpoint["server"], context

    def anonymous(self, url: str, seconds: float = 10) -> int:
        """The status of a GET without any credential; 0 when nobody listens."""
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        try:
            with urllib.request.urlopen(url, timeout=seconds, context=context) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as refused:
            return refused.code
        except OSError:
            return 0

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
        assert done.status == 0, f"{machine}: {command!r} failed with {done.status}: {done.output}"
        return done.output

    def starts(self, machine: str) -> dict[str, int]:
        """Every unit of ours on a machine, with the microsecond of the computer's clock when it started."""
        command = (
            "cd /etc/systemd/system && grep -l '^\\[X-Hardway\\]' *.service | "
            "xargs systemctl show --property=Id,ActiveEnterTimestampMonotonic"
        )
        blocks = self.ssh(machine, command).strip().split("\n\n")
        pairs = [dict(line.split("=", 1) for line in block.splitlines()) for block in blocks]
        return {pair["Id"]: int(pair["ActiveEnterTimestampMonotonic"]) for pair in pairs}

    def etcdctl(self, machine: str, *arguments: str) -> str:
        """etcdctl on a control-plane machine, against its own member."""
        pki = "/etc/etcd/pki"
        flags = (
            f"--cacert={pki}/ca.crt --cert={pki}/healthcheck-client.crt --key={pki}/healthcheck-client.key"
        )
        return self.ssh(
            machine, f"/opt/hardway/bin/etcdctl {flags} --command-timeout=5s {' '.join(arguments)}"
        )

    def members(self, machine: str) -> dict[str, int]:
        """etcd's started members: id by name."""
        found = json.loads(self.etcdctl(machine, "member list --write-out=json"))["members"]
        return {member["name"]: int(member["ID"]) for member in found if member.get("clientURLs")}

    def leader(self, machine: str) -> str:
        """The machine whose etcd leads, as the member on `machine` sees it."""
        status = json.loads(self.etcdctl(machine, "endpoint status --write-out=json"))[0]["Status"]
        return next(name for name, number in self.members(machine).items() if number == status["leader"])

    def healthy_members(self, machine: str) -> int:
        """How many members answer a linearizable read, asked from one machine."""
        done = self.try_ssh(
            machine,
            "cd /etc/etcd/pki && /opt/hardway/bin/etcdctl --cacert=ca.crt --cert=healthcheck-client.crt "
            "--key=healthcheck-client.key --command-timeout=3s endpoint health --cluster 2>&1",
        )
        return done.output.count("is healthy")

    # The stack's settings

    def write_settings(self, **changes: Any) -> None:
        """Write the stack file: the lab's committed settings with whole sections replaced."""
        document = yaml.safe_load((paths.PROJECT / "Pulumi.lab.yaml").read_text())
        document["config"][KEY] |= changes
        document.pop("encryptionsalt", None)
        self.stack.source.write_text(yaml.safe_dump(document, sort_keys=False))

    def worker_pool(self, **changes: Any) -> dict[str, Any]:
        """The committed pool of workers with changes, as a section for `write_settings`."""
        document = yaml.safe_load((paths.PROJECT / "Pulumi.lab.yaml").read_text())
        return {"workerPools": [{**document["config"][KEY]["workerPools"][0], **changes}]}

    @contextlib.contextmanager
    def namespace(self, name: str, **labels: str) -> Iterator[str]:
        """A namespace for one test, gone afterwards."""
        self.apply(
            {
                "apiVersion": "v1",
                "kind": "Namespace",
                "metadata": {"name": name, "labels": {"e2e": name, **labels}},
            }
        )
        # A Pod is refused until the namespace has its ServiceAccount.
        wait_for(
            f"ServiceAccount of {name}",
            lambda: self.try_kubectl("--namespace", name, "get", "serviceaccount", "default").status == 0,
            30,
        )
        try:
            yield name
        finally:
            self.try_kubectl("delete", "namespace", name, "--wait=false")


def condition(thing: Mapping[str, Any], kind: str) -> bool:
    """Whether an object's condition of that kind is True."""
    found = thing.get("status", {}).get("conditions", [])
    return any(entry["type"] == kind and entry["status"] == "True" for entry in found)
