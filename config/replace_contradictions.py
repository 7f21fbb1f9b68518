"""Rules of `replace`: which machines may be made anew in one run."""

from __future__ import annotations

from collections.abc import Mapping

from config.aws_models import AwsPlatform
from config.machine_names import balancer_names, control_plane_names, worker_names
from config.mistakes import Finding, Findings, Path
from config.models import HostsPlatform, Settings

_PLACE: Path = ("replace",)
_INVOLVED: tuple[Path, ...] = (("platform",), ("controlPlane", "count"), ("workerPools",))


def replace_findings(settings: Settings) -> Findings:
    """What is wrong with the names to replace."""
    if not settings.replace:
        return
    if isinstance(settings.platform, HostsPlatform):
        reason = (
            "Hardway makes no hosts anew; reinstall the host, enter its new host key in platform.hosts and"
            " remove this line"
        )
        yield Finding(_PLACE, reason, (("platform",),))
        return
    pools = {name: pool.name for pool in settings.worker_pools for name in worker_names(pool)}
    yield from _each_name(settings, pools)
    yield from _control_plane_at_once(settings)
    yield from _workers_at_once(settings, pools)


def _each_name(settings: Settings, pools: Mapping[str, str]) -> Findings:
    known, balancers = {*control_plane_names(settings), *pools}, balancer_names(settings)
    for position, name in enumerate(settings.replace):
        place: Path = (*_PLACE, position)
        if name in balancers:
            reason = f"{name} balances the API and keeps nothing that would wear out; remove it"
            yield Finding(place, reason, _INVOLVED)
        elif name not in known:
            reason = f"no machine is called {name}; correct the name or remove it"
            yield Finding(place, reason, _INVOLVED)
        elif name in settings.replace[:position]:
            yield Finding(place, f"{name} stands in the list already; remove one")


def _control_plane_at_once(settings: Settings) -> Findings:
    members = control_plane_names(settings)
    chosen = [name for name in dict.fromkeys(settings.replace) if name in members]
    if len(members) == 1 and chosen:
        yield from _the_only_one(settings)
    if len(chosen) > 1:
        # etcd survives one member less of three, and a new member has to catch up before the next one leaves.
        reason = (
            f"names {', '.join(chosen)}, and at most one control-plane machine is replaced in a run; leave one, run"
            " `pulumi up`, then the other"
        )
        yield Finding(_PLACE, reason, _INVOLVED)


def _the_only_one(settings: Settings) -> Findings:
    """With a single control-plane machine nobody is left who could tell the cluster that it went."""
    platform = settings.platform
    if not isinstance(platform, AwsPlatform):
        reason = "cp-0 holds the only copy of etcd's data, and they would go with it; remove the name"
        yield Finding(_PLACE, reason, _INVOLVED)
    elif platform.integration.cloud_controller:
        reason = (
            "cp-0 is the only control-plane machine, so its Node would go on naming the old instance to the cloud"
            " controller; write controlPlane.count: 3 first"
        )
        yield Finding(_PLACE, reason, (*_INVOLVED, ("platform", "integration")))


def _workers_at_once(settings: Settings, pools: Mapping[str, str]) -> Findings:
    for pool in settings.worker_pools:
        chosen = [name for name in dict.fromkeys(settings.replace) if pools.get(name) == pool.name]
        if len(chosen) > pool.max_unavailable:
            reason = (
                f"names {len(chosen)} machines of pool {pool.name}, whose maxUnavailable is {pool.max_unavailable};"
                f" leave {pool.max_unavailable}, run `pulumi up`, then the others"
            )
            yield Finding(_PLACE, reason, _INVOLVED)
