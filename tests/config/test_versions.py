"""Versions that settings ask for in place of Hardway's own: in artifacts, images and digests."""

from __future__ import annotations

import pytest

from components.add_ons import wanted_manifests
from config.plan import machine_artifacts, machine_images
from config.settings import SettingsError, load_settings
from config.versions import ARTIFACTS, IMAGES, VERSIONED, kubernetes_artifact, pinned, pinned_image
from tests.config.clusters import dev, lab, plan_of


def test_what_may_be_asked_for_is_an_artifact_or_an_image_of_ours() -> None:
    assert set(VERSIONED) <= {*ARTIFACTS, *IMAGES}


def test_another_version_carries_none_of_the_committed_digests() -> None:
    assert pinned("etcd", {}) is ARTIFACTS["etcd"]
    assert pinned("etcd", {"etcd": ARTIFACTS["etcd"].version}) is ARTIFACTS["etcd"]
    other = pinned("etcd", {"etcd": "3.6.5"})
    assert other.sha256 == {}
    assert other.digest("amd64") is None
    assert other.address("amd64").endswith("/v3.6.5/etcd-v3.6.5-linux-amd64.tar.gz")


def test_an_images_tag_follows_its_version() -> None:
    assert (
        pinned_image("coredns", {"coredns": "1.14.5"}).reference == "registry.k8s.io/coredns/coredns:v1.14.5"
    )
    assert pinned_image("pause", {"coredns": "1.14.5"}) == IMAGES["pause"]


def test_the_plan_has_what_was_asked_for_and_the_rest_as_ever() -> None:
    asked = {"etcd": "3.6.5", "containerd": "2.3.3", "coredns": "1.14.5"}
    plan = plan_of(
        lab(artifacts={"versions": asked, "mirror": "http://mirror.example", "preloadImages": True})
    )
    found = {one.name: one.version for one in machine_artifacts(plan, plan.machine("cp-0"))}
    assert {name: found[name] for name in ("etcd", "containerd", "runc")} == {
        "etcd": "3.6.5",
        "containerd": "2.3.3",
        "runc": ARTIFACTS["runc"].version,
    }
    images = {one.name: one.version for one in machine_images(plan, plan.machine("worker-general-0"))}
    assert images["coredns"] == "1.14.5"
    assert "image: registry.k8s.io/coredns/coredns:v1.14.5" in wanted_manifests(plan)["coredns"]


@pytest.mark.parametrize("version", ["1.36.0", "1.37.99"])
def test_any_patch_of_a_minor_that_hardway_writes_for_is_taken(version: str) -> None:
    plan = plan_of(lab(kubernetes={"version": version}))
    assert kubernetes_artifact("kubelet", version) in machine_artifacts(plan, plan.machine("cp-0"))


@pytest.mark.parametrize("version", ["1.35.9", "1.38.0", "2.36.0", "1.37", "v1.37.2", "1.37.02"])
def test_another_release_is_none_that_hardway_knows(version: str) -> None:
    with pytest.raises(SettingsError, match=r"write a release of 1\.36 or 1\.37, such as 1\.37\.2"):
        load_settings(lab(kubernetes={"version": version}), "Pulumi.test.yaml")


def test_where_publishers_serve_a_version_without_a_digest_is_refused_with_all_settings_that_ask_for_it() -> (
    None
):
    settings = dev()
    settings["artifacts"] = {**settings["artifacts"], "versions": {"runc": "1.4.2"}}
    with pytest.raises(SettingsError, match=r"no sha256 is known for runc/1\.4\.2/arm64; run `make lock`"):
        load_settings(settings, "Pulumi.test.yaml")
