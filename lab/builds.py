"""Recipes: how each artifact is compiled from its publisher's Go modules, and what the file looks like.

Used only where the publisher's release can't be reached. A recipe is data; `lab.artifacts` decides when one
is needed and packs what it made. Programs are built for this computer's architecture only.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from lab import go

KUBERNETES = "k8s.io/kubernetes"


@dataclass(frozen=True)
class Recipe:
    """One artifact's build.

    Attributes:
        programs: executable's name to the Go package that makes it.
        requires: Go modules; `{version}` is the artifact's version.
        replaces: modules whose version the requirement graph gets wrong for us.
        stamps: linker stamps; `{version}`, `{major}` and `{minor}` are those that the program is to report.
        cgo: whether C code is part of it (linked statically).
        tags: Go build tags.
        pack: `plain` for one bare executable, `archive` for a compressed tar.
        folder: folder inside the archive, "" for none.
        sources: own Go files beside the go.mod.
    """

    programs: Mapping[str, str]
    requires: Mapping[str, str]
    replaces: Mapping[str, str] = field(default_factory=dict)
    stamps: Mapping[str, str] = field(default_factory=dict)
    cgo: bool = False
    tags: tuple[str, ...] = ()
    pack: Literal["plain", "archive"] = "plain"
    folder: str = ""
    sources: Mapping[str, str] = field(default_factory=dict)

    def digest(self) -> str:
        """Return a digest of the recipe itself: when it changes, what it made before is made again."""
        return hashlib.sha256(repr(self).encode()).hexdigest()[:16]


def _kubernetes(program: str, package: str) -> Recipe:
    client, component = "k8s.io/client-go/pkg/version", "k8s.io/component-base/version"
    parts = {
        "gitVersion": "v{version}",
        "gitMajor": "{major}",
        "gitMinor": "{minor}",
        "gitTreeState": "clean",
    }
    stamps = {
        f"{package_}.{name}": value for package_ in (client, component) for name, value in parts.items()
    }
    return Recipe({program: f"{KUBERNETES}/{package}"}, {KUBERNETES: "v{version}"}, stamps=stamps)


_CNI = "github.com/containernetworking/plugins"
_CNI_PLUGINS = {
    "ipam": ("dhcp", "host-local", "static"),
    "main": ("bridge", "dummy", "host-device", "ipvlan", "loopback", "macvlan", "ptp", "tap", "vlan"),
    "meta": ("bandwidth", "firewall", "portmap", "sbr", "tuning", "vrf"),
}
_ETCD = "go.etcd.io/etcd"
_CONTAINERD = "github.com/containerd/containerd/v2"
_COREDNS = "github.com/coredns/coredns"
_COREDNS_PLUGINS = (
    "bind", "cache", "debug", "errors", "forward", "health", "hosts", "kubernetes", "loadbalance", "log",
    "loop", "metrics", "ready", "reload", "rewrite", "template", "whoami",
)  # fmt: skip
_PULUMI_VERSION = "github.com/pulumi/pulumi/sdk/v3/go/common/version.Version"


def _coredns_main() -> str:
    """Return CoreDNS's entry with the plugins that a cluster uses; all of them would triple the build."""
    imports = [f'\t_ "{_COREDNS}/plugin/{name}"' for name in _COREDNS_PLUGINS]
    body = "\n".join(imports)
    return (
        f'package main\n\nimport (\n{body}\n\t"{_COREDNS}/coremain"\n)\n\nfunc main() {{ coremain.Run() }}\n'
    )


RECIPES: dict[str, Recipe] = {
    "pulumi": Recipe(
        {"pulumi": "github.com/pulumi/pulumi/pkg/v3/cmd/pulumi"},
        {"github.com/pulumi/pulumi/pkg/v3": "v{version}", "github.com/pulumi/pulumi/sdk/v3": "v{version}"},
        stamps={_PULUMI_VERSION: "v{version}"},
    ),
    # The last sdk version that has the Python language host inside; it serves newer engines and SDKs as well.
    "pulumi-language-python": Recipe(
        {"pulumi-language-python": "github.com/pulumi/pulumi/sdk/v3/python/cmd/pulumi-language-python"},
        {"github.com/pulumi/pulumi/sdk/v3": "v{version}"},
        stamps={_PULUMI_VERSION: "v{version}"},
    ),
    "kube-apiserver": _kubernetes("kube-apiserver", "cmd/kube-apiserver"),
    "kube-controller-manager": _kubernetes("kube-controller-manager", "cmd/kube-controller-manager"),
    "kube-scheduler": _kubernetes("kube-scheduler", "cmd/kube-scheduler"),
    "kubelet": _kubernetes("kubelet", "cmd/kubelet"),
    "kube-proxy": _kubernetes("kube-proxy", "cmd/kube-proxy"),
    "kubectl": _kubernetes("kubectl", "cmd/kubectl"),
    "etcd": Recipe(
        {"etcd": f"{_ETCD}/server/v3", "etcdctl": f"{_ETCD}/etcdctl/v3", "etcdutl": f"{_ETCD}/etcdutl/v3"},
        {f"{_ETCD}/{part}/v3": "v{version}" for part in ("server", "etcdctl", "etcdutl")},
        pack="archive",
        folder="etcd-v{version}-linux-{arch}",
    ),
    "containerd": Recipe(
        {name: f"{_CONTAINERD}/cmd/{name}" for name in ("containerd", "containerd-shim-runc-v2", "ctr")},
        {_CONTAINERD: "v{version}"},
        stamps={f"{_CONTAINERD}/version.Version": "v{version}"},
        tags=("netgo", "osusergo", "no_btrfs"),
        pack="archive",
        folder="bin",
    ),
    "runc": Recipe(
        {"runc": "github.com/opencontainers/runc"},
        {"github.com/opencontainers/runc": "v{version}"},
        cgo=True,
        tags=("seccomp", "netgo", "osusergo"),
    ),
    "cni-plugins": Recipe(
        {name: f"{_CNI}/plugins/{kind}/{name}" for kind, names in _CNI_PLUGINS.items() for name in names},
        {_CNI: "v{version}"},
        stamps={f"{_CNI}/pkg/utils/buildversion.BuildVersion": "v{version}"},
        pack="archive",
    ),
    "crictl": Recipe(
        {"crictl": "sigs.k8s.io/cri-tools/cmd/crictl"},
        {"sigs.k8s.io/cri-tools": "v{version}"},
        stamps={"sigs.k8s.io/cri-tools/pkg/version.Version": "v{version}"},
        pack="archive",
    ),
    "flanneld": Recipe(
        {"flanneld": "github.com/flannel-io/flannel"},
        {"github.com/flannel-io/flannel": "v{version}"},
        stamps={"github.com/flannel-io/flannel/pkg/version.Version": "v{version}"},
        cgo=True,
        tags=("netgo", "osusergo"),
    ),
    "kube-network-policies": Recipe(
        {"kube-network-policies": "sigs.k8s.io/kube-network-policies/cmd/kube-network-policies/standard"},
        {"sigs.k8s.io/kube-network-policies": "v{version}"},
        # It asks for a commit that not every module proxy serves; the release after it serves as well.
        replaces={"github.com/vishvananda/netlink": "v1.3.1"},
    ),
    "coredns": Recipe({"coredns": "."}, {_COREDNS: "v{version}"}, sources={"main.go": _coredns_main()}),
    "local-path-provisioner": Recipe(
        {"local-path-provisioner": "github.com/rancher/local-path-provisioner"},
        {"github.com/rancher/local-path-provisioner": "v{version}"},
        stamps={"main.VERSION": "v{version}"},
    ),
    "metrics-server": Recipe(
        {"metrics-server": "sigs.k8s.io/metrics-server/cmd/metrics-server"},
        {"sigs.k8s.io/metrics-server": "v{version}"},
        # What it says of itself on /version and in its OpenAPI document.
        stamps={"k8s.io/client-go/pkg/version.gitVersion": "v{version}"},
    ),
    "agnhost": _kubernetes("agnhost", "test/images/agnhost"),
}


def compile_programs(name: str, version: str, folder: Path, *, stamp: str | None = None) -> Path:
    """Compile an artifact's programs in `folder`, an empty scratch folder, and return the folder they are in.

    `stamp` is the version that the programs report when it is to differ from the one of their sources.

    Raises:
        LabError: when a module can't be had or doesn't compile.
    """
    recipe = RECIPES[name]
    reported = stamp or version
    values = {"version": reported, "major": reported.split(".")[0], "minor": reported.split(".")[1]}
    stamps = {key: value.format(**values) for key, value in recipe.stamps.items()}
    requires = {module: value.format(version=version) for module, value in recipe.requires.items()}
    replaces = dict(recipe.replaces)
    if KUBERNETES in requires:
        replaces |= _staging(version)
    module = go.Module(requires, replaces, recipe.sources)
    go.build(
        folder / "module", module, go.Flags(recipe.cgo, recipe.tags, stamps), recipe.programs, folder / "out"
    )
    return folder / "out"


def _staging(version: str) -> dict[str, str]:
    """Return Kubernetes' own libraries, required as v0.0.0, at the version that was published with it."""
    source, _ = go.download(KUBERNETES, f"v{version}")
    _, minor, patch = version.split(".")
    required = go.required_by(source / "go.mod")
    return {module: f"v0.{minor}.{patch}" for module, wanted in required.items() if wanted == "v0.0.0"}
