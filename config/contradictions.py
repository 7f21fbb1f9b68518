"""Rules between settings: what no single value can violate alone.

Each rule is a generator of `Finding`s over valid models. Nothing here asks a machine or reads a file.
"""

from __future__ import annotations

from itertools import combinations

from config.access_contradictions import access_findings
from config.aws_contradictions import aws_findings, foreign_findings
from config.aws_models import AwsPlatform
from config.aws_plan import RESERVED_EIGHTHS
from config.flags import OWN_FLAGS, REPLACED_FLAGS
from config.host_contradictions import host_findings
from config.machine_names import control_plane_names, worker_name, worker_numbers
from config.mistakes import Finding, Findings, Path, Problem, place_of
from config.models import (
    CONTROL_PLANE_MAXIMUM,
    CONTROL_PLANE_OFFSET,
    POOL_BLOCK,
    POOL_BLOCKS,
    POOL_OFFSET,
    Component,
    HostsPlatform,
    Settings,
    WorkerPoolSettings,
    storage_add_on,
)
from config.node_contradictions import node_findings
from config.replace_contradictions import replace_findings
from config.versions import ARTIFACTS, CLOUD_ARTIFACTS, IMAGES, KUBERNETES_BINARIES

_USED_PORTS = {
    22: "sshd",
    2379: "etcd",
    2380: "etcd",
    2381: "etcd",
    9080: "kube-network-policies",
    10248: "the kubelet",
    10249: "kube-proxy",
    10250: "the kubelet",
    10256: "kube-proxy",
    10257: "the controller manager",
    10259: "the scheduler",
}
_NODE_PORTS = range(30000, 32768)
_SERVICES_WIDEST, _SERVICES_NARROWEST = 12, 24
_NODE_BITS = 16
"""kube-controller-manager cuts a pod range into at most 2^16 blocks (its node IPAM's own limit)."""


def contradictions(settings: Settings) -> list[Problem]:
    """What is wrong between values that are each right, as place and reason."""
    return [(place_of(finding.path), finding.reason) for finding in findings(settings)]


def findings(settings: Settings) -> Findings:
    """What is wrong between values that are each right."""
    yield from _overlaps(settings)
    yield from _range_sizes(settings)
    yield from _ports(settings)
    yield from _control_plane(settings)
    yield from _own_flags(settings)
    yield from node_findings(settings)
    for index, pool in enumerate(settings.worker_pools):
        yield from _pool(settings, index, pool)
    yield from _pool_names(settings)
    yield from _enough_workers(settings)
    yield from _enough_pod_blocks(settings)
    if isinstance(settings.platform, HostsPlatform):
        yield from host_findings(settings, settings.platform)
    else:
        yield from _numbered_machines(settings)
    if isinstance(settings.platform, AwsPlatform):
        yield from aws_findings(settings, settings.platform)
    else:
        yield from foreign_findings(settings)
    yield from replace_findings(settings)
    yield from _validity(settings)
    yield from _artifacts(settings)
    yield from access_findings(settings)


def _overlaps(settings: Settings) -> Findings:
    network = settings.network
    ranges = {"machines": network.machines, "pods": network.pods, "services": network.services}
    for (first, one), (second, other) in combinations(ranges.items(), 2):
        if one.overlaps(other):
            reason = f"{other} overlaps network.{first} ({one}); choose ranges that share no address"
            yield Finding(("network", second), reason, (("network", first),))


def _range_sizes(settings: Settings) -> Findings:
    network = settings.network
    length, pods = network.node_prefix_length, network.pods
    if not _SERVICES_WIDEST <= network.services.prefixlen <= _SERVICES_NARROWEST:
        # The API server takes at most 20 bits; the cluster DNS has the tenth address.
        reason = f"/{network.services.prefixlen} is no length for Services; choose one between /12 and /24"
        yield Finding(("network", "services"), reason)
    if pods.prefixlen > length:
        reason = (
            f"a Node's /{length} does not fit into network.pods ({pods}); widen pods or raise"
            " nodePrefixLength"
        )
        yield Finding(("network", "nodePrefixLength"), reason, (("network", "pods"),))
    if length - pods.prefixlen > _NODE_BITS:
        reason = (
            f"{pods} cut into /{length} makes more than 65536 blocks, which kube-controller-manager refuses; "
            f"lower nodePrefixLength to {pods.prefixlen + _NODE_BITS} or narrow pods"
        )
        yield Finding(("network", "nodePrefixLength"), reason, (("network", "pods"),))


def _ports(settings: Settings) -> Findings:
    network = settings.network
    for key, port in (("apiPort", network.api_port), ("localApiPort", network.local_api_port)):
        if port in _USED_PORTS:
            yield Finding(("network", key), f"{port} is the port of {_USED_PORTS[port]}; choose another")
        if port in _NODE_PORTS:
            reason = f"{port} is among the NodePorts (30000 to 32767), which Services use; choose another"
            yield Finding(("network", key), reason)
    if network.api_port == network.local_api_port:
        reason = f"{network.api_port} is the API server's own port (network.apiPort); choose another"
        yield Finding(("network", "localApiPort"), reason, (("network", "apiPort"),))


def _control_plane_names(settings: Settings) -> list[str]:
    if isinstance(settings.platform, HostsPlatform):
        return [host.name for host in settings.platform.hosts if host.role == "control-plane"]
    return control_plane_names(settings)


def _control_plane(settings: Settings) -> Findings:
    names = _control_plane_names(settings)
    on_hosts = isinstance(settings.platform, HostsPlatform)
    place: Path = ("platform", "hosts") if on_hosts else ("controlPlane", "count")
    reason = _wrong_count(len(names))
    if reason:
        yield Finding(place, reason, (("platform",),))
    chosen = settings.control_plane.operations_machine
    by_default = "operations_machine" not in settings.control_plane.model_fields_set
    if names and chosen not in names and not (on_hosts and by_default):
        reason = f"{chosen} is no control-plane machine; choose one of {', '.join(names)}"
        yield Finding(("controlPlane", "operationsMachine"), reason, (place, ("platform",)))


def _wrong_count(count: int) -> str | None:
    """Why so many control-plane machines make no cluster, or None."""
    if count == 0:
        return "no host has the role control-plane; give it to 1, 3 or 5 of them"
    if count > CONTROL_PLANE_MAXIMUM:
        return (
            f"{count} control-plane machines; etcd grows slower with each, use at most"
            f" {CONTROL_PLANE_MAXIMUM}"
        )
    if count % 2 == 0:
        return f"{count} control-plane machines; etcd wants an odd number, use {count - 1} or {count + 1}"
    return None


def _own_flags(settings: Settings) -> Findings:
    control_plane = settings.control_plane
    components: dict[str, Component] = {
        "apiServer": control_plane.api_server,
        "controllerManager": control_plane.controller_manager,
        "scheduler": control_plane.scheduler,
    }
    for key, component in components.items():
        for flag in component.extra_args:
            path: Path = ("controlPlane", key, "extraArgs", flag)
            if flag in REPLACED_FLAGS.get(key, {}):
                yield Finding(path, f"{REPLACED_FLAGS[key][flag]}; remove it")
            elif flag in OWN_FLAGS[key]:
                yield Finding(
                    path, "is set by Hardway itself, and the rest of the cluster counts on it; remove it"
                )


def _pool(settings: Settings, index: int, pool: WorkerPoolSettings) -> Findings:
    path: Path = ("workerPools", index)
    length = settings.network.node_prefix_length
    room = 2 ** (32 - length) - 3
    if pool.kubelet.max_pods > room:
        reason = (
            f"{pool.kubelet.max_pods} pods do not fit into a Node's /{length}, which holds {room}; lower it"
            " or network.nodePrefixLength"
        )
        yield Finding((*path, "kubelet", "maxPods"), reason, (("network", "nodePrefixLength"),))
    seen: set[tuple[str, str]] = set()
    for number, taint in enumerate(pool.taints):
        if (taint.key, taint.effect) in seen:
            reason = f"{taint.key} with effect {taint.effect} stands in this pool already; remove one"
            yield Finding((*path, "taints", number), reason)
        seen.add((taint.key, taint.effect))


def _pool_names(settings: Settings) -> Findings:
    seen: set[str] = set()
    for index, pool in enumerate(settings.worker_pools):
        if pool.name in seen:
            yield Finding(
                ("workerPools", index, "name"), f"an earlier pool is called {pool.name} too; rename one"
            )
        seen.add(pool.name)


def machine_counts(settings: Settings) -> tuple[int, int]:
    """How many control-plane machines and workers the settings ask for."""
    if isinstance(settings.platform, HostsPlatform):
        roles = [host.role for host in settings.platform.hosts]
        return roles.count("control-plane"), roles.count("worker")
    workers = sum(len(worker_numbers(pool)) for pool in settings.worker_pools)
    return settings.control_plane.count, workers


def _enough_workers(settings: Settings) -> Findings:
    wanted = [
        name
        for name, on in (
            ("coredns", settings.add_ons.coredns),
            ("storage", storage_add_on(settings) != "none"),
            ("metricsServer", settings.add_ons.metrics_server),
        )
        if on
    ]
    if machine_counts(settings)[1] > 0 or not wanted:
        return
    on_hosts = isinstance(settings.platform, HostsPlatform)
    remedy = "give hosts the role worker" if on_hosts else "add a pool with count 1 or more"
    off = {
        "coredns": "addOns.coredns: false",
        "storage": "addOns.storage: none",
        "metricsServer": "addOns.metricsServer: false",
    }
    reason = (
        f"no worker is left to run the add-ons; {remedy}, or write"
        f" {' and '.join(off[name] for name in wanted)}"
    )
    place: Path = ("platform", "hosts") if on_hosts else ("workerPools",)
    yield Finding(place, reason, (("platform",), ("workerPools",), ("addOns",)))


def _enough_pod_blocks(settings: Settings) -> Findings:
    network = settings.network
    nodes = sum(machine_counts(settings))
    blocks = 2 ** max(network.node_prefix_length - network.pods.prefixlen, 0)
    if nodes > blocks and network.pods.prefixlen <= network.node_prefix_length:
        reason = (
            f"{network.pods} holds {blocks} blocks of /{network.node_prefix_length}, the cluster has {nodes}"
            " Nodes; widen it or raise nodePrefixLength"
        )
        involved: tuple[Path, ...] = (("platform",), ("workerPools",), ("controlPlane", "count"))
        yield Finding(("network", "pods"), reason, (("network", "nodePrefixLength"), *involved))


def _numbered_machines(settings: Settings) -> Findings:
    """Rules of platforms that number and address their machines themselves."""
    owners: dict[int, str] = {}
    for index, pool in enumerate(settings.worker_pools):
        path: Path = ("workerPools", index)
        if pool.block in owners:
            reason = (
                f"block {pool.block} belongs to pool {owners[pool.block]} already; {_free_block(settings)}"
            )
            yield Finding((*path, "block"), reason, (("workerPools",), ("platform",)))
        owners.setdefault(pool.block, pool.name)
        yield from _excluded_numbers(path, pool)
    if not isinstance(settings.platform, AwsPlatform):  # where each zone has a subnet of its own
        yield from _room_for_machines(settings)


def _free_block(settings: Settings) -> str:
    used = {pool.block for pool in settings.worker_pools}
    blocks = RESERVED_EIGHTHS if isinstance(settings.platform, AwsPlatform) else POOL_BLOCKS
    free = next((block for block in range(blocks) if block not in used), None)
    return "there is no free one, use fewer pools" if free is None else f"write block: {free}"


def _excluded_numbers(path: Path, pool: WorkerPoolSettings) -> Findings:
    involved: tuple[Path, ...] = ((*path, "count"), ("platform",))
    for position, number in enumerate(pool.exclude):
        place: Path = (*path, "exclude", position)
        if number >= pool.count:
            known = f"are 0 to {pool.count - 1}" if pool.count else "do not exist"
            yield Finding(
                place, f"{number} leaves out nothing, the pool's numbers {known}; remove it", involved
            )
        elif number in pool.exclude[:position]:
            yield Finding(place, f"{number} is excluded already; remove one", involved)


def _room_for_machines(settings: Settings) -> Findings:
    machines = settings.network.machines
    platform: Path = ("platform",)
    if machines.num_addresses - 1 <= CONTROL_PLANE_OFFSET + CONTROL_PLANE_MAXIMUM:
        reason = f"{machines} is too small for the balancer and the control plane; use a /27 or wider"
        yield Finding(("network", "machines"), reason, (platform,))
        return
    for index, pool in enumerate(settings.worker_pools):
        last = pool.block * POOL_BLOCK + POOL_OFFSET + pool.count - 1
        if pool.count and last >= machines.num_addresses - 1:
            path: Path = ("workerPools", index)
            reason = (
                f"{worker_name(pool, pool.count - 1)} (block {pool.block}) would be outside of"
                f" network.machines ({machines}); widen it, or lower count or block"
            )
            yield Finding((*path, "count"), reason, ((*path, "block"), ("network", "machines"), platform))


def _validity(settings: Settings) -> Findings:
    etcd, certificates = settings.etcd, settings.certificates
    if etcd.election_ms < 5 * etcd.heartbeat_ms:
        # etcd refuses to start with less (its own check of the configuration).
        reason = (
            f"{etcd.election_ms} ms is less than five heartbeats of {etcd.heartbeat_ms} ms; "
            f"raise it to {5 * etcd.heartbeat_ms} or more"
        )
        yield Finding(("etcd", "electionMs"), reason, (("etcd", "heartbeatMs"),))
    if certificates.leaf_days > certificates.authority_years * 365:
        reason = (
            f"{certificates.leaf_days} days outlive the authorities ({certificates.authority_years} years of"
            " 365 days); lower it or raise authorityYears"
        )
        yield Finding(("certificates", "leafDays"), reason, (("certificates", "authorityYears"),))


def _artifacts(settings: Settings) -> Findings:
    artifacts = settings.artifacts
    place: Path = ("artifacts", "digests")
    if artifacts.preload_images and artifacts.mirror is None:
        reason = (
            "images are imported from a mirror and none is given; set artifacts.mirror or remove the line"
        )
        yield Finding(("artifacts", "preloadImages"), reason, (("artifacts", "mirror"),))
    known = {*ARTIFACTS, *CLOUD_ARTIFACTS, *KUBERNETES_BINARIES, *(f"image-{name}" for name in IMAGES)}
    for key in artifacts.digests:
        name = key.split("/")[0]
        if name not in known:
            yield Finding(
                (*place, key), f"Hardway uses no artifact {name}; correct the name or remove the line"
            )
