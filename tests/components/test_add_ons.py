"""Which add-ons a cluster gets, and what those that tie it to AWS may and need."""

from __future__ import annotations

import base64
from dataclasses import replace
from typing import Any

import pytest
import yaml

from components.add_ons import absent_manifests, deployments, metrics_server_serving, wanted_manifests
from components.credential_provider import credential_provider_config
from config.plan import ClusterPlan
from config.versions import CLOUD_ARTIFACTS, REGISTRY_IMAGES
from tests.components.test_units import SHIPPED_UNITS
from tests.components.trees import directive, lab_plan, single_plan
from tests.config.clusters import lab, plan_of
from tests.config.integrations import integrated

EVERYTHING = ("cloudController", "ebsCsi", "ecrCredentials")
CLOUD = ("aws-cloud-controller-manager", "aws-ebs-csi")
CONTROL_PLANE = "node-role.kubernetes.io/control-plane"


def objects(plan: ClusterPlan, *names: str) -> list[dict[str, Any]]:
    """The objects of the named manifests, or of all that are wanted."""
    wanted = wanted_manifests(plan)
    return [one for name in names or wanted for one in yaml.safe_load_all(wanted[name])]


def workloads(plan: ClusterPlan, *names: str) -> dict[str, dict[str, Any]]:
    """The Deployments and DaemonSets of manifests, by name."""
    found = objects(plan, *names)
    return {one["metadata"]["name"]: one for one in found if one["kind"] in ("Deployment", "DaemonSet")}


def pod(workload: dict[str, Any]) -> dict[str, Any]:
    """What a workload's Pods are."""
    spec: dict[str, Any] = workload["spec"]["template"]["spec"]
    return spec


def container(workload: dict[str, Any], name: str) -> dict[str, Any]:
    """One container of a workload's Pods."""
    found: dict[str, Any] = next(one for one in pod(workload)["containers"] if one["name"] == name)
    return found


def environment(one: dict[str, Any]) -> dict[str, Any]:
    """A container's plain environment."""
    return {variable["name"]: variable.get("value") for variable in one.get("env", [])}


# Which add-ons


@pytest.mark.parametrize(
    ("enabled", "wanted"),
    [
        ((), []),
        (("cloudController",), ["aws-cloud-controller-manager"]),
        (("cloudController", "ebsCsi"), ["aws-cloud-controller-manager", "aws-ebs-csi"]),
        (("ecrCredentials",), []),
    ],
)
def test_each_integration_brings_its_own_add_on(enabled: tuple[str, ...], wanted: list[str]) -> None:
    plan = integrated(*enabled)
    assert [name for name in wanted_manifests(plan) if name in CLOUD] == wanted
    assert [name for name in absent_manifests(plan) if name in CLOUD] == [n for n in CLOUD if n not in wanted]


@pytest.mark.parametrize("plan", [lab_plan(), single_plan()], ids=["lab", "hosts"])
def test_elsewhere_nothing_of_aws_is_applied_taken_away_or_carried_to_a_machine(plan: ClusterPlan) -> None:
    assert not {*wanted_manifests(plan), *absent_manifests(plan)} & set(CLOUD)


def test_the_gate_waits_for_the_cloud_controller_before_what_needs_its_nodes() -> None:
    assert deployments(integrated(*EVERYTHING)) == [
        ("kube-system", "aws-cloud-controller-manager"),
        ("kube-system", "coredns"),
        ("kube-system", "ebs-csi-controller"),
    ]
    assert deployments(lab_plan()) == [
        ("kube-system", "coredns"),
        ("kube-system", "local-path-provisioner"),
        ("kube-system", "metrics-server"),
    ]


def test_every_deployment_that_the_gate_waits_for_is_applied() -> None:
    plan = integrated(*EVERYTHING)
    kinds = {name: one["kind"] for name, one in workloads(plan).items()}
    assert {kinds[name] for _, name in deployments(plan)} == {"Deployment"}


def test_network_policies_come_from_the_image_where_there_is_no_mirror_and_only_there() -> None:
    plan = integrated()
    assert "network-policies" in wanted_manifests(plan)
    assert "network-policies" in absent_manifests(lab_plan())
    own = replace(plan, network_policies_from_image=False)
    assert "network-policies" in absent_manifests(own)


def test_the_ebs_class_is_the_default_unless_local_path_is() -> None:
    def default(plan: ClusterPlan) -> str:
        (found,) = [one for one in objects(plan, "aws-ebs-csi") if one["kind"] == "StorageClass"]
        text: str = found["metadata"]["annotations"]["storageclass.kubernetes.io/is-default-class"]
        return text

    assert default(integrated(*EVERYTHING)) == "true"
    assert default(integrated(*EVERYTHING, addOns={"storage": "local-path"})) == "false"


def test_ebs_volumes_are_encrypted_and_made_where_their_pod_is() -> None:
    (found,) = [
        one for one in objects(integrated(*EVERYTHING), "aws-ebs-csi") if one["kind"] == "StorageClass"
    ]
    assert found["parameters"] == {"type": "gp3", "encrypted": "true"}
    assert found["volumeBindingMode"] == "WaitForFirstConsumer"


@pytest.mark.parametrize(("count", "replicas"), [(1, 1), (3, 2), (5, 2)])
def test_controllers_run_twice_where_two_machines_can_take_them(count: int, replicas: int) -> None:
    found = workloads(integrated(*EVERYTHING, controlPlane={"count": count}), *CLOUD)
    for name in ("aws-cloud-controller-manager", "ebs-csi-controller"):
        assert found[name]["spec"]["replicas"] == replicas
        assert found[name]["spec"]["strategy"]["rollingUpdate"] == {"maxUnavailable": 1, "maxSurge": 0}


# What needs a machine's role


def test_controllers_run_on_control_plane_machines_and_on_their_network() -> None:
    found = workloads(integrated(*EVERYTHING), *CLOUD)
    for name in ("aws-cloud-controller-manager", "ebs-csi-controller"):
        spec = pod(found[name])
        assert spec["hostNetwork"] is True
        assert spec["nodeSelector"] == {CONTROL_PLANE: ""}
        assert {"key": CONTROL_PLANE, "operator": "Exists", "effect": "NoSchedule"} in spec["tolerations"]


def test_the_cloud_controller_starts_on_nodes_that_only_it_can_finish() -> None:
    (found,) = workloads(integrated("cloudController"), CLOUD[0]).values()
    tolerated = {toleration["key"] for toleration in pod(found)["tolerations"]}
    assert tolerated == {
        CONTROL_PLANE,
        "node.cloudprovider.kubernetes.io/uninitialized",
        "node.kubernetes.io/not-ready",
    }
    # CoreDNS waits for it, so it asks the machine's own resolver.
    assert pod(found)["dnsPolicy"] == "Default"


def test_pods_on_a_machines_network_ask_its_own_balancer_for_the_api() -> None:
    for one in workloads(integrated(*EVERYTHING), *CLOUD, "network-policies").values():
        assert pod(one)["hostNetwork"] is True
        asking = [
            c for c in pod(one)["containers"] if c["name"] not in ("liveness-probe", "node-driver-registrar")
        ]
        for each in asking:
            assert environment(each)["KUBERNETES_SERVICE_HOST"] == "127.0.0.1", each["name"]
            assert environment(each)["KUBERNETES_SERVICE_PORT"] == "7443", each["name"]


def test_no_two_pods_want_the_same_port_of_a_machine() -> None:
    ports = [
        port["containerPort"]
        for one in workloads(integrated(*EVERYTHING), *CLOUD, "network-policies").values()
        for each in pod(one)["containers"]
        for port in each.get("ports", [])
    ]
    assert sorted(ports) == [9080, 9808, 9810, 10258]
    # What listens where, so that a number here is a number there.
    found = workloads(integrated(*EVERYTHING), *CLOUD, "network-policies")
    probes = [
        container(found[name], "liveness-probe")["args"] for name in ("ebs-csi-node", "ebs-csi-controller")
    ]
    assert [args[-1] for args in probes] == [
        "--http-endpoint=127.0.0.1:9808",
        "--http-endpoint=127.0.0.1:9810",
    ]


def test_nothing_on_a_machines_network_listens_to_others() -> None:
    text = "\n".join(wanted_manifests(integrated(*EVERYTHING))[name] for name in (*CLOUD, "network-policies"))
    assert "0.0.0.0" not in text
    (controller,) = workloads(integrated(*EVERYTHING), CLOUD[0]).values()
    assert "--bind-address=127.0.0.1" in pod(controller)["containers"][0]["args"]


def test_probes_of_such_pods_ask_the_loopback_address() -> None:
    for one in workloads(integrated(*EVERYTHING), *CLOUD).values():
        for each in pod(one)["containers"]:
            for probe in ("readinessProbe", "livenessProbe"):
                if probe in each:
                    assert each[probe]["httpGet"]["host"] == "127.0.0.1"


# Flags


def test_the_cloud_controller_knows_its_cluster_and_makes_no_routes() -> None:
    (found,) = workloads(integrated("cloudController"), CLOUD[0]).values()
    args = container(found, "cloud-controller-manager")["args"]
    assert {
        "--cloud-provider=aws",
        "--cluster-name=dev",
        "--configure-cloud-routes=false",
        "--use-service-account-credentials=true",
        "--leader-elect=true",
        "--profiling=false",
        "--controllers=cloud-node-controller,cloud-node-lifecycle-controller,service-lb-controller",
    } <= set(args)


def test_the_driver_tags_volumes_with_the_cluster_to_which_its_role_is_bound() -> None:
    found = workloads(integrated(*EVERYTHING), "aws-ebs-csi")["ebs-csi-controller"]
    assert "--k8s-tag-cluster-id=dev" in container(found, "ebs-plugin")["args"]


def test_network_policies_have_the_same_flags_as_a_pod_and_as_a_service() -> None:
    (line,) = directive(SHIPPED_UNITS["kube-network-policies.service"].read_text(), "ExecStart")
    unit = [word for word in line.split() if word.startswith("--") and not word.startswith("--kubeconfig=")]
    (found,) = workloads(integrated(), "network-policies").values()
    args = container(found, "kube-network-policies")["args"]
    assert [word.replace("${", "$(").replace("}", ")") for word in unit] == args


def test_what_every_node_needs_tolerates_every_taint() -> None:
    found = workloads(integrated(*EVERYTHING), "aws-ebs-csi", "network-policies")
    for name in ("ebs-csi-node", "kube-network-policies"):
        assert found[name]["kind"] == "DaemonSet"
        assert pod(found[name])["tolerations"] == [{"operator": "Exists"}]
        assert pod(found[name])["priorityClassName"] == "system-node-critical"


# Rights inside of the cluster


def rules(plan: ClusterPlan, manifest: str) -> dict[str, list[dict[str, Any]]]:
    """Rules of a manifest's roles by their names."""
    return {
        one["metadata"]["name"]: one["rules"]
        for one in objects(plan, manifest)
        if one["kind"] in ("Role", "ClusterRole")
    }


@pytest.mark.parametrize("manifest", CLOUD)
def test_no_account_may_read_secrets_or_use_a_wildcard(manifest: str) -> None:
    for name, found in rules(integrated(*EVERYTHING), manifest).items():
        for rule in found:
            assert "secrets" not in rule["resources"], name
            assert "*" not in (*rule["apiGroups"], *rule["resources"], *rule["verbs"]), name


def test_the_cloud_controller_mints_tokens_for_its_own_controllers_only() -> None:
    (rule,) = [
        rule
        for rule in rules(integrated("cloudController"), CLOUD[0])["cloud-controller-manager"]
        if rule["resources"] == ["serviceaccounts/token"]
    ]
    assert rule["resourceNames"] == ["node-controller", "service-controller", "aws-cloud-provider"]


def test_taking_the_cloud_controller_away_leaves_kube_controller_managers_account() -> None:
    accounts = {
        one["metadata"]["name"]
        for one in objects(integrated("cloudController"), CLOUD[0])
        if one["kind"] == "ServiceAccount"
    }
    assert accounts == {"cloud-controller-manager", "service-controller", "aws-cloud-provider"}


def test_a_workers_driver_changes_no_node() -> None:
    plan = integrated(*EVERYTHING)
    verbs = {verb for rule in rules(plan, "aws-ebs-csi")["hardway:ebs-csi-node"] for verb in rule["verbs"]}
    assert verbs == {"get", "list", "watch"}
    plugin = container(workloads(plan, "aws-ebs-csi")["ebs-csi-node"], "ebs-plugin")
    assert environment(plugin)["DISABLE_TAINT_WATCHER"] == "true"


def test_the_service_account_of_network_policies_has_the_role_of_the_users_leaf() -> None:
    bindings = {
        one["metadata"]["name"]: one["roleRef"]["name"]
        for one in objects(integrated())
        if one["kind"] == "ClusterRoleBinding" and "network-policies" in one["metadata"]["name"]
    }
    assert set(bindings.values()) == {"hardway:kube-network-policies"}
    assert "hardway:kube-network-policies-pods" in bindings


PRIVILEGED = {("ebs-csi-node", "ebs-plugin"), ("kube-network-policies", "kube-network-policies")}


def test_only_what_mounts_disks_and_what_filters_packets_is_privileged() -> None:
    found = {
        (name, each["name"])
        for name, one in workloads(integrated(*EVERYTHING)).items()
        for each in pod(one)["containers"]
        if each["securityContext"].get("privileged")
    }
    assert found == PRIVILEGED


def test_every_other_container_drops_every_capability_and_writes_no_file_of_its_own() -> None:
    for name, one in workloads(integrated(*EVERYTHING), *CLOUD).items():
        for each in pod(one)["containers"]:
            context = each["securityContext"]
            assert context["readOnlyRootFilesystem"] is True
            if (name, each["name"]) not in PRIVILEGED:
                assert context["allowPrivilegeEscalation"] is False
                assert context["capabilities"] == {"drop": ["ALL"]}


# metrics-server

METRICS = "metrics-server"
SERVICE_ACCOUNT_CA = "/var/run/secrets/kubernetes.io/serviceaccount/ca.crt"


def serving() -> dict[str, dict[str, Any]]:
    """The objects that the PKI fills in, by kind."""
    text = metrics_server_serving("AUTHORITY", "CERTIFICATE", "KEY")
    return {one["kind"]: one for one in yaml.safe_load_all(text)}


def test_metrics_server_verifies_kubelets_by_the_clusters_authority_at_the_address_they_are_certified_for() -> (
    None
):
    args = container(workloads(lab_plan(), METRICS)[METRICS], METRICS)["args"]
    assert [one for one in args if "insecure" in one] == []
    assert {
        f"--kubelet-certificate-authority={SERVICE_ACCOUNT_CA}",
        "--kubelet-preferred-address-types=InternalIP",
        "--kubelet-use-node-status-port",
    } <= set(args)


def test_metrics_server_is_as_fast_as_it_can_be_and_waits_for_a_kubelet_less_than_that() -> None:
    args = container(workloads(lab_plan(), METRICS)[METRICS], METRICS)["args"]
    assert {"--metric-resolution=10s", "--kubelet-request-timeout=5s"} <= set(args)


def test_the_api_server_verifies_metrics_server_by_the_authority() -> None:
    spec = serving()["APIService"]["spec"]
    assert "insecureSkipTLSVerify" not in spec
    assert base64.b64decode(spec["caBundle"]) == b"AUTHORITY"
    assert spec["service"] == {"name": METRICS, "namespace": "kube-system", "port": 443}
    (service,) = [one for one in objects(lab_plan(), METRICS) if one["kind"] == "Service"]
    assert [(port["port"], port["targetPort"]) for port in service["spec"]["ports"]] == [(443, "https")]


def test_metrics_server_serves_with_the_pair_of_the_secret_and_only_its_own_group_reads_it() -> None:
    secret = serving()["Secret"]
    assert {name: base64.b64decode(text) for name, text in secret["data"].items()} == {
        "tls.crt": b"CERTIFICATE",
        "tls.key": b"KEY",
    }
    spec = pod(workloads(lab_plan(), METRICS)[METRICS])
    (volume,) = spec["volumes"]
    assert volume["secret"] == {"secretName": secret["metadata"]["name"], "defaultMode": 0o440}
    assert spec["securityContext"]["fsGroup"] == spec["securityContext"]["runAsUser"] == 65534
    (mount,) = container(workloads(lab_plan(), METRICS)[METRICS], METRICS)["volumeMounts"]
    # A mount of single files would never show a renewed pair.
    assert "subPath" not in mount
    args = container(workloads(lab_plan(), METRICS)[METRICS], METRICS)["args"]
    assert {
        f"--tls-cert-file={mount['mountPath']}/tls.crt",
        f"--tls-private-key-file={mount['mountPath']}/tls.key",
    } <= set(args)


def test_metrics_server_may_read_usage_nodes_and_pods_and_nothing_else() -> None:
    assert rules(lab_plan(), METRICS)["hardway:metrics-server"] == [
        {"apiGroups": [""], "resources": ["nodes/metrics"], "verbs": ["get"]},
        {"apiGroups": [""], "resources": ["pods", "nodes"], "verbs": ["get", "list", "watch"]},
    ]
    bound = {
        one["roleRef"]["name"] for one in objects(lab_plan(), METRICS) if one["kind"].endswith("RoleBinding")
    } | {
        one["roleRef"]["name"] for one in objects(lab_plan(), METRICS) if one["kind"] == "ClusterRoleBinding"
    }
    assert bound == {
        "hardway:metrics-server",
        "system:auth-delegator",
        "extension-apiserver-authentication-reader",
    }


@pytest.mark.parametrize(("workers", "replicas"), [(1, 1), (2, 2), (9, 2)])
def test_metrics_server_runs_twice_where_two_workers_take_it(workers: int, replicas: int) -> None:
    pools = [{"name": "general", "count": workers}]
    found = workloads(plan_of(lab(workerPools=pools)), METRICS)[METRICS]
    (spread,) = pod(found)["topologySpreadConstraints"]
    assert (found["spec"]["replicas"], spread["minDomains"]) == (replicas, replicas)


def test_without_metrics_server_its_secret_and_its_api_are_taken_away_too() -> None:
    plan = plan_of(lab(addOns={"metricsServer": False}))
    absent = absent_manifests(plan)
    assert METRICS not in wanted_manifests(plan)
    kinds = {
        one["kind"] for name in (METRICS, f"{METRICS}-serving") for one in yaml.safe_load_all(absent[name])
    }
    assert {"Deployment", "Secret", "APIService"} <= kinds
    assert f"{METRICS}-serving" not in absent_manifests(lab_plan())


# Whole


def test_every_object_is_named_once_and_lives_in_kube_system() -> None:
    plan = integrated(*EVERYTHING)
    texts = {**wanted_manifests(plan), **absent_manifests(plan)}
    found = [one for text in texts.values() for one in yaml.safe_load_all(text)]
    names = [(one["kind"], one["metadata"]["name"]) for one in found if one["kind"] != "Namespace"]
    assert len(names) == len(set(names))
    assert {one["metadata"].get("namespace", "kube-system") for one in found} == {"kube-system"}


def test_every_image_is_pinned_and_all_but_one_by_digest() -> None:
    images = {
        each["image"]
        for one in workloads(integrated(*EVERYTHING), *CLOUD, "network-policies").values()
        for each in pod(one)["containers"]
    }
    assert images == {image.reference for image in REGISTRY_IMAGES.values()}
    assert [name for name, image in REGISTRY_IMAGES.items() if "@sha256:" not in image.reference] == [
        "cloud-controller-manager"
    ]
    assert all(f":v{image.version}" in image.reference for image in REGISTRY_IMAGES.values())


def test_the_cloud_controller_is_of_the_oldest_supported_minor_and_so_never_ahead_of_an_api_server() -> None:
    assert REGISTRY_IMAGES["cloud-controller-manager"].version.startswith("1.36.")


def test_the_kubelet_asks_the_plugin_for_images_of_ecr_under_the_name_of_its_program() -> None:
    document = yaml.safe_load(credential_provider_config())
    (provider,) = document["providers"]
    assert (document["kind"], document["apiVersion"]) == (
        "CredentialProviderConfig",
        "kubelet.config.k8s.io/v1",
    )
    assert provider["name"] == CLOUD_ARTIFACTS["ecr-credential-provider"].name
    assert provider["apiVersion"] == "credentialprovider.kubelet.k8s.io/v1"
    assert provider["matchImages"] == [
        "*.dkr.ecr.*.amazonaws.com",
        "*.dkr.ecr.*.amazonaws.com.cn",
        "*.dkr.ecr-fips.*.amazonaws.com",
    ]


@pytest.mark.parametrize("arch", ["amd64", "arm64"])
def test_the_plugin_is_the_last_published_binary_with_its_publishers_digest(arch: str) -> None:
    artifact = CLOUD_ARTIFACTS["ecr-credential-provider"]
    assert artifact.address(arch).endswith(f"/v1.31.7/linux/{arch}/ecr-credential-provider-linux-{arch}")
    assert len(artifact.digest(arch) or "") == 64
