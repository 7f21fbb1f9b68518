"""`make lock`: ask publishers for the digests that config/versions.py does not have, and commit the answer.

A digest comes from the publisher's own list, beside the file. Without such a list the file is fetched once and its
digest is noted as of now: from then on a change is refused. `--mirror` prints this computer's own digests instead,
for `artifacts.digests` of a stack that is served by the lab's file server.
"""

import json
import tempfile
from collections.abc import Mapping
from pathlib import Path

import yaml

from config.stack_file import KEY
from config.versions import (
    ARCHITECTURES,
    ARTIFACTS,
    CLOUD_ARTIFACTS,
    IMAGES,
    KUBERNETES_BINARIES,
    KUBERNETES_DEFAULT,
    KUBERNETES_SUPPORTED,
    LOCK,
    LOCK_FILE,
    NETWORK_POLICIES_ARTIFACTS,
    Artifact,
    kubernetes_artifact,
    pinned,
)
from lab import mirror, paths, progress, publishers
from lab.errors import LabError


def lock() -> None:
    """Complete the committed lock.

    Raises:
        LabError: publishers did not answer for some; what was learned is kept.
    """
    learned, missing = dict(LOCK), []
    for artifact in _all():
        for arch in ARCHITECTURES:
            if artifact.digest(arch):
                continue
            found = _ask(artifact, arch)
            if found:
                learned[artifact.key(arch)] = found
            else:
                missing.append(artifact.key(arch))
    mirror.write_atomically(LOCK_FILE, json.dumps(learned, indent=1, sort_keys=True) + "\n")
    if missing:
        raise LabError(
            f"no publisher answered for {', '.join(missing)}; run it again where the internet can be reached, or serve "
            "them from a mirror and enter their digests in artifacts.digests ('make lock ARGS=--mirror' prints this "
            "computer's own)"
        )
    progress.note(f"{LOCK_FILE.name} has every digest; commit it")


def print_mirror() -> None:
    """Print `artifacts.digests` for what the lab has built or fetched, to be pasted into a stack file."""
    known = {
        *(f"{name}/" for name in (*KUBERNETES_BINARIES, *ARTIFACTS, *CLOUD_ARTIFACTS)),
        *(f"image-{name}/" for name in IMAGES),
    }
    entries = {
        key: entry.sha256 for key, entry in mirror.read_lock().items() if key.split("/")[0] + "/" in known
    }
    print(yaml.safe_dump({"digests": entries}, sort_keys=True), end="")


def _all() -> list[Artifact]:
    """What Hardway knows by itself, and the other versions that stack files beside it ask for."""
    asked = _asked_for()
    releases = dict.fromkeys([*KUBERNETES_SUPPORTED, *(release for release, _ in asked)])
    kubernetes = [kubernetes_artifact(name, version) for version in releases for name in KUBERNETES_BINARIES]
    # What has no published file can't be asked for: it is served by a mirror, or runs from an image.
    names = [name for name in ARTIFACTS if name not in NETWORK_POLICIES_ARTIFACTS]
    others = {
        one.key("any"): one for pins in ({}, *(pins for _, pins in asked)) for one in _pinned(names, pins)
    }
    return [*kubernetes, *others.values(), *CLOUD_ARTIFACTS.values()]


def _pinned(names: list[str], pins: Mapping[str, str]) -> list[Artifact]:
    return [pinned(name, pins) for name in names]


def _asked_for() -> list[tuple[str, dict[str, str]]]:
    """Kubernetes release and further versions of each stack file whose settings can be read."""
    asked = []
    for path in sorted(paths.PROJECT.glob("Pulumi.*.yaml")):
        # Their missing digests are among the mistakes of these settings, so only their form is looked at.
        cluster = ((yaml.safe_load(path.read_text()) or {}).get("config") or {}).get(KEY) or {}
        release = (cluster.get("kubernetes") or {}).get("version", KUBERNETES_DEFAULT)
        asked.append((str(release), dict((cluster.get("artifacts") or {}).get("versions") or {})))
    return asked


def _ask(artifact: Artifact, arch: str) -> str:
    url = artifact.address(arch)
    if not publishers.reachable(url):
        return ""
    told = publishers.published_digest(f"{url}.sha256", url.rsplit("/", 1)[1])
    if told:
        return told
    with (
        tempfile.TemporaryDirectory() as folder,
        progress.step(f"{artifact.key(arch)}, for its digest") as step,
    ):
        return publishers.download(url, Path(folder) / "file", step)
