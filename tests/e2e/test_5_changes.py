"""A change of settings: previewed line by line, applied only where it matters, one machine after another."""

from __future__ import annotations

import re

from tests.e2e.cluster import Cluster
from tests.e2e.pods import pod, run_pods

SPACE = "e2e-changes"
MAX_PODS = 120


def test_a_preview_shows_the_changed_line_on_the_machines_it_concerns(own_settings: Cluster) -> None:
    own_settings.write_settings(**own_settings.worker_pool(kubelet={"maxPods": MAX_PODS}))
    done = own_settings.lab("preview")
    assert done.status == 0, done.tail()
    lines = [line.strip() for line in done.output.splitlines()]
    assert sum(bool(re.search(rf"maxPods\s*: 110 => {MAX_PODS}$", line)) for line in lines) == 2, done.output
    configs = set(re.findall(r"NodeConfig::(activate-[a-z0-9-]+)\]", done.output))
    assert configs == {f"activate-{worker}" for worker in own_settings.workers}, done.output
    assert "hardway:index:NodePrepare: (update)" not in done.output
    own_settings.figures["preview of a change"] = f"{done.seconds:.1f} s"


def test_a_change_restarts_the_kubelet_only_worker_after_worker_and_disturbs_no_pod(
    own_settings: Cluster,
) -> None:
    cluster = own_settings
    first, second = cluster.workers
    with cluster.namespace(SPACE):
        run_pods(cluster, SPACE, *(pod(f"on-{worker}", node=worker) for worker in cluster.workers))
        before = {machine: cluster.starts(machine) for machine in cluster.nodes}
        cluster.write_settings(**cluster.worker_pool(kubelet={"maxPods": MAX_PODS}))
        done = cluster.up()
        after = {machine: cluster.starts(machine) for machine in cluster.nodes}
        restarted = {
            machine: sorted(
                unit for unit, start in after[machine].items() if start != before[machine].get(unit)
            )
            for machine in cluster.nodes
        }
        expected = {
            machine: ["kubelet.service"] if machine in (first, second) else [] for machine in cluster.nodes
        }
        assert restarted == expected, done.tail()
        assert {name: cluster.applied()[name]["restarted"] for name in (first, second)} == {
            first: ["kubelet.service"],
            second: ["kubelet.service"],
        }
        apart = (after[second]["kubelet.service"] - after[first]["kubelet.service"]) / 1e6
        assert apart > 0.5, "the second waits until the first is Ready again"
        for one in cluster.get("pods", f"--namespace={SPACE}")["items"]:
            assert [status["restartCount"] for status in one["status"]["containerStatuses"]] == [0]
            assert cluster.kubectl("--namespace", SPACE, "exec", one["metadata"]["name"], "--", "true") == ""
    for worker in cluster.workers:
        capacity = cluster.get("node", worker)["status"]["capacity"]["pods"]
        assert capacity == str(MAX_PODS)
    cluster.figures["up of a kubelet's change on two workers"] = f"{done.seconds:.1f} s"


def test_labels_and_taints_of_a_pool_reach_nodes_that_are_registered(own_settings: Cluster) -> None:
    cluster = own_settings
    taint = {"key": "e2e.hardway.dev/only", "value": "yes", "effect": "PreferNoSchedule"}
    cluster.write_settings(**cluster.worker_pool(labels={"e2e.hardway.dev/tier": "gold"}, taints=[taint]))
    cluster.up()
    for worker in cluster.workers:
        node = cluster.get("node", worker)
        assert node["metadata"]["labels"]["e2e.hardway.dev/tier"] == "gold"
        assert node["spec"]["taints"] == [taint]
    cluster.write_settings()
    cluster.up()
    for worker in cluster.workers:
        node = cluster.get("node", worker)
        assert "e2e.hardway.dev/tier" not in node["metadata"]["labels"]
        assert "taints" not in node["spec"]
