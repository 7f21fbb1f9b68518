"""Images: well-formed archives with upstream's way of starting. That they run is proven by the e2e run."""

import hashlib
import io
import json
import tarfile
from pathlib import Path
from typing import Any

import pytest

from config import versions
from lab import dockerfile, images, mirror, paths, publishers
from lab.errors import LabError


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Give each test a cache of its own and programs that need no compiler."""

    def program(name: str, version: str, folder: Path) -> Path:
        (folder / name).write_bytes(f"program {name} {version}".encode())
        return folder / name

    busybox = tmp_path / "busybox"
    busybox.write_text("#!/bin/sh\necho sh; echo wget; echo busybox\n")
    busybox.chmod(0o755)
    monkeypatch.setattr(paths, "CACHE", tmp_path)
    monkeypatch.setattr(paths, "MIRROR", tmp_path / "mirror")
    monkeypatch.setattr(paths, "WORK", tmp_path / "work")
    monkeypatch.setattr(publishers, "_answers", {})
    monkeypatch.setattr(images, "_program", program)
    monkeypatch.setattr(images, "_static_busybox", lambda: busybox)


def contents(name: str) -> tuple[list[dict[str, Any]], dict[str, Any], tarfile.TarFile, bytes]:
    """Make an image; give its manifest, its configuration, its layer opened and as bytes."""
    images.ensure([name])
    with tarfile.open(images.order(name).path()) as archive:

        def read(member: str) -> bytes:
            stream = archive.extractfile(member)
            assert stream is not None
            return stream.read()

        manifest = json.loads(read("manifest.json"))
        config = json.loads(read(manifest[0]["Config"]))
        layer = read(manifest[0]["Layers"][0])
    return manifest, config, tarfile.open(fileobj=io.BytesIO(layer)), layer


@pytest.mark.parametrize("name", sorted(images.RECIPES))
def test_an_image_has_its_reference_and_the_digest_of_its_layer(name: str) -> None:
    manifest, config, _, layer = contents(name)
    assert [entry["RepoTags"] for entry in manifest] == [[versions.IMAGES[name].reference]]
    assert config["rootfs"]["diff_ids"] == [f"sha256:{hashlib.sha256(layer).hexdigest()}"]
    assert (config["os"], config["architecture"]) == ("linux", paths.architecture())


@pytest.mark.parametrize("name", sorted(images.RECIPES))
def test_an_image_is_the_same_whenever_it_is_made(name: str) -> None:
    first = images.ensure([name])
    images.order(name).path().unlink()
    second = images.ensure([name])
    assert [entry.sha256 for entry in first.values()] == [entry.sha256 for entry in second.values()]


@pytest.mark.parametrize(
    ("name", "start"),
    [
        ("pause", {"Entrypoint": ["/pause"], "User": "65535:65535"}),
        ("coredns", {"Entrypoint": ["/coredns"], "User": "65532:65532"}),
        ("local-path-provisioner", {"Cmd": ["local-path-provisioner"]}),
        ("busybox", {"Cmd": ["sh"]}),
        ("agnhost", {"Entrypoint": ["/agnhost"], "Cmd": ["pause"]}),
    ],
)
def test_an_image_starts_as_upstreams_does(name: str, start: dict[str, Any]) -> None:
    _, config, _, _ = contents(name)
    common = {"Env": [dockerfile.SEARCH_PATH], "WorkingDir": "/"}
    assert config["config"] == common | start


def test_the_program_lies_where_its_entrypoint_looks_and_is_executable() -> None:
    for name, recipe in images.RECIPES.items():
        if recipe.program:
            _, _, layer, _ = contents(name)
            assert layer.getmember(recipe.place).mode == 0o755, name


def test_busybox_has_a_link_for_each_applet_but_itself() -> None:
    _, _, layer, _ = contents("busybox")
    links = {member.name: member.linkname for member in layer if member.issym()}
    assert links == {"bin/sh": "busybox", "bin/wget": "busybox"}


def test_an_image_with_no_shell_has_none() -> None:
    for name in ("pause", "coredns", "local-path-provisioner"):
        _, _, layer, _ = contents(name)
        assert not [member.name for member in layer if member.name.endswith(("/sh", "/busybox"))]


def test_every_image_of_the_catalogue_can_be_made() -> None:
    assert set(versions.IMAGES) == set(images.RECIPES)


def test_an_unknown_image_is_refused_with_the_known_ones() -> None:
    with pytest.raises(LabError, match="image nginx: not known; the lab makes agnhost, busybox, coredns"):
        images.ensure(["nginx"])


def test_images_stand_in_the_same_lock_as_artifacts() -> None:
    images.ensure(["pause"])
    key = versions.IMAGES["pause"].key(paths.architecture())
    assert mirror.read_lock()[key].file == "pause.tar"
