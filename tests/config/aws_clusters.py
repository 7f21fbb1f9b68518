"""AWS clusters that properties are checked over: random, valid, from one machine to thousands."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from config.plan import ClusterPlan
from tests.config.clusters import dev, plan_of

Value = dict[str, Any]

IMAGES = {"amd64": "ami-0123456789abcdef0", "arm64": "ami-0fedcba9876543210"}
ZONES = st.permutations("abcd").flatmap(lambda letters: st.integers(1, 3).map(lambda n: letters[:n]))
COUNTS = st.one_of(st.integers(0, 12), st.sampled_from([100, 1000]))


@st.composite
def pools(draw: st.DrawFn, most: int = 6, counts: st.SearchStrategy[int] = COUNTS) -> list[Value]:
    """Pools with names and blocks of their own, some with zones of their own, some with numbers left out."""
    names = draw(
        st.lists(st.sampled_from(["a", "a-1", "b", "batch", "gpu", "x-0"]), unique=True, max_size=most)
    )
    blocks = draw(st.permutations(range(7)))
    return [draw(pool(name, block, counts)) for name, block in zip(names, blocks, strict=False)]


@st.composite
def pool(draw: st.DrawFn, name: str, block: int, counts: st.SearchStrategy[int]) -> Value:
    """One pool."""
    count = draw(counts)
    exclude = draw(st.lists(st.integers(0, count - 1), unique=True, max_size=3)) if count else []
    aws: Value = {
        "instanceType": draw(st.sampled_from(["t4g.medium", "m7i.large"])),
        "spot": draw(st.booleans()),
    }
    own_zones = draw(st.none() | ZONES)
    return {
        "name": name,
        "count": count,
        "exclude": exclude,
        "block": block,
        "aws": aws if own_zones is None else {**aws, "zones": own_zones},
    }


@st.composite
def platforms(draw: st.DrawFn) -> Value:
    """Everything about the platform but its zones."""
    public = draw(st.booleans())
    nat = {} if public else {"nat": draw(st.sampled_from(["per-zone", "shared", "none"]))}
    return {
        "kind": "aws",
        "images": IMAGES,
        "machineSubnets": "public" if public else "private",
        "adminCidrs": draw(
            st.sampled_from([["203.0.113.0/24"], ["10.0.0.0/8", "192.0.2.1/32"], ["172.31.0.0/16"]])
        ),
        "nodePortCidrs": draw(st.sampled_from([[], ["0.0.0.0/0"], ["10.0.0.0/8", "192.0.2.0/24"]])),
        "icmp": draw(st.booleans()),
        "ssh": {"via": draw(st.sampled_from(["bastion", "direct"]))},
        "api": {
            "visibility": draw(st.sampled_from(["internal", "internet-facing"])),
            "cidrs": draw(st.sampled_from([[], ["0.0.0.0/0"], ["172.31.0.0/16", "192.0.2.0/24"]])),
        },
        **nat,
    }


def cluster(
    worker_pools: list[Value], zones: list[str], platform: Value | None = None, control_plane: int = 3
) -> ClusterPlan:
    """The plan of such a cluster, with pods and add-ons out of the way."""
    chosen = platform or {"kind": "aws", "images": IMAGES, "adminCidrs": ["203.0.113.0/24"]}
    value = dev(
        platform={**chosen, "zones": zones},
        workerPools=worker_pools,
        controlPlane={"count": control_plane},
        network={"pods": "100.64.0.0/11"},
        addOns={"coredns": False, "storage": "none"},
    )
    return plan_of(value)
