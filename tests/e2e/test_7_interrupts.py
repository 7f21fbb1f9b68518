"""Runs that end in the middle: unreachable machines, Ctrl-C, a killed engine. The next `up` converges."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import time
from pathlib import Path

from lab import network, paths
from lab.client import run, wait_for
from tests.e2e.cluster import Cluster

UNREACHABLE_SECONDS = 240.0


def _change(cluster: Cluster, pods: int) -> None:
    cluster.write_settings(**cluster.worker_pool(kubelet={"maxPods": pods}))


def _capacities(cluster: Cluster) -> set[str]:
    return {cluster.get("node", worker)["status"]["capacity"]["pods"] for worker in cluster.workers}


def _converges(cluster: Cluster, pods: int) -> None:
    cluster.up()
    wait_for("the new limit of Pods on both workers", lambda: _capacities(cluster) == {str(pods)}, 30)
    done = cluster.up()
    assert set(cluster.changes()) == {"same"}, done.tail()


def _interrupted(cluster: Cluster, marker: str) -> tuple[subprocess.Popen[bytes], Path]:
    """Start an `up` and wait until its output shows the marker."""
    process, log = cluster.begin("up")
    wait_for(marker, lambda: re.search(marker, log.read_text()), 90, lambda: log.read_text()[-3000:])
    return process, log


def _engine(parent: int) -> int:
    """The engine's process id: the only `pulumi` among a command's children."""
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            status = (folder / "status").read_text()
            words = (folder / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if f"PPid:\t{parent}\n" in status and Path(words[0].decode()).name == "pulumi":
            return int(folder.name)
    raise AssertionError("no engine runs")


def test_a_machine_that_cannot_be_reached_ends_the_run_in_bounded_time_by_its_name(
    own_settings: Cluster,
) -> None:
    cluster = own_settings
    worker = cluster.workers[0]
    _change(cluster, 121)
    run(["ip", "link", "set", network.cable(worker), "down"])
    try:
        done = cluster.lab("up", seconds=UNREACHABLE_SECONDS + 60)
    finally:
        run(["ip", "link", "set", network.cable(worker), "up"])
    assert done.status != 0
    assert done.seconds < UNREACHABLE_SECONDS
    assert worker in done.output, done.tail()
    assert cluster.address(worker) in done.output, done.tail()
    assert "Traceback" not in done.output
    cluster.figures["an unreachable machine is told after"] = f"{done.seconds:.1f} s"
    _converges(cluster, 121)


def test_ctrl_c_during_a_change_loses_nothing(own_settings: Cluster) -> None:
    cluster = own_settings
    _change(cluster, 122)
    process, log = _interrupted(cluster, r"activate-worker\S* updating")
    os.killpg(process.pid, signal.SIGINT)
    process.wait(120)
    assert process.returncode != 0, log.read_text()[-3000:]
    assert "Traceback" not in log.read_text()
    _converges(cluster, 122)


def test_a_killed_engines_lock_is_taken_away_only_once_it_is_dead(own_settings: Cluster) -> None:
    cluster = own_settings
    _change(cluster, 123)
    process, log = _interrupted(cluster, r"activate-worker\S* updating")
    engine = _engine(process.pid)
    second = cluster.lab("up", seconds=60)
    assert second.status == 1
    assert f"process {engine} on" in second.output, second.tail()
    if process.poll() is None:
        os.kill(engine, signal.SIGKILL)
    process.wait(60)
    assert process.returncode != 0, log.read_text()[-3000:]
    third = cluster.up()
    assert f"its engine (process {engine}) was killed; its lock is taken away" in third.output
    cluster.write_settings(**cluster.worker_pool(kubelet={"maxPods": 123}))
    _converges(cluster, 123)
    cluster.write_settings()
    _converges(cluster, 110)


def test_no_engine_and_no_helper_of_a_killed_run_is_left(cluster: Cluster) -> None:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        said = run(["pgrep", "--list-full", "pulumi"]).output
        ours = [
            line
            for line in said.splitlines()
            if str(paths.PULUMI_HOME) in line or f"--stack {cluster.name}" in line
        ]
        if not ours:
            return
        time.sleep(1)
    raise AssertionError(ours)
