"""What runs in the cluster from its first minute, as manifests: RBAC for our own identities, DNS, storage, cloud."""

from __future__ import annotations

import base64

from components.render import render_manifest
from config.certificates import ADMINS_GROUP, FLANNEL_USER, KUBELET_CLIENT_USER, NETWORK_POLICIES_USER
from config.plan import ClusterPlan
from config.settings import Cni
from config.versions import IMAGES, REGISTRY_IMAGES, pinned_image

REGISTRY_BUSYBOX = "docker.io/library/busybox:1.37.0"

DEPLOYMENTS = {
    "aws-cloud-controller-manager": "aws-cloud-controller-manager",
    "coredns": "coredns",
    "local-path": "local-path-provisioner",
    "metrics-server": "metrics-server",
    "aws-ebs-csi": "ebs-csi-controller",
}
"""Name of the Deployment by manifest, in the order in which the gate waits: the first takes away the taint that keeps
Pods from new Nodes."""

METRICS_SERVER_SERVING = "metrics-server-serving"
"""The manifest that the PKI fills in; it holds a key, so it travels and is shown as a secret."""


def _manifests(plan: ClusterPlan) -> dict[str, tuple[bool, str]]:
    """Every manifest that Hardway knows: whether it is wanted, and its text."""
    rbac = render_manifest("rbac", {"admins_group": ADMINS_GROUP, "kubelet_client_user": KUBELET_CLIENT_USER})
    agents = {"flannel_user": FLANNEL_USER, "network_policies_user": NETWORK_POLICIES_USER}
    coredns = {
        "image": pinned_image("coredns", plan.artifacts.versions).reference,
        "cluster_address": plan.network.dns_service_address,
        "domain": plan.network.domain,
        "workers": _two_if_possible(plan),
        "forward": "forward . /etc/resolv.conf"
        if plan.network.upstream_dns
        else "# no DNS outside of the cluster",
    }
    local_path = {
        "image": IMAGES["local-path-provisioner"].reference,
        # The lab's own small image where images are preloaded; where registries serve them, the official one.
        "helper_image": IMAGES["busybox"].reference if plan.artifacts.preload_images else REGISTRY_BUSYBOX,
    }
    return {
        "rbac": (True, rbac),
        "flannel": (plan.network.cni is Cni.FLANNEL, render_manifest("flannel", agents)),
        "coredns": (plan.add_ons.coredns, render_manifest("coredns", coredns)),
        "local-path": (plan.add_ons.local_path, render_manifest("local-path", local_path)),
        "metrics-server": (plan.add_ons.metrics_server, _metrics_server(plan)),
        "network-policies": (plan.network_policies_from_image, _network_policies(plan)),
        **_aws_manifests(plan),
    }


def _metrics_server(plan: ClusterPlan) -> str:
    values = {"image": IMAGES["metrics-server"].reference, "replicas": _two_if_possible(plan)}
    return render_manifest("metrics-server", values)


def metrics_server_serving(authority: str, certificate: str, private_key: str) -> str:
    """Manifest of the Secret with metrics-server's serving certificate, and of the APIService that trusts it.

    Args:
        authority: certificate of the authority that signed it, PEM.
        certificate: PEM.
        private_key: PEM.
    """
    values = {"authority": authority, "certificate": certificate, "private_key": private_key}
    encoded = {name: base64.b64encode(text.encode()).decode() for name, text in values.items()}
    return render_manifest(METRICS_SERVER_SERVING, encoded)


def _network_policies(plan: ClusterPlan) -> str:
    values = {
        "image": REGISTRY_IMAGES["kube-network-policies"].reference,
        "local_api_port": plan.network.local_api_port,
    }
    return render_manifest("network-policies", values)


def _aws_manifests(plan: ClusterPlan) -> dict[str, tuple[bool, str]]:
    """What ties the cluster to AWS; nothing elsewhere, where it never was."""
    if plan.aws is None:
        return {}
    common = {
        "cluster": plan.name,
        "local_api_port": plan.network.local_api_port,
        # Each takes a port of its machine, so two need two machines.
        "replicas": min(len(plan.control_plane), 2),
    }
    controller = {**common, "image": REGISTRY_IMAGES["cloud-controller-manager"].reference}
    ebs = {
        **common,
        "image": REGISTRY_IMAGES["aws-ebs-csi-driver"].reference,
        "provisioner_image": REGISTRY_IMAGES["csi-provisioner"].reference,
        "attacher_image": REGISTRY_IMAGES["csi-attacher"].reference,
        "resizer_image": REGISTRY_IMAGES["csi-resizer"].reference,
        "registrar_image": REGISTRY_IMAGES["csi-node-driver-registrar"].reference,
        "livenessprobe_image": REGISTRY_IMAGES["livenessprobe"].reference,
        # Of two defaults the newer one would win.
        "default_class": "false" if plan.add_ons.local_path else "true",
    }
    return {
        "aws-cloud-controller-manager": (
            plan.aws.cloud_controller,
            render_manifest("aws-cloud-controller-manager", controller),
        ),
        "aws-ebs-csi": (plan.aws.ebs_csi, render_manifest("aws-ebs-csi", ebs)),
    }


def _open_workers(plan: ClusterPlan) -> int:
    """How many workers take Pods that tolerate nothing."""
    return sum(
        len(pool.machines)
        for pool in plan.pools
        if all(taint["effect"] == "PreferNoSchedule" for taint in pool.taints)
    )


def _two_if_possible(plan: ClusterPlan) -> int:
    """Two, or one where only one worker takes Pods; never more, so that adding a worker changes no add-on."""
    return max(1, min(_open_workers(plan), 2))


def wanted_manifests(plan: ClusterPlan) -> dict[str, str]:
    """Manifests to apply, by name, without those that hold secrets."""
    return {name: text for name, (wanted, text) in _manifests(plan).items() if wanted}


def absent_manifests(plan: ClusterPlan) -> dict[str, str]:
    """Manifests whose objects must not be there (any more)."""
    absent = {name: text for name, (wanted, text) in _manifests(plan).items() if not wanted}
    if "metrics-server" in absent:
        # To delete objects their names are enough.
        absent[METRICS_SERVER_SERVING] = metrics_server_serving("", "", "")
    return absent


def deployments(plan: ClusterPlan) -> list[tuple[str, str]]:
    """Namespace and name of the Deployments that the gate waits for."""
    wanted = wanted_manifests(plan)
    return [("kube-system", deployment) for manifest, deployment in DEPLOYMENTS.items() if manifest in wanted]
