"""What is done on a machine, and the only door to SSH.

`NodePrepare` stages, `NodeConfig` activates, `NodeTask` runs one-time steps. Each is one command per machine,
whose line is a short constant and whose bundle travels on standard input. `NodeConfig` takes the files as
inputs of its own, so that the engine shows in a preview which line of which file on which machine will
change.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import pulumi
from pulumi_command import remote

from components import bundle
from components.machine import Machine, Proxy
from components.render import File
from components.staging import artifact_entries, binary_links
from components.tree import STAGED_BY_PREPARE, machine_folders, machine_units
from components.way_out import proxy_of_prepare
from config.aws_plan import ETCD_DEVICE
from config.plan import ClusterPlan, MachinePlan, Role, drain_of, machine_artifacts

PREPARE_SECONDS = 1200
ACTIVATE_SECONDS = 900
DIAL_ATTEMPTS = 20
"""Attempts to connect, with growing pauses: a minute for a machine that boots, about two for one that is gone."""

PACKAGES = {
    Role.LOAD_BALANCER: ("haproxy",),
    Role.WORKER: ("haproxy", "conntrack", "ethtool", "iptables", "nftables", "openssl", "socat"),
    Role.CONTROL_PLANE: ("haproxy", "conntrack", "ethtool", "iptables", "nftables", "openssl", "socat"),
}


def command_on(
    name: str,
    machine: Machine,
    stdin: pulumi.Output[str],
    seconds: int,
    parent: pulumi.Resource,
    after: Sequence[pulumi.Resource],
    *,
    create: str | None = None,
    delete: str | None = None,
    triggers: list[Any] | None = None,
    opts: pulumi.ResourceOptions | None = None,
) -> remote.Command:
    """One SSH command; every step on a machine is one of these.

    Args:
        name: logical name.
        machine: where.
        stdin: the bundle; taken for a secret whatever is in it.
        seconds: after which the work on the machine is ended.
        parent: the step's component.
        after: resources that have to be done before, beside what makes the machine.
        create: another command line than the agent's, a short constant.
        delete: command line for its deletion. Without one nothing is done: what a machine was made into goes with it.
        triggers: values whose change replaces the command instead of updating it.
        opts: further options.
    """
    connection = machine.connection
    secret: pulumi.Output[str] = pulumi.Output.secret(stdin)
    return remote.Command(
        name,
        connection=remote.ConnectionArgs(
            host=connection.host,
            port=connection.port,
            user=connection.user,
            private_key=connection.private_key,
            host_key=connection.host_key,
            dial_error_limit=DIAL_ATTEMPTS,
            per_dial_timeout=10,
            proxy=_proxy(connection.proxy),
        ),
        create=create or bundle.remote_command(seconds),
        delete=delete,
        stdin=secret,
        triggers=triggers,
        add_previous_output_in_env=False,
        logging=remote.Logging.STDERR,
        opts=pulumi.ResourceOptions.merge(
            pulumi.ResourceOptions(parent=parent, depends_on=[*machine.made_by, *after]), opts
        ),
    )


def _proxy(proxy: Proxy | None) -> remote.ProxyConnectionArgs | None:
    if proxy is None:
        return None
    return remote.ProxyConnectionArgs(
        host=proxy.host,
        user=proxy.user,
        private_key=proxy.private_key,
        host_key=proxy.host_key,
        dial_error_limit=DIAL_ATTEMPTS,
        per_dial_timeout=10,
    )


def _result(command: remote.Command) -> pulumi.Output[dict[str, Any]]:
    """What the phase printed; the agent puts no secret there."""
    return pulumi.Output.unsecret(command.stdout).apply(lambda text: dict(json.loads(text)))


def _about(machine: MachinePlan) -> dict[str, Any]:
    return {
        "name": machine.name,
        "address": str(machine.address),
        "role": str(machine.role),
        "architecture": machine.architecture,
        "node": machine.is_node,
    }


class NodePrepare(pulumi.ComponentResource):
    """Phase 1 on one machine: everything it needs, staged beside what runs.

    Attributes:
        command: what others depend on.
        facts: what it found on the machine; activate runs again when that changes.
    """

    command: remote.Command
    facts: pulumi.Output[dict[str, Any]]

    def __init__(
        self,
        name: str,
        *,
        machine: Machine,
        plan: ClusterPlan,
        files: Mapping[str, File],
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        """Prepare a machine.

        Args:
            name: logical name.
            machine: where.
            plan: the cluster.
            files: the machine's tree, of which prepare plants the kernel's part.
            opts: the component's options.
        """
        artifacts = artifact_entries(plan, machine.plan)
        staged = {entry["name"]: entry["version"] for entry in artifacts}
        super().__init__("hardway:index:NodePrepare", name, {"artifacts": staged}, opts)
        content = {
            "machine": _about(machine.plan),
            "pods": str(plan.network.pods),
            "packages": [*PACKAGES[machine.plan.role], *_backup_packages(plan, machine.plan)],
            "users": {"etcd": "/var/lib/etcd"} if machine.plan.role is Role.CONTROL_PLANE else {},
            "kernel_files": {
                path: file.text for path, file in files.items() if path.startswith(STAGED_BY_PREPARE)
            },
            "artifacts": artifacts,
            **proxy_of_prepare(plan),
        }
        if plan.aws is not None:
            content["cloud"] = "aws"
        stdin = pulumi.Output.all(machine.looked_at, machine.etcd_volume).apply(
            lambda found: bundle.encode(
                "prepare", {**content, "identity": found[0], "disks": _disks(found[1])}, key=""
            )
        )
        self.command = command_on(name, machine, stdin, PREPARE_SECONDS, self, ())
        self.facts = _result(self.command).apply(lambda result: dict(result["facts"]))
        self.register_outputs({})


def _backup_packages(plan: ClusterPlan, machine: MachinePlan) -> tuple[str, ...]:
    """What a control-plane machine needs to send snapshots away: AWS' own client, as the distribution has it."""
    return (
        ("python3-boto3",)
        if machine.role is Role.CONTROL_PLANE and plan.etcd.backup.bucket is not None
        else ()
    )


def _disks(etcd_volume: str | None) -> list[dict[str, str]]:
    if etcd_volume is None:
        return []
    return [{"mount": "/var/lib/etcd", "volume": etcd_volume, "device": ETCD_DEVICE, "owner": "etcd"}]


class NodeConfig(pulumi.ComponentResource):
    """Phase 2 on one machine: files, version links, restarts of what changed, health.

    Attributes:
        command: what others depend on.
        applied: what the machine confirmed: digest, identity, versions.
    """

    command: remote.Command
    applied: pulumi.Output[dict[str, Any]]

    def __init__(
        self,
        name: str,
        *,
        machine: Machine,
        plan: ClusterPlan,
        files: Mapping[str, File],
        secrets: Mapping[str, tuple[str, pulumi.Output[str]]],
        seed: pulumi.Output[str],
        facts: pulumi.Output[dict[str, Any]],
        after: Sequence[pulumi.Resource],
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        """Activate a machine.

        Args:
            name: logical name.
            machine: where.
            plan: the cluster.
            files: the machine's tree without secrets.
            secrets: path to owner and content of files that are secret or come from secrets.
            seed: the secret from which the digests' key is derived.
            facts: what its prepare found.
            after: resources that have to be done before.
            opts: the component's options.
        """
        own = {path: file for path, file in files.items() if not path.startswith(STAGED_BY_PREPARE)}
        content = _content(plan, machine.plan, own)
        texts = pulumi.Output.all(**{path: text for path, (_, text) in secrets.items()})
        owners = {path: owner for path, (owner, _) in secrets.items()}
        digests = pulumi.Output.all(seed, texts).apply(
            lambda both: {path: bundle.keyed_digest(both[0], text) for path, text in both[1].items()}
        )
        inputs = {
            "files": {path: file.text for path, file in own.items()},
            "secretFiles": pulumi.Output.unsecret(digests),
            "versions": content["versions"],
        }
        super().__init__("hardway:index:NodeConfig", name, inputs, opts)

        def document(values: Sequence[Any]) -> str:
            key, identity, found, filled = values
            secret_files = [_entry(path, File(filled[path], 0o600, owners[path])) for path in sorted(filled)]
            whole = {
                **content,
                "identity": identity,
                "facts": found,
                "files": [*content["files"], *secret_files],
            }
            return bundle.encode("activate", whole, key)

        stdin = pulumi.Output.all(seed, machine.looked_at, facts, texts).apply(document)
        # A kubelet's new minor takes a drain, which has a bound of its own.
        seconds = ACTIVATE_SECONDS + (drain_of(plan, machine.plan).seconds if machine.plan.is_node else 0)
        self.command = command_on(name, machine, stdin, seconds, self, after)
        self.applied = _result(self.command)
        self.register_outputs({"applied": self.applied})


def _entry(path: str, file: File) -> dict[str, Any]:
    return {"path": path, "text": file.text, "mode": file.mode, "owner": file.owner}


def _content(plan: ClusterPlan, machine: MachinePlan, files: dict[str, File]) -> dict[str, Any]:
    content: dict[str, Any] = {
        "machine": _about(machine),
        "api": f"https://127.0.0.1:{plan.network.local_api_port}",
        "api_servers": [f"https://{cp.address}:{plan.network.api_port}" for cp in plan.control_plane],
        "staged": {entry["name"]: entry["sha256"] for entry in artifact_entries(plan, machine)},
        "folders": machine_folders(machine),
        "files": [_entry(path, file) for path, file in files.items()],
        "links": binary_links(plan, machine),
        "units": machine_units(files),
        "versions": {artifact.name: artifact.version for artifact in machine_artifacts(plan, machine)},
    }
    if machine.is_node:
        content["drain"] = asdict(drain_of(plan, machine))
    if machine.role is Role.CONTROL_PLANE:
        members = [{"name": m.name, "peer": m.peer_url, "client": m.client_url} for m in plan.etcd.members]
        content["etcd"] = {"members": members}
    return content


class NodeTask(pulumi.ComponentResource):
    """A one-time step on the operations machine, run again whenever its content changes.

    Attributes:
        command: what others depend on.
        result: what the step reported.
    """

    command: remote.Command
    result: pulumi.Output[dict[str, Any]]

    def __init__(
        self,
        name: str,
        *,
        machine: Machine,
        shown: Mapping[str, pulumi.Input[Any]],
        content: Mapping[str, Any],
        secrets: Mapping[str, pulumi.Output[Any]],
        seed: pulumi.Output[str],
        after: Sequence[pulumi.Resource],
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        """Run a step of the agent's `operate`.

        Args:
            name: logical name.
            machine: the operations machine.
            shown: what a preview shows of it.
            content: the step's data without secrets.
            secrets: further data that may be secret or not known yet.
            seed: the secret from which the digests' key is derived.
            after: resources that have to be done before.
            opts: the component's options.
        """
        super().__init__("hardway:index:NodeTask", name, dict(shown), opts)
        whole = {**content, "machine": _about(machine.plan)}
        stdin = pulumi.Output.all(seed, pulumi.Output.all(**secrets)).apply(
            lambda both: bundle.encode("operate", {**whole, **both[1]}, both[0])
        )
        self.command = command_on(name, machine, stdin, ACTIVATE_SECONDS, self, after)
        self.result = _result(self.command)
        self.register_outputs({"result": self.result})
