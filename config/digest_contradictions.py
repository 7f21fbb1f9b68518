"""The rule that machines take nothing for which nobody vouches: a sha256 for each artifact that is needed."""

from __future__ import annotations

from collections.abc import Iterable

from config.aws_models import AwsPlatform
from config.mistakes import Finding, Findings, Path
from config.models import Cni, Settings, network_policies_from_image
from config.versions import Architecture, artifacts_of_role


def digest_findings(
    settings: Settings, machines: Iterable[tuple[str, Architecture]], involved: tuple[Path, ...]
) -> Findings:
    """What machines need and nobody vouches for.

    Args:
        settings: of the cluster.
        machines: role and architecture of each.
        involved: the settings that say which machines there are.
    """
    missing = _without_digest(settings, machines)
    if missing:
        reason = (
            f"no sha256 is known for {', '.join(missing)}; run `make lock`, which writes those of the"
            " publishers to config/artifacts.lock.json, and commit that; digests of builds of your own go here"
        )
        versions: tuple[Path, ...] = (
            ("kubernetes", "version"),
            ("artifacts", "versions"),
            ("network", "cni"),
            ("artifacts", "mirror"),
        )
        yield Finding(("artifacts", "digests"), reason, (*involved, *versions))


def _without_digest(settings: Settings, machines: Iterable[tuple[str, Architecture]]) -> list[str]:
    """Keys, in the order of the machines' needs."""
    missing: dict[str, None] = {}
    for role, architecture in dict.fromkeys(machines):
        for artifact in artifacts_of_role(
            role,
            settings.kubernetes.version,
            settings.artifacts.versions,
            flannel=settings.network.cni is Cni.FLANNEL,
            policies_from_image=network_policies_from_image(settings),
            ecr_credentials=isinstance(settings.platform, AwsPlatform)
            and settings.platform.integration.ecr_credentials,
        ):
            key = artifact.key(architecture)
            if key not in settings.artifacts.digests and not artifact.digest(architecture):
                missing[key] = None
    return list(missing)
