"""What machines fetch and link, in which lanes workers go, and what their Nodes are told."""

from __future__ import annotations

import re
from dataclasses import replace

import pulumi
import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.add_ons import absent_manifests, deployments, wanted_manifests
from components.node import _content
from components.staging import CNI_PLUGINS, artifact_entries, artifact_folder, binary_links
from components.tree import flags, machine_files, node_labels, node_taints
from components.worker_pool import in_lanes
from config.plan import MachinePlan, Role
from tests.components.artifacts import MIRROR, digest_of, with_digests
from tests.components.trees import document, lab_plan, single_plan, tree
from tests.config.clusters import lab, plan_of

CONTROL_PLANE_ARTIFACTS = [
    "kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubectl", "kubelet", "kube-proxy",
    "etcd", "containerd", "runc", "cni-plugins", "crictl", "flanneld", "kube-network-policies", "image-pause",
]  # fmt: skip
WORKER_ARTIFACTS = [
    "kubelet", "kube-proxy", "containerd", "runc", "cni-plugins", "crictl", "flanneld",
    "kube-network-policies", "image-pause", "image-coredns", "image-local-path-provisioner", "image-busybox",
    "image-metrics-server",
]  # fmt: skip


@pytest.mark.parametrize(
    ("machine", "names"),
    [("cp-0", CONTROL_PLANE_ARTIFACTS), ("worker-general-0", WORKER_ARTIFACTS), ("lb-0", [])],
)
def test_a_machine_fetches_exactly_what_its_role_runs(machine: str, names: list[str]) -> None:
    plan = with_digests(lab_plan())
    assert [entry["name"] for entry in artifact_entries(plan, plan.machine(machine))] == names


def test_an_entry_says_where_from_which_digest_and_which_binaries() -> None:
    plan = with_digests(lab_plan())
    entries = {entry["name"]: entry for entry in artifact_entries(plan, plan.machine("cp-0"))}
    assert entries["etcd"] == {
        "name": "etcd",
        "version": "3.6.14",
        "url": f"{MIRROR}/etcd/3.6.14/amd64/etcd-v3.6.14-linux-amd64.tar.gz",
        "sha256": digest_of("etcd/3.6.14/amd64"),
        "folder": f"/opt/hardway/etcd/3.6.14-{digest_of('etcd/3.6.14/amd64')[:8]}",
        "binaries": ["etcd", "etcdctl", "etcdutl"],
    }
    assert entries["image-pause"] == {
        "name": "image-pause",
        "version": "3.10.2",
        "reference": "registry.k8s.io/pause:3.10.2",
        "url": f"{MIRROR}/image-pause/3.10.2/amd64/pause.tar",
        "sha256": digest_of("image-pause/3.10.2/amd64"),
        "folder": f"/opt/hardway/image-pause/3.10.2-{digest_of('image-pause/3.10.2/amd64')[:8]}",
    }


def test_without_a_mirror_artifacts_come_from_their_publishers() -> None:
    plan = with_digests(lab_plan())
    plan = replace(plan, artifacts=replace(plan.artifacts, mirror=None, preload_images=False))
    urls = {entry["name"]: entry["url"] for entry in artifact_entries(plan, plan.machine("cp-0"))}
    assert urls["kubelet"] == "https://dl.k8s.io/release/v1.37.2/bin/linux/amd64/kubelet"
    assert all(url.startswith("https://") for url in urls.values())


@pytest.mark.parametrize("key", ["flanneld/0.26.7/amd64", "image-coredns/1.14.6/amd64"])
def test_an_artifact_without_a_digest_is_refused_before_anything_is_touched(key: str) -> None:
    plan = with_digests(lab_plan())
    known = {one: digest for one, digest in plan.artifacts.digests.items() if one != key}
    plan = replace(plan, artifacts=replace(plan.artifacts, digests=known))
    message = (
        f"cluster.artifacts.digests: no sha256 is known for {key}, so no machine could check it; "
        "run 'make lock', or enter it there. Nothing was touched."
    )
    with pytest.raises(pulumi.RunError, match=f"^{re.escape(message)}$"):
        artifact_entries(plan, plan.machine("worker-general-0"))


def folder_of(key: str) -> str:
    """The folder of an artifact whose digest is a made-up one."""
    name, version, _architecture = key.split("/")
    return f"/opt/hardway/{name}/{version}-{digest_of(key)[:8]}"


def test_links_point_every_binary_at_its_build_and_the_runtime_at_its_plugins() -> None:
    plan = with_digests(lab_plan())
    links = binary_links(plan, plan.machine("cp-0"))
    assert links["/opt/hardway/bin/kubelet"] == f"{folder_of('kubelet/1.37.2/amd64')}/kubelet"
    assert links["/opt/hardway/bin/etcdctl"] == f"{folder_of('etcd/3.6.14/amd64')}/etcdctl"
    plugins = {link: target for link, target in links.items() if link.startswith("/opt/cni/bin/")}
    assert plugins == {
        f"/opt/cni/bin/{name}": f"{folder_of('cni-plugins/1.9.1/amd64')}/{name}" for name in CNI_PLUGINS
    }
    assert binary_links(plan, plan.machine("lb-0")) == {}


@pytest.mark.parametrize("machine", ["cp-0", "worker-general-0", "lb-0"])
def test_every_link_leads_into_an_artifact_that_prepare_fetches(machine: str) -> None:
    plan = with_digests(lab_plan())
    entries = artifact_entries(plan, plan.machine(machine))
    fetched = {f"{one['folder']}/": one.get("binaries", []) for one in entries}
    for target in binary_links(plan, plan.machine(machine)).values():
        folder, name = target[: target.rindex("/") + 1], target.rsplit("/", 1)[1]
        assert name in fetched[folder] or fetched[folder] == ["*"]


def test_another_build_of_the_same_version_has_a_folder_of_its_own() -> None:
    folders = {artifact_folder("kubelet", "1.37.2", sha256) for sha256 in ("a" * 64, "b" * 64, None)}
    assert folders == {
        "/opt/hardway/kubelet/1.37.2-aaaaaaaa",
        "/opt/hardway/kubelet/1.37.2-bbbbbbbb",
        "/opt/hardway/kubelet/1.37.2-unknown",
    }


@pytest.mark.parametrize("machine", ["cp-0", "worker-general-0", "lb-0"])
def test_an_activation_names_every_digest_that_its_prepare_stages(machine: str) -> None:
    plan = with_digests(lab_plan())
    planned = plan.machine(machine)
    staged = _content(plan, planned, machine_files(plan, planned))["staged"]
    assert staged == {one["name"]: one["sha256"] for one in artifact_entries(plan, planned)}


def test_a_worker_is_told_every_api_server_itself_and_not_only_its_own_balancer() -> None:
    plan = with_digests(lab_plan())
    planned = plan.machine("worker-general-0")
    content = _content(plan, planned, machine_files(plan, planned))
    assert content["api"] == "https://127.0.0.1:7443"
    assert content["api_servers"] == [f"https://172.31.0.{n}:6443" for n in (10, 11, 12)]


def machines(count: int) -> list[MachinePlan]:
    return [replace(lab_plan().machine("worker-general-0"), name=f"w{number}") for number in range(count)]


def lanes(count: int, at_once: int) -> list[tuple[str, str | None]]:
    return [(one.name, before.name if before else None) for one, before in in_lanes(machines(count), at_once)]


@pytest.mark.parametrize(
    ("count", "at_once", "expected"),
    [
        (0, 1, []),
        (1, 1, [("w0", None)]),
        (3, 1, [("w0", None), ("w1", "w0"), ("w2", "w1")]),
        (4, 2, [("w0", None), ("w1", None), ("w2", "w0"), ("w3", "w1")]),
        (5, 3, [("w0", None), ("w1", None), ("w2", None), ("w3", "w0"), ("w4", "w1")]),
        (2, 5, [("w0", None), ("w1", None)]),
    ],
)
def test_workers_wait_for_the_one_before_them_in_their_lane(
    count: int, at_once: int, expected: list[tuple[str, str | None]]
) -> None:
    assert lanes(count, at_once) == expected


@given(st.integers(0, 30), st.integers(1, 12))
def test_never_more_workers_at_once_than_lanes(count: int, at_once: int) -> None:
    """Whoever waits for nobody opens a lane; nobody is waited for twice, so no lane splits."""
    waits = lanes(count, at_once)
    assert [name for name, _ in waits] == [f"w{number}" for number in range(count)]
    before = [other for _, other in waits if other is not None]
    assert len(waits) - len(before) == min(count, at_once)
    assert len(set(before)) == len(before)


def test_a_pools_nodes_register_with_its_labels_and_taints_and_nobody_elses() -> None:
    files = tree(single_plan(), "batch-a")
    environment = files["/etc/kubernetes/kubelet.env"].text
    labels = "example.com/disk=ssd,example.com/tier=batch,topology.kubernetes.io/zone=rack-2"
    assert f'NODE_LABELS="{labels}"\n' in environment
    assert document(files, "/var/lib/kubelet/config.yaml")["registerWithTaints"] == [
        {"key": "example.com/batch", "value": "only", "effect": "NoSchedule"},
        {"key": "example.com/spot", "effect": "PreferNoSchedule"},
    ]
    general = document(tree(lab_plan(), "worker-general-0"), "/var/lib/kubelet/config.yaml")
    assert "registerWithTaints" not in general


def test_the_control_plane_is_tainted_and_its_role_is_told_through_the_api() -> None:
    plan, machine = lab_plan(), lab_plan().machine("cp-1")
    taint = {"key": "node-role.kubernetes.io/control-plane", "value": "", "effect": "NoSchedule"}
    assert node_taints(plan, machine) == [taint]
    # NodeRestriction forbids a kubelet to give itself this label.
    assert node_labels(plan, machine) == {"node-role.kubernetes.io/control-plane": ""}
    assert "node-role" not in tree(plan, "cp-1")["/etc/kubernetes/kubelet.env"].text


def test_a_worker_is_told_its_pool_labels_and_taints() -> None:
    plan, machine = single_plan(), single_plan().machine("batch-a")
    assert node_labels(plan, machine) == {
        "hardway.dev/pool": "batch",
        "example.com/tier": "batch",
        "example.com/disk": "ssd",
    }
    assert [taint["key"] for taint in node_taints(plan, machine)] == ["example.com/batch", "example.com/spot"]


def test_most_pods_are_the_pools_own_number_and_110_on_the_control_plane() -> None:
    path = "/var/lib/kubelet/config.yaml"
    assert document(tree(single_plan(), "batch-a"), path)["maxPods"] == 40
    assert document(tree(single_plan(), "solo"), path)["maxPods"] == 110


def test_extra_flags_stand_last_and_in_order() -> None:
    assert flags({"v": "2", "event-ttl": "2h"}) == "--event-ttl=2h --v=2"
    assert flags({}) == ""
    assert (
        'EXTRA_ARGS="--event-ttl=2h --v=2"'
        in tree(single_plan(), "solo")["/etc/kubernetes/kube-apiserver.env"].text
    )


def test_an_api_server_asks_its_own_member_first_and_then_all_others() -> None:
    text = tree(lab_plan(), "cp-1")["/etc/kubernetes/kube-apiserver.env"].text
    order = ["172.31.0.11", "172.31.0.10", "172.31.0.12"]
    assert f'ETCD_SERVERS="{",".join(f"https://{address}:2379" for address in order)}"' in text


def test_the_lab_applies_every_add_on_and_waits_for_those_that_are_deployments() -> None:
    assert list(wanted_manifests(lab_plan())) == [
        "rbac",
        "flannel",
        "coredns",
        "local-path",
        "metrics-server",
    ]
    assert list(absent_manifests(lab_plan())) == ["network-policies"]  # a systemd service there
    names = ["coredns", "local-path-provisioner", "metrics-server"]
    assert deployments(lab_plan()) == [("kube-system", name) for name in names]


def test_what_is_switched_off_is_removed_from_the_cluster() -> None:
    assert list(wanted_manifests(single_plan())) == ["rbac", "coredns"]
    assert list(absent_manifests(single_plan())) == [
        "flannel",
        "local-path",
        "metrics-server",
        "network-policies",
        "metrics-server-serving",
    ]
    assert deployments(single_plan()) == [("kube-system", "coredns")]


def test_storage_uses_the_preloaded_helper_only_where_images_are_preloaded() -> None:
    """Where registries serve images, nobody has the lab's own."""
    assert "image: hardway.lab/busybox:1.35" in wanted_manifests(with_digests(lab_plan()))["local-path"]
    plan = replace(lab_plan(), artifacts=replace(lab_plan().artifacts, preload_images=False))
    assert "image: docker.io/library/busybox:1.37.0" in wanted_manifests(plan)["local-path"]


def test_dns_asks_outside_only_where_there_is_an_outside() -> None:
    assert "forward . /etc/resolv.conf" in wanted_manifests(single_plan())["coredns"]
    assert "forward ." not in wanted_manifests(lab_plan())["coredns"]


@pytest.mark.parametrize("count", [1, 3, 5])
def test_every_control_plane_machine_is_one_member_of_etcd(count: int) -> None:
    plan = plan_of(lab(controlPlane={"count": count}))
    names = [machine.name for machine in plan.machines if machine.role is Role.CONTROL_PLANE]
    assert [member.name for member in plan.etcd.members] == names
    assert len(names) == count
