"""etcd is backed up, lost as a whole and brought back; nothing runs twice, and everybody believes the new revisions."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lab import backend, paths
from lab import cluster as lab_cluster
from lab.client import Finished, run, wait_for
from tests.e2e.cluster import Cluster
from tests.e2e.pods import BUSYBOX, describe, placed, pod

SPACE = "e2e-backup"
FOLDER = "/var/lib/hardway-backups"
REPLICAS = 2
RUNS = "/var/lib/hardway-e2e-backup"
"""Folder of a worker in which each run of a Job leaves a line."""


def operate(cluster: Cluster, command: str, *arguments: str, seconds: float = 600) -> Finished:
    """`python3 -m operations COMMAND`, which has to succeed."""
    line = [sys.executable, "-m", "operations", command, "--stack", cluster.name, *arguments]
    done = run(line, seconds=seconds, environment={"HARDWAY_INSIDE": str(paths.VENV)})
    assert done.status == 0, done.output
    return done


@pytest.fixture(scope="module", autouse=True)
def space(cluster: Cluster) -> Iterator[None]:
    """A namespace in which a pod may write to its node."""
    with cluster.namespace(SPACE, **{"pod-security.kubernetes.io/enforce": "privileged"}):
        yield
    for worker in cluster.workers:
        cluster.ssh(worker, f"rm -rf {RUNS}")


@pytest.fixture(scope="module")
def backup(cluster: Cluster, space: None) -> Path:
    """Objects of before, then `make backup`; gives its folder."""
    cluster.apply(*placed(SPACE, _deployment("web", REPLICAS), _job("once")))
    cluster.kubectl("--namespace", SPACE, "create", "configmap", "before", "--from-literal=value=kept")
    cluster.kubectl(
        "--namespace", SPACE, "create", "secret", "generic", "before", "--from-literal=value=secret"
    )
    _wait(cluster, "deployment/web", "Available")
    _wait(cluster, "job/once", "Complete")
    done = operate(cluster, "backup")
    cluster.figures["make backup"] = f"{done.seconds:.1f} s"
    match = re.search(r"^Backup of stack .*: (\S+)$", done.output, re.MULTILINE)
    assert match, done.output
    return paths.PROJECT / match.group(1)


def _deployment(name: str, replicas: int) -> dict[str, Any]:
    template = pod(name)
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": {"app": name}},
            "template": {"metadata": {"labels": {"app": name}}, "spec": template["spec"]},
        },
    }


def _job(name: str) -> dict[str, Any]:
    """A Job whose every run leaves a line on its node."""
    template = pod(
        name,
        image=BUSYBOX,
        args=("sh", "-c", f"echo ran >>/runs/{name}"),
        restartPolicy="Never",
        volumes=[{"name": "runs", "hostPath": {"path": RUNS, "type": "DirectoryOrCreate"}}],
        container={"volumeMounts": [{"name": "runs", "mountPath": "/runs"}]},
    )
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": name},
        "spec": {"backoffLimit": 3, "template": {"metadata": template["metadata"], "spec": template["spec"]}},
    }


def _wait(cluster: Cluster, what: str, condition: str) -> None:
    done = cluster.try_kubectl(
        "--namespace", SPACE, "wait", what, f"--for=condition={condition}", "--timeout=120s", seconds=150
    )
    assert done.status == 0, f"{done.output}\n{describe(cluster, SPACE)}"


def _runs(cluster: Cluster, job: str) -> int:
    """How often a Job's container ran, over all workers."""
    counts = [cluster.ssh(worker, f"cat {RUNS}/{job} 2>/dev/null | wc -l") for worker in cluster.workers]
    return sum(int(count) for count in counts)


def _pods_of_the_api(cluster: Cluster) -> set[str]:
    """Pods of all namespaces that the API has running, by namespace, name and uid."""
    found = cluster.get("pods", "--all-namespaces", "--field-selector=status.phase=Running")["items"]
    metadata = [one["metadata"] for one in found]
    return {f"{one['namespace']}/{one['name']}/{one['uid']}" for one in metadata}


def _pods_on_machines(cluster: Cluster) -> set[str]:
    """Pods that have a running container on a machine, by the same names, from the container runtime."""
    names = set()
    for machine in cluster.nodes:
        runtime = "--runtime-endpoint unix:///run/containerd/containerd.sock"
        text = cluster.ssh(machine, f"/opt/hardway/bin/crictl {runtime} ps --output json 2>/dev/null")
        for container in json.loads(text)["containers"]:
            labels = container["labels"]
            names.add("/".join(labels[f"io.kubernetes.pod.{key}"] for key in ("namespace", "name", "uid")))
    return names


def test_the_timer_waits_on_every_control_plane_machine(cluster: Cluster) -> None:
    for machine in cluster.control_plane:
        shown = cluster.ssh(
            machine,
            "systemctl show hardway-etcd-backup.timer --property=ActiveState,UnitFileState,NextElapseUSecMonotonic",
        )
        assert "ActiveState=active\n" in shown
        assert "UnitFileState=enabled" in shown
        assert "infinity" not in shown, shown
        assert cluster.ssh(machine, f"stat --format='%a %U' {FOLDER}").strip() == "700 etcd"


def test_the_service_keeps_as_many_snapshots_as_it_is_told(cluster: Cluster) -> None:
    machine = cluster.control_plane[-1]
    drop_in = "/run/systemd/system/hardway-etcd-backup.service.d"
    try:
        cluster.ssh(
            machine,
            f"mkdir -p {drop_in} && printf '[Service]\\nEnvironmentFile=\\nEnvironment=BACKUP_KEEP=2 BACKUP_DAYS=7\\n' "
            f">{drop_in}/test.conf && systemctl daemon-reload",
        )
        for _ in range(3):
            cluster.ssh(machine, "systemctl start hardway-etcd-backup.service && sleep 1", seconds=120)
        names = cluster.ssh(machine, f"ls -A {FOLDER}").split()
        snapshots = [name for name in names if name.startswith("etcd-")]
        assert len(snapshots) == 2, names
        assert [name for name in names if "partial" in name] == []
        assert cluster.ssh(machine, f"stat --format=%a {FOLDER}/{snapshots[-1]}").strip() == "600"
    finally:
        cluster.ssh(machine, f"rm -r {drop_in}; systemctl daemon-reload")


def test_a_backup_holds_a_whole_snapshot_and_a_state_without_any_plain_secret(
    cluster: Cluster, backup: Path
) -> None:
    about = json.loads((backup / "backup.json").read_text())
    assert sorted(path.name for path in backup.iterdir()) == sorted(
        [f"Pulumi.{cluster.name}.yaml", "backup.json", "etcd.db", "stack.json"]
    )
    assert {path.stat().st_mode & 0o777 for path in backup.iterdir()} == {0o600}
    assert about["snapshot"]["size"] == (backup / "etcd.db").stat().st_size
    assert about["snapshot"]["totalKey"] > 100
    assert about["secrets"] == "passphrase"
    assert "encryptionsalt" in (backup / f"Pulumi.{cluster.name}.yaml").read_text()
    state = (backup / "stack.json").read_text()
    assert "PRIVATE KEY" not in state
    assert backend.PASSPHRASE.read_text().strip() not in state


def test_a_rehearsal_restores_the_newest_snapshot_and_touches_nothing(cluster: Cluster, backup: Path) -> None:
    before = {machine: cluster.starts(machine) for machine in cluster.control_plane}
    machine = cluster.control_plane[-1]
    cluster.ssh(machine, "systemctl start hardway-etcd-backup.service", seconds=120)
    done = operate(cluster, "restore-drill")
    assert f" of {machine} can be restored" in done.output
    assert "hash of all keys " in done.output
    cluster.figures["make restore-drill"] = f"{done.seconds:.1f} s"
    assert {machine: cluster.starts(machine) for machine in cluster.control_plane} == before
    assert "drill" not in cluster.ssh(machine, f"ls -A {FOLDER}; pgrep -af name=[d]rill || true")


def test_a_damaged_snapshot_fails_the_rehearsal(cluster: Cluster, backup: Path) -> None:
    machine = cluster.control_plane[0]
    spoilt = f"{FOLDER}/etcd-20990101T000000Z-1.db"
    cluster.ssh(machine, f"head -c 100000 $(ls {FOLDER}/etcd-*.db | tail -1) >{spoilt}")
    try:
        line = [
            sys.executable,
            "-m",
            "operations",
            "restore-drill",
            "--stack",
            cluster.name,
            "--node",
            machine,
        ]
        done = run(line, seconds=120, environment={"HARDWAY_INSIDE": str(paths.VENV)})
    finally:
        cluster.ssh(machine, f"rm {spoilt}")
    assert done.status == 1
    assert f"{spoilt} does not end in the digest of what is before it" in done.output


def test_after_all_members_lost_their_data_a_restore_brings_the_cluster_back_and_nothing_runs_twice(
    cluster: Cluster, backup: Path
) -> None:
    cluster.kubectl("--namespace", SPACE, "create", "configmap", "after", "--from-literal=value=lost")
    cluster.kubectl("--namespace", SPACE, "delete", "configmap", "before")
    cluster.kubectl("--namespace", SPACE, "scale", "deployment/web", f"--replicas={REPLICAS + 2}")
    cluster.apply(*placed(SPACE, _deployment("later", 1)))
    _wait(cluster, "deployment/web", "Available")
    _wait(cluster, "deployment/later", "Available")
    agents = {machine: cluster.starts(machine)["kubelet.service"] for machine in cluster.nodes}
    for machine in cluster.control_plane:
        cluster.ssh(machine, "systemctl stop etcd && rm -rf /var/lib/etcd/member", seconds=120)
    begin = time.monotonic()
    done = operate(cluster, "restore", "--yes", "--", str(backup), seconds=900)
    cluster.figures["make restore of all three members, all data lost"] = f"{done.seconds:.1f} s"
    cluster.wait_until_ready(180)
    wait_for("three healthy members", lambda: cluster.healthy_members("cp-0") == 3, 60)
    _as_before(cluster)
    cluster.figures["restore until pods on machines are those of the API"] = (
        f"{time.monotonic() - begin:.1f} s"
    )
    assert _runs(cluster, "once") == 1
    assert {machine: cluster.starts(machine)["kubelet.service"] for machine in cluster.nodes} == agents
    status = json.loads(cluster.etcdctl("cp-0", "endpoint status --write-out=json"))[0]["Status"]
    assert status["header"]["revision"] > 1_000_000_000
    _works(cluster)


def _as_before(cluster: Cluster) -> None:
    """Objects are those of the snapshot, and machines run exactly the API's pods."""
    get = ("--namespace", SPACE, "get")
    assert cluster.kubectl(*get, "configmap", "before", "--output=jsonpath={.data.value}") == "kept"
    assert cluster.kubectl(*get, "secret", "before", "--output=jsonpath={.data.value}") == "c2VjcmV0"
    assert cluster.try_kubectl(*get, "configmap", "after").status != 0
    assert cluster.try_kubectl(*get, "deployment", "later").status != 0

    def settled() -> bool:
        web = cluster.get("deployment", "web", f"--namespace={SPACE}")["status"]
        there = _pods_of_the_api(cluster)
        return bool(
            web.get("readyReplicas") == REPLICAS
            and there == _pods_on_machines(cluster)
            and len([one for one in there if one.startswith(f"{SPACE}/web-")]) == REPLICAS
        )

    wait_for(
        "machines to run the API's pods and no others",
        settled,
        240,
        lambda: f"{_pods_of_the_api(cluster) ^ _pods_on_machines(cluster)}\n{describe(cluster, SPACE)}",
    )


def _works(cluster: Cluster) -> None:
    """New writes are acted upon by controllers and kubelets, and a watch tells of them."""
    watched = cluster.logs / "watch.log"
    with watched.open("wb") as sink:
        watcher = subprocess.Popen(
            [
                str(lab_cluster.client(cluster.plan)),
                "--kubeconfig",
                str(cluster.stack.kubeconfig),
                "--namespace",
                SPACE,
                "get",
                "configmaps",
                "--watch",
                "--output=name",
            ],
            stdout=sink,
        )
        try:
            wait_for("the watch", lambda: "configmap/before" in watched.read_text(), 60)
            cluster.kubectl("--namespace", SPACE, "create", "configmap", "new", "--from-literal=value=new")
            wait_for("the watch to tell", lambda: "configmap/new" in watched.read_text(), 60)
        finally:
            watcher.kill()
            watcher.wait(30)
    cluster.apply(*placed(SPACE, _job("again")))
    _wait(cluster, "job/again", "Complete")
    assert _runs(cluster, "again") == 1
    cluster.kubectl("--namespace", SPACE, "scale", "deployment/web", "--replicas=1")
    wait_for(
        "one replica",
        lambda: cluster.get("deployment", "web", f"--namespace={SPACE}")["status"].get("replicas") == 1,
        60,
    )


@pytest.mark.soak
def test_a_second_restore_of_the_same_snapshot_goes_on_above_the_first(
    cluster: Cluster, backup: Path
) -> None:
    """From a living cluster this time; the old data stays beside the new one."""
    done = operate(cluster, "restore", "--yes", "--", str(backup / "etcd.db"), seconds=900)
    cluster.figures["make restore of a living cluster"] = f"{done.seconds:.1f} s"
    match = re.search(r"without an API ([\d.]+) s", done.output)
    assert match, done.output
    cluster.figures["... of which without an API"] = f"{match.group(1)} s"
    cluster.wait_until_ready(180)
    _as_before(cluster)
    assert _runs(cluster, "once") == 1
    status = json.loads(cluster.etcdctl("cp-0", "endpoint status --write-out=json"))[0]["Status"]
    assert status["header"]["revision"] > 2_000_000_000
    for machine in cluster.control_plane:
        aside = cluster.ssh(machine, "ls -d /var/lib/etcd/member.replaced-*").split()
        assert aside
        cluster.ssh(machine, f"rm -r {' '.join(aside)}")


def test_a_lost_state_comes_back_from_a_backup_and_up_changes_nothing(cluster: Cluster, backup: Path) -> None:
    stacks = backend.STATE / ".pulumi" / "stacks" / backend.PROJECT_NAME
    aside = cluster.logs / "state"
    aside.mkdir()
    files = [*stacks.glob(f"{cluster.name}.json*")]
    assert files
    for file in files:
        shutil.move(file, aside / file.name)
    kept = [cluster.stack.config, cluster.stack.outputs_file, cluster.stack.kubeconfig]
    for file in kept:
        shutil.move(file, aside / f"{file.name}.lost")
    try:
        done = operate(cluster, "recover", "--", str(backup))
        assert cluster.stack.outputs_file.exists(), done.output
        assert cluster.ready_nodes() == set(cluster.nodes)
        cluster.up()
        assert set(cluster.changes()) == {"same"}
        again = run(
            [sys.executable, "-m", "operations", "recover", "--stack", cluster.name, "--", str(backup)],
            environment={"HARDWAY_INSIDE": str(paths.VENV)},
        )
        assert again.status == 1
        assert "has a state, with " in again.output
    except BaseException:
        for file in files:
            shutil.copy(aside / file.name, file)
        for file in kept:
            shutil.copy(aside / f"{file.name}.lost", file)
        raise
