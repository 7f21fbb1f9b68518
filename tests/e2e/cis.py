"""The scored checks of the CIS Kubernetes Benchmark 1.12, numbered as kube-bench does, on running machines.

A table of our own: every row says what is looked at here, where the components are systemd units and not
Pods. It needs nothing but SSH. `python3 -m tests.e2e.cis [--stack STACK]` prints the table of a cluster that
stands. What kube-bench does not score (its manual checks) is left out.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from tests.e2e.cluster import Cluster

UNITS = "/etc/systemd/system"
PKI = "/etc/kubernetes/pki"
SCORED = 65
"""How many scored checks kube-bench's cis-1.12 has: 47 of the control plane, 6 of etcd, 12 of nodes."""

PROCESSES = ("kube-apiserver", "kube-controller-manager", "kube-scheduler", "etcd", "kubelet")


@dataclass(frozen=True)
class Facts:
    """What was found on one machine: flags by process, mode and owner by path, the agents' configurations."""

    flags: dict[str, dict[str, str]]
    files: dict[str, tuple[int, str]]
    kubelet: dict[str, Any]
    kube_proxy: dict[str, Any]


Judge = Callable[[Facts], str | None]
"""Gives what was seen when the check fails, None when it passes."""


@dataclass(frozen=True)
class Check:
    """One row: kube-bench's number, what has to be so, on which machines, how it is judged."""

    number: str
    text: str
    judge: Judge
    on: str = "control plane"


@dataclass
class Row:
    """One check's outcome over all machines it concerns."""

    check: Check
    failures: dict[str, str] = field(default_factory=dict)
    machines: int = 0

    @property
    def result(self) -> str:
        return "FAIL" if self.failures else "PASS"


def _mode(path: str, most: int) -> Judge:
    """The file has no permission beyond `most`."""

    def judge(facts: Facts) -> str | None:
        found = facts.files.get(path)
        if found is None:
            return f"{path} is missing"
        return f"{path} has mode {found[0]:o}" if found[0] & ~most else None

    return judge


def _owner(path: str, owner: str = "root:root") -> Judge:
    def judge(facts: Facts) -> str | None:
        found = facts.files.get(path)
        if found is None:
            return f"{path} is missing"
        return f"{path} belongs to {found[1]}" if found[1] != owner else None

    return judge


def _below_owned(folder: str) -> Judge:
    def judge(facts: Facts) -> str | None:
        inside = {path: owner for path, (_, owner) in facts.files.items() if path.startswith(folder)}
        foreign = [path for path, owner in inside.items() if owner != "root:root"]
        return f"not root's: {foreign}" if foreign or not inside else None

    return judge


def _flag(process: str, name: str, good: Callable[[str | None], bool]) -> Judge:
    def judge(facts: Facts) -> str | None:
        value = facts.flags.get(process, {}).get(name)
        return None if process in facts.flags and good(value) else f"--{name}={value}"

    return judge


def _is(process: str, name: str, value: str) -> Judge:
    return _flag(process, name, lambda found: found == value)


def _set(process: str, *names: str) -> Judge:
    def judge(facts: Facts) -> str | None:
        absent = [name for name in names if not facts.flags.get(process, {}).get(name)]
        return f"not set: {absent}" if absent else None

    return judge


def _has(process: str, name: str, word: str, *, wanted: bool = True) -> Judge:
    """A comma-separated flag holds a word, or does not."""
    return _flag(process, name, lambda found: (word in (found or "").split(",")) is wanted)


def _at_least(process: str, name: str, least: int) -> Judge:
    return _flag(process, name, lambda found: found is not None and int(found) >= least)


def _kubelet(path: str, good: Callable[[Any], bool]) -> Judge:
    """A value of the kubelet's configuration as it lies on the machine, its drop-ins merged in."""

    def judge(facts: Facts) -> str | None:
        value: Any = facts.kubelet
        for key in path.split("."):
            value = value.get(key) if isinstance(value, dict) else None
        overridden = (
            facts.flags.get("kubelet", {}).keys() - {"config", "config-dir", "kubeconfig", "v"} - _KUBELET_OWN
        )
        if overridden:
            return f"flags beside the configuration: {sorted(overridden)}"
        return None if good(value) else f"{path} is {value}"

    return judge


_KUBELET_OWN = {"hostname-override", "node-ip", "node-labels"}


def _file_rows() -> list[Check]:
    """1.1: who owns and reads what the control plane is started with. Units stand where kubeadm has Pods."""
    units = ("kube-apiserver", "kube-controller-manager", "kube-scheduler", "etcd")
    rows = []
    for position, unit in enumerate(units):
        path = f"{UNITS}/{unit}.service"
        rows.append(
            Check(f"1.1.{2 * position + 1}", f"{unit}: its unit is root's to read alone", _mode(path, 0o600))
        )
        rows.append(Check(f"1.1.{2 * position + 2}", f"{unit}: its unit belongs to root", _owner(path)))
    rows.append(Check("1.1.11", "etcd's data folder is closed to others", _mode("/var/lib/etcd", 0o700)))
    rows.append(
        Check("1.1.12", "etcd's data folder belongs to its own user", _owner("/var/lib/etcd", "etcd:etcd"))
    )
    for first, name in ((13, "admin"), (15, "scheduler"), (17, "controller-manager")):
        path = f"/etc/kubernetes/{name}.conf"
        rows.append(Check(f"1.1.{first}", f"{name}.conf is root's to read alone", _mode(path, 0o600)))
        rows.append(Check(f"1.1.{first + 1}", f"{name}.conf belongs to root", _owner(path)))
    rows.append(Check("1.1.19", "the PKI folder and all in it belong to root", _below_owned(PKI)))
    return rows


def _api_server_rows() -> list[Check]:
    api = "kube-apiserver"
    own = "service-account-extend-token-expiration"
    return [
        Check("1.2.2", "no static tokens", _flag(api, "token-auth-file", lambda found: found is None)),
        Check(
            "1.2.4",
            "a certificate for the way to kubelets",
            _set(api, "kubelet-client-certificate", "kubelet-client-key"),
        ),
        Check("1.2.5", "kubelets' certificates are verified", _set(api, "kubelet-certificate-authority")),
        Check(
            "1.2.6",
            "authorization is not AlwaysAllow",
            _has(api, "authorization-mode", "AlwaysAllow", wanted=False),
        ),
        Check("1.2.7", "authorization by Node", _has(api, "authorization-mode", "Node")),
        Check("1.2.8", "authorization by RBAC", _has(api, "authorization-mode", "RBAC")),
        Check("1.2.10", "no AlwaysAdmit", _has(api, "enable-admission-plugins", "AlwaysAdmit", wanted=False)),
        Check(
            "1.2.12",
            "ServiceAccount is not switched off",
            _has(api, "disable-admission-plugins", "ServiceAccount", wanted=False),
        ),
        Check(
            "1.2.13",
            "NamespaceLifecycle is not switched off",
            _has(api, "disable-admission-plugins", "NamespaceLifecycle", wanted=False),
        ),
        Check("1.2.14", "NodeRestriction is on", _has(api, "enable-admission-plugins", "NodeRestriction")),
        Check("1.2.15", "profiling is off", _is(api, "profiling", "false")),
        Check("1.2.16", "an audit log is written", _set(api, "audit-log-path")),
        Check("1.2.17", "audit logs are kept 30 days or more", _at_least(api, "audit-log-maxage", 30)),
        Check("1.2.18", "10 audit logs or more are kept", _at_least(api, "audit-log-maxbackup", 10)),
        Check("1.2.19", "an audit log may grow to 100 MB", _at_least(api, "audit-log-maxsize", 100)),
        Check(
            "1.2.21",
            "tokens of deleted accounts end",
            _flag(api, "service-account-lookup", lambda found: found in (None, "true")),
        ),
        Check("1.2.22", "a key pair of its own for account tokens", _set(api, "service-account-key-file")),
        Check("1.2.23", "a certificate for the way to etcd", _set(api, "etcd-certfile", "etcd-keyfile")),
        Check("1.2.24", "a serving certificate", _set(api, "tls-cert-file", "tls-private-key-file")),
        Check("1.2.25", "an authority for clients", _set(api, "client-ca-file")),
        Check("1.2.26", "etcd's certificates are verified", _set(api, "etcd-cafile")),
        Check("1.2.30", "account tokens end when they say", _is(api, own, "false")),
    ]


def _manager_rows() -> list[Check]:
    manager, scheduler = "kube-controller-manager", "kube-scheduler"
    credentials = "use-service-account-credentials"
    gates = "feature-gates"
    off = "RotateKubeletServerCertificate=false"
    return [
        Check("1.3.2", "controller manager: profiling is off", _is(manager, "profiling", "false")),
        Check(
            "1.3.3",
            "a credential for each controller",
            _flag(manager, credentials, lambda found: found == "true"),
        ),
        Check(
            "1.3.4",
            "account tokens are signed with their own key",
            _set(manager, "service-account-private-key-file"),
        ),
        Check("1.3.5", "pods get the authority to verify the API with", _set(manager, "root-ca-file")),
        Check(
            "1.3.6",
            "serving certificates' rotation is not switched off",
            _has(manager, gates, off, wanted=False),
        ),
        Check("1.3.7", "controller manager listens on loopback", _is(manager, "bind-address", "127.0.0.1")),
        Check("1.4.1", "scheduler: profiling is off", _is(scheduler, "profiling", "false")),
        Check("1.4.2", "scheduler listens on loopback", _is(scheduler, "bind-address", "127.0.0.1")),
    ]


def _etcd_rows() -> list[Check]:
    def not_true(found: str | None) -> bool:
        return found in (None, "false")

    return [
        Check("2.1", "etcd has a serving certificate", _set("etcd", "cert-file", "key-file")),
        Check("2.2", "clients need a certificate", _is("etcd", "client-cert-auth", "true")),
        Check("2.3", "no self-made certificates for clients", _flag("etcd", "auto-tls", not_true)),
        Check("2.4", "a certificate among members", _set("etcd", "peer-cert-file", "peer-key-file")),
        Check("2.5", "members need a certificate", _is("etcd", "peer-client-cert-auth", "true")),
        Check("2.6", "no self-made certificates for members", _flag("etcd", "peer-auto-tls", not_true)),
    ]


def _node_rows() -> list[Check]:
    unit, config = f"{UNITS}/kubelet.service", "/var/lib/kubelet/config.yaml"
    credential = "/etc/kubernetes/kubelet.conf"

    def loopback(facts: Facts) -> str | None:
        bound = str(facts.kube_proxy.get("metricsBindAddress", "127.0.0.1:10249"))
        return None if bound.startswith("127.0.0.1:") else f"metricsBindAddress is {bound}"

    rows = [
        Check("4.1.1", "kubelet: its unit is root's to read alone", _mode(unit, 0o600)),
        Check("4.1.2", "kubelet: its unit belongs to root", _owner(unit)),
        Check("4.1.5", "kubelet.conf is root's to read alone", _mode(credential, 0o600)),
        Check("4.1.6", "kubelet.conf belongs to root", _owner(credential)),
        Check("4.1.9", "the kubelet's configuration is root's to read alone", _mode(config, 0o600)),
        Check("4.1.10", "the kubelet's configuration belongs to root", _owner(config)),
        Check(
            "4.2.1",
            "nobody anonymous",
            _kubelet("authentication.anonymous.enabled", lambda found: found is False),
        ),
        Check(
            "4.2.2",
            "the kubelet asks the API who may",
            _kubelet("authorization.mode", lambda found: found == "Webhook"),
        ),
        Check("4.2.3", "an authority for clients", _kubelet("authentication.x509.clientCAFile", bool)),
        Check(
            "4.2.6",
            "the kubelet may make its chains",
            _kubelet("makeIPTablesUtilChains", lambda found: found in (None, True)),
        ),
        Check(
            "4.2.10",
            "rotation is not switched off",
            _kubelet("rotateCertificates", lambda found: found in (None, True)),
        ),
        Check("4.3.1", "kube-proxy's metrics stay on loopback", loopback),
    ]
    return [Check(row.number, row.text, row.judge, "every node") for row in rows]


CHECKS = [*_file_rows(), *_api_server_rows(), *_manager_rows(), *_etcd_rows(), *_node_rows()]


def look(cluster: Cluster, machine: str) -> Facts:
    """Collect a machine's facts over one SSH command."""
    script = (
        f"for p in {' '.join(PROCESSES)}; do pid=$(systemctl show --property=MainPID --value $p.service); "
        '[ "$pid" = 0 ] || { echo "process $p"; '
        "tr '\\0' '\\n' < /proc/$pid/cmdline | sed 's/^/flag /'; }; done; "
        f"find /etc/kubernetes {UNITS} /var/lib/etcd /var/lib/kubelet/config.yaml -maxdepth 3 2>/dev/null "
        "-not -type l -printf 'file %m %u:%g %p\\n'"
    )
    flags: dict[str, dict[str, str]] = {}
    files: dict[str, tuple[int, str]] = {}
    process = ""
    for kind, _, rest in (line.partition(" ") for line in cluster.ssh(machine, script).splitlines()):
        if kind == "process":
            process = rest
            flags[process] = {}
        elif kind == "flag" and rest.startswith("--"):
            name, _, value = rest[2:].partition("=")
            flags[process][name] = value
        elif kind == "file":
            mode, owner, path = rest.split(" ", 2)
            files[path] = (int(mode, 8), owner)
    return Facts(
        flags, files, _kubelet_configuration(cluster, machine), _kube_proxy_configuration(cluster, machine)
    )


def _kubelet_configuration(cluster: Cluster, machine: str) -> dict[str, Any]:
    text = cluster.ssh(
        machine,
        "cat /var/lib/kubelet/config.yaml; "
        "for f in /etc/kubernetes/kubelet.conf.d/*.conf; do echo; echo ---; cat $f; done",
    )
    merged: dict[str, Any] = {}
    for document in yaml.safe_load_all(text):
        merged |= document or {}
    return merged


def _kube_proxy_configuration(cluster: Cluster, machine: str) -> dict[str, Any]:
    return dict(yaml.safe_load(cluster.ssh(machine, "cat /var/lib/kube-proxy/config.yaml")))


def judge(cluster: Cluster) -> list[Row]:
    """Ask every check of every machine that it concerns."""
    facts = {machine: look(cluster, machine) for machine in cluster.nodes}
    rows = []
    for check in CHECKS:
        machines = cluster.nodes if check.on == "every node" else cluster.control_plane
        seen = {machine: check.judge(facts[machine]) for machine in machines}
        rows.append(Row(check, {name: found for name, found in seen.items() if found}, len(machines)))
    return rows


def table(cluster: Cluster, rows: list[Row]) -> str:
    """The outcome as a Markdown document."""
    failed = sum(row.result == "FAIL" for row in rows)
    lines = [
        "# CIS Kubernetes Benchmark 1.12: the scored checks",
        "",
        f"Kubernetes {cluster.plan.kubernetes_version} in the lab, {len(cluster.control_plane)} control planes "
        f"and {len(cluster.workers)} workers: {len(rows) - failed} of {len(rows)} pass, {failed} fail.",
        "Numbers are kube-bench's (cis-1.12). Every check is asked of every machine that it concerns.",
        "Written by `tests/e2e/cis.py`; don't edit.",
        "",
        "| number | what has to be so | machines | result |",
        "|---|---|---|---|",
    ]
    for row in rows:
        seen = "; ".join(f"{machine}: {found}" for machine, found in row.failures.items())
        where = f"{row.check.on} ({row.machines})"
        lines.append(
            f"| {row.check.number} | {row.check.text} | {where} | {row.result}{': ' + seen if seen else ''} |"
        )
    return "\n".join(lines) + "\n"


def main(arguments: list[str]) -> int:
    """Print the table; exit status 1 when a check fails."""
    parser = argparse.ArgumentParser(prog="python3 -m tests.e2e.cis")
    parser.add_argument("--stack", default="lab")
    cluster = Cluster(parser.parse_args(arguments).stack, Path("."))
    rows = judge(cluster)
    print(table(cluster, rows), end="")
    return int(any(row.failures for row in rows))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
