"""Machines compared with the state: drift of each kind is named, nothing else is, and a repair touches one machine."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from typing import Any

from lab import paths
from lab.client import Finished
from tests.e2e.cluster import Cluster

SECONDS = "300"
"""For each machine: tests share the computer with whatever runs beside them."""
DRIFT = """
set -e
echo '# by hand' >> /etc/haproxy/kube-api.cfg
rm /etc/kube-flannel/net-conf.json
chmod 644 /etc/kubernetes/pki/kubelet-client.key
systemctl stop kube-proxy.service
ln -sf /dev/null /etc/systemd/system/kube-network-policies.service
for link in crictl kubelet; do
    file=$(readlink /opt/hardway/bin/$link)
    cp -p $file $file.other
    echo >> $file.other
    mv $file.other $file
done
systemctl daemon-reload
systemctl restart kubelet.service
"""
NAMED = {
    ("files", "/etc/haproxy/kube-api.cfg", "has another content"),
    ("files", "/etc/kube-flannel/net-conf.json", "is not there"),
    ("files", "/etc/kubernetes/pki/kubelet-client.key", "has mode 0644, not 0600"),
    ("files", "/etc/systemd/system/kube-network-policies.service", "is no regular file"),
    ("binaries", "crictl", "is not the file that was staged"),
    ("binaries", "kubelet", "is not the file that was staged"),
    ("units", "kube-proxy.service", "is inactive (dead)"),
    ("units", "kube-network-policies.service", "is masked"),
}
FOREIGN = "/etc/systemd/system/kubelet.service.d/99-somebody.conf"


def operate(cluster: Cluster, *words: str) -> Finished:
    """One of the operator's commands; standard error only where it fails."""
    begin = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-m", "operations", *words, "--stack", cluster.name, "--seconds", SECONDS],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=900,
        cwd=paths.PROJECT,
        env={**os.environ, "HARDWAY_INSIDE": str(paths.VENV)},
        check=False,
    )
    said = done.stdout + (done.stderr if done.returncode else "")
    return Finished(done.returncode, said, time.monotonic() - begin)


def findings(document: dict[str, Any]) -> dict[str, set[tuple[str, str, str]]]:
    """What was found on each machine that differs; of a staged file its name alone.

    But for the space on disks: theirs is the computer's, and whatever runs beside takes of it.
    """
    found: dict[str, set[tuple[str, str, str]]] = {}
    for name, machine in document["machines"].items():
        for one in [one for one in machine["findings"] if one["check"] != "disk"]:
            path = one["place"]
            place = path.rsplit("/", 1)[1] if path.startswith("/opt/hardway/") else path
            found.setdefault(name, set()).add((one["check"], place, one["what"]))
    return found


def test_a_cluster_that_nobody_touched_is_as_the_state_says(cluster: Cluster) -> None:
    done = operate(cluster, "verify", "--json")
    document = json.loads(done.output)
    assert findings(document) == {}
    assert document["unreached"] == []
    assert done.status == 0
    assert set(document["machines"]) == set(cluster.applied())
    assert "no digests are known" not in done.output
    cluster.figures["verify of a clean cluster"] = f"{done.seconds:.1f} s"


def test_drift_of_each_kind_is_named_and_a_repair_touches_that_machine_alone(cluster: Cluster) -> None:
    drifted = cluster.workers[0]
    before = {machine: cluster.starts(machine) for machine in cluster.applied()}
    cluster.ssh(drifted, DRIFT)
    seen = operate(cluster, "verify", "--json")
    assert (seen.status, findings(json.loads(seen.output))) == (1, {drifted: NAMED}), seen.output
    shown = operate(cluster, "repair")
    assert shown.status == 1, shown.tail()
    assert f"To be repeated: prepare-{drifted}, activate-{drifted}." in shown.output, shown.tail()
    assert "+-2 to replace" in shown.output, shown.tail()
    assert "Nothing was done" in shown.output
    done = operate(cluster, "repair", "--yes")
    assert done.status == 0, done.tail(120)
    after = {machine: cluster.starts(machine) for machine in cluster.applied()}
    restarted = {
        machine: {unit for unit, start in after[machine].items() if start != before[machine].get(unit)}
        for machine in after
    }
    expected: dict[str, set[str]] = {machine: set() for machine in after}
    expected[drifted] = {"kubelet.service", "kube-proxy.service"}
    assert restarted == expected, done.tail(120)
    clean = operate(cluster, "verify", "--json")
    assert (clean.status, findings(json.loads(clean.output))) == (0, {}), clean.output
    assert cluster.ready_nodes() == set(cluster.nodes)
    cluster.figures["repair of one machine, verified before and after"] = f"{done.seconds:.1f} s"


def test_a_foreign_drop_in_is_told_and_left_where_it_is(cluster: Cluster) -> None:
    machine = cluster.workers[1]
    cluster.ssh(
        machine,
        f"mkdir -p $(dirname {FOREIGN}); printf '[Service]\\nNice=1\\n' > {FOREIGN}; systemctl daemon-reload",
    )
    try:
        seen = operate(cluster, "verify", "--json")
        told = {("units", FOREIGN, "changes a unit of ours and is not ours")}
        assert (seen.status, findings(json.loads(seen.output))) == (1, {machine: told}), seen.output
        repaired = operate(cluster, "repair", "--yes")
        assert "No step of ours puts this right" in repaired.output, repaired.tail()
        assert cluster.ssh(machine, f"cat {FOREIGN}") == "[Service]\nNice=1\n"
    finally:
        cluster.ssh(
            machine,
            f"rm {FOREIGN}; rmdir --ignore-fail-on-non-empty $(dirname {FOREIGN}); systemctl daemon-reload",
        )
    assert operate(cluster, "verify").status == 0
