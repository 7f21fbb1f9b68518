"""Versions on the machine: judged by the links to what runs and by every API server that answers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from components.agent import skew
from components.agent.evidence import Failure

SERVERS = {
    "cp-0": "https://10.0.0.10:6443",
    "cp-1": "https://10.0.0.11:6443",
    "cp-2": "https://10.0.0.12:6443",
}


def bundle(address: str, **versions: str) -> dict[str, Any]:
    return {
        "machine": {"name": "m", "address": address},
        "api_servers": list(SERVERS.values()),
        "versions": {name.replace("_", "-"): version for name, version in versions.items()},
    }


def control_plane(kubernetes: str, etcd: str = "3.6.14") -> dict[str, Any]:
    return bundle("10.0.0.10", etcd=etcd, kube_apiserver=kubernetes, kubelet=kubernetes)


def worker(kubernetes: str) -> dict[str, Any]:
    return bundle("10.0.0.20", kubelet=kubernetes)


class Cluster:
    """API servers that answer with a version, by machine; the others do not answer."""

    def __init__(self, **versions: str) -> None:
        self.versions = {SERVERS[name.replace("_", "-")]: version for name, version in versions.items()}

    def version_of(self, url: str) -> str | None:
        return self.versions.get(url)


def link(folder: Path, name: str, version: str) -> None:
    (folder / name).symlink_to(f"/opt/hardway/{name}/{version}-81fd0be1/{name}")


@pytest.mark.parametrize("wanted", [control_plane("1.37.2"), worker("1.37.2"), bundle("10.0.0.5")])
def test_a_first_creation_is_never_refused(tmp_path: Path, wanted: dict[str, Any]) -> None:
    skew.check(wanted, Cluster().version_of, str(tmp_path))


@pytest.mark.parametrize(
    ("name", "running", "wanted", "reason"),
    [
        (
            "kube-apiserver",
            "1.37.2",
            control_plane("1.36.4"),
            "1.36.4 would take it back a minor.*patch of 1.37",
        ),
        (
            "kubelet",
            "1.37.2",
            worker("1.36.4"),
            "kubelet 1.37.2 runs here and 1.36.4 would take it back a minor",
        ),
        ("kube-apiserver", "1.35.1", control_plane("1.37.2"), "would skip a minor. Write a patch of 1.36"),
        (
            "etcd",
            "3.6.14",
            control_plane("1.37.2", "3.5.30"),
            "etcd 3.6.14 .* 3.5.30 would take it back a minor",
        ),
        ("etcd", "3.5.30", control_plane("1.37.2", "3.7.1"), "would skip a minor. Write a patch of 3.6"),
    ],
)
def test_what_runs_here_goes_neither_back_a_minor_nor_over_one(
    tmp_path: Path, name: str, running: str, wanted: dict[str, Any], reason: str
) -> None:
    link(tmp_path, name, running)
    with pytest.raises(Failure, match=reason) as caught:
        skew.check(wanted, Cluster().version_of, str(tmp_path))
    assert str(caught.value).endswith("then run again. Nothing was changed here")


@pytest.mark.parametrize(
    ("name", "running", "wanted"),
    [
        ("kube-apiserver", "1.37.3", control_plane("1.37.2")),
        ("kube-apiserver", "1.36.4", control_plane("1.37.2")),
        ("kubelet", "1.34.9", worker("1.37.2")),
        ("etcd", "3.6.5", control_plane("1.37.2")),
    ],
)
def test_a_patch_goes_either_way_and_a_minor_one_up(
    tmp_path: Path, name: str, running: str, wanted: dict[str, Any]
) -> None:
    link(tmp_path, name, running)
    skew.check(wanted, Cluster().version_of, str(tmp_path))


def test_a_kubelet_is_not_put_ahead_of_the_lowest_api_server_that_it_could_meet(tmp_path: Path) -> None:
    half_way = Cluster(cp_0="v1.37.2", cp_1="v1.36.4")
    with pytest.raises(
        Failure, match=r"at https://10\.0\.0\.11:6443 is 1\.36, and a kubelet of 1\.37\.2 would be ahead"
    ):
        skew.check(worker("1.37.2"), half_way.version_of, str(tmp_path))
    skew.check(worker("1.36.4"), half_way.version_of, str(tmp_path))


def test_a_kubelet_is_at_most_three_minors_behind(tmp_path: Path) -> None:
    skew.check(worker("1.34.1"), Cluster(cp_0="v1.37.2").version_of, str(tmp_path))
    with pytest.raises(Failure, match="more than 3 minors behind"):
        skew.check(worker("1.33.1"), Cluster(cp_0="v1.37.2").version_of, str(tmp_path))


def test_api_servers_are_at_most_a_minor_apart_and_ones_own_old_one_does_not_count(tmp_path: Path) -> None:
    skew.check(control_plane("1.37.2"), Cluster(cp_0="v1.35.1", cp_1="v1.36.4").version_of, str(tmp_path))
    with pytest.raises(Failure, match=r"is 1\.35, and 1\.37\.2 is more than a minor away"):
        skew.check(control_plane("1.37.2"), Cluster(cp_1="v1.35.1").version_of, str(tmp_path))


def test_a_link_that_is_none_of_ours_tells_no_version(tmp_path: Path) -> None:
    (tmp_path / "kubelet").symlink_to("/usr/bin/kubelet")
    assert skew.linked("kubelet", str(tmp_path)) is None
    assert skew.linked("etcd", str(tmp_path)) is None
