"""The example's images: layers, start and import. That they run is shown by the demo on real machines."""

import hashlib
import json
import os
import subprocess
import tarfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from lab import (
    debian_layers,
    dockerfile,
    example_images,
    example_trees,
    fileserver,
    image_import,
    layers,
    mirror,
    network,
    paths,
    publishers,
    stack,
)
from lab.errors import LabError
from lab.example_trees import EXAMPLE


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A system as debootstrap might leave it."""
    folder = tmp_path / "tree"
    for name in (
        "dev",
        "etc",
        "proc",
        "run",
        "usr/bin",
        "usr/share/doc/sh",
        "var/cache/apt/archives",
        "var/log",
    ):
        (folder / name).mkdir(parents=True)
    (folder / "usr/bin/sh").write_text("shell")
    (folder / "usr/bin/sh").chmod(0o755)
    (folder / "bin").symlink_to("usr/bin")
    (folder / "etc/hostname").write_text("a computer of somebody")
    (folder / "usr/share/doc/sh/copyright").write_text("long")
    (folder / "var/cache/apt/archives/sh.deb").write_text("big")
    (folder / "var/log/dpkg.log").write_text("talk")
    return folder


def members(layer: Path) -> dict[str, tarfile.TarInfo]:
    with tarfile.open(layer) as archive:
        return {member.name: member for member in archive}


def test_a_layer_is_the_same_whenever_it_is_packed(tree: Path, tmp_path: Path) -> None:
    layers.pack(tree, tmp_path / "first.tar")
    for path in sorted(tree.rglob("*")):
        os.utime(path, (1e9, 1e9), follow_symlinks=False)
    layers.pack(tree, tmp_path / "second.tar")
    assert (tmp_path / "first.tar").read_bytes() == (tmp_path / "second.tar").read_bytes()
    assert {member.mtime for member in members(tmp_path / "first.tar").values()} == {0}


def test_an_upper_layer_holds_only_what_is_new_or_changed(tree: Path, tmp_path: Path) -> None:
    layers.pack(tree, tmp_path / "base.tar")
    (tree / "etc/new").write_text("new")
    (tree / "etc/hostname").chmod(0o600)
    (tree / "usr/bin/sh").write_text("other")
    layers.pack(tree, tmp_path / "upper.tar", [tmp_path / "base.tar"])
    assert sorted(members(tmp_path / "upper.tar")) == ["etc/hostname", "etc/new", "usr/bin/sh"]


def test_layers_unpacked_are_the_tree_again(tree: Path, tmp_path: Path) -> None:
    layers.pack(tree, tmp_path / "base.tar")
    (tree / "usr/bin/sh").write_text("other")
    os.link(tree / "usr/bin/sh", tree / "usr/bin/same")
    (tree / "usr/bin/again").symlink_to("sh")
    layers.pack(tree, tmp_path / "upper.tar", [tmp_path / "base.tar"])
    layers.unpack([tmp_path / "base.tar", tmp_path / "upper.tar"], tmp_path / "again")
    layers.pack(tree, tmp_path / "whole.tar")
    layers.pack(tmp_path / "again", tmp_path / "whole-again.tar")
    assert (tmp_path / "whole.tar").read_bytes() == (tmp_path / "whole-again.tar").read_bytes()


def test_a_second_name_of_a_file_costs_nothing(tree: Path, tmp_path: Path) -> None:
    os.link(tree / "usr/bin/sh", tree / "usr/bin/same")
    layers.pack(tree, tmp_path / "layer.tar")
    packed = members(tmp_path / "layer.tar")
    assert (packed["usr/bin/sh"].islnk(), packed["usr/bin/sh"].linkname) == (True, "usr/bin/same")
    assert packed["usr/bin/same"].size == len("shell")


def test_a_file_that_a_lower_layer_has_cannot_be_taken_away(tree: Path, tmp_path: Path) -> None:
    layers.pack(tree, tmp_path / "base.tar")
    (tree / "usr/bin/sh").unlink()
    with pytest.raises(LabError, match="usr/bin/sh is gone, which a lower layer has"):
        layers.pack(tree, tmp_path / "upper.tar", [tmp_path / "base.tar"])


def test_the_runtimes_own_folders_are_packed_empty(tree: Path, tmp_path: Path) -> None:
    (tree / "dev/full").write_text("no device")
    (tree / "proc/1").mkdir()
    os.mkfifo(tree / "etc/pipe")
    layers.pack(tree, tmp_path / "layer.tar")
    packed = members(tmp_path / "layer.tar")
    assert {"dev", "proc"} <= set(packed)
    assert {"dev/full", "proc/1", "etc/pipe"} & set(packed) == set()


def test_documentation_caches_logs_and_this_computers_name_are_cleaned_away(tree: Path) -> None:
    debian_layers.clean(tree)
    left = sorted(str(path.relative_to(tree)) for path in tree.rglob("*") if not path.is_dir())
    assert left == ["usr/bin/sh"]
    assert (tree / "var/cache/apt").is_dir()


def start(text: str, tmp_path: Path) -> dict[str, object]:
    (tmp_path / "Dockerfile").write_text(text)
    return dockerfile.start(tmp_path / "Dockerfile")


def test_only_the_last_stage_of_a_dockerfile_counts(tmp_path: Path) -> None:
    text = """# first
FROM debian AS early
USER 1:1
FROM debian
ENV A=1 \\
    # why
    B="two words"
WORKDIR /srv
USER 7:8
EXPOSE 80
ENTRYPOINT ["/bin/a", "b c"]
CMD ["d"]
"""
    assert start(text, tmp_path) == {
        "Env": [dockerfile.SEARCH_PATH, "A=1", "B=two words"],
        "WorkingDir": "/srv",
        "User": "7:8",
        "ExposedPorts": {"80/tcp": {}},
        "Entrypoint": ["/bin/a", "b c"],
        "Cmd": ["d"],
    }


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("FROM debian\nVOLUME /data\n", "VOLUME is not known to the lab's own builder"),
        ("FROM debian\nCMD gunicorn app\n", "CMD gunicorn app: write it as a list"),
        ("RUN true\n", "no FROM; is it a Dockerfile"),
    ],
)
def test_a_dockerfile_that_would_start_otherwise_is_refused(text: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(LabError, match=message):
        start(text, tmp_path)


def test_the_images_start_as_their_dockerfiles_say() -> None:
    web = dockerfile.start(EXAMPLE / "web" / "Dockerfile")
    assert (web["User"], web["ExposedPorts"]) == ("10001:10001", {"8080/tcp": {}})
    assert web["WorkingDir"] == "/opt/tooling/app"
    database = dockerfile.start(EXAMPLE / "database" / "Dockerfile")
    assert (database["User"], database["ExposedPorts"]) == ("10002:10002", {"3306/tcp": {}})
    assert database["Entrypoint"] == ["/usr/local/bin/entrypoint.sh"]


@pytest.mark.parametrize("name", sorted(example_images.RECIPES))
def test_the_debian_packages_are_those_of_the_dockerfile(name: str) -> None:
    recipe = example_images.RECIPES[name]
    last_stage = (EXAMPLE / recipe.folder / "Dockerfile").read_text().rpartition("FROM ")[2]
    words = last_stage.partition("--no-install-recommends ")[2].partition("&&")[0].replace("\\", " ").split()
    assert tuple(words) == recipe.packages.packages


@pytest.mark.parametrize(
    ("folder", "place"),
    [
        ("web", "/opt/tooling/app/tooling"),
        ("web", "/opt/tooling/packages"),
        ("database", "/etc/mysql/tooling.cnf"),
        ("database", "/usr/local/bin/entrypoint.sh"),
    ],
)
def test_files_lie_where_the_dockerfile_copies_them(folder: str, place: str) -> None:
    assert place in (EXAMPLE / folder / "Dockerfile").read_text()


def test_the_databases_entrypoint_is_executable_in_its_tree(tmp_path: Path) -> None:
    for name in ("etc/mysql", "usr/local/bin"):
        (tmp_path / name).mkdir(parents=True)
    example_trees.fill_database(tmp_path)
    assert (tmp_path / "usr/local/bin/entrypoint.sh").stat().st_mode & 0o777 == 0o755
    assert (tmp_path / "etc/mysql/tooling.cnf").stat().st_mode & 0o777 == 0o644


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of its own, and Debian layers that need no mirror."""
    base = tmp_path / "base.tar"
    (tmp_path / "system/etc").mkdir(parents=True)
    layers.pack(tmp_path / "system", base)
    for name, folder in (("CACHE", "cache"), ("MIRROR", "cache/mirror"), ("WORK", "cache/work")):
        monkeypatch.setattr(paths, name, tmp_path / folder)
    monkeypatch.setattr(publishers, "_answers", {})
    monkeypatch.setattr(debian_layers, "ensure", lambda packages: (base,))
    monkeypatch.setattr(example_images, "RECIPES", fake_recipes())
    return tmp_path


def fake_recipes() -> dict[str, example_images.Recipe]:
    def fill(tree: Path) -> None:
        (tree / "etc/filled").write_text("filled")

    return {
        name: example_images.Recipe(recipe.folder, recipe.packages, fill)
        for name, recipe in example_images.RECIPES.items()
    }


def archive_of(name: str) -> tuple[dict[str, Any], dict[str, Any], list[bytes]]:
    """Make an image; give its manifest, its configuration and its layers."""
    example_images.ensure([name])
    with tarfile.open(example_images.order(name).path()) as archive:

        def read(member: str) -> bytes:
            stream = archive.extractfile(member)
            assert stream is not None
            return stream.read()

        (manifest,) = json.loads(read("manifest.json"))
        return manifest, json.loads(read(manifest["Config"])), [read(layer) for layer in manifest["Layers"]]


@pytest.mark.parametrize("name", ["tooling-web", "tooling-database"])
def test_an_image_has_its_reference_and_the_digests_of_its_layers(cache: Path, name: str) -> None:
    manifest, config, contents = archive_of(name)
    assert manifest["RepoTags"] == [f"registry.example.com/{name}:1.0.0"]
    assert config["rootfs"]["diff_ids"] == [f"sha256:{hashlib.sha256(each).hexdigest()}" for each in contents]
    assert contents[0] == (cache / "base.tar").read_bytes()
    assert len(contents) == len(config["history"]) == 2


def test_an_image_is_made_anew_when_and_only_when_its_sources_change(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    example = cache / "example"
    for folder in ("web", "database"):
        (example / folder).mkdir(parents=True)
        (example / folder / "Dockerfile").write_text('FROM debian\nUSER 1:1\nCMD ["one"]\n')
    monkeypatch.setattr(example_images, "EXAMPLE", example)
    before = {name: example_images.order(name).recipe for name in example_images.RECIPES}
    assert before == {name: example_images.order(name).recipe for name in example_images.RECIPES}
    (example / "web/__pycache__").mkdir()
    (example / "web/__pycache__/app.pyc").write_text("bytecode")
    assert example_images.order("tooling-web").recipe == before["tooling-web"]
    (example / "web/app.py").write_text("changed")
    assert example_images.order("tooling-web").recipe != before["tooling-web"]
    assert example_images.order("tooling-database").recipe == before["tooling-database"]


def test_an_unknown_image_is_refused_with_the_known_ones() -> None:
    with pytest.raises(
        LabError, match="image php: not one of the example's, which are tooling-web, tooling-database"
    ):
        example_images.order("php")


def test_a_machine_is_told_to_check_what_it_fetches_and_to_pin_it(cache: Path) -> None:
    example_images.ensure(["tooling-web"])
    path = example_images.order("tooling-web").path()
    reference = "registry.example.com/tooling-web:1.0.0"
    text = image_import.script(image_import.Archive(reference, path), "http://172.31.0.1:8473")
    address = f"http://172.31.0.1:8473/image-tooling-web/1.0.0/{paths.architecture()}/tooling-web.tar"
    assert f'--output "$archive" {address}\n' in text
    assert f'echo {mirror.file_digest(path)} "$archive" | sha256sum --check --quiet\n' in text
    assert f"$ctr images label {reference} io.cri-containerd.pinned=pinned" in text
    assert f'if [ "$have" = {image_import.image_id(path)} ]; then echo present; exit 0; fi\n' in text
    assert "--template '{{.status.id}}'" in text
    subprocess.run(["sh", "-n"], input=text, text=True, check=True)


def test_an_images_name_is_the_digest_of_its_configuration(cache: Path) -> None:
    manifest, _, _ = archive_of("tooling-web")
    path = example_images.order("tooling-web").path()
    assert image_import.image_id(path) == f"sha256:{manifest['Config'].removesuffix('.json')}"


def test_what_is_no_archive_is_named(tmp_path: Path) -> None:
    (tmp_path / "broken.tar").write_text("half")
    with pytest.raises(LabError, match=r"broken\.tar: not an image's archive"):
        image_import.image_id(tmp_path / "broken.tar")


@pytest.fixture
def lab(cache: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, list[str]]:
    """A lab whose machines answer from a table; gives what each was told to run."""
    told: dict[str, list[str]] = {}
    spec = network.parse_spec('{"address": "172.31.0.1", "cidr": "172.31.0.0/16"}')
    monkeypatch.setattr(network, "saved_spec", lambda: spec)
    monkeypatch.setattr(fileserver, "start", lambda address, port: None)
    monkeypatch.setattr(stack.Stack, "is_lab", property(lambda self: True))
    monkeypatch.setattr(stack, "ssh_command", lambda chosen, name, command: ["ssh", name, command])

    def answer(command: Sequence[str], **options: Any) -> subprocess.CompletedProcess[str]:
        machine = command[1]
        told.setdefault(machine, []).append(str(options["input"]))
        outcomes = {"worker-0": (0, "imported\n", ""), "worker-1": (0, "present\n", "")}
        status, output, error = outcomes.get(machine, (1, "", "no space left on device"))
        return subprocess.CompletedProcess(list(command), status, output, error)

    monkeypatch.setattr(subprocess, "run", answer)
    return told


def test_every_machine_gets_both_images_and_those_that_had_them_are_not_told(
    lab: dict[str, list[str]],
) -> None:
    took = example_images.import_into(stack.Stack("lab"), ["worker-0", "worker-1"])
    assert took == [
        "worker-0: registry.example.com/tooling-web:1.0.0 imported",
        "worker-0: registry.example.com/tooling-database:1.0.0 imported",
    ]
    assert {machine: len(scripts) for machine, scripts in lab.items()} == {"worker-0": 2, "worker-1": 2}


def test_a_machine_that_fails_is_named_with_its_words(lab: dict[str, list[str]]) -> None:
    with pytest.raises(LabError, match="worker-2: an image was not imported: no space left on device"):
        example_images.import_into(stack.Stack("lab"), ["worker-2"])


def test_images_are_imported_on_a_lab_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stack.Stack, "is_lab", property(lambda self: False))
    with pytest.raises(LabError, match="elsewhere push them to a registry"):
        image_import.import_all(stack.Stack("prod"), ["worker-0"], [])
