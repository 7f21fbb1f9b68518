"""The platform `hosts`: two machines that somebody else made become a cluster, over nothing but SSH."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from config.stack_file import KEY
from lab import paths
from lab.client import run
from tests.e2e.cluster import Cluster

STACK = "hosts-e2e"
HOSTS = {"host-a": ("control-plane", "172.31.200.10"), "host-b": ("worker", "172.31.200.20")}


def _make_machine(cluster: Cluster, name: str, address: str, folder: Path) -> str:
    """A machine of the lab that the stack under test knows nothing of; gives its public host key."""
    for key in ("login", f"host-{name}"):
        if not (folder / key).exists():
            subprocess.run(
                ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", str(folder / key)], check=True
            )
    specification = {
        "name": name,
        "address": address,
        "prefix_length": cluster.plan.network.machines.prefixlen,
        "gateway": str(cluster.plan.network.gateway),
        "host_key": (folder / f"host-{name}").read_text(),
        "authorized_key": (folder / "login.pub").read_text(),
    }
    line = [sys.executable, "-m", "lab", "machine", "create"]
    done = run(line, stdin=json.dumps(specification), seconds=120)
    assert done.status == 0, done.output
    public = (folder / f"host-{name}.pub").read_text().strip()
    # A host of somebody's own knows a DNS server, which CoreDNS asks for what is not the cluster's.
    (folder / "known_hosts").write_text(f"{address} {public}\n")
    options = [
        "-F",
        "none",
        "-i",
        str(folder / "login"),
        "-o",
        f"UserKnownHostsFile={folder / 'known_hosts'}",
    ]
    command = f"echo nameserver {cluster.plan.network.gateway} > /etc/resolv.conf"
    done = run(["ssh", *options, f"root@{address}", command])
    assert done.status == 0, done.output
    return public


@pytest.fixture(scope="module")
def hosts(cluster: Cluster) -> Iterator[Cluster]:
    """A stack `hosts` over two such machines, with everything it needs from the lab's file server."""
    folder = cluster.logs / "hosts"
    folder.mkdir(mode=0o700)
    keys = {name: _make_machine(cluster, name, address, folder) for name, (_, address) in HOSTS.items()}
    entries = [
        {
            "name": name,
            "role": role,
            "address": address,
            "hostKey": keys[name],
            **({"pool": "general"} if role == "worker" else {}),
        }
        for name, (role, address) in HOSTS.items()
    ]
    generated = yaml.safe_load(cluster.stack.config.read_text())["config"][KEY]
    settings = {
        "name": "office",
        "platform": {
            "kind": "hosts",
            "ssh": {"user": "root", "privateKeyFile": str(folder / "login")},
            "hosts": entries,
        },
        "network": {"machines": "172.31.200.0/24", "pods": "172.28.0.0/16", "services": "10.96.0.0/16"},
        "workerPools": [{"name": "general"}],
        "artifacts": generated["artifacts"],
    }
    made = dataclasses.replace(cluster, name=STACK)
    made.stack.source.write_text(yaml.safe_dump({"config": {KEY: settings}}, sort_keys=False))
    try:
        yield made
    finally:
        try:
            made.lab("down")
            run([*_PULUMI, "stack", "rm", STACK, "--force", "--yes"])
        finally:
            made.stack.source.unlink(missing_ok=True)
            for name in HOSTS:
                cluster.machine("delete", name)


_PULUMI = [str(paths.PULUMI_HOME / "bin" / "pulumi")]


def test_hosts_become_a_working_cluster(hosts: Cluster) -> None:
    done = hosts.up()
    hosts.figures["up of 1 + 1 hosts"] = f"{done.seconds:.1f} s"
    assert "No balancer stands in front of the API" in done.output
    assert hosts.ready_nodes() == set(HOSTS)
    nodes = {node["metadata"]["name"]: node for node in hosts.get("nodes")["items"]}
    for name, (_, address) in HOSTS.items():
        assert nodes[name]["status"]["addresses"][0] == {"type": "InternalIP", "address": address}
    pods = hosts.get("pods", "--namespace=kube-system")["items"]
    assert {one["status"]["phase"] for one in pods} == {"Running"}
    assert hosts.kubectl("get", "--raw", "/api/v1/nodes/host-b/proxy/healthz") == "ok"


def test_another_up_of_hosts_changes_nothing(hosts: Cluster) -> None:
    done = hosts.up()
    assert set(hosts.changes()) == {"same"}, done.tail()


def test_the_labs_own_cluster_does_not_notice_the_other_one(hosts: Cluster, cluster: Cluster) -> None:
    assert cluster.ready_nodes() == set(cluster.nodes)
    assert set(hosts.nodes).isdisjoint(cluster.nodes)


def test_a_host_that_shows_another_key_is_refused(hosts: Cluster, tmp_path: Path) -> None:
    subprocess.run(
        ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", str(tmp_path / "other")], check=True
    )
    text = hosts.stack.source.read_text()
    document = yaml.safe_load(text)
    document["config"][KEY]["platform"]["hosts"][1]["hostKey"] = (tmp_path / "other.pub").read_text().strip()
    hosts.stack.source.write_text(yaml.safe_dump(document, sort_keys=False))
    try:
        done = hosts.lab("up", seconds=180)
    finally:
        hosts.stack.source.write_text(text)
    assert done.status != 0
    assert "host-b" in done.output
    assert "host key" in done.output, done.tail()
    hosts.up()
