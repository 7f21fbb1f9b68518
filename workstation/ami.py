"""`make ami`: look up the newest Ubuntu LTS images and pin their ids in the stack file.

It is the only place that looks an image up. Planning and running never do: they take the ids that stand in the
file, so a newer image makes no machine anew by itself.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass
from pathlib import Path

from lab import mirror, paths
from lab.errors import LabError
from workstation import aws_cli, stack_text

CANONICAL = "099720109477"
"""Canonical's account (documentation.ubuntu.com/aws, "Find Ubuntu images on AWS")."""
RELEASES = {"26.04": "resolute", "24.04": "noble"}
"""LTS releases that the agent supports (components/agent/machine_facts.py: 24.04 or later), newest first."""
ARCHITECTURES = {"amd64": "x86_64", "arm64": "arm64"}
"""EC2's word for each architecture."""


@dataclass(frozen=True)
class Image:
    """A machine image: its id, its name, and when it was made (ISO 8601)."""

    id: str
    name: str
    created: str


def newest(release: str, architecture: str, region: str) -> Image:
    """Ask AWS for the newest server image of an Ubuntu LTS.

    Args:
        release: such as `26.04`.
        architecture: `amd64` or `arm64`.
        region: such as `eu-central-1`.

    Raises:
        LabError: the AWS CLI does not answer, or there is no such image.
    """
    name = f"ubuntu/images/hvm-ssd-gp3/ubuntu-{RELEASES[release]}-{release}-{architecture}-server-*"
    filters = {
        "name": name,
        "architecture": ARCHITECTURES[architecture],
        "virtualization-type": "hvm",
        "root-device-type": "ebs",
        "state": "available",
    }
    words = [f"Name={key},Values={value}" for key, value in filters.items()]
    answer = aws_cli.call("ec2", "describe-images", "--owners", CANONICAL, "--filters", *words, region=region)
    images = [Image(one["ImageId"], one["Name"], one["CreationDate"]) for one in answer.get("Images", [])]
    if not images:
        raise LabError(
            f"region {region}: Canonical has no image {name} there; check aws:region, choose another --release "
            f"({', '.join(RELEASES)}), or write ids of your own to platform.images"
        )
    return max(images, key=lambda image: (image.created, image.name))


def pin(file: Path, release: str) -> tuple[list[str], bool]:
    """Write the newest images' ids into a stack file.

    Returns:
        A line for each architecture, and whether the file is another one now.

    Raises:
        LabError: no such file, not a stack on `aws`, or no image.
    """
    text = _stack_of_aws(file)
    region = stack_text.region(text)
    images = {architecture: newest(release, architecture, region) for architecture in ARCHITECTURES}
    told = [_told(text, architecture, image) for architecture, image in images.items()]
    changed = stack_text.with_images(
        text, file.name, {architecture: image.id for architecture, image in images.items()}
    )
    if changed != text:
        mirror.write_atomically(file, changed)
    return told, changed != text


def _stack_of_aws(file: Path) -> str:
    try:
        text = file.read_text()
    except FileNotFoundError:
        raise LabError(f"{file.name}: no such file; name another STACK=") from None
    kind = stack_text.platform_kind(text)
    if kind != "aws":
        raise LabError(
            f"{file.name}: platform.kind is {kind or 'missing'}; only platform aws has images to look up"
        )
    if not stack_text.region(text):
        raise LabError(
            f"{file.name}: config.aws:region is missing; images differ from region to region, write for example "
            "'aws:region: eu-central-1' below 'config:'"
        )
    return text


def _told(text: str, architecture: str, image: Image) -> str:
    old = stack_text.value(text, *stack_text.PLATFORM, "images", architecture)
    change = f"{image.id} is the newest" if old == image.id else f"{old or 'none'} -> {image.id}"
    return f"{architecture}  {change}  {image.name}  {image.created[:10]}"


def main(arguments: list[str]) -> int:
    """Run `python3 -m workstation.ami`; gives the exit status."""
    parser = argparse.ArgumentParser(prog="python3 -m workstation.ami", description=__doc__)
    parser.add_argument("--stack", default="dev")
    parser.add_argument("--release", choices=RELEASES, default=next(iter(RELEASES)), help="of Ubuntu LTS")
    chosen = parser.parse_args(arguments)
    file = paths.PROJECT / f"Pulumi.{chosen.stack}.yaml"
    try:
        told, changed = pin(file, chosen.release)
    except LabError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(f"{file.name}: Ubuntu {chosen.release} LTS")
    print("\n".join(f"  {line}" for line in told))
    if changed:
        print(
            "New machines get these images; machines that stand keep theirs until they are named in `replace`."
        )
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
