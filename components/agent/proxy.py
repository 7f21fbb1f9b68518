"""Which way a download takes: through the proxy that the bundle names, or past it.

Python's own list of exceptions knows no networks; the environment of this process says nothing and is not asked.
"""

import ipaddress
import urllib.request
from typing import Any
from urllib.parse import urlsplit

Proxy = dict[str, Any]
"""`http` and `https` (URL or None) and `none` (names, addresses, networks), as the plan has them."""


def open_url(url: str, proxy: Proxy | None, seconds: float) -> Any:
    """Open a URL, by the proxy of its scheme unless its host is an exception.

    Args:
        url: of http or https.
        proxy: None for none.
        seconds: how long one answer may take.
    """
    return urllib.request.build_opener(urllib.request.ProxyHandler(chosen(url, proxy))).open(
        url, timeout=seconds
    )


def chosen(url: str, proxy: Proxy | None) -> dict[str, str]:
    """The proxy of a URL by its scheme; empty when it is reached directly."""
    parts = urlsplit(url)
    address = (proxy or {}).get(parts.scheme)
    if not address or proxy is None or is_exception(parts.hostname or "", proxy["none"]):
        return {}
    return {parts.scheme: address}


def is_exception(host: str, none: list[str]) -> bool:
    """Whether a host is named, lies below a name with a dot in front, or in a network."""
    return any(_covers(entry, host) for entry in none)


def _covers(entry: str, host: str) -> bool:
    if "/" in entry:
        try:
            return ipaddress.ip_address(host) in ipaddress.ip_network(entry)
        except ValueError:
            return False
    return host == entry.lstrip(".") or host.endswith("." + entry.lstrip("."))


def for_apt(proxy: Proxy | None) -> list[str]:
    """The same for apt-get, as options: it takes exceptions by host name alone."""
    if proxy is None:
        return []
    ways = [
        f"Acquire::{scheme}::Proxy={proxy[scheme]}"
        for scheme in ("http", "https")
        if proxy[scheme] is not None
    ]
    names = [entry for entry in proxy["none"] if "/" not in entry and not entry.startswith(".")]
    past = [f"Acquire::{scheme}::Proxy::{name}=DIRECT" for scheme in ("http", "https") for name in names]
    return [word for option in (*ways, *past) for word in ("-o", option)]
