"""Rules between settings on platform `hosts`: the list of hosts, and what it decides already."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network

from config.digest_contradictions import digest_findings
from config.endpoint_contradictions import endpoint_inside_cluster
from config.mistakes import Finding, Findings, Path
from config.models import Host, HostsPlatform, Settings

_TAKEN_NAMES = ("localhost", "kubernetes", "etcd-client", "kubelet-client")
"""Names with a meaning of their own on certificates: a host called so would share a name with another
leaf."""


def host_findings(settings: Settings, platform: HostsPlatform) -> Findings:
    """What is wrong between the hosts, and between them and the other settings."""
    yield from _hosts_leave_no_choice(settings, platform)
    machines = [(host.role, host.architecture) for host in platform.hosts]
    yield from digest_findings(settings, machines, (("platform", "hosts"),))
    names: set[str] = set()
    addresses: dict[IPv4Address, str] = {}
    doors: dict[tuple[str, int], str] = {}
    for index, host in enumerate(platform.hosts):
        path: Path = ("platform", "hosts", index)
        if host.name in names:
            yield Finding((*path, "name"), f"an earlier host is called {host.name} too; rename one")
        elif host.name in _TAKEN_NAMES or host.name.startswith("client-"):
            yield Finding((*path, "name"), f"{host.name} has a meaning on certificates; choose another name")
        names.add(host.name)
        yield from _host_address(path, host, settings.network.machines)
        door = (host.ssh_address or str(host.address), host.port or platform.ssh.port)
        if host.address in addresses:
            reason = f"{host.address} is the address of {addresses[host.address]} already; correct one"
            yield Finding((*path, "address"), reason)
        elif door in doors:
            reason = f"SSH to {door[0]}, port {door[1]}, leads to {doors[door]} already; correct one"
            yield Finding(
                (*path, "sshAddress" if host.ssh_address else "address"), reason, (("platform", "ssh"),)
            )
        addresses.setdefault(host.address, host.name)
        doors.setdefault(door, host.name)
        yield from _host_pool(path, host, [pool.name for pool in settings.worker_pools])


def _host_address(path: Path, host: Host, machines: IPv4Network) -> Findings:
    place: Path = (*path, "address")
    network: tuple[Path, ...] = (("network", "machines"),)
    if host.address not in machines:
        reason = f"{host.address} is outside of network.machines ({machines}); correct one"
        yield Finding(place, reason, network)
    elif host.address == machines.network_address:
        yield Finding(place, f"{host.address} is the network address of {machines}; choose another", network)
    elif host.address == machines.broadcast_address:
        yield Finding(
            place, f"{host.address} is the broadcast address of {machines}; choose another", network
        )


def _host_pool(path: Path, host: Host, pools: list[str]) -> Findings:
    place: Path = (*path, "pool")
    known = f"one of workerPools: {', '.join(pools)}" if pools else "a pool; define one in workerPools"
    if host.role != "worker":
        if host.pool is not None:
            yield Finding(
                place, f"{host.name} is a {host.role}, and only workers have a pool; remove the line"
            )
    elif host.pool is None:
        yield Finding(place, f"{host.name} is a worker and needs {known}", (("workerPools",),))
    elif host.pool not in pools:
        yield Finding(place, f"no pool is called {host.pool}; name {known}", (("workerPools",),))


def _hosts_leave_no_choice(settings: Settings, platform: HostsPlatform) -> Findings:
    """What the list of hosts decides already, and an endpoint beside a balancer that would never be used."""
    for index, pool in enumerate(settings.worker_pools):
        for key in ("count", "exclude", "block"):
            if key in pool.model_fields_set:
                reason = "on platform hosts the list of hosts says which machines a pool has; remove the line"
                yield Finding(("workerPools", index, key), reason)
    if "count" in settings.control_plane.model_fields_set:
        reason = "on platform hosts the roles in the list of hosts say how many there are; remove the line"
        yield Finding(("controlPlane", "count"), reason)
    place: Path = ("platform", "endpoint")
    if platform.endpoint is None:
        return
    balancers = [host.name for host in platform.hosts if host.role == "load-balancer"]
    if balancers:
        reason = (
            f"{', '.join(balancers)} would balance an endpoint that nobody uses; remove endpoint or that host"
        )
        yield Finding(place, reason, (("platform", "hosts"),))
    yield from endpoint_inside_cluster(place, platform.endpoint, settings)
