"""Whatever stands in a stack file, the answer is settings or one readable error, never a traceback."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from config.settings import SettingsError, load_settings
from config.stack_file import settings_of_stack_file
from tests.config.clusters import HOSTS_FILE, LAB_FILE, cluster_of, dev, prod

Path = tuple[str | int, ...]

KEYS: st.SearchStrategy[Any] = st.sampled_from(
    ["name", "count", "kind", "hosts", "ssh", "block", "aws", "zones", "vpc"]
) | st.text(max_size=8)
JUNK = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=40)
    | st.sampled_from(
        ["", "lab", "hosts", "172.31.0.0/16", "172.31.0.10", "cp-0", "general", "aws", "a", 0, 3, -1, 10**400]
    ),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=6,
)
FULL: dict[str, Any] = {
    "kubernetes": {"version": "1.37.2"},
    "network": {
        "machines": "172.31.0.0/16",
        "pods": "172.20.0.0/16",
        "services": "10.32.0.0/16",
        "cni": "none",
    },
    "controlPlane": {"operationsMachine": "cp-0", "apiServer": {"extraArgs": {"v": "4"}}},
    "certificates": {"generation": 1, "leafDays": 365, "authorityYears": 10},
    "addOns": {"coredns": True, "storage": "none"},
    "artifacts": {"mirror": "http://172.31.0.1:8080", "digests": {"etcd/3.6.14/amd64": "0" * 64}},
    "workerPools": [
        {"name": "a", "labels": {"b": "c"}, "taints": [{"key": "k", "effect": "NoExecute"}]},
        {"name": "b", "block": 1, "exclude": [0], "kubelet": {"maxPods": 50}},
    ],
}
FOREIGN = re.compile(r"Input should|Value error|pydantic|Traceback|\n")


def places(value: Any, path: Path = ()) -> Iterator[Path]:
    """Every place in nested mappings and lists."""
    yield path
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        yield from places(inner, (*path, key))


def replaced(value: Any, path: Path, junk: Any) -> Any:
    """A copy with something else at one place."""
    if not path:
        return junk
    key, *rest = path
    if isinstance(value, dict):
        return {**value, key: replaced(value[key], tuple(rest), junk)}
    return [replaced(item, tuple(rest), junk) if index == key else item for index, item in enumerate(value)]


VPC = {
    "id": "vpc-0123456789abcdef0",
    "machineSubnets": {"a": {"id": "subnet-0123456789abcdef0", "cidr": "172.31.0.0/20"}},
    "balancerSubnets": {"a": "subnet-0123456789abcdef1"},
}
GIVEN_VPC = {"kind": "aws", "images": {"arm64": "ami-0123456789abcdef0"}, "zones": ["a"], "vpc": VPC}
BASES = [
    {**cluster_of(LAB_FILE), **FULL},
    cluster_of(LAB_FILE),
    cluster_of(HOSTS_FILE),
    dev(replace=["worker-general-0"]),
    prod(),
    dev(platform={**GIVEN_VPC, "adminCidrs": ["203.0.113.0/24"], "tags": {"team": "platform"}}),
]


def problems_of(load: Callable[[], object]) -> list[str]:
    """What is told, or nothing where the input is accepted."""
    try:
        load()
    except SettingsError as error:
        return error.problems
    return []


@given(st.sampled_from(BASES), st.data())
def test_junk_at_any_three_places_is_accepted_or_told_readably(
    base: dict[str, Any], data: st.DataObject
) -> None:
    value: Any = base
    for _ in range(data.draw(st.integers(1, 3))):
        path = data.draw(st.sampled_from(list(places(value))))
        value = replaced(value, path, data.draw(JUNK))
    problems = problems_of(lambda: load_settings(value, "Pulumi.test.yaml"))
    assert [problem for problem in problems if FOREIGN.search(problem)] == []


@given(st.sampled_from(BASES), st.data())
def test_an_unknown_key_at_any_place_is_told_with_its_place(
    base: dict[str, Any], data: st.DataObject
) -> None:
    mappings = [path for path in places(base) if isinstance(at(base, path), dict)]
    free = ("labels", "digests", "extraArgs", "tags", "machineSubnets", "balancerSubnets")
    path = data.draw(st.sampled_from([path for path in mappings if not path or path[-1] not in free]))
    value = replaced(base, path, {**at(base, path), "zzqq": 1})
    [problem] = problems_of(lambda: load_settings(value, "Pulumi.test.yaml"))
    assert ".zzqq: " in problem


def at(value: Any, path: Path) -> Any:
    """What stands at a place."""
    for key in path:
        value = value[key]
    return value


@given(st.text(max_size=200) | st.text("ab:-[]{}!&*#|>'\"\n \t", max_size=60))
def test_any_text_as_a_stack_file_is_told_readably(text: str) -> None:
    assert len(problems_of(lambda: settings_of_stack_file(text, "Pulumi.test.yaml"))) >= 1
