"""What is allowed on platform `aws` and still worth a sentence at every run."""

from __future__ import annotations

from config.aws_models import WIDEST_PREFIX, AwsPlatform
from config.models import Settings


def aws_warnings(settings: Settings, platform: AwsPlatform) -> tuple[str, ...]:
    """What the operator should know, a sentence or two each."""
    return (*_open_api(settings, platform), *_no_way_out(settings, platform))


def _open_api(settings: Settings, platform: AwsPlatform) -> tuple[str, ...]:
    wide = [str(cidr) for cidr in platform.api.cidrs if cidr.prefixlen < WIDEST_PREFIX]
    if platform.api.visibility == "internal" or not wide:
        return ()
    return (
        f"The API answers {', '.join(wide)} on TCP {settings.network.api_port}: certificates keep strangers out,"
        " and a flaw in the API server would let them in. Narrow platform.api.cidrs to your own ranges.",
    )


def _no_way_out(settings: Settings, platform: AwsPlatform) -> tuple[str, ...]:
    enclosed = platform.vpc is None and platform.machine_subnets == "private" and platform.nat == "none"
    if not enclosed or settings.artifacts.mirror is not None:
        return ()
    return (
        "Machines have no way out (platform.nat: none) and artifacts no mirror: nothing can be fetched unless routes"
        " of your own lead out. Set artifacts.mirror inside of the VPC, or platform.nat to shared or per-zone.",
    )
