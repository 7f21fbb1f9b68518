"""The cluster under test: what `lab.client` can, and the lab's command line, etcd, the API, the stack's settings.

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
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from config.stack_file import KEY
from lab import paths
from lab import stack as lab_stack
from lab.client import Client, Finished, wait_for

UP_SECONDS = 900.0
"""More than any bring-up with artifacts cached; a first one on a new machine builds them before."""


@dataclass
class Cluster(Client):
    """One stack with its cluster, and what was measured on it.

    Attributes:
        logs: folder for what the command line said, run by run.
        figures: measured values by name, shown at the session's end.
    """

    logs: Path
    figures: dict[str, str] = field(default_factory=dict)
    _runs: int = 0

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

    def changes(self) -> dict[str, int]:
        """How many resources the engine's last run created, updated and so on, by its own count."""
        text = lab_stack.capture(
            ["pulumi", "stack", "history", "--stack", self.name, "--json", "--page-size", "1"]
        )
        return {kind: int(count) for kind, count in json.loads(text)[0]["resourceChanges"].items()}

    def applied(self) -> dict[str, dict[str, Any]]:
        """What every machine confirmed at the last good run."""
        return dict(self.stack.outputs()["applied"])

    # The API

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

    # Machines

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
