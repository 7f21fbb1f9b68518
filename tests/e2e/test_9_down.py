"""Nothing is left: after the end, after an engine that was killed while it built, and after the next end."""

from __future__ import annotations

import os
import re
import signal

from lab import kernel, machines, sweep
from lab.client import wait_for
from tests.e2e import snapshot
from tests.e2e.cluster import Cluster
from tests.e2e.test_7_interrupts import _engine


def _down(cluster: Cluster) -> float:
    done = cluster.lab("down")
    assert done.status == 0, done.tail()
    return done.seconds


def _nothing_is_left(before: snapshot.Snapshot) -> None:
    assert sweep.leftovers() == []
    after = snapshot.take()
    for kind in ("interfaces", "namespaces", "mounts", "control_groups", "processes", "firewall"):
        assert set(getattr(after, kind)) <= set(getattr(before, kind)), kind
    if not kernel.instances():  # another clone's lab needs the same settings
        assert after.settings == before.settings


def test_down_leaves_nothing_and_puts_the_kernels_settings_back(
    own_settings: Cluster, before: snapshot.Snapshot
) -> None:
    seconds = _down(own_settings)
    own_settings.figures["down"] = f"{seconds:.1f} s"
    _nothing_is_left(before)
    assert not own_settings.stack.kubeconfig.exists()
    assert not (own_settings.stack.folder / "ssh_key").exists()


def test_down_with_nothing_there_is_no_error(own_settings: Cluster, before: snapshot.Snapshot) -> None:
    _down(own_settings)
    _nothing_is_left(before)


def test_an_engine_killed_while_it_builds_is_made_good_by_the_next_up(own_settings: Cluster) -> None:
    cluster = own_settings
    process, log = cluster.begin("up")
    wait_for(
        "a machine", lambda: re.search(r"Command prepare-cp-0 creating", log.read_text()), 90, log.read_text
    )
    os.kill(_engine(process.pid), signal.SIGKILL)
    process.wait(60)
    assert process.returncode != 0
    assert machines.list_machines(), "it was killed in the middle"
    done = cluster.up()
    assert cluster.ready_nodes() == set(cluster.nodes)
    cluster.figures["up after an engine killed in its first run"] = f"{done.seconds:.1f} s"
    again = cluster.up()
    assert set(cluster.changes()) == {"same"}, again.tail()


def test_down_after_a_killed_down_leaves_nothing(own_settings: Cluster, before: snapshot.Snapshot) -> None:
    process, log = own_settings.begin("down")
    wait_for("its begin", lambda: re.search(r"machine-\S+ deleting", log.read_text()), 60, log.read_text)
    os.kill(_engine(process.pid), signal.SIGKILL)
    process.wait(60)
    _down(own_settings)
    _nothing_is_left(before)
