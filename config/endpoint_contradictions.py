"""The rule that clients outside reach the endpoint that an operator names."""

from __future__ import annotations

from ipaddress import IPv4Address

from config.mistakes import Finding, Findings, Path
from config.models import Settings


def endpoint_inside_cluster(place: Path, endpoint: str, settings: Settings) -> Findings:
    """An endpoint that only the cluster itself reaches."""
    ranges = {"pods": settings.network.pods, "services": settings.network.services}
    for key, network in ranges.items():
        if endpoint[-1].isdigit() and endpoint.count(".") == 3 and IPv4Address(endpoint) in network:
            reason = (
                f"{endpoint} is inside of network.{key} ({network}), which only the cluster reaches;"
                " correct one"
            )
            yield Finding(place, reason, (("network", key),))
