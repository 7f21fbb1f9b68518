"""The PKI as a table: who gets which certificate from which authority, and where it lies on a machine.

One row is one kind of leaf. `certificates_for` turns the table and a plan into `CertificateSpec`s; nothing
else in Hardway decides a subject, a usage or a name on a certificate. No leaf may sign. Requirements per
component: kubernetes.io, "PKI certificates and requirements".
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum

from config.plan import ClusterPlan, MachinePlan, Role
from config.settings import Cni


class Authority(StrEnum):
    """The three authorities; none trusts another's leaves."""

    KUBERNETES = "kubernetes"
    ETCD = "etcd"
    FRONT_PROXY = "front-proxy"


class Usage(StrEnum):
    """Extended key usages, in the words of hashicorp/tls."""

    CLIENT = "client_auth"
    SERVER = "server_auth"


KUBERNETES_PKI = "/etc/kubernetes/pki"
ETCD_PKI = "/etc/etcd/pki"

AUTHORITY_PATHS: dict[Authority, dict[Role, tuple[str, ...]]] = {
    Authority.KUBERNETES: {
        Role.CONTROL_PLANE: (f"{KUBERNETES_PKI}/ca.crt",),
        Role.WORKER: (f"{KUBERNETES_PKI}/ca.crt",),
        Role.LOAD_BALANCER: (f"{KUBERNETES_PKI}/ca.crt",),
    },
    Authority.ETCD: {Role.CONTROL_PLANE: (f"{ETCD_PKI}/ca.crt", f"{KUBERNETES_PKI}/etcd/ca.crt")},
    Authority.FRONT_PROXY: {Role.CONTROL_PLANE: (f"{KUBERNETES_PKI}/front-proxy-ca.crt",)},
}
"""Where each authority's certificate lies, by role. An authority's key lies nowhere but in the stack's
state."""

ADMINS_GROUP = "hardway:cluster-admins"
"""Bound to cluster-admin by our own RBAC, so that it can be unbound; `system:masters` could never be."""
KUBELET_CLIENT_USER = "hardway:kube-apiserver-kubelet-client"
FLANNEL_USER = "hardway:flanneld"
NETWORK_POLICIES_USER = "hardway:kube-network-policies"


@dataclass(frozen=True)
class CertificateSpec:
    """One leaf certificate.

    Attributes:
        name: unique in the cluster, and its resource's logical name.
        authority: who signs it.
        common_name: the user, or the server's name.
        organization: the group, or None.
        usages: what it may be used for.
        dns_names: subject alternative names.
        ip_addresses: subject alternative addresses.
        machines: where it is installed; empty for what a single step holds or brings into the cluster.
        path: of the certificate without `.crt`; the key lies beside it as `.key`.
    """

    name: str
    authority: Authority
    common_name: str
    organization: str | None
    usages: tuple[Usage, ...]
    dns_names: tuple[str, ...]
    ip_addresses: tuple[str, ...]
    machines: tuple[str, ...]
    path: str


_Names = Callable[[ClusterPlan, MachinePlan], tuple[str, ...]]


def _nothing(_plan: ClusterPlan, _machine: MachinePlan) -> tuple[str, ...]:
    return ()


def _own_name(_plan: ClusterPlan, machine: MachinePlan) -> tuple[str, ...]:
    return (machine.name,)


def _own_address(_plan: ClusterPlan, machine: MachinePlan) -> tuple[str, ...]:
    return (str(machine.address),)


def _local_name(_plan: ClusterPlan, machine: MachinePlan) -> tuple[str, ...]:
    return (machine.name, "localhost")


def _local_address(_plan: ClusterPlan, machine: MachinePlan) -> tuple[str, ...]:
    return (str(machine.address), "127.0.0.1")


def _api_names(plan: ClusterPlan, machine: MachinePlan) -> tuple[str, ...]:
    service = "kubernetes.default.svc"
    domain = plan.network.domain
    inside = ("kubernetes", "kubernetes.default", service, f"{service}.{domain}")
    return (plan.api_name, machine.name, "localhost", *inside)


def _api_addresses(plan: ClusterPlan, _machine: MachinePlan) -> tuple[str, ...]:
    """Every control-plane address, so that no client cares which API server answers."""
    machines = (*plan.control_plane, *plan.load_balancers)
    return (*(str(m.address) for m in machines), "127.0.0.1", str(plan.network.api_service_address))


_CONTROL_PLANE = (Role.CONTROL_PLANE,)
_NODES = (Role.CONTROL_PLANE, Role.WORKER)
_CLIENT, _SERVER, _BOTH = (Usage.CLIENT,), (Usage.SERVER,), (Usage.SERVER, Usage.CLIENT)


@dataclass(frozen=True)
class _Row:
    """One kind of leaf; `{machine}` in the common name goes with one certificate per machine."""

    name: str
    authority: Authority
    common_name: str
    organization: str | None
    usages: tuple[Usage, ...]
    roles: tuple[Role, ...]
    path: str
    dns_names: _Names = _nothing
    ip_addresses: _Names = _nothing
    per_machine: bool = False
    service_names: tuple[str, ...] = ()
    """DNS names of the Service that serves with it."""


_K8S, _ETCD, _FRONT = Authority.KUBERNETES, Authority.ETCD, Authority.FRONT_PROXY
# etcd dials its peers with the certificate that it serves to them, hence the peer's two usages (etcd.io,
# "Transport security model"). `bootstrap` is the only member of system:masters: RBAC has no binding before
# somebody makes the first one; this one does, from a tmpfs of one step, and is installed nowhere.
# fmt: off
_TABLE: tuple[_Row, ...] = (
    _Row("etcd-server", _ETCD, "{machine}", None, _SERVER, _CONTROL_PLANE, f"{ETCD_PKI}/server",
         _local_name, _local_address, per_machine=True),
    _Row("etcd-peer", _ETCD, "{machine}", None, _BOTH, _CONTROL_PLANE, f"{ETCD_PKI}/peer",
         _own_name, _own_address, per_machine=True),
    _Row("etcd-healthcheck-client", _ETCD, "hardway:etcd-healthcheck", None, _CLIENT, _CONTROL_PLANE,
         f"{ETCD_PKI}/healthcheck-client"),
    _Row("apiserver-etcd-client", _ETCD, "hardway:kube-apiserver", None, _CLIENT, _CONTROL_PLANE,
         f"{KUBERNETES_PKI}/apiserver-etcd-client"),
    _Row("apiserver", _K8S, "kube-apiserver", None, _SERVER, _CONTROL_PLANE, f"{KUBERNETES_PKI}/apiserver",
         _api_names, _api_addresses, per_machine=True),
    _Row("apiserver-kubelet-client", _K8S, KUBELET_CLIENT_USER, None, _CLIENT, _CONTROL_PLANE,
         f"{KUBERNETES_PKI}/apiserver-kubelet-client"),
    _Row("front-proxy-client", _FRONT, "front-proxy-client", None, _CLIENT, _CONTROL_PLANE,
         f"{KUBERNETES_PKI}/front-proxy-client"),
    _Row("controller-manager", _K8S, "system:kube-controller-manager", None, _CLIENT, _CONTROL_PLANE,
         f"{KUBERNETES_PKI}/controller-manager"),
    _Row("scheduler", _K8S, "system:kube-scheduler", None, _CLIENT, _CONTROL_PLANE,
         f"{KUBERNETES_PKI}/scheduler"),
    _Row("admin", _K8S, "hardway:admin", ADMINS_GROUP, _CLIENT, _CONTROL_PLANE, f"{KUBERNETES_PKI}/admin"),
    _Row("kubelet-client", _K8S, "system:node:{machine}", "system:nodes", _CLIENT, _NODES,
         f"{KUBERNETES_PKI}/kubelet-client", per_machine=True),
    _Row("kubelet", _K8S, "{machine}", None, _SERVER, _NODES, f"{KUBERNETES_PKI}/kubelet",
         _own_name, _own_address, per_machine=True),
    _Row("kube-proxy", _K8S, "system:kube-proxy", None, _CLIENT, _NODES, f"{KUBERNETES_PKI}/kube-proxy"),
    _Row("flanneld", _K8S, FLANNEL_USER, None, _CLIENT, _NODES, f"{KUBERNETES_PKI}/flanneld"),
    _Row("kube-network-policies", _K8S, NETWORK_POLICIES_USER, None, _CLIENT, _NODES,
         f"{KUBERNETES_PKI}/kube-network-policies"),
    _Row("bootstrap", _K8S, "hardway:bootstrap", "system:masters", _CLIENT, (), ""),
    # Not on a machine: it goes into the cluster as a Secret. The name is the one by which the API server asks for it.
    _Row("metrics-server", _K8S, "metrics-server", None, _SERVER, (), "",
         service_names=("metrics-server.kube-system.svc",)),
)
# fmt: on

_FLANNEL_ROWS = ("flanneld", "kube-network-policies")


def certificates_for(plan: ClusterPlan) -> tuple[CertificateSpec, ...]:
    """Every leaf of the planned cluster, in the table's order."""
    return tuple(spec for row in _TABLE for spec in _expand(row, plan))


def _expand(row: _Row, plan: ClusterPlan) -> Iterator[CertificateSpec]:
    if row.name in _FLANNEL_ROWS and plan.network.cni is not Cni.FLANNEL:
        return
    if row.name == "kube-network-policies" and plan.network_policies_from_image:
        return  # a DaemonSet has a service account
    if row.name == "metrics-server" and not plan.add_ons.metrics_server:
        return
    machines = [machine for machine in plan.machines if machine.role in row.roles]
    groups = [[machine] for machine in machines] if row.per_machine else [machines]
    for group in groups:
        name = f"{row.name}-{group[0].name}" if row.per_machine else row.name
        yield CertificateSpec(
            name=name,
            authority=row.authority,
            common_name=row.common_name.format(machine=group[0].name if group else ""),
            organization=row.organization,
            usages=row.usages,
            dns_names=row.dns_names(plan, group[0]) if group else row.service_names,
            ip_addresses=row.ip_addresses(plan, group[0]) if group else (),
            machines=tuple(machine.name for machine in group),
            path=row.path,
        )
