"""What is done on a machine, and the only door to SSH.

`NodePrepare` stages, `NodeConfig` activates, `NodeTask` runs one-time steps. Each is one command per machine,
whose line is a short constant and whose bundle travels on standard input. `NodeConfig` takes the files as
inputs of its own, so that the engine shows in a preview which line of which file on which machine will
change.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import pulumi
from pulumi_command import remote

from components import bundle
from components.machine import Machine, Proxy
from components.render import File
from components.tree import STAGED_BY_PREPARE, machine_folders, machine_units
from config.plan import ClusterPlan, DrainPlan, MachinePlan, Role, machine_artifacts, machine_images

PREPARE_SECONDS = 1200
ACTIVATE_SECONDS = 900
ROTATE_SECONDS = 60
LEAVE_SECONDS = 2400
"""What a drain may take beside its own bound: drains go one after the other (see agent/drain.py)."""
DIAL_ATTEMPTS = 20
"""Attempts to connect, with growing pauses: a minute for a machine that boots, about two for one that is gone."""

SWEEP_SECONDS = 600
EBS_DRIVER = "ebs.csi.aws.com"

ARCHIVE_BINARIES = {
    "etcd": ("etcd", "etcdctl", "etcdutl"),
    "containerd": ("containerd", "containerd-shim-runc-v2", "ctr"),
    "crictl": ("crictl",),
    "cni-plugins": ("*",),
}
CNI_PLUGINS = ("bridge", "host-local", "loopback", "portmap")

PACKAGES = {
    Role.LOAD_BALANCER: ("haproxy",),
    Role.WORKER: ("haproxy", "conntrack", "ethtool", "iptables", "nftables", "openssl", "socat"),
    Role.CONTROL_PLANE: ("haproxy", "conntrack", "ethtool", "iptables", "nftables", "openssl", "socat"),
}


def _command(
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
    """One SSH command. Without `delete` it has none: what a machine was made into goes with the machine."""
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


def artifact_entries(plan: ClusterPlan, machine: MachinePlan) -> list[dict[str, Any]]:
    """What prepare fetches: name, version, url, sha256, and which binaries of an archive are wanted.

    Raises:
        pulumi.RunError: an artifact has no digest, so nobody could tell a right file from a wrong one.
    """
    entries: list[dict[str, Any]] = []
    arch = machine.architecture
    for artifact in machine_artifacts(plan, machine):
        sha256 = plan.artifacts.sha256(artifact, arch)
        if sha256 is None:
            raise _no_digest(artifact.key(arch))
        binaries = list(ARCHIVE_BINARIES.get(artifact.name, (artifact.name,)))
        entries.append(
            {
                "name": artifact.name,
                "version": artifact.version,
                "url": plan.artifacts.url(artifact, arch),
                "sha256": sha256,
                "folder": artifact_folder(artifact.name, artifact.version, sha256),
                "binaries": binaries,
            }
        )
    for image in machine_images(plan, machine):
        sha256 = plan.artifacts.digests.get(image.key(arch))
        if sha256 is None:
            raise _no_digest(image.key(arch))
        entries.append(
            {
                "name": f"image-{image.name}",
                "version": image.version,
                "reference": image.reference,
                "sha256": sha256,
                "folder": artifact_folder(f"image-{image.name}", image.version, sha256),
                "url": f"{plan.artifacts.mirror}/{image.key(arch)}/{image.file_name()}",
            }
        )
    return entries


def _no_digest(key: str) -> pulumi.RunError:
    return pulumi.RunError(
        f"cluster.artifacts.digests: no sha256 is known for {key}, so no machine could check it; "
        "run 'make lock', or enter it there. Nothing was touched."
    )


def artifact_folder(name: str, version: str, sha256: str | None) -> str:
    """Where an artifact lies on a machine; another build of the same version lies beside it, not in its place."""
    return f"/opt/hardway/{name}/{version}-{(sha256 or 'unknown')[:8]}"


def binary_links(plan: ClusterPlan, machine: MachinePlan) -> dict[str, str]:
    """Link to target for every binary: activate switches them, prepare only fills the targets."""
    links: dict[str, str] = {}
    for artifact in machine_artifacts(plan, machine):
        sha256 = plan.artifacts.sha256(artifact, machine.architecture)
        folder = artifact_folder(artifact.name, artifact.version, sha256)
        if artifact.name == "cni-plugins":
            links |= {f"/opt/cni/bin/{plugin}": f"{folder}/{plugin}" for plugin in CNI_PLUGINS}
        else:
            binaries = ARCHIVE_BINARIES.get(artifact.name, (artifact.name,))
            links |= {f"/opt/hardway/bin/{binary}": f"{folder}/{binary}" for binary in binaries}
    return links


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
            "packages": list(PACKAGES[machine.plan.role]),
            "users": {"etcd": "/var/lib/etcd"} if machine.plan.role is Role.CONTROL_PLANE else {},
            "kernel_files": {
                path: file.text for path, file in files.items() if path.startswith(STAGED_BY_PREPARE)
            },
            "artifacts": artifacts,
        }
        if plan.aws is not None:
            content["cloud"] = "aws"
        stdin = pulumi.Output.all(machine.looked_at, machine.etcd_volume).apply(
            lambda found: bundle.encode(
                "prepare", {**content, "identity": found[0], "disks": _disks(found[1])}, key=""
            )
        )
        self.command = _command(name, machine, stdin, PREPARE_SECONDS, self, ())
        self.facts = _result(self.command).apply(lambda result: dict(result["facts"]))
        self.register_outputs({})


def _disks(etcd_volume: str | None) -> list[dict[str, str]]:
    if etcd_volume is None:
        return []
    return [{"mount": "/var/lib/etcd", "volume": etcd_volume, "owner": "etcd"}]


class NodeHostKey(pulumi.ComponentResource):
    """Another SSH host key for a machine, planted under its first one.

    Attributes:
        command: after which the machine is known by the new key only.
    """

    command: remote.Command

    def __init__(
        self,
        name: str,
        *,
        machine: Machine,
        key: pulumi.Output[str],
        public_key: pulumi.Output[str],
        again: bool,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        """Plant a host key.

        Args:
            name: logical name.
            machine: with a connection that expects its first key.
            key: private key, OpenSSH text, a secret.
            public_key: its public part.
            again: whether the machine is made anew in this run.
            opts: the component's options.
        """
        super().__init__("hardway:index:NodeHostKey", name, None, opts)
        stdin = pulumi.Output.all(machine.identity, key, public_key).apply(
            lambda known: bundle.encode(
                "rotate_host_key", {"identity": known[0], "key": known[1], "public": known[2]}, key=known[1]
            )
        )
        # Once for each machine: another way to it (a new bastion) or another release of the agent is no reason to
        # log in under a key that is gone.
        once = pulumi.ResourceOptions(
            ignore_changes=[] if again else ["connection", "create", "stdin"], delete_before_replace=True
        )
        self.command = _command(
            name, machine, stdin, ROTATE_SECONDS, self, (), triggers=[machine.identity], opts=once
        )
        self.register_outputs({})


class NodeDrain(pulumi.ComponentResource):
    """What a Node's leaving takes: its pods go elsewhere, its Node is deleted, then the machine may go.

    Nothing is done while it is created or changed. Its deletion does the work, from the operations machine, when its
    machine is removed or made anew; destroying the whole cluster skips it.
    """

    def __init__(
        self,
        name: str,
        *,
        machine: Machine,
        operations: Machine,
        api_port: int,
        drain: DrainPlan,
        anchor: pulumi.Resource,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        """Stand by for a machine's leaving.

        Args:
            name: logical name.
            machine: the one that will leave.
            operations: where kubectl runs.
            api_port: of the API server there.
            drain: for how long, and whether lone pods may be lost.
            anchor: what is deleted only with the whole cluster.
            opts: the component's options.
        """
        super().__init__("hardway:index:NodeDrain", name, None, opts)
        content = {
            "node": machine.name,
            "api": f"https://127.0.0.1:{api_port}",
            "seconds": drain.seconds,
            "force": drain.force,
        }
        _command(
            name,
            operations,
            pulumi.Output.from_input(bundle.encode("drain", content, key="")),
            LEAVE_SECONDS,
            self,
            # The machine's own resources: what depends on them is deleted before them.
            machine.made_by,
            create="true",
            delete=bundle.remote_command(LEAVE_SECONDS + drain.seconds),
            # Another machine under the same name is another Node: the engine deletes this before the old machine. One
            # that is only stopped and started keeps its Node.
            triggers=[machine.identity],
            opts=pulumi.ResourceOptions(deleted_with=anchor, delete_before_replace=True),
        )
        self.register_outputs({})


class NodeSweep(pulumi.ComponentResource):
    """What destroying a cluster takes where controllers make things in the cloud: theirs go before its machines.

    Nothing is done while it is created or changed. Its deletion deletes Services with load balancers and claims of
    volumes, and waits until the controllers have taken them down.
    """

    def __init__(
        self,
        name: str,
        *,
        operations: Machine,
        cluster: str,
        api_port: int,
        after: Sequence[pulumi.Resource],
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        """Stand by for the cluster's end.

        Args:
            name: logical name.
            operations: where kubectl runs.
            cluster: the cluster's name, in the tags of what controllers make.
            api_port: of the API server there.
            after: everything that has to be there still while it sweeps.
            opts: the component's options.
        """
        super().__init__("hardway:index:NodeSweep", name, None, opts)
        content = {
            "api": f"https://127.0.0.1:{api_port}",
            "cluster": cluster,
            "driver": EBS_DRIVER,
            "seconds": SWEEP_SECONDS,
        }
        _command(
            name,
            operations,
            pulumi.Output.from_input(bundle.encode("sweep", content, key="")),
            SWEEP_SECONDS,
            self,
            after,
            create="true",
            delete=bundle.remote_command(SWEEP_SECONDS + 120),
        )
        self.register_outputs({})


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
        self.command = _command(name, machine, stdin, ACTIVATE_SECONDS, self, after)
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
        self.command = _command(name, machine, stdin, ACTIVATE_SECONDS, self, after)
        self.result = _result(self.command)
        self.register_outputs({"result": self.result})
