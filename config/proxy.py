"""What never goes through a proxy, whatever the settings say.

Pure. Go's programs take networks in this list, apt and others do not: names and single addresses are for them.
"""

from __future__ import annotations

from dataclasses import dataclass

from config.access_models import Proxy
from config.aws_models import AwsPlatform
from config.models import Settings

METADATA = "169.254.169.254"
"""Where a machine in a cloud asks who it is."""


@dataclass(frozen=True)
class ProxyPlan:
    """A proxy and what is reached without it.

    Attributes:
        http: URL for http, or None.
        https: URL for https, or None.
        none: names, addresses and networks that are reached directly.
    """

    http: str | None
    https: str | None
    none: tuple[str, ...]

    def environment(self) -> dict[str, str]:
        """The variables that Go's programs read."""
        found = {"HTTP_PROXY": self.http, "HTTPS_PROXY": self.https, "NO_PROXY": ",".join(self.none)}
        return {name: value for name, value in found.items() if value}


def plan_proxy(settings: Settings) -> ProxyPlan | None:
    """The proxy in force, its exceptions completed; None without one."""
    proxy = settings.network.proxy
    if proxy is None:
        return None
    return ProxyPlan(proxy.http, proxy.https, tuple(dict.fromkeys((*_always(settings), *proxy.none))))


def _always(settings: Settings) -> tuple[str, ...]:
    network = settings.network
    cloud = (METADATA,) if isinstance(settings.platform, AwsPlatform) else ()
    ranges = (str(network.machines), str(network.pods), str(network.services))
    names = (f"api.{settings.name}.internal", ".svc", f".{network.domain}")
    return ("localhost", "127.0.0.1", *ranges, *names, *cloud)


def proxy_mistake(proxy: Proxy) -> str | None:
    """Why a proxy's settings make no sense, or None."""
    if proxy.http is None and proxy.https is None:
        return "names no proxy; write http, https or both, or remove it"
    return None
