"""The example's manifests as `kubectl kustomize` builds them. That they work is shown by the demo on real machines."""

import base64
import re
import shutil
import subprocess
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from config import versions
from lab import artifacts, example_images, paths

SOURCES = paths.PROJECT / "examples" / "tooling" / "kubernetes"
SECRETS = "database-password=first\nsession-key=second\nadmin-password=third\n"
BUILDS = ("base", "overlays/lab", "overlays/separate-nodes", "overlays/default-tolerations")
Object = dict[str, Any]


@cache
def kubectl() -> str:
    """The cluster's own kubectl: kustomize is a part of it, in the version that users have."""
    order = artifacts.order("kubectl")
    if not order.path().exists():
        artifacts.ensure(["kubectl"])
    order.path().chmod(0o755)
    return str(order.path())


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy with secrets, as a user has it."""
    folder = tmp_path_factory.mktemp("manifests") / "kubernetes"
    shutil.copytree(SOURCES, folder, ignore=shutil.ignore_patterns("secrets.env"))
    (folder / "base" / "secrets.env").write_text(SECRETS)
    return folder


def build(folder: Path) -> dict[str, Object]:
    """What kustomize makes of a folder, by `kind/name`."""
    done = subprocess.run([kubectl(), "kustomize", str(folder)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return {f"{each['kind']}/{each['metadata']['name']}": each for each in yaml.safe_load_all(done.stdout)}


@pytest.fixture(scope="module")
def built(sources: Path) -> Callable[[str], dict[str, Object]]:
    return cache(lambda name: build(sources / name))


Built = Callable[[str], dict[str, Object]]


def pods(objects: dict[str, Object]) -> dict[str, Object]:
    """Pod specs by the name of what makes them."""
    return {
        each["metadata"]["name"]: each["spec"]["template"]["spec"]
        for each in objects.values()
        if each["kind"] in ("Deployment", "StatefulSet")
    }


def containers(pod: Object) -> list[Object]:
    return [*pod.get("initContainers", []), *pod["containers"]]


def test_the_base_is_these_objects_and_the_lab_adds_an_autoscaler(built: Built) -> None:
    objects = [name for name in built("base") if not name.startswith("Secret/")]
    assert sorted(objects) == [
        "Deployment/web",
        "Namespace/tooling",
        "NetworkPolicy/database",
        "NetworkPolicy/default-deny-ingress",
        "NetworkPolicy/web",
        "PodDisruptionBudget/web",
        "Service/database",
        "Service/web",
        "StatefulSet/database",
    ]
    for name in BUILDS[1:]:
        assert set(built(name)) - set(built("base")) == {"HorizontalPodAutoscaler/web"}, name


@pytest.mark.parametrize("name", BUILDS)
def test_every_object_is_in_the_namespace_and_part_of_tooling(built: Built, name: str) -> None:
    for key, each in built(name).items():
        assert each["metadata"]["labels"]["app.kubernetes.io/part-of"] == "tooling", key
        assert key == "Namespace/tooling" or each["metadata"]["namespace"] == "tooling", key


RESTRICTED: dict[str, Callable[[Object, Object], bool]] = {
    "no host namespaces": lambda pod, _: (
        not any(pod.get(field) for field in ("hostNetwork", "hostPID", "hostIPC"))
    ),
    "no host ports": lambda _, one: not any("hostPort" in port for port in one.get("ports", [])),
    "volumes of permitted kinds": lambda pod, _: (
        {kind for volume in pod["volumes"] for kind in volume if kind != "name"} <= {"emptyDir", "secret"}
    ),
    "not privileged": lambda _, one: not one["securityContext"].get("privileged"),
    "no privilege escalation": lambda _, one: one["securityContext"]["allowPrivilegeEscalation"] is False,
    "drops all capabilities and adds none": lambda _, one: (
        one["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    ),
    "not root": lambda pod, one: (
        pod["securityContext"]["runAsNonRoot"] is True
        and pod["securityContext"]["runAsUser"] > 0
        and not {"runAsNonRoot", "runAsUser"} & set(one["securityContext"])
    ),
    "the runtime's seccomp profile": lambda pod, one: (
        pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        and "seccompProfile" not in one["securityContext"]
    ),
    "no other profiles or sysctls": lambda pod, one: (
        not {"appArmorProfile", "seLinuxOptions", "sysctls", "procMount", "windowsOptions"}
        & {*pod["securityContext"], *one["securityContext"]}
    ),
    # Beyond the profile.
    "read-only root file system": lambda _, one: one["securityContext"]["readOnlyRootFilesystem"] is True,
    "no token of the API server": lambda pod, _: pod["automountServiceAccountToken"] is False,
}
"""The checks of the Pod Security Standard "restricted", and two of our own."""


@pytest.mark.parametrize("rule", RESTRICTED)
@pytest.mark.parametrize("name", BUILDS)
def test_every_container_keeps_the_restricted_profile(built: Built, name: str, rule: str) -> None:
    for pod in pods(built(name)).values():
        for one in containers(pod):
            assert RESTRICTED[rule](pod, one), one["name"]


def test_the_api_server_enforces_the_restricted_profile(built: Built) -> None:
    labels = built("base")["Namespace/tooling"]["metadata"]["labels"]
    assert {mode: labels[f"pod-security.kubernetes.io/{mode}"] for mode in ("enforce", "warn", "audit")} == {
        "enforce": "restricted",
        "warn": "restricted",
        "audit": "restricted",
    }


def test_web_has_requests_and_a_memory_limit_and_no_cpu_limit(built: Built) -> None:
    for one in containers(pods(built("base"))["web"]):
        assert one["resources"] == {
            "requests": {"cpu": "50m", "memory": "64Mi"},
            "limits": {"memory": "192Mi"},
        }


def test_the_databases_memory_limit_fits_its_settings(built: Built) -> None:
    (one,) = containers(pods(built("base"))["database"])
    assert one["resources"]["limits"] == {"memory": "512Mi"}
    settings = (SOURCES.parent / "database" / "tooling.cnf").read_text()
    pool = re.search(r"^innodb-buffer-pool-size = (\d+)M$", settings, re.MULTILINE)
    # The server takes about 100 MiB besides, and up to 1 MiB for each connection.
    assert pool
    assert int(pool[1]) + 100 + 100 <= 512


def test_web_is_asked_whether_it_lives_apart_from_whether_it_may_serve(built: Built) -> None:
    (one,) = pods(built("base"))["web"]["containers"]
    asked = {name: one[f"{name}Probe"]["httpGet"] for name in ("startup", "liveness", "readiness")}
    assert asked == {
        "startup": {"path": "/healthz", "port": "http"},
        "liveness": {"path": "/healthz", "port": "http"},
        "readiness": {"path": "/readyz", "port": "http"},
    }
    assert one["ports"] == [{"name": "http", "protocol": "TCP", "containerPort": 8080}]


def test_a_web_pod_serves_on_for_5_s_and_then_has_15_s_to_finish(built: Built) -> None:
    pod = pods(built("base"))["web"]
    assert pod["containers"][0]["lifecycle"] == {"preStop": {"sleep": {"seconds": 5}}}
    assert pod["terminationGracePeriodSeconds"] == 20


def test_an_update_never_has_fewer_web_pods_than_asked_for(built: Built) -> None:
    spec = built("base")["Deployment/web"]["spec"]
    assert spec["replicas"] == 2
    assert spec["strategy"] == {
        "type": "RollingUpdate",
        "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0},
    }


def test_web_leaves_a_lost_node_after_5_s(built: Built) -> None:
    def toleration(cause: str) -> Object:
        key = f"node.kubernetes.io/{cause}"
        return {"key": key, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 5}

    assert pods(built("overlays/lab"))["web"]["tolerations"] == [
        toleration("not-ready"),
        toleration("unreachable"),
    ]


def test_with_default_tolerations_that_is_all_that_differs(built: Built) -> None:
    short, default = built("overlays/lab"), built("overlays/default-tolerations")
    without = {name: value for name, value in pods(short)["web"].items() if name != "tolerations"}
    assert pods(default)["web"] == without
    assert {key: each for key, each in default.items() if key != "Deployment/web"} == {
        key: each for key, each in short.items() if key != "Deployment/web"
    }


def test_web_pods_of_one_version_spread_over_nodes(built: Built) -> None:
    assert pods(built("base"))["web"]["topologySpreadConstraints"] == [
        {
            "maxSkew": 1,
            "topologyKey": "kubernetes.io/hostname",
            "whenUnsatisfiable": "ScheduleAnyway",
            "labelSelector": {"matchLabels": {"app.kubernetes.io/name": "web"}},
            "matchLabelKeys": ["pod-template-hash"],
        }
    ]


def test_a_drain_leaves_one_web_pod(built: Built) -> None:
    assert built("base")["PodDisruptionBudget/web"]["spec"] == {
        "minAvailable": 1,
        "unhealthyPodEvictionPolicy": "AlwaysAllow",
        "selector": {"matchLabels": {"app.kubernetes.io/name": "web"}},
    }


def test_the_site_is_on_port_30080_of_the_nodes_that_serve(built: Built) -> None:
    spec = built("base")["Service/web"]["spec"]
    assert (spec["type"], spec["externalTrafficPolicy"]) == ("NodePort", "Local")
    assert spec["ports"] == [
        {"name": "http", "protocol": "TCP", "port": 80, "targetPort": "http", "nodePort": 30080}
    ]


def test_the_database_has_a_headless_name_and_a_volume_of_its_own(built: Built) -> None:
    objects = built("base")
    assert objects["Service/database"]["spec"]["clusterIP"] == "None"
    spec = objects["StatefulSet/database"]["spec"]
    assert (spec["replicas"], spec["serviceName"]) == (1, "database")
    (claim,) = spec["volumeClaimTemplates"]
    assert claim["metadata"]["name"] == "data"
    assert claim["spec"] == {
        "accessModes": ["ReadWriteOnce"],
        "resources": {"requests": {"storage": "1Gi"}},
    }
    (one,) = spec["template"]["spec"]["containers"]
    assert {"name": "data", "mountPath": "/var/lib/mysql"} in one["volumeMounts"]


def test_selectors_choose_the_pods_and_no_others(built: Built) -> None:
    objects = built("base")
    for key in ("Deployment/web", "StatefulSet/database"):
        spec = objects[key]["spec"]
        name = {"app.kubernetes.io/name": objects[key]["metadata"]["name"]}
        assert spec["selector"]["matchLabels"] == name
        assert spec["template"]["metadata"]["labels"] == {**name, "app.kubernetes.io/part-of": "tooling"}
        assert objects[f"Service/{objects[key]['metadata']['name']}"]["spec"]["selector"] == name


def test_nothing_comes_in_but_to_web_and_from_web_to_the_database(built: Built) -> None:
    def selector(name: str) -> Object:
        return {"matchLabels": {"app.kubernetes.io/name": name}}

    policies = {
        each["metadata"]["name"]: each["spec"]
        for each in built("base").values()
        if each["kind"] == "NetworkPolicy"
    }
    assert policies == {
        "default-deny-ingress": {"podSelector": {}, "policyTypes": ["Ingress"]},
        "web": {
            "podSelector": selector("web"),
            "policyTypes": ["Ingress"],
            "ingress": [{"ports": [{"protocol": "TCP", "port": 8080}]}],
        },
        "database": {
            "podSelector": selector("database"),
            "policyTypes": ["Ingress"],
            "ingress": [
                {
                    "from": [{"podSelector": selector("web")}],
                    "ports": [{"protocol": "TCP", "port": 3306}],
                }
            ],
        },
    }


def test_the_autoscaler_keeps_2_to_6_pods_at_60_per_cent_and_owns_the_number(built: Built) -> None:
    objects = built("overlays/lab")
    assert objects["HorizontalPodAutoscaler/web"]["spec"] == {
        "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"},
        "minReplicas": 2,
        "maxReplicas": 6,
        "metrics": [
            {
                "type": "Resource",
                "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 60}},
            }
        ],
        "behavior": {"scaleDown": {"stabilizationWindowSeconds": 30}},
    }
    assert "replicas" not in objects["Deployment/web"]["spec"]


def test_only_the_lab_burns_cpu_on_demand(built: Built) -> None:
    def burns(name: str) -> list[str]:
        return [
            one["name"]
            for pod in pods(built(name)).values()
            for one in containers(pod)
            if {"name": "TOOLING_BURN", "value": "1"} in one["env"]
        ]

    assert burns("base") == []
    assert burns("overlays/lab") == ["web"]


def test_web_and_database_are_pinned_to_two_workers_for_the_show(built: Built) -> None:
    assert {
        name: pod.get("nodeSelector") for name, pod in pods(built("overlays/separate-nodes")).items()
    } == {
        "web": {"kubernetes.io/hostname": "worker-general-0"},
        "database": {"kubernetes.io/hostname": "worker-general-1"},
    }
    for name in ("base", "overlays/lab", "overlays/default-tolerations"):
        assert not [pod for pod in pods(built(name)).values() if "nodeSelector" in pod], name


def test_a_container_sees_the_secrets_that_it_needs(built: Built) -> None:
    seen = {}
    for pod in pods(built("base")).values():
        volumes = {volume["name"]: volume.get("secret", {}).get("items", []) for volume in pod["volumes"]}
        for one in containers(pod):
            mounts = [mount for mount in one["volumeMounts"] if mount["mountPath"] == "/run/secrets/tooling"]
            seen[one["name"]] = [item["key"] for mount in mounts for item in volumes[mount["name"]]]
    assert seen == {
        "migrate": ["database-password", "admin-password"],
        "web": ["database-password", "session-key"],
        "database": ["database-password"],
    }


def test_no_secret_reaches_an_environment_variable(built: Built) -> None:
    for pod in pods(built("overlays/lab")).values():
        for one in containers(pod):
            assert "envFrom" not in one
            assert not [each for each in one["env"] if "secretKeyRef" in each.get("valueFrom", {})]


def secret_name(objects: dict[str, Object]) -> str:
    (name,) = (key.removeprefix("Secret/") for key in objects if key.startswith("Secret/"))
    return name


def test_a_changed_secret_has_another_name_and_so_rolls_the_pods(sources: Path, tmp_path: Path) -> None:
    before = build(sources / "base")
    shutil.copytree(sources, tmp_path / "changed")
    (tmp_path / "changed/base/secrets.env").write_text(SECRETS.replace("first", "changed"))
    after = build(tmp_path / "changed/base")
    assert secret_name(before) != secret_name(after)
    for objects in (before, after):
        names = {
            volume["secret"]["secretName"]
            for pod in pods(objects).values()
            for volume in pod["volumes"]
            if "secret" in volume
        }
        assert names == {secret_name(objects)}


def test_the_documented_secrets_are_those_of_the_secret(built: Built) -> None:
    objects = built("base")
    data = objects[f"Secret/{secret_name(objects)}"]["data"]
    example = (SOURCES / "base" / "secrets.env.example").read_text().splitlines()
    documented = [line.partition("=")[0] for line in example if not line.startswith("#")]
    assert sorted(data) == sorted(documented) == ["admin-password", "database-password", "session-key"]
    assert base64.b64decode(data["session-key"]) == b"second"


def test_git_ignores_the_secrets() -> None:
    file = SOURCES / "base" / "secrets.env"
    done = subprocess.run(["git", "check-ignore", "--quiet", str(file)], cwd=paths.PROJECT, check=False)
    assert done.returncode == 0


def test_the_database_is_asked_by_its_socket_in_all_three_probes(built: Built) -> None:
    (one,) = containers(pods(built("base"))["database"])
    command = ["mariadb-admin", "--defaults-file=/etc/mysql/tooling.cnf", "--user=mysql"]
    command += ["--connect-timeout=2", "--silent", "ping"]
    for name in ("startup", "readiness", "liveness"):
        assert one[f"{name}Probe"]["exec"]["command"] == command
    assert one["startupProbe"]["failureThreshold"] * one["startupProbe"]["periodSeconds"] == 300


def test_web_learns_its_pod_node_and_address(built: Built) -> None:
    (one,) = pods(built("base"))["web"]["containers"]
    told = {
        each["name"]: each["valueFrom"]["fieldRef"]["fieldPath"] for each in one["env"] if "valueFrom" in each
    }
    assert told == {"POD_NAME": "metadata.name", "POD_IP": "status.podIP", "NODE_NAME": "spec.nodeName"}


def test_images_are_those_that_the_lab_makes(built: Built) -> None:
    used = {
        (one["image"], one["imagePullPolicy"])
        for pod in pods(built("base")).values()
        for one in containers(pod)
    }
    assert used == {(image.reference, "IfNotPresent") for image in example_images.IMAGES.values()}


def test_the_kubectl_is_the_clusters_version() -> None:
    assert f"/{versions.KUBERNETES_DEFAULT}/" in kubectl()


def compose_keys(value: object, path: str = "") -> set[str]:
    """Paths of a service's settings; names of variables and of other services are not settings."""
    if path == "environment" or not isinstance(value, dict):
        return {path}
    if path == "depends_on":
        return {"depends_on", "depends_on.*.condition"}
    return {key for name, inner in value.items() for key in compose_keys(inner, f"{path}.{name}".lstrip("."))}


def test_the_table_in_the_docs_has_every_line_of_the_compose_file() -> None:
    compose = yaml.safe_load((SOURCES.parent / "compose.yaml").read_text())
    wanted = {f"services.{name}" for name in compose["services"]}
    wanted |= {key for service in compose["services"].values() for key in compose_keys(service)}
    wanted |= {f"{kind}.{name}" for kind in ("networks", "volumes") for name in compose[kind]}
    page = (paths.PROJECT / "docs" / "compose-to-kubernetes.md").read_text()
    named = {
        span for line in page.splitlines() if line.startswith("| `") for span in line.split("|")[1].split("`")
    }
    assert sorted(wanted - named) == []


def test_files_that_the_table_names_exist() -> None:
    page = (paths.PROJECT / "docs" / "compose-to-kubernetes.md").read_text()
    named = set(re.findall(r"`([a-z/-]+\.yaml)`", page)) - {"stack.yaml", "compose.yaml"}
    places = (SOURCES / "base", SOURCES)
    assert [name for name in sorted(named) if not any((place / name).is_file() for place in places)] == []
    assert len(named) == 9
