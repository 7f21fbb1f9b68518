"""Digests for plans whose artifacts are never fetched."""

from __future__ import annotations

import hashlib
from dataclasses import replace

from config.plan import ClusterPlan, machine_artifacts, machine_images
from config.versions import IMAGES

MIRROR = "http://mirror.example:8080/artifacts"


def digest_of(key: str) -> str:
    """A digest that belongs to a key and to no real file."""
    return hashlib.sha256(key.encode()).hexdigest()


def all_digests(plan: ClusterPlan) -> dict[str, str]:
    """Such digests for everything that any machine of a plan could need."""
    artifacts = {a.key(m.architecture) for m in plan.machines for a in machine_artifacts(plan, m)}
    images = {image.key(m.architecture) for image in IMAGES.values() for m in plan.machines}
    return {key: digest_of(key) for key in sorted(artifacts | images)}


def with_digests(plan: ClusterPlan) -> ClusterPlan:
    """The plan with a mirror, images from it, and a digest for everything."""
    filled = replace(plan.artifacts, mirror=MIRROR, digests=all_digests(plan), preload_images=True)
    result = replace(plan, artifacts=filled)
    assert any(machine_images(result, machine) for machine in result.machines)
    return result


def published(plan: ClusterPlan) -> ClusterPlan:
    """The plan with a digest for everything and no mirror, as where publishers can be reached."""
    return replace(plan, artifacts=replace(plan.artifacts, digests=all_digests(plan)))
