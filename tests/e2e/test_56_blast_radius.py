"""What a preview says that a run would disturb, on a real cluster: three changes, none of them made."""

from __future__ import annotations

import json

from tests.e2e.cluster import Cluster
from tests.e2e.test_5_leaving import _budget, _replicas

SPACE = "e2e-blast-radius"


def told(cluster: Cluster) -> str:
    """The paragraph of a preview, as one line; "" where there is none."""
    done = cluster.lab("preview")
    assert done.status == 0, done.tail()
    cluster.figures["preview that tells what it disturbs"] = f"{done.seconds:.1f} s"
    _, _, paragraph = done.output.partition("This run disturbs: ")
    return " ".join(paragraph.split())


def test_nothing_changed_disturbs_nobody(own_settings: Cluster) -> None:
    assert told(own_settings) == ""


def test_a_kubelets_setting_restarts_kubelets_one_worker_after_the_other(own_settings: Cluster) -> None:
    cluster = own_settings
    cluster.write_settings(**cluster.worker_pool(kubelet={"maxPods": 120}))
    assert told(cluster) == (
        f"{', '.join(cluster.workers)} restart kubelet, one at a time (maxUnavailable of general). No pod is moved or "
        "restarted by that."
    )


def test_a_removed_worker_is_drained_and_the_budget_that_holds_it_is_named(own_settings: Cluster) -> None:
    cluster = own_settings
    goes = cluster.workers[1]
    with cluster.namespace(SPACE):
        lone = _replicas("held", 1)
        lone["spec"]["template"]["spec"]["nodeSelector"] = {"kubernetes.io/hostname": goes}  # type: ignore[index]
        documents = "\n---\n".join(json.dumps(one) for one in (lone, _budget("held", 1)))
        cluster.kubectl("--namespace", SPACE, "apply", "--filename=-", stdin=documents)
        cluster.kubectl("--namespace", SPACE, "rollout", "status", "deployment", "--timeout=90s", seconds=100)
        name = cluster.get("pods", f"--namespace={SPACE}")["items"][0]["metadata"]["name"]
        cluster.write_settings(**cluster.worker_pool(count=1))
        text = told(cluster)
    assert f"{goes} is drained and removed, after everything else." in text
    assert (
        f"{SPACE}/{name}: PodDisruptionBudget {SPACE}/held allows 0 disruptions (1 healthy, 1 wanted) on {goes}"
    ) in text
    assert "quorum" not in text


def test_a_replaced_control_plane_machine_is_told_with_its_vote(own_settings: Cluster) -> None:
    cluster = own_settings
    cluster.write_settings(replace=["cp-1"])
    text = told(cluster)
    assert text.startswith("cp-1 is drained and made anew, with empty disks. "), text
    assert text.endswith(
        "etcd keeps its quorum: 2 of 3 members stay, 2 are needed. 2 of 3 API servers answer meanwhile."
    ), text
