"""What a previewed run disturbs, in one paragraph: by made-up plans of the engine, and by recorded ones."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from config.plan import ClusterPlan, plan_cluster
from config.settings import load_settings
from lab import blast_radius, held_pods
from tests.components.trees import lab_settings

KUBELET = """[Service]
[X-Hardway]
RestartOn=/opt/hardway/bin/kubelet /var/lib/kubelet/config.yaml /etc/kubernetes/pki/kubelet*
"""
ETCD = """[X-Hardway]
RestartOn=/opt/hardway/bin/etcd /etc/etcd/etcd.env
Critical=yes
"""
API = """[X-Hardway]
RestartOn=/opt/hardway/bin/kube-apiserver /etc/kubernetes/kube-apiserver.env
"""
BALANCER = """[X-Hardway]
RestartOn=/etc/haproxy/node-ports.cfg
ReloadOn=/etc/haproxy/node-port-workers.cfg
"""
UNITS = "/etc/systemd/system"
FILES = {
    f"{UNITS}/kubelet.service": KUBELET,
    f"{UNITS}/etcd.service": ETCD,
    f"{UNITS}/kube-apiserver.service": API,
    f"{UNITS}/node-port-balancer.service": BALANCER,
    f"{UNITS}/foreign.service": "[Service]\n",
    "/var/lib/kubelet/config.yaml": "maxPods: 110\n",
    "/etc/etcd/etcd.env": "A=1\n",
    "/etc/kubernetes/kube-apiserver.env": "A=1\n",
    "/etc/haproxy/node-ports.cfg": "1",
    "/etc/haproxy/node-port-workers.cfg": "1",
}
OLD = {
    "files": FILES,
    "secretFiles": {"/etc/kubernetes/pki/kubelet.crt": "d1", "/etc/kubernetes/pki/other.crt": "d2"},
    "versions": {"kubelet": "1.37.2", "etcd": "3.6.13"},
}
UNKNOWN = "04da6b54-80e4-46f7-96ec-b56ff0331ba9"


def lab_plan_with(**changes: Any) -> ClusterPlan:
    return plan_cluster(load_settings({**lab_settings(), **changes}, "Pulumi.lab.yaml"))


PLAN = lab_plan_with()
ALONE = lab_plan_with(controlPlane={"count": 1})


def urn(kind: str, name: str) -> str:
    return f"urn:pulumi:lab::hardway::hardway:index:X${kind}::{name}"


class Planned:
    """The engine's plan and the state beside it, put together machine by machine."""

    def __init__(self) -> None:
        self.entries: dict[str, Any] = {}
        self.state: list[dict[str, Any]] = []

    def configured(self, *names: str, **updates: Any) -> Planned:
        for name in names:
            where = urn("hardway:index:NodeConfig", f"activate-{name}")
            self.entries[where] = {"steps": ["update"], "goal": {"inputDiff": {"updates": updates}}}
            self.state.append({"urn": where, "inputs": OLD})
        return self

    def stepped(self, kind: str, name: str, *steps: str) -> Planned:
        self.entries[urn(kind, name)] = {"steps": list(steps)}
        return self

    def found(self) -> blast_radius.Disturbance:
        return blast_radius.disturbance({"resourcePlans": self.entries}, self.state)

    def told(self, plan: ClusterPlan = PLAN, held: list[str] | None = None) -> str:
        return " ".join(blast_radius.paragraph(self.found(), plan, held).split())


def files(**changes: str | None) -> dict[str, str]:
    made = {"config": "/var/lib/kubelet/config.yaml", "etcd": "/etc/etcd/etcd.env"}
    made |= {"api": "/etc/kubernetes/kube-apiserver.env", "workers": "/etc/haproxy/node-port-workers.cfg"}
    made |= {"frontends": "/etc/haproxy/node-ports.cfg"}
    return {**FILES, **{made[name]: text for name, text in changes.items() if text is not None}}


def test_nothing_that_changes_disturbs_nobody() -> None:
    plan = Planned().stepped("command:remote:Command", "activate-cp-0", "same")
    assert not blast_radius.changes_anything({"resourcePlans": plan.entries})
    assert plan.told() == ""


def test_steps_that_only_stage_disturb_nobody() -> None:
    plan = Planned().stepped("command:remote:Command", "prepare-cp-0", "update")
    plan.stepped("hardway:index:NodePrepare", "prepare-cp-0", "update")
    assert blast_radius.changes_anything({"resourcePlans": plan.entries})
    assert plan.told() == ""


def test_a_new_machine_disturbs_nobody() -> None:
    plan = Planned().stepped("hardway:index:NodeConfig", "activate-worker-general-2", "create")
    plan.stepped("command:local:Command", "machine-worker-general-2", "create")
    assert plan.told() == ""


def test_a_kubelets_setting_restarts_the_kubelets_of_its_pool_in_lanes_and_moves_no_pod() -> None:
    plan = Planned().configured("worker-general-0", "worker-general-1", files=files(config="maxPods: 90\n"))
    assert plan.told() == (
        "This run disturbs: worker-general-0, worker-general-1 restart kubelet, one at a time (maxUnavailable of "
        "general). No pod is moved or restarted by that."
    )


def test_etcd_keeps_its_quorum_while_one_member_after_the_other_restarts() -> None:
    plan = Planned().configured("cp-0", "cp-1", "cp-2", files=files(etcd="A=2\n"))
    assert plan.told() == (
        "This run disturbs: cp-0, cp-1, cp-2 restart etcd, one machine after the other. No pod is moved or restarted "
        "by that. etcd keeps its quorum: 2 of 3 members stay, 2 are needed."
    )


def test_a_single_control_plane_machine_is_away_meanwhile() -> None:
    plan = Planned().configured("cp-0", files=files(etcd="A=2\n", api="A=2\n"))
    assert plan.told(ALONE).endswith(
        "etcd loses its quorum for a moment: 1 members need 1. The API is away meanwhile: there is one API server."
    )


def test_machines_that_restart_different_things_are_told_apart() -> None:
    plan = Planned().configured("cp-0", files=files(api="A=2\n")).configured("cp-1", files=files(config="x"))
    assert "cp-0 restarts kube-apiserver. cp-1 restarts kubelet." in plan.told()


def test_another_version_restarts_what_its_binary_is_for() -> None:
    plan = Planned().configured("cp-0", versions={**OLD["versions"], "etcd": "3.6.14"})
    assert "cp-0 restarts etcd." in plan.told()


def test_a_changed_unit_file_restarts_its_unit() -> None:
    changed = {**FILES, f"{UNITS}/kubelet.service": KUBELET.replace("[Service]", "[Service]\nNice=1")}
    assert "cp-0 restarts kubelet." in Planned().configured("cp-0", files=changed).told()


def test_a_changed_key_restarts_what_reads_it_and_an_unknown_one_all_that_may() -> None:
    one = {**OLD["secretFiles"], "/etc/kubernetes/pki/other.crt": "d3"}
    assert Planned().configured("cp-0", secretFiles=one).told() == ""
    assert "cp-0 restarts kubelet." in Planned().configured("cp-0", secretFiles=UNKNOWN).told()


def test_what_a_reload_takes_up_is_a_reload() -> None:
    assert "lb-0 reloads node-port-balancer." in Planned().configured("lb-0", files=files(workers="2")).told()
    both = Planned().configured("lb-0", files=files(workers="2", frontends="2"))
    assert "lb-0 restarts node-port-balancer." in both.told()


def gone(name: str) -> Planned:
    plan = Planned().stepped("hardway:index:NodeConfig", f"activate-{name}", "delete")
    return plan.stepped("command:remote:Command", f"drain-{name}", "delete")


@pytest.mark.parametrize(
    ("held", "told"),
    [
        (None, "PodDisruptionBudgets: not asked, the API did not answer."),
        ([], "No PodDisruptionBudget would hold a drain now."),
        (
            ["default/web-0: PodDisruptionBudget default/web allows 0"],
            "A drain would be held now by default/web-0:",
        ),
    ],
    ids=["not-asked", "none", "one"],
)
def test_a_removed_worker_is_drained_and_budgets_are_told(held: list[str] | None, told: str) -> None:
    plan = gone("worker-general-1")
    assert plan.found().removed == ("worker-general-1",)
    text = plan.told(held=held)
    assert text.startswith(
        f"This run disturbs: worker-general-1 is drained and removed, after everything else. {told}"
    )
    assert "quorum" not in text


def removed(name: str, **versions: str) -> Planned:
    """A machine that goes, with the versions that it runs."""
    plan = gone(name)
    where = urn("hardway:index:NodeConfig", f"activate-{name}")
    plan.state.append({"urn": where, "inputs": {**OLD, "versions": {"kubelet": "1.37.2", **versions}}})
    return plan


def test_a_removed_member_of_etcd_is_told_whatever_its_name() -> None:
    plan = removed("alpha", etcd="3.6.13")
    assert plan.found().members == ("alpha",)
    assert plan.told(held=[]).endswith(
        "etcd keeps its quorum: 2 of 3 members stay, 2 are needed. 2 of 3 API servers answer meanwhile."
    )


def test_a_removed_worker_that_is_called_like_a_control_plane_machine_takes_no_vote_along() -> None:
    plan = removed("cp-helper")
    assert plan.found().removed == ("cp-helper",)
    assert plan.found().members == ()
    assert "quorum" not in plan.told(held=[])


def anew(name: str) -> Planned:
    plan = Planned().stepped("command:local:Command", f"machine-{name}", "delete-replaced", "replace")
    plan.stepped("command:remote:Command", f"drain-{name}", "delete-replaced", "create-replacement")
    return plan.configured(name, files=files(config="x"))


def test_a_replaced_control_plane_machine_is_told_with_its_vote_and_without_its_restarts() -> None:
    text = anew("cp-1").told(held=[])
    assert text == (
        "This run disturbs: cp-1 is drained and made anew, with empty disks. No PodDisruptionBudget would hold a "
        "drain now. etcd keeps its quorum: 2 of 3 members stay, 2 are needed. 2 of 3 API servers answer meanwhile."
    )


def test_an_instance_on_aws_that_is_made_anew_is_told_too_without_a_drain_where_there_is_none() -> None:
    plan = Planned().stepped("aws:ec2/instance:Instance", "machine-cp-0", "replace")
    assert plan.found().anew == ("cp-0",)
    assert plan.found().leaving == ()
    assert plan.told(ALONE).startswith("This run disturbs: cp-0 is made anew, with empty disks. etcd loses")


def test_a_drain_whose_settings_change_drains_nobody() -> None:
    assert not Planned().stepped("command:remote:Command", "drain-worker-general-0", "update").found()


def test_a_worker_whose_kubelet_gets_another_minor_is_drained_and_comes_back() -> None:
    plan = Planned().configured("worker-general-0", versions={**OLD["versions"], "kubelet": "1.38.0"})
    text = plan.told(held=[])
    assert "worker-general-0 restarts kubelet." in text
    assert "worker-general-0 is drained before the kubelet changes, and back afterwards." in text


def test_a_patch_of_the_kubelet_drains_nobody() -> None:
    plan = Planned().configured("worker-general-0", versions={**OLD["versions"], "kubelet": "1.37.99"})
    assert plan.found().drained == ()
    assert plan.told().endswith("worker-general-0 restarts kubelet. No pod is moved or restarted by that.")


def pod(name: str, node: str, controller: bool = True) -> dict[str, Any]:
    owners = [{"kind": "ReplicaSet", "controller": True}] if controller else []
    metadata = {"namespace": "default", "name": name, "labels": {"app": "web"}, "ownerReferences": owners}
    return {"kind": "Pod", "metadata": metadata, "spec": {"nodeName": node}, "status": {"phase": "Running"}}


BUDGET = {
    "kind": "PodDisruptionBudget",
    "metadata": {"namespace": "default", "name": "web"},
    "spec": {"selector": {"matchLabels": {"app": "web"}}},
    "status": {"disruptionsAllowed": 0, "currentHealthy": 1, "desiredHealthy": 1},
}


def test_pods_that_a_budget_holds_are_told_on_the_nodes_that_are_drained_and_no_others() -> None:
    items = [BUDGET, pod("web-0", "w-0"), pod("web-1", "w-1")]
    assert held_pods.judged(items, ["w-0"], set()) == [
        "default/web-0: PodDisruptionBudget default/web allows 0 disruptions (1 healthy, 1 wanted) on w-0"
    ]


def test_a_pod_without_a_controller_holds_a_drain_that_may_not_lose_it() -> None:
    items = [pod("lone", "w-0", controller=False)]
    assert held_pods.judged(items, ["w-0"], set()) == ["default/lone: has no controller, on w-0"]
    assert held_pods.judged(items, ["w-0"], {"w-0"}) == []


def test_a_recorded_preview_of_another_number_of_pods_tells_what_the_lab_does_then() -> None:
    """The engine's plan of `kubelet: {maxPods: 120}` as the lab gave it, without most of the files."""
    recorded = json.loads((Path(__file__).parent / "recorded" / "preview-kubelet.json").read_text())
    found = blast_radius.disturbance(recorded["plan"], recorded["resources"])
    assert dict(found.restarts) == {
        name: blast_radius.Restarts(("kubelet",)) for name in ("worker-general-0", "worker-general-1")
    }
    assert found.leaving == ()
