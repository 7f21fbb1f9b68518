"""Flags of the control plane that Hardway sets itself; another value would break the plan or a guarantee.

Facts, no logic. Whatever is not named here may be given as `extraArgs`.
"""

from __future__ import annotations

_SERVING = ("bind-address", "secure-port", "tls-cert-file", "tls-private-key-file", "client-ca-file")
_OWN_KUBECONFIG = (
    "kubeconfig",
    "authentication-kubeconfig",
    "authorization-kubeconfig",
    "master",
    "leader-elect",
)
_OIDC = (
    "oidc-issuer-url",
    "oidc-client-id",
    "oidc-username-claim",
    "oidc-username-prefix",
    "oidc-groups-claim",
    "oidc-groups-prefix",
    "oidc-required-claim",
    "oidc-signing-algs",
    "oidc-ca-file",
)

OWN_FLAGS: dict[str, frozenset[str]] = {
    "apiServer": frozenset(
        {
            *_SERVING,
            "admission-control-config-file",
            "advertise-address",
            "disable-admission-plugins",
            "allow-privileged",
            "audit-policy-file",
            "authentication-config",
            "authorization-config",
            "authorization-mode",
            "encryption-provider-config",
            "etcd-cafile",
            "etcd-certfile",
            "etcd-keyfile",
            "etcd-prefix",
            "etcd-servers",
            "kubelet-certificate-authority",
            "kubelet-client-certificate",
            "kubelet-client-key",
            "kubelet-preferred-address-types",
            "proxy-client-cert-file",
            "proxy-client-key-file",
            "requestheader-allowed-names",
            "requestheader-client-ca-file",
            "requestheader-extra-headers-prefix",
            "requestheader-group-headers",
            "requestheader-username-headers",
            "service-account-issuer",
            "service-account-key-file",
            "service-account-lookup",
            "service-account-signing-key-file",
            "service-cluster-ip-range",
            "tls-min-version",
            "token-auth-file",
        }
    ),
    "controllerManager": frozenset(
        {
            *_SERVING,
            *_OWN_KUBECONFIG,
            "allocate-node-cidrs",
            "cluster-cidr",
            "cluster-name",
            "cluster-signing-cert-file",
            "cluster-signing-key-file",
            "node-cidr-mask-size",
            "node-cidr-mask-size-ipv4",
            "requestheader-client-ca-file",
            "root-ca-file",
            "service-account-private-key-file",
            "service-cluster-ip-range",
            "use-service-account-credentials",
        }
    ),
    "scheduler": frozenset({*_SERVING, *_OWN_KUBECONFIG, "config", "requestheader-client-ca-file"}),
}
"""By component, as its key in the settings."""

REPLACED_FLAGS: dict[str, dict[str, str]] = {
    "apiServer": {
        # The API server refuses to start with both.
        "anonymous-auth": (
            "anonymous requests are ruled by Hardway's AuthenticationConfiguration, beside which "
            "kube-apiserver refuses this flag"
        ),
        **dict.fromkeys(
            _OIDC, "is controlPlane.oidc's business, beside which kube-apiserver refuses this flag"
        ),
    },
    "controllerManager": {
        "node-monitor-grace-period": (
            "is nodeLoss.graceSeconds, where it is compared with the leases that it waits for"
        ),
        "node-monitor-period": "follows from nodeLoss.graceSeconds, an eighth of it",
    },
}
"""Flags that a file or another setting of Hardway's replaces, with the reason."""
