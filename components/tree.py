"""The tree of files that each machine receives: real files, filled templates and dumped documents.

Pure: a plan and a machine in, paths and texts out; golden trees in tests/golden pin every byte. Secret files
are named here (`secret_paths`) and filled by whoever has the keys.
"""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from components.authentication import AUTHENTICATION_FILE, authentication_config
from components.backup_tree import BACKUP_FOLDER, BACKUP_SCRIPT, backup_files
from components.credential_provider import credential_provider_config
from components.render import File, dump_yaml, environment, render_tree
from components.way_out import way_out_files
from config.certificates import AUTHORITY_PATHS, ETCD_PKI, KUBERNETES_PKI, CertificateSpec
from config.plan import ClusterPlan, MachinePlan, Role
from config.settings import GRACE_SECONDS_DEFAULT, LEASE_SECONDS_DEFAULT, Cni
from config.versions import IMAGES

UNITS = (
    "etcd.service",
    "hardway-etcd-backup.timer",
    "kube-apiserver.service",
    "kube-controller-manager.service",
    "kube-scheduler.service",
    "kube-api-balancer.service",
    "node-port-balancer.service",
    "containerd.service",
    "hardway-images.service",
    "flanneld.service",
    "kubelet.service",
    "kube-proxy.service",
    "kube-network-policies.service",
)
"""Every unit of ours in the order in which a machine restarts them."""

STAGED_BY_PREPARE = ("/etc/sysctl.d/", "/etc/modules-load.d/")
"""Files that prepare plants: the kernel has to be so before the agents start."""

CONTROL_PLANE_TAINT = {"key": "node-role.kubernetes.io/control-plane", "value": "", "effect": "NoSchedule"}
CONTROL_PLANE_MAX_PODS = 110

CIPHER_SUITES = (
    "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256",
    "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384",
    "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256",
    "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
    "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384",
    "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256",
)
"""For TLS 1.2: the list of the CIS Kubernetes Benchmark 1.12 (1.2.29, 4.2.12) without RSA key exchange."""

SERVICE_ACCOUNT_KEY = f"{KUBERNETES_PKI}/sa.key"
SERVICE_ACCOUNT_PUBLIC_KEY = f"{KUBERNETES_PKI}/sa.pub"
ENCRYPTION_CONFIG = "/etc/kubernetes/encryption.yaml"
CREDENTIAL_PROVIDERS = "/etc/kubernetes/credential-provider.yaml"


def rootfs_roles(plan: ClusterPlan, machine: MachinePlan) -> tuple[str, ...]:
    """The folders of rootfs that make up a machine."""
    if machine.role is Role.LOAD_BALANCER:
        return ("common", "load-balancer") if plan.network.forwarded_node_ports else ("common",)
    flannel = ("flannel",) if plan.network.cni is Cni.FLANNEL else ()
    policies = ("network-policies",) if has_policies_service(plan) else ()
    control_plane = ("etcd", "control-plane") if machine.role is Role.CONTROL_PLANE else ()
    timer = ("etcd-backup",) if control_plane and plan.etcd.backup.minutes else ()
    return ("common", *control_plane, *timer, "node", *flannel, *policies)


def has_policies_service(plan: ClusterPlan) -> bool:
    """Whether kube-network-policies is a service of each machine: with flannel, unless a DaemonSet does it."""
    return plan.network.cni is Cni.FLANNEL and not plan.network_policies_from_image


def machine_files(plan: ClusterPlan, machine: MachinePlan) -> dict[str, File]:
    """Every file without a secret that a machine receives, by path, prepare's included."""
    files = render_tree(rootfs_roles(plan, machine), _template_values(plan, machine))
    if machine.is_node:
        files |= _node_files(plan, machine)
        files |= way_out_files(plan)
    if machine.role is Role.CONTROL_PLANE:
        files |= _control_plane_files(plan, machine) | backup_files(plan, machine)
        # The service has no other rights than etcd's own user.
        files[BACKUP_SCRIPT] = replace(files[BACKUP_SCRIPT], owner="etcd")
    return dict(sorted(files.items()))


def secret_paths(
    plan: ClusterPlan, machine: MachinePlan, specs: tuple[CertificateSpec, ...]
) -> dict[str, str]:
    """Path to owner of every file that comes from the PKI: authorities, leaves, keys."""
    paths = {
        path: _owner(path) for places in AUTHORITY_PATHS.values() for path in places.get(machine.role, ())
    }
    for spec in specs:
        if machine.name in spec.machines:
            paths |= {f"{spec.path}{suffix}": _owner(spec.path) for suffix in (".crt", ".key")}
    if machine.role is Role.CONTROL_PLANE:
        paths |= dict.fromkeys((SERVICE_ACCOUNT_KEY, SERVICE_ACCOUNT_PUBLIC_KEY, ENCRYPTION_CONFIG), "root")
    return dict(sorted(paths.items()))


def _owner(path: str) -> str:
    return "etcd" if path.startswith(ETCD_PKI) else "root"


def machine_folders(machine: MachinePlan) -> list[dict[str, Any]]:
    """Folders with their owner and mode, made before the first file lands in them."""
    folders = {"/etc/kubernetes": ("root", 0o755), KUBERNETES_PKI: ("root", 0o700)}
    if machine.is_node:
        private = (
            "/etc/kubernetes/kubelet.conf.d",
            "/etc/containerd/conf.d",
            "/etc/cni/net.d",
            "/var/lib/kube-proxy",
        )
        folders |= dict.fromkeys(private, ("root", 0o700))
    if machine.role is Role.CONTROL_PLANE:
        folders |= {
            f"{KUBERNETES_PKI}/etcd": ("root", 0o700),
            "/var/log/kubernetes": ("root", 0o700),
            "/etc/etcd": ("root", 0o755),
            ETCD_PKI: ("etcd", 0o700),
            "/var/lib/etcd": ("etcd", 0o700),
            BACKUP_FOLDER: ("etcd", 0o700),
        }
    return [{"path": path, "owner": owner, "mode": mode} for path, (owner, mode) in folders.items()]


def machine_units(files: dict[str, File]) -> list[str]:
    """The units among a machine's files, in the order in which it restarts them."""
    return [unit for unit in UNITS if f"/etc/systemd/system/{unit}" in files]


def _template_values(plan: ClusterPlan, machine: MachinePlan) -> dict[str, object]:
    network = plan.network
    bind = f"127.0.0.1:{network.local_api_port}" if machine.is_node else f"0.0.0.0:{network.api_port}"
    values: dict[str, object] = {"bind": bind, "api_name": plan.api_name, "servers": _servers(plan, machine)}
    if machine.is_node:
        values["pause_image"] = IMAGES["pause"].reference
    elif network.forwarded_node_ports:
        values |= _forwarding(plan)
    return values


def _servers(plan: ClusterPlan, machine: MachinePlan) -> str:
    """The API servers of a machine's own balancer: all alike, or on a control-plane machine its own before the others.

    There the kubelet of a new minor must not meet an API server that is still old (kubernetes.io, "Version Skew
    Policy"), so the others serve only while its own does not, and what they serve ends when that one is back.
    """
    servers = [f"    server {cp.name} {cp.address}:{plan.network.api_port}" for cp in plan.control_plane]
    if machine.role is not Role.CONTROL_PLANE or len(servers) == 1:
        return "\n".join(servers)
    own = f"    server {machine.name} "
    lines = [
        f"{line} on-marked-up shutdown-backup-sessions" if line.startswith(own) else f"{line} backup"
        for line in servers
    ]
    return "\n".join(["    option allbackups", *lines])


def _forwarding(plan: ClusterPlan) -> dict[str, object]:
    """HAProxy's sections of the forwarded NodePorts: what users connect to, and each worker behind it."""
    ports = plan.network.forwarded_node_ports
    frontends = [
        f"frontend node-port-{port}\n    bind 0.0.0.0:{port}\n    default_backend node-port-{port}"
        for port in ports
    ]
    backends = [
        "\n".join(
            [
                f"backend node-port-{port}",
                *(f"    server {worker.name} {worker.address}:{port} tcp-ut 3s" for worker in plan.workers),
            ]
        )
        for port in ports
    ]
    return {"forwarded_ports": "\n\n".join(frontends), "forwarding_backends": "\n\n".join(backends)}


def _node_files(plan: ClusterPlan, machine: MachinePlan) -> dict[str, File]:
    local_api = f"https://127.0.0.1:{plan.network.local_api_port}"
    agents = {"kubelet": "kubelet-client", "kube-proxy": "kube-proxy"}
    if plan.network.cni is Cni.FLANNEL:
        agents["flanneld"] = "flanneld"
    if has_policies_service(plan):
        agents["kube-network-policies"] = "kube-network-policies"
    files = {
        f"/etc/kubernetes/{name}.conf": File(kubeconfig_file(plan, local_api, leaf))
        for name, leaf in agents.items()
    }
    files["/var/lib/kubelet/config.yaml"] = File(dump_yaml(_kubelet(plan, machine)))
    files["/var/lib/kube-proxy/config.yaml"] = File(dump_yaml(_kube_proxy(plan, machine)))
    labels = {"topology.kubernetes.io/zone": machine.zone, **_registration_labels(plan, machine)}
    files["/etc/kubernetes/kubelet.env"] = File(
        environment(
            {
                "NODE_NAME": machine.name,
                "NODE_IP": machine.address,
                "NODE_LABELS": ",".join(f"{key}={value}" for key, value in sorted(labels.items())),
                "EXTRA_ARGS": flags(_kubelet_flags(plan)),
            }
        )
    )
    if plan.aws is not None and plan.aws.ecr_credentials:
        files[CREDENTIAL_PROVIDERS] = File(credential_provider_config())
    if plan.network.cni is Cni.FLANNEL:
        files["/etc/kube-flannel/flanneld.env"] = File(
            environment({"NODE_NAME": machine.name, "NODE_IP": machine.address})
        )
        files["/etc/kube-flannel/net-conf.json"] = File(
            json.dumps(
                {
                    "Network": str(plan.network.pods),
                    "EnableNFTables": True,
                    "Backend": {"Type": "vxlan", "DirectRouting": plan.network.direct_routing},
                },
                indent=2,
            )
            + "\n"
        )
    return files


def _kubelet_flags(plan: ClusterPlan) -> dict[str, str]:
    """What only flags can tell a kubelet: who its cloud is, and who has passwords for registries."""
    if plan.aws is None:
        return {}
    external = {"cloud-provider": "external"} if plan.aws.cloud_controller else {}
    if not plan.aws.ecr_credentials:
        return external
    return {
        **external,
        "image-credential-provider-config": CREDENTIAL_PROVIDERS,
        "image-credential-provider-bin-dir": "/opt/hardway/bin",
    }


def _registration_labels(plan: ClusterPlan, machine: MachinePlan) -> dict[str, str]:
    return next((pool.labels for pool in plan.pools if pool.name == machine.pool), {})


def node_labels(plan: ClusterPlan, machine: MachinePlan) -> dict[str, str]:
    """Labels that the API is told after registration, the ones that a kubelet may not set included."""
    if machine.role is Role.CONTROL_PLANE:
        return {CONTROL_PLANE_TAINT["key"]: ""}
    return {"hardway.dev/pool": str(machine.pool), **_registration_labels(plan, machine)}


def node_taints(plan: ClusterPlan, machine: MachinePlan) -> list[dict[str, str]]:
    """A Node's taints."""
    if machine.role is Role.CONTROL_PLANE:
        return [CONTROL_PLANE_TAINT]
    return [dict(taint) for pool in plan.pools if pool.name == machine.pool for taint in pool.taints]


def _kubelet(plan: ClusterPlan, machine: MachinePlan) -> dict[str, Any]:
    """KubeletConfiguration. What depends on the machine (cgroup driver, resolver) is prepare's drop-in."""
    max_pods = next(
        (pool.max_pods for pool in plan.pools if pool.name == machine.pool), CONTROL_PLANE_MAX_PODS
    )
    taints = node_taints(plan, machine)
    return {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "authentication": {
            "anonymous": {"enabled": False},
            "webhook": {"enabled": True},
            "x509": {"clientCAFile": f"{KUBERNETES_PKI}/ca.crt"},
        },
        "authorization": {"mode": "Webhook"},
        "readOnlyPort": 0,
        "tlsCertFile": f"{KUBERNETES_PKI}/kubelet.crt",
        "tlsPrivateKeyFile": f"{KUBERNETES_PKI}/kubelet.key",
        "tlsMinVersion": "VersionTLS12",
        "tlsCipherSuites": list(CIPHER_SUITES),
        "enableProfilingHandler": False,
        "enableDebugFlagsHandler": False,
        "protectKernelDefaults": True,
        "makeIPTablesUtilChains": True,
        "seccompDefault": True,
        "podPidsLimit": 4096,
        # What changes on a machine is told after four seconds at the most, not ten; what does not, as seldom as ever.
        "nodeStatusUpdateFrequency": "4s",
        "nodeStatusReportFrequency": "5m",
        **_lease(plan),
        "maxPods": max_pods,
        "clusterDNS": [str(plan.network.dns_service_address)],
        "clusterDomain": plan.network.domain,
        "containerRuntimeEndpoint": "unix:///run/containerd/containerd.sock",
        **(
            {"registerWithTaints": [{k: v for k, v in taint.items() if v} for taint in taints]}
            if taints
            else {}
        ),
    }


def _lease(plan: ClusterPlan) -> dict[str, int]:
    """The duration of the Node's lease where it is not the kubelet's own."""
    seconds = plan.node_loss.lease_seconds
    return {} if seconds == LEASE_SECONDS_DEFAULT else {"nodeLeaseDurationSeconds": seconds}


def _node_loss_flags(plan: ClusterPlan) -> dict[str, str]:
    """When the controller manager calls a Node lost, where that is not its own default."""
    loss = plan.node_loss
    if loss.grace_seconds == GRACE_SECONDS_DEFAULT:
        return {}
    return {
        "node-monitor-grace-period": f"{loss.grace_seconds}s",
        "node-monitor-period": f"{loss.monitor_seconds}s",
    }


def _kube_proxy(plan: ClusterPlan, machine: MachinePlan) -> dict[str, Any]:
    """KubeProxyConfiguration. Conntrack's size is a sysctl: in a container kube-proxy could not write it."""
    return {
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "clientConnection": {"kubeconfig": "/etc/kubernetes/kube-proxy.conf"},
        "mode": "nftables",
        "clusterCIDR": str(plan.network.pods),
        "hostnameOverride": machine.name,
        "metricsBindAddress": "127.0.0.1:10249",
        "conntrack": {"maxPerCore": 0, "min": 0},
    }


def _control_plane_files(plan: ClusterPlan, machine: MachinePlan) -> dict[str, File]:
    network = plan.network
    own_api = f"https://127.0.0.1:{network.api_port}"
    files = {
        f"/etc/kubernetes/{name}.conf": File(kubeconfig_file(plan, own_api, name))
        for name in ("controller-manager", "scheduler", "admin")
    }
    member = next(member for member in plan.etcd.members if member.name == machine.name)
    others = [other for other in plan.etcd.members if other.name != machine.name]
    files["/etc/etcd/etcd.env"] = File(
        environment(
            {
                "ETCD_NAME": member.name,
                "ETCD_INITIAL_CLUSTER_TOKEN": plan.name,
                "ETCD_INITIAL_ADVERTISE_PEER_URLS": member.peer_url,
                "ETCD_ADVERTISE_CLIENT_URLS": member.client_url,
                "ETCD_LISTEN_PEER_URLS": member.peer_url,
                "ETCD_LISTEN_CLIENT_URLS": f"{member.client_url},https://127.0.0.1:2379",
                "ETCD_HEARTBEAT_INTERVAL": plan.etcd.heartbeat_ms,
                "ETCD_ELECTION_TIMEOUT": plan.etcd.election_ms,
            }
        )
    )
    files["/etc/kubernetes/kube-apiserver.env"] = File(
        environment(
            {
                "ADVERTISE_ADDRESS": machine.address,
                "SECURE_PORT": network.api_port,
                # Its own member first; all of them, so that it stays ready while its own restarts.
                "ETCD_SERVERS": ",".join(etcd.client_url for etcd in (member, *others)),
                "SERVICE_ACCOUNT_ISSUER": f"https://kubernetes.default.svc.{network.domain}",
                "SERVICE_RANGE": network.services,
                "EXTRA_ARGS": flags(plan.extra_args.api_server),
            }
        )
    )
    files["/etc/kubernetes/kube-controller-manager.env"] = File(
        environment(
            {
                "CLUSTER_NAME": plan.name,
                "POD_RANGE": network.pods,
                "NODE_PREFIX_LENGTH": network.node_prefix_length,
                "SERVICE_RANGE": network.services,
                "EXTRA_ARGS": flags({**plan.extra_args.controller_manager, **_node_loss_flags(plan)}),
            }
        )
    )
    files["/etc/kubernetes/kube-scheduler.env"] = File(
        environment({"EXTRA_ARGS": flags(plan.extra_args.scheduler)})
    )
    if plan.oidc is not None:
        files[AUTHENTICATION_FILE] = File(authentication_config(plan.oidc))
    return files


def flags(arguments: dict[str, str]) -> str:
    """Flags by name as a command line's tail."""
    return " ".join(f"--{name}={value}" for name, value in sorted(arguments.items()))


def kubeconfig_file(plan: ClusterPlan, server: str, leaf: str) -> str:
    """A kubeconfig for one of the machine's own processes; it names certificate files and holds no secret."""
    return dump_yaml(
        {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": plan.name,
            "clusters": [
                {
                    "name": plan.name,
                    "cluster": {"certificate-authority": f"{KUBERNETES_PKI}/ca.crt", "server": server},
                }
            ],
            "users": [
                {
                    "name": leaf,
                    "user": {
                        "client-certificate": f"{KUBERNETES_PKI}/{leaf}.crt",
                        "client-key": f"{KUBERNETES_PKI}/{leaf}.key",
                    },
                }
            ],
            "contexts": [{"name": plan.name, "context": {"cluster": plan.name, "user": leaf}}],
        }
    )
