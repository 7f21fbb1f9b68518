"""The shipped scripts, run: with the machine's folders and programs stood in for."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from components.render import ROOTFS

CNI = ROOTFS / "flannel/usr/local/lib/hardway/write-cni-config"
IMAGES = ROOTFS / "node/usr/local/lib/hardway/import-images"


def moved(script: Path, tmp_path: Path, **replacements: str) -> Path:
    """A copy of a script with folders of the test's own."""
    text = script.read_text()
    for old, new in replacements.items():
        assert old in text
        text = text.replace(old, new)
    (tmp_path / "script").write_text(text)
    return tmp_path / "script"


def test_flannels_block_becomes_the_bridges_configuration(tmp_path: Path) -> None:
    script = moved(
        CNI, tmp_path, **{"/run/flannel": str(tmp_path), "/etc/cni/net.d": str(tmp_path / "net.d")}
    )
    (tmp_path / "subnet.env").write_text(
        "FLANNEL_NETWORK=172.20.0.0/16\nFLANNEL_SUBNET=172.20.3.1/24\nFLANNEL_MTU=1450\nFLANNEL_IPMASQ=true\n"
    )
    subprocess.run([sys.executable, "-I", str(script)], check=True, timeout=60)
    path = tmp_path / "net.d/10-flannel.conflist"
    config = json.loads(path.read_text())
    assert path.stat().st_mode & 0o777 == 0o600
    assert [plugin["type"] for plugin in config["plugins"]] == ["bridge", "portmap"]
    bridge = config["plugins"][0]
    assert bridge["mtu"] == 1450
    assert bridge["isGateway"] is True
    # flanneld masquerades already, and knows which traffic stays inside.
    assert bridge["ipMasq"] is False
    assert bridge["ipam"]["ranges"] == [[{"subnet": "172.20.3.0/24"}]]
    assert os.listdir(tmp_path / "net.d") == ["10-flannel.conflist"]


def test_a_flannel_that_tells_nothing_in_time_is_named(tmp_path: Path) -> None:
    script = moved(
        CNI, tmp_path, **{"/run/flannel": str(tmp_path), "wait_for_subnet(30)": "wait_for_subnet(0)"}
    )
    done = subprocess.run(
        [sys.executable, "-I", str(script)], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 1
    assert done.stderr == f"flanneld wrote no {tmp_path}/subnet.env within 0 s\n"


@pytest.mark.parametrize("images", [[], ["pause", "coredns"]])
def test_every_staged_image_is_imported_and_pinned(tmp_path: Path, images: list[str]) -> None:
    (tmp_path / "bin").mkdir()
    ctr = tmp_path / "bin/ctr"
    ctr.write_text(f'#!/bin/sh\necho "$@" >> {tmp_path}/calls\n')
    ctr.chmod(0o755)
    for image in images:
        folder = tmp_path / f"image-{image}/1.0"
        folder.mkdir(parents=True)
        (folder / "image.tar").write_text("archive")
        (folder / "reference").write_text(f"registry.example/{image}:v1.0")
    (tmp_path / "image-half/1.0.new").mkdir(parents=True)
    script = moved(IMAGES, tmp_path, **{"/opt/hardway": str(tmp_path)})
    subprocess.run(["sh", str(script)], check=True, timeout=60)
    calls = (tmp_path / "calls").read_text().splitlines() if images else []
    assert calls == [
        line
        for image in sorted(images)
        for line in (
            f"--namespace k8s.io images import --local {tmp_path}/image-{image}/1.0/image.tar",
            f"--namespace k8s.io images label registry.example/{image}:v1.0 io.cri-containerd.pinned=pinned",
        )
    ]
    assert (tmp_path / "calls").exists() == bool(images)
