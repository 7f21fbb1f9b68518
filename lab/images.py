"""Container images, made without a registry: one static program, a configuration like upstream's, one layer.

The result is an archive that `ctr -n k8s.io images import` takes. Built always, since a registry hands out
layers and no archives; a machine that reaches a registry may pull the same reference instead.
"""

import argparse
import hashlib
import io
import json
import subprocess
import sys
import tarfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from config import versions
from lab import archives, artifacts, builds, go, layers, mirror, paths, scratch
from lab.dockerfile import SEARCH_PATH
from lab.errors import LabError

CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")
ACCOUNTS = "root:x:0:0:root:/root:/sbin/nologin\nnonroot:x:65532:65532:nonroot:/home/nonroot:/sbin/nologin\n"
GROUPS = "root:x:0:\nnonroot:x:65532:\n"
# Without it a static C library looks for name services that are not in the image.
NAME_SERVICES = "hosts: files dns\n"


@dataclass(frozen=True)
class ImageRecipe:
    """What is in an image and how it starts.

    Attributes:
        program: the recipe of its program in `lab.builds`; "" for none, `pause` for the C program.
        place: where the program lies in the image.
        entrypoint: as upstream's, so that manifests written for upstream's image fit.
        command: default arguments, as upstream's.
        user: `uid:gid`, numeric so that the kubelet can judge `runAsNonRoot`; "" for root.
        busybox: whether Debian's busybox and its applets are there for scripts.
        certificates: whether the public certificate authorities are there.
        folders: empty folders that the program writes into.
    """

    program: str = ""
    place: str = ""
    entrypoint: tuple[str, ...] = ()
    command: tuple[str, ...] = ()
    user: str = ""
    busybox: bool = False
    certificates: bool = False
    folders: tuple[str, ...] = ()


RECIPES: dict[str, ImageRecipe] = {
    "pause": ImageRecipe("pause", "pause", entrypoint=("/pause",), user="65535:65535"),
    "coredns": ImageRecipe(
        "coredns", "coredns", entrypoint=("/coredns",), user="65532:65532", certificates=True
    ),
    "local-path-provisioner": ImageRecipe(
        "local-path-provisioner", "usr/bin/local-path-provisioner", command=("local-path-provisioner",)
    ),
    "metrics-server": ImageRecipe(
        "metrics-server", "metrics-server", entrypoint=("/metrics-server",), user="65534:65534"
    ),
    "busybox": ImageRecipe(command=("sh",), busybox=True),
    "agnhost": ImageRecipe(
        "agnhost", "agnhost", ("/agnhost",), ("pause",), busybox=True, folders=("uploads",)
    ),
}


def ensure(wanted: Iterable[str], *, pins: Mapping[str, str] | None = None) -> dict[str, mirror.LockEntry]:
    """Have the named images in the mirror; return their lock entries by `image-<name>/<version>/<arch>`.

    Args:
        wanted: their names.
        pins: versions in place of the catalogue's, by name.

    Raises:
        LabError: when one can't be built.
    """
    return artifacts.fill([order(name, pins=pins) for name in wanted])


def order(name: str, *, pins: Mapping[str, str] | None = None) -> artifacts.Order:
    """Return the order for an image of the catalogue, for this computer's architecture.

    Args:
        name: its name in config/versions.py.
        pins: versions in place of the catalogue's, by name.

    Raises:
        LabError: when the catalogue has no such image, or nobody knows how to make it.
    """
    if name not in versions.IMAGES or name not in RECIPES:
        raise LabError(f"image {name}: not known; the lab makes {', '.join(sorted(RECIPES))}")
    image, recipe, arch = versions.pinned_image(name, pins or {}), RECIPES[name], paths.architecture()

    def build(target: Path) -> None:
        with scratch.folder(f"image-{name}") as folder:
            program = _program(recipe.program, image.version, folder) if recipe.program else None
            layer = _layer(recipe, program)
            (folder / "layer.tar").write_bytes(layer)
            config = json.dumps(_config(recipe, arch, layer), sort_keys=True).encode()
            layers.write_image(target, image.reference, config, [folder / "layer.tar"])

    return artifacts.Order(image.key(arch), image.file_name(), build, _recipe_digest(recipe))


def _recipe_digest(recipe: ImageRecipe) -> str:
    parts = [repr(recipe), versions.KUBERNETES_DEFAULT if recipe.program in ("pause", "agnhost") else ""]
    if recipe.program in builds.RECIPES:
        parts.append(builds.RECIPES[recipe.program].digest())
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]


def _program(name: str, version: str, folder: Path) -> Path:
    """Build an image's program. What comes with Kubernetes has image versions of its own."""
    if name == "pause":
        return _compile_pause(version, folder)
    sources = versions.KUBERNETES_DEFAULT if name == "agnhost" else version
    return builds.compile_programs(name, sources, folder) / name


def _compile_pause(version: str, folder: Path) -> Path:
    source, _ = go.download(builds.KUBERNETES, f"v{versions.KUBERNETES_DEFAULT}")
    target = folder / "pause"
    flags = ["-Os", "-Wall", "-Werror", "-static", "-s", f"-DVERSION=v{version}"]
    program = source / "build" / "pause" / "linux" / "pause.c"
    go.run(["gcc", *flags, "-o", str(target), str(program)], purpose="pause, compiled by gcc")
    return target


def _layer(recipe: ImageRecipe, program: Path | None) -> bytes:
    """Return the image's only layer, a tar."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.GNU_FORMAT) as layer:
        for folder in ("bin", "etc", "root", "usr", "usr/bin", *recipe.folders):
            archives.add_folder(layer, folder)
        archives.add_folder(layer, "tmp", 0o1777)
        files = {"etc/passwd": ACCOUNTS, "etc/group": GROUPS, "etc/nsswitch.conf": NAME_SERVICES}
        for name, text in files.items():
            archives.add_bytes(layer, name, text.encode())
        if recipe.certificates and CERTIFICATES.is_file():
            archives.add_bytes(layer, str(CERTIFICATES).lstrip("/"), CERTIFICATES.read_bytes())
        if recipe.busybox:
            _add_busybox(layer)
        if program:
            archives.add_bytes(layer, recipe.place, program.read_bytes(), 0o755)
    return buffer.getvalue()


def _add_busybox(layer: tarfile.TarFile) -> None:
    busybox = _static_busybox()
    archives.add_bytes(layer, "bin/busybox", busybox.read_bytes(), 0o755)
    listed = subprocess.run([busybox, "--list"], capture_output=True, text=True, check=True).stdout.split()
    for applet in sorted(set(listed) - {"busybox"}):
        archives.add_link(layer, f"bin/{applet}", "busybox")


def _static_busybox() -> Path:
    """Return Debian's static busybox.

    Raises:
        LabError: when the package busybox-static is not installed.
    """
    for path in (Path("/usr/bin/busybox"), Path("/bin/busybox")):
        if path.is_file() and b"/lib64/ld-linux" not in path.read_bytes():
            return path
    raise LabError("busybox: no static one on this computer; `apt-get install busybox-static` brings it")


def _config(recipe: ImageRecipe, arch: str, layer: bytes) -> dict[str, object]:
    """Return an image's configuration as the OCI image specification has it."""
    start: dict[str, object] = {"Env": [SEARCH_PATH], "WorkingDir": "/"}
    if recipe.entrypoint:
        start["Entrypoint"] = list(recipe.entrypoint)
    if recipe.command:
        start["Cmd"] = list(recipe.command)
    if recipe.user:
        start["User"] = recipe.user
    return {
        "architecture": arch,
        "os": "linux",
        "created": "1970-01-01T00:00:00Z",
        "config": start,
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{hashlib.sha256(layer).hexdigest()}"]},
        "history": [{"created": "1970-01-01T00:00:00Z", "created_by": "hardway lab"}],
    }


def main(arguments: list[str]) -> int:
    """Make images by hand: `python3 -m lab.images [NAME ...]`."""
    parser = argparse.ArgumentParser(prog="python3 -m lab.images")
    parser.add_argument("name", nargs="*", default=None)
    chosen = parser.parse_args(arguments)
    try:
        entries = ensure(chosen.name or tuple(RECIPES))
    except LabError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    for key, entry in entries.items():
        print(f"{key:40} {entry.seconds:7.1f} s {entry.size / 1e6:7.1f} MB  {entry.sha256}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
