"""A machine that leaves or is made anew: its pods go first, its Node goes with it, nobody else notices."""

from __future__ import annotations

import json

from tests.e2e.cluster import Cluster
from tests.e2e.pods import import_images, pod

SPACE = "e2e-leaving"


def _replicas(name: str, count: int) -> dict[str, object]:
    template = pod(name)
    template["spec"]["tolerations"] = [{"key": "unused", "operator": "Exists"}]
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name},
        "spec": {
            "replicas": count,
            "selector": {"matchLabels": {"app": name}},
            "template": {"metadata": {"labels": {"app": name}}, "spec": template["spec"]},
        },
    }


def _budget(name: str, least: int) -> dict[str, object]:
    return {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": {"name": name},
        "spec": {"minAvailable": least, "selector": {"matchLabels": {"app": name}}},
    }


def _deploy(cluster: Cluster, *documents: dict[str, object]) -> None:
    text = "\n---\n".join(json.dumps(one) for one in documents)
    cluster.kubectl("--namespace", SPACE, "apply", "--filename=-", stdin=text)
    cluster.kubectl("--namespace", SPACE, "rollout", "status", "deployment", "--timeout=90s", seconds=100)


def _uid(cluster: Cluster, node: str) -> str:
    return str(cluster.get("node", node)["metadata"]["uid"])


def test_a_listed_worker_is_drained_within_its_budgets_made_anew_and_joins_again(
    own_settings: Cluster,
) -> None:
    cluster = own_settings
    goes = cluster.workers[1]
    with cluster.namespace(SPACE):
        _deploy(cluster, _replicas("web", 4), _budget("web", 3))
        before = {node: _uid(cluster, node) for node in cluster.nodes}
        identities = {name: one["identity"] for name, one in cluster.applied().items()}
        cluster.write_settings(replace=[goes])
        previewed = cluster.lab("preview")
        assert f"machine-{goes}" in previewed.output, previewed.tail()
        assert "+-2 to replace" in previewed.output, previewed.tail()
        done = cluster.up()
        cluster.figures["up that drains a worker and makes it anew"] = f"{done.seconds:.1f} s"
        after = {node: _uid(cluster, node) for node in cluster.nodes}
        assert {node for node in after if after[node] != before[node]} == {goes}
        assert {name for name, one in cluster.applied().items() if one["identity"] != identities[name]} == {
            goes
        }
        assert cluster.ready_nodes() == set(cluster.nodes)
        import_images(cluster, [goes])
        ready = cluster.get("deployment", "web", f"--namespace={SPACE}")["status"]["readyReplicas"]
        assert ready == 4
    for listed in ([goes], []):
        cluster.write_settings(replace=listed)
        cluster.up()
        assert set(cluster.changes()) == {"same"}, f"with {listed} in `replace` nothing more is done"
    assert _uid(cluster, goes) == after[goes]


def test_a_listed_control_plane_machine_comes_back_as_a_new_node_and_a_new_member(
    own_settings: Cluster,
) -> None:
    """The operations machine itself, which runs the steps that run once."""
    cluster = own_settings
    before, members = _uid(cluster, "cp-0"), cluster.members("cp-1")
    cluster.write_settings(replace=["cp-0"])
    done = cluster.up()
    cluster.figures["up that makes a control-plane machine anew"] = f"{done.seconds:.1f} s"
    after = cluster.members("cp-1")
    assert sorted(after) == sorted(members)
    assert after["cp-0"] != members["cp-0"]
    assert {name: after[name] for name in ("cp-1", "cp-2")} == {
        name: members[name] for name in ("cp-1", "cp-2")
    }
    assert cluster.healthy_members("cp-0") == 3
    node = cluster.get("node", "cp-0")
    assert node["metadata"]["uid"] != before
    assert "node-role.kubernetes.io/control-plane" in node["metadata"]["labels"]
    assert [taint["key"] for taint in node["spec"]["taints"]] == ["node-role.kubernetes.io/control-plane"]
    assert cluster.ready_nodes() == set(cluster.nodes)


def test_two_control_plane_machines_are_not_made_anew_in_one_run(own_settings: Cluster) -> None:
    cluster = own_settings
    cluster.write_settings(replace=["cp-1", "cp-2"])
    done = cluster.lab("preview")
    assert done.status != 0
    assert "at most one control-plane machine" in done.output, done.tail()
    assert "nothing was touched" in done.output


def test_a_budget_that_blocks_a_removal_is_named_and_the_worker_stays_until_it_gives_way(
    own_settings: Cluster,
) -> None:
    cluster = own_settings
    goes = cluster.workers[1]
    with cluster.namespace(SPACE):
        lone = _replicas("held", 1)
        lone["spec"]["template"]["spec"]["nodeSelector"] = {"kubernetes.io/hostname": goes}  # type: ignore[index]
        _deploy(cluster, lone, _budget("held", 1))
        bound = {"seconds": 15}
        cluster.write_settings(**cluster.worker_pool(drain=bound))
        cluster.up()
        cluster.write_settings(**cluster.worker_pool(count=1, drain=bound))
        blocked = cluster.lab("up")
        assert blocked.status != 0, blocked.tail()
        assert f"PodDisruptionBudget {SPACE}/held allows 0 disruptions" in blocked.output, blocked.tail()
        node = cluster.get("node", goes)
        assert "unschedulable" not in node["spec"], "it takes new pods again"
        cluster.kubectl("--namespace", SPACE, "delete", "poddisruptionbudget", "held")
        done = cluster.up()
        cluster.figures["up that drains and removes a worker"] = f"{done.seconds:.1f} s"
    assert cluster.try_kubectl("get", "node", goes).status != 0
    assert goes not in cluster.lab("nodes").output
    cluster.write_settings()
    cluster.up()
    assert cluster.ready_nodes() == set(cluster.nodes)
    import_images(cluster, [goes])
