"""A cluster on AWS by what ties it to the cloud."""

from __future__ import annotations

from typing import Any

from config.plan import ClusterPlan
from tests.config.clusters import REGION, any_digests, plan_of


def integrated(*enabled: str, region: str = REGION, **changes: Any) -> ClusterPlan:
    """The plan of a cluster named `dev` with the named switches of `platform.integration` on."""
    image = "ami-0123456789abcdef0"
    value = {
        "name": "dev",
        "platform": {
            "kind": "aws",
            "images": {"amd64": image, "arm64": image},
            "adminCidrs": ["192.0.2.0/24"],
            "integration": dict.fromkeys(enabled, True),
        },
        "network": {"machines": "10.20.0.0/16"},
        "artifacts": {"digests": any_digests()},
        "workerPools": [{"name": "general", "count": 2}],
        **changes,
    }
    return plan_of(value, region)
