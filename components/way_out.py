"""How machines reach registries and the internet: mirrors and a proxy, as containerd, kubelet and prepare take them.

Pure. containerd reads `certs.d` at each pull, so a mirror restarts nothing; an environment is read at a start.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from components.render import File
from config.plan import ClusterPlan
from config.proxy import ProxyPlan

CERTIFICATES = "/etc/containerd/certs.d"
UNITS = "/etc/systemd/system"


def way_out_files(plan: ClusterPlan) -> dict[str, File]:
    """Files of a machine that runs pods: one for each registry that has mirrors, and the proxy's drop-ins."""
    files = {
        f"{CERTIFICATES}/{registry}/hosts.toml": File(hosts_toml(mirrors), 0o644)
        for registry, mirrors in plan.artifacts.registry_mirrors.items()
    }
    if plan.proxy is not None:
        text = drop_in(plan.proxy)
        files |= {f"{UNITS}/{unit}.d/proxy.conf": File(text) for unit in _users_of_a_proxy(plan)}
    return files


def hosts_toml(mirrors: tuple[str, ...]) -> str:
    """Containerd's list of hosts for one registry; without a `server` line the registry itself comes last.

    containerd puts /v2 behind a mirror's path by itself. A path that has it already, as those of Harbor's proxies have
    (https://harbor.example.com/v2/dockerhub), is taken as it stands.
    """
    return "\n".join(_host(mirror) for mirror in mirrors)


def _host(mirror: str) -> str:
    lines = [f'[host."{mirror}"]', '  capabilities = ["pull", "resolve"]']
    if "v2" in urlsplit(mirror).path.split("/"):
        lines.append("  override_path = true")
    return "\n".join(lines) + "\n"


def drop_in(proxy: ProxyPlan) -> str:
    """A unit's environment; systemd takes a percent sign for the begin of a specifier."""
    values = {name: value.replace("%", "%%") for name, value in proxy.environment().items()}
    return (
        "\n".join(["[Service]", *(f'Environment="{name}={value}"' for name, value in values.items())]) + "\n"
    )


def _users_of_a_proxy(plan: ClusterPlan) -> tuple[str, ...]:
    """Containerd pulls images; a kubelet goes out only through the program that has passwords for registries."""
    asks_for_passwords = plan.aws is not None and plan.aws.ecr_credentials
    return ("containerd.service", "kubelet.service") if asks_for_passwords else ("containerd.service",)


def proxy_of_prepare(plan: ClusterPlan) -> dict[str, Any]:
    """What prepare is told, as a part of its content; nothing without a proxy."""
    if plan.proxy is None:
        return {}
    return {"proxy": {"http": plan.proxy.http, "https": plan.proxy.https, "none": list(plan.proxy.none)}}
