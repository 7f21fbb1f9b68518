"""Machines lose power, disks and sense; the cluster goes on, and the next `up` makes it whole."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from config.versions import ARTIFACTS
from lab import fileserver, machines, mirror, network, paths
from lab.client import run, wait_for
from tests.e2e.cluster import Cluster
from tests.e2e.pods import import_images
from tests.e2e.writer import Writer

SPACE = "e2e-faults"
LONGEST_PAUSE = 5.0
"""Seconds without a successful write that losing one control-plane machine may cost."""


@pytest.fixture(scope="module", autouse=True)
def kept(cluster: Cluster) -> Iterator[None]:
    """Something that has to outlive every fault."""
    with cluster.namespace(SPACE):
        cluster.kubectl("--namespace", SPACE, "create", "configmap", "kept", "--from-literal=value=kept")
        cluster.kubectl(
            "--namespace", SPACE, "create", "secret", "generic", "kept", "--from-literal=value=secret"
        )
        yield


@pytest.fixture(autouse=True)
def _whole(cluster: Cluster) -> None:
    """A test here begins with a cluster that is well, or says that the one before it left none."""
    cluster.wait_until_ready(90)


def _data_is_there(cluster: Cluster) -> None:
    assert cluster.get("configmap", "kept", f"--namespace={SPACE}")["data"] == {"value": "kept"}
    assert cluster.get("secret", "kept", f"--namespace={SPACE}")["data"] == {"value": "c2VjcmV0"}


def _follower_or_leader(cluster: Cluster, leads: bool) -> str:
    leader = cluster.leader("cp-0")
    others = [name for name in ("cp-1", "cp-2", "cp-0") if name != leader]
    return leader if leads else others[0]


@pytest.mark.parametrize("leads", [False, True], ids=["follower", "leader"])
def test_losing_a_control_plane_machine_stops_writes_for_five_seconds_at_most(
    cluster: Cluster, leads: bool
) -> None:
    victim = _follower_or_leader(cluster, leads)
    with Writer(cluster, SPACE) as writer:
        time.sleep(3)
        cluster.machine("kill", victim)
        time.sleep(20)
    pause = writer.longest_pause()
    word = "leads etcd" if leads else "follows in etcd"
    cluster.figures[f"longest pause of writes when the machine is lost that {word}"] = f"{pause:.2f} s"
    try:
        assert pause <= LONGEST_PAUSE, f"{victim}: {pause:.1f} s; {writer.failures[-3:]}"
    finally:
        begin = time.monotonic()
        cluster.machine("start", victim)
        wait_for("three healthy members of etcd", lambda: cluster.healthy_members("cp-0") == 3, 60)
        cluster.wait_until_ready(90)
        wait_for(
            "its API server",
            lambda: cluster.anonymous(f"https://{cluster.address(victim)}:6443/readyz") == 200,
            60,
        )
        cluster.figures.setdefault(
            "a lost control-plane machine is back", f"{time.monotonic() - begin:.1f} s"
        )


def _spoil(path: Path) -> bytes:
    """Change one byte in the middle of a file, leaving size and time, and give what it was."""
    times = path.stat().st_atime_ns, path.stat().st_mtime_ns
    with path.open("r+b") as file:
        file.seek(path.stat().st_size // 2)
        was = file.read(1)
        file.seek(-1, 1)
        file.write(bytes([was[0] ^ 0xFF]))
    os.utime(path, ns=times)
    return was


def test_a_wiped_worker_is_filled_again_but_never_from_a_damaged_file(cluster: Cluster) -> None:
    worker = cluster.workers[1]
    artifact, arch = ARTIFACTS["crictl"], paths.architecture()
    served = paths.MIRROR / artifact.key(arch) / artifact.file_name(arch)
    good = mirror.read_lock()[artifact.key(arch)].sha256
    cluster.machine("wipe", worker)
    _spoil(served)
    try:
        bad = mirror.file_digest(served)
        done = cluster.lab("up")
    finally:
        _spoil(served)
    assert mirror.file_digest(served) == good
    assert done.status != 0
    for word in (worker, f"crictl {artifact.version}", good, bad, "Nothing was installed"):
        assert word in done.output, done.tail()
    assert "Traceback" not in done.output
    assert (
        run(["ls", str(paths.STATE / "lab/machines" / worker / "disk/data/hardway/crictl")]).output.split()
        == []
    )
    begin = time.monotonic()
    cluster.up()
    cluster.figures["up after a worker lost its disk"] = f"{time.monotonic() - begin:.1f} s"
    assert cluster.ready_nodes() == set(cluster.nodes)
    assert cluster.ssh(worker, "/opt/hardway/bin/crictl --version").strip().endswith(artifact.version)
    import_images(cluster, [worker])
    _data_is_there(cluster)


def test_a_wiped_control_plane_machine_becomes_a_new_member_with_the_old_data(cluster: Cluster) -> None:
    before = cluster.members("cp-0")
    cluster.machine("wipe", "cp-2")
    begin = time.monotonic()
    cluster.up()
    cluster.figures["up after a control-plane machine lost its disk"] = f"{time.monotonic() - begin:.1f} s"
    wait_for("three healthy members of etcd", lambda: cluster.healthy_members("cp-2") == 3, 30)
    after = cluster.members("cp-2")
    assert sorted(after) == sorted(before)
    assert after["cp-2"] != before["cp-2"]
    assert {name: after[name] for name in ("cp-0", "cp-1")} == {
        name: before[name] for name in ("cp-0", "cp-1")
    }
    assert "kept" in cluster.etcdctl("cp-2", f"get --keys-only --prefix /registry/configmaps/{SPACE}/")
    _data_is_there(cluster)


BAD_FLAG = {"event-ttl": "soon"}


def test_a_bad_flag_stops_at_the_first_machine_and_the_corrected_one_repairs_even_a_dead_api(
    own_settings: Cluster,
) -> None:
    cluster = own_settings
    first, *others = cluster.control_plane
    before = {machine: cluster.starts(machine) for machine in others}
    cluster.write_settings(controlPlane={"count": 3, "apiServer": {"extraArgs": BAD_FLAG}})
    done = cluster.lab("up")
    assert done.status != 0
    assert first in done.output
    assert "kube-apiserver.service was restarted and is not healthy" in done.output, done.tail()
    assert re.search(r"kube-apiserver.*event-ttl", done.output), "the unit's own words are shown"
    assert "Traceback" not in done.output
    assert {machine: cluster.starts(machine) for machine in others} == before, "nobody after it was touched"
    cluster.figures["a bad flag is told after"] = f"{done.seconds:.1f} s"
    for machine in others:  # what the program refused to do: the flag on all of them, and no API any more
        cluster.ssh(
            machine,
            "sed -i 's/^EXTRA_ARGS=.*/EXTRA_ARGS=--event-ttl=soon/' /etc/kubernetes/kube-apiserver.env && "
            "systemctl restart --no-block kube-apiserver",
        )
    wait_for("the API to be dead", lambda: not cluster.ready_nodes(), 30)
    cluster.write_settings()
    repaired = cluster.up()
    cluster.figures["up that repairs a dead API"] = f"{repaired.seconds:.1f} s"
    for machine in cluster.control_plane:
        assert cluster.anonymous(f"https://{cluster.address(machine)}:6443/readyz") == 200, machine
        assert "soon" not in cluster.ssh(machine, "cat /etc/kubernetes/kube-apiserver.env")
    _data_is_there(cluster)


def test_after_the_computers_reboot_up_brings_the_cluster_back_with_its_data(cluster: Cluster) -> None:
    """All machines die at once, and what lived in the kernel and under /run is gone."""
    fileserver.stop()
    for machine in machines.list_machines():
        machines.kill(machine.name)
        network.disconnect(machine.name)
    run(["ip", "link", "del", network.bridge()])
    done = cluster.up()
    cluster.figures["up after the computer's reboot"] = f"{done.seconds:.1f} s"
    assert set(cluster.changes()) == {"same"}, done.tail()
    assert cluster.ready_nodes() == set(cluster.nodes)
    assert cluster.healthy_members("cp-0") == 3
    _data_is_there(cluster)
