"""What only the machine knows, found by looking, and the drop-ins that follow from it.

Planned files are the same on every machine; what has to differ (cgroup version, a missing capability, a
kernel without nft queues) becomes a drop-in beside them. One fact decides for kubelet and containerd alike,
so that their cgroup drivers cannot disagree (containerd#7276).
"""

import json
import os
import re
from dataclasses import dataclass

from components.agent.evidence import Failure, succeeds

CAP_SYS_RESOURCE = 24
HOST_ONLY = ("net.netfilter.", "net.bridge.")
"""Settings that a container may lack: its host has them, and a single machine's share is large enough."""
NETWORK_POLICY_QUEUE = 100
"""kube-network-policies' own default (cmd/kube-network-policies, --nfqueue-id)."""


_KUBELET = "/etc/kubernetes/kubelet.conf.d/50-machine.conf"
_CONTAINERD = "/etc/containerd/conf.d/50-machine.toml"
_NETWORK_POLICIES = "/etc/systemd/system/kube-network-policies.service.d/50-machine.conf"
_POLICIES_TABLE = "/etc/systemd/system/kube-network-policies-table.service"
DROP_INS = (_KUBELET, _CONTAINERD, _NETWORK_POLICIES, _POLICIES_TABLE)
"""Every path that `drop_ins` may give; the files among them are prepare's own."""


@dataclass(frozen=True)
class Facts:
    """What prepare found.

    Attributes:
        cgroup_v2: whether the unified hierarchy is mounted at /sys/fs/cgroup.
        may_lower_oom_score: whether processes may get an oom_score_adj below their own.
        swap: whether swap is on.
        nft_queue: whether the kernel has nftables' queue expression.
        container: whether this machine is a container, which shares the kernel's global settings.
        resolver: the resolv.conf to give to pods that want the machine's DNS.
    """

    cgroup_v2: bool
    may_lower_oom_score: bool
    swap: bool
    nft_queue: bool
    container: bool
    resolver: str


def find() -> Facts:
    """Look at the machine; changes nothing that outlives the look."""
    return Facts(
        cgroup_v2=os.path.exists("/sys/fs/cgroup/cgroup.controllers"),
        may_lower_oom_score=has_capability(open("/proc/1/status").read(), CAP_SYS_RESOURCE),
        swap=len(open("/proc/swaps").read().splitlines()) > 1,
        nft_queue=_has_nft_queue(),
        container=succeeds("systemd-detect-virt", "--quiet", "--container"),
        resolver=_resolver(),
    )


def has_capability(status: str, number: int) -> bool:
    """Whether a process' status file shows a capability in its bounding set."""
    found = re.search(r"^CapBnd:\s*([0-9a-f]+)$", status, re.MULTILINE)
    return bool(found and int(found.group(1), 16) >> number & 1)


def _has_nft_queue() -> bool:
    """Try a queue rule in a table of its own that goes at once."""
    table = "hardway-probe"
    rules = (
        f"add table ip {table}; add chain ip {table} probe; "
        f"add rule ip {table} probe queue num {NETWORK_POLICY_QUEUE} bypass"
    )
    try:
        return succeeds("nft", rules)
    finally:
        succeeds("nft", "delete", "table", "ip", table)


def _resolver() -> str:
    """systemd-resolved's file of real servers where it runs: its stub on 127.0.0.53 is no use to a pod."""
    real = "/run/systemd/resolve/resolv.conf"
    return real if os.path.exists(real) else "/etc/resolv.conf"


def drop_ins(facts: Facts, pods: str) -> dict[str, str]:
    """Path to content of what these facts ask for.

    Args:
        facts: of this machine.
        pods: the pods' range, for the packets that network policies judge.
    """
    kubelet = {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "cgroupDriver": "systemd" if facts.cgroup_v2 else "cgroupfs",
        "failCgroupV1": False,
        "failSwapOn": False,
        "resolvConf": facts.resolver,
    }
    if facts.cgroup_v2:
        kubelet.pop("failCgroupV1")
    if not facts.swap:
        kubelet.pop("failSwapOn")
    files = {
        _KUBELET: json.dumps(kubelet, indent=2) + "\n",
        _CONTAINERD: _containerd(facts),
    }
    if not facts.nft_queue:
        files[_NETWORK_POLICIES] = _queue_by_iptables(pods)
        files[_POLICIES_TABLE] = _TABLE_KEEPER
    return files


def _containerd(facts: Facts) -> str:
    def word(value: bool) -> str:
        return "true" if value else "false"

    return f"""version = 3

[plugins.'io.containerd.cri.v1.runtime']
  restrict_oom_score_adj = {word(not facts.may_lower_oom_score)}

[plugins.'io.containerd.cri.v1.runtime'.cni]
  bin_dirs = ["/opt/cni/bin"]
  conf_dir = "/etc/cni/net.d"

[plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc]
  runtime_type = "io.containerd.runc.v2"

[plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc.options]
  BinaryName = "/opt/hardway/bin/runc"
  SystemdCgroup = {word(facts.cgroup_v2)}
"""


def _queue_by_iptables(pods: str) -> str:
    """Send new connections to the policies' queue by iptables, where nftables has no queue expression."""
    target = f"-m conntrack --ctstate NEW -j NFQUEUE --queue-num {NETWORK_POLICY_QUEUE} --queue-bypass"
    # To a pod, from a pod to anywhere else, and from a pod to its own machine: what the policies' own table queues.
    matches = (f"POSTROUTING -d {pods}", f"POSTROUTING -s {pods}", f"INPUT -s {pods}")
    lines = "".join(
        f"ExecStartPre=/bin/sh -c 'iptables -w -t mangle -C {match} {target} 2>/dev/null"
        f" || iptables -w -t mangle -A {match} {target}'\n"
        for match in matches
    )
    table = _POLICIES_TABLE.rpartition("/")[2]
    return f"[Unit]\nWants={table}\nAfter={table}\n\n[Service]\n{lines}"


# Without a queue expression the policies' own table is refused, and tried again every second. Each refusal takes back
# hooks that it had registered, upon which the kernel drops every packet that waits in a queue: one connection in some
# hundred lost its first packet (kube-network-policies#402). A table of that name that belongs to another process is
# refused before any hook. nft owns it as long as it runs, so it is the unit's only process: systemd sees it end and
# makes another. It holds both ends of its own input, which would end it otherwise; a child that held one for it would
# be left behind, and under cgroup v1 systemd waits 90 s for such. nft goes on after an error, so the table is looked
# at: only then has the unit started, and what comes after it begins. A table of nobody's can't be owned any more and
# goes first.
_TABLE_KEEPER = """[Unit]
Description=Owner of the nftables table that kube-network-policies can't make on this kernel
PartOf=kube-network-policies.service
# Try for ever, as the service does for which it is here.
StartLimitIntervalSec=0

[Service]
Type=exec
RuntimeDirectory=kube-network-policies-table
ExecStartPre=nft 'add table inet kube-network-policies; delete table inet kube-network-policies'
ExecStartPre=mkfifo /run/kube-network-policies-table/commands
ExecStart=/bin/sh -c 'exec <>/run/kube-network-policies-table/commands; \\
    echo "add table inet kube-network-policies { flags owner; }" >&0; exec nft -i'
ExecStartPost=/bin/sh -c 'for _ in $$(seq 50); do \\
    nft list table inet kube-network-policies 2>/dev/null | grep -q "flags owner" && exit; sleep 0.1; done; exit 1'
Restart=always
RestartSec=1
"""


SUPPORTED = {"debian": 12.0, "ubuntu": 24.04}


def check_distribution(os_release: str) -> str:
    """The distribution's name and version; Failure where Hardway was never tried on it."""
    fields = dict(re.findall(r'^(\w+)="?([^"\n]*)"?$', os_release, re.MULTILINE))
    name, version = fields.get("ID", "unknown"), fields.get("VERSION_ID", "0")
    if name not in SUPPORTED or float(version) < SUPPORTED[name]:
        raise Failure(
            f"{name} {version} is not supported; install Debian 12 or later, or Ubuntu 24.04 or later"
        )
    return f"{name} {version}"


def check_kernel_settings(wanted: str, *, container: bool) -> None:
    """Apply a sysctl file; what belongs to the host of a container is only compared."""
    wrong = []
    for line in wanted.splitlines():
        if not line.strip() or line.startswith("#"):
            continue
        name, value = (part.strip() for part in line.split("=", 1))
        if _read_setting(name) == value or (name.startswith("fs.inotify") and _enough(name, value)):
            continue
        excused = container and name.startswith(HOST_ONLY)
        if not succeeds("sysctl", "--quiet", "--write", f"{name}={value}") and not excused:
            wrong.append(f"{name} is {_read_setting(name)}, wanted {value}")
    if wrong:
        raise Failure(
            "kernel settings that this machine cannot change: " + "; ".join(wrong) + "; set them on its host"
        )


def _read_setting(name: str) -> str | None:
    try:
        with open("/proc/sys/" + name.replace(".", "/")) as setting:
            return setting.read().strip()
    except OSError:
        return None


def _enough(name: str, value: str) -> bool:
    return int(_read_setting(name) or 0) >= int(value)


def architecture() -> str:
    """amd64 or arm64, as release files are named."""
    machine = os.uname().machine
    names = {"x86_64": "amd64", "aarch64": "arm64"}
    if machine not in names:
        raise Failure(f"processor architecture {machine} is not supported; use x86_64 or aarch64")
    return names[machine]


def load_modules(names: str) -> None:
    """Load the modules of a modules-load.d file; one that is built in or absent is no reason to stop."""
    for module in names.split():
        succeeds("modprobe", "--quiet", module)
