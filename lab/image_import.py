"""Gets image archives from the mirror into the containerd of the lab's machines, for images no manifest of ours names.

Images of the cluster itself are staged and imported by the machines' own unit; no registry is involved here either.
"""

import json
import shlex
import subprocess
import tarfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from lab import fileserver, mirror, network, paths, progress, stack
from lab.errors import LabError

SECONDS = 600.0
IMPORTED, PRESENT = "imported", "present"

_SCRIPT = """\
set -eu
have=$(/opt/hardway/bin/crictl --runtime-endpoint unix:///run/containerd/containerd.sock \
    inspecti --output go-template --template '{{{{.status.id}}}}' {reference} 2>/dev/null || true)
if [ "$have" = {image_id} ]; then echo present; exit 0; fi
archive=$(mktemp -p /var/tmp)
trap 'rm -f "$archive"' EXIT
curl --fail --silent --show-error --noproxy '*' --output "$archive" {url}
echo {sha256} "$archive" | sha256sum --check --quiet
ctr='/opt/hardway/bin/ctr --namespace k8s.io'
$ctr images import --local "$archive" >/dev/null
$ctr images label {reference} io.cri-containerd.pinned=pinned >/dev/null
echo imported
"""
"""Pinned, so that the kubelet's garbage collection leaves alone what no registry could give back."""


@dataclass(frozen=True)
class Archive:
    """A docker-archive of the mirror, and the reference that it holds."""

    reference: str
    path: Path


def image_id(archive: Path) -> str:
    """Return what the container runtime calls an archive's image: the digest of its configuration.

    Raises:
        LabError: when it is no docker-archive.
    """
    try:
        with tarfile.open(archive) as opened:
            stream = opened.extractfile("manifest.json")
            manifest = json.load(stream) if stream else []
        return f"sha256:{str(manifest[0]['Config']).removesuffix('.json')}"
    except (tarfile.TarError, ValueError, LookupError) as error:
        raise LabError(
            f"{archive}: not an image's archive ({error}); delete it and build it again"
        ) from error


def import_all(chosen: stack.Stack, machines: Sequence[str], archives: Sequence[Archive]) -> list[str]:
    """Import archives on machines, all machines at once; a machine that has the very image is left alone.

    Returns:
        A line for each image that a machine took.

    Raises:
        LabError: when the stack is no lab or not up, or with the machine and its words when one fails.
    """
    spec = network.saved_spec()
    if not chosen.is_lab or spec is None:
        raise LabError(
            f"stack {chosen.name}: images are imported on a lab that is up only; "
            "elsewhere push them to a registry and name it by `kustomize edit set image`"
        )
    fileserver.start(str(spec.address), stack.FILE_SERVER_PORT)
    scripts = {one: script(one, f"http://{spec.address}:{stack.FILE_SERVER_PORT}") for one in archives}

    def import_on(machine: str) -> list[str]:
        return [
            f"{machine}: {one.reference} imported"
            for one, text in scripts.items()
            if _run(chosen, machine, text) == IMPORTED
        ]

    with progress.step(f"images on {', '.join(machines)}"), ThreadPoolExecutor(len(machines) or 1) as pool:
        return [line for lines in pool.map(import_on, machines) for line in lines]


def script(archive: Archive, address: str) -> str:
    """Return what a machine runs to have an image, told where the mirror answers: `http://172.31.0.1:8473`."""
    return _SCRIPT.format(
        reference=shlex.quote(archive.reference),
        image_id=image_id(archive.path),
        url=shlex.quote(f"{address}/{archive.path.relative_to(paths.MIRROR)}"),
        sha256=mirror.file_digest(archive.path),
    )


def _run(chosen: stack.Stack, machine: str, text: str) -> str:
    """Run a script as root on a machine; return the last word of its output."""
    command = stack.ssh_command(chosen, machine, "sudo -n sh -s")
    try:
        done = subprocess.run(
            command, input=text, capture_output=True, text=True, timeout=SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        raise LabError(
            f"{machine}: an image was not imported within {SECONDS:.0f} s; is its disk full?"
        ) from None
    if done.returncode or done.stdout.split()[-1:] not in ([IMPORTED], [PRESENT]):
        said = done.stderr.strip() or f"exit status {done.returncode}"
        raise LabError(
            f"{machine}: an image was not imported: {said}; `make ssh NODE={machine}` looks around there"
        )
    return done.stdout.split()[-1]
