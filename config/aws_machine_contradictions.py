"""Rules between settings on `aws` about the machines: types, images, digests, what ties them to AWS."""

from __future__ import annotations

from collections.abc import Collection

from config.aws_models import AwsControlPlane, AwsPlatform, AwsWorkers
from config.aws_plan import architecture_of, control_plane_type, worker_type
from config.digest_contradictions import digest_findings
from config.machine_names import control_plane_names, worker_names
from config.mistakes import Finding, Findings, Path
from config.models import Settings
from config.versions import ARCHITECTURES

_CONTROL_PLANE: Path = ("controlPlane", "aws")
_INVOLVED: tuple[Path, ...] = (("platform",), ("controlPlane",), ("workerPools",))


def machine_findings(settings: Settings, platform: AwsPlatform) -> Findings:
    """What is wrong between machines and what they are made of."""
    yield from _types_of_control_plane(settings)
    for index, pool in enumerate(settings.worker_pools):
        path: Path = ("workerPools", index)
        types = (pool.aws or AwsWorkers()).instance_types
        known = worker_names(pool)
        what = f"machine of pool {pool.name}"
        yield from _types_of_nobody((*path, "aws"), types, known, what, ((*path, "name"), (*path, "count")))
    types_by_machine = _instance_types(settings)
    yield from _images(platform, types_by_machine)
    machines = [
        (role, architecture_of(type_)) for role, type_ in types_by_machine.values() if role != "bastion"
    ]
    yield from digest_findings(settings, machines, _INVOLVED)
    if platform.integration.ebs_csi and not platform.integration.cloud_controller:
        # The driver takes instance, zone and region from the Node, where the cloud controller writes them, and a
        # volume leaves a terminated machine only once that one has removed its Node.
        reason = "needs cloudController: true, which tells the driver what a Node is on AWS; add it"
        yield Finding(("platform", "integration", "ebsCsi"), reason)


def _types_of_control_plane(settings: Settings) -> Findings:
    aws = settings.control_plane.aws or AwsControlPlane()
    known = control_plane_names(settings)
    count: tuple[Path, ...] = (("controlPlane", "count"),)
    yield from _types_of_nobody(_CONTROL_PLANE, aws.instance_types, known, "control-plane machine", count)
    wanted = architecture_of(aws.instance_type)
    for name, type_ in aws.instance_types.items():
        if architecture_of(type_) != wanted:
            # A control-plane machine keeps its root volume from one type to the next.
            reason = (
                f"{type_} is {architecture_of(type_)}, and {aws.instance_type} (instanceType) is {wanted}; a"
                f" control-plane machine can't change its architecture, choose a type of {wanted}"
            )
            yield Finding(
                (*_CONTROL_PLANE, "instanceTypes", name), reason, ((*_CONTROL_PLANE, "instanceType"),)
            )


def _types_of_nobody(
    path: Path, types: Collection[str], known: Collection[str], what: str, involved: tuple[Path, ...]
) -> Findings:
    for name in types:
        if name not in known:
            reason = f"no {what} is called {name}; correct the name or remove the line"
            yield Finding((*path, "instanceTypes", name), reason, involved)


def _instance_types(settings: Settings) -> dict[str, tuple[str, str]]:
    """Role and instance type by machine, the bastion's included."""
    types = {
        name: ("control-plane", control_plane_type(settings, name)) for name in control_plane_names(settings)
    }
    for pool in settings.worker_pools:
        types |= {name: ("worker", worker_type(pool, name)) for name in worker_names(pool)}
    platform = settings.platform
    if isinstance(platform, AwsPlatform) and platform.ssh.via == "bastion":
        types["the bastion"] = ("bastion", platform.ssh.bastion_instance_type)
    return types


def _images(platform: AwsPlatform, types: dict[str, tuple[str, str]]) -> Findings:
    given = {"amd64": platform.images.amd64, "arm64": platform.images.arm64}
    for architecture in ARCHITECTURES:
        users = [name for name, (_, type_) in types.items() if architecture_of(type_) == architecture]
        if users and given[architecture] is None:
            rest = f" and {len(users) - 1} more" if len(users) > 1 else ""
            need = f"{users[0]} ({types[users[0]][1]}){rest} {'need' if rest else 'needs'} it"
            reason = f"is missing, and {need}; `make ami` writes the newest here"
            yield Finding(("platform", "images", architecture), reason, (*_INVOLVED[1:], ("platform", "ssh")))
