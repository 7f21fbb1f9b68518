"""The images of examples/tooling, made without a registry or a Docker engine: the Dockerfiles' content and start.

`python3 -m lab.example_images` makes them; `import_into` gets them into the machines' containerd. Real clusters
outside the lab build from the Dockerfiles and pull from a registry.
"""

import argparse
import hashlib
import json
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from config.versions import Image
from lab import artifacts, debian_layers, dockerfile, image_import, layers, mirror, paths, scratch, stack
from lab.debian_layers import Packages
from lab.errors import LabError
from lab.example_trees import EXAMPLE, compile_library, fill_database, fill_web, renumber_mysql


@dataclass(frozen=True)
class Recipe:
    """An image: its folder with the Dockerfile, the Debian packages below, and what comes on top of them."""

    folder: str
    packages: Packages
    fill: Callable[[Path], None]


IMAGES = {
    image.name: image
    for image in (
        Image("tooling-web", "registry.example.com/tooling-web:1.0.0", "1.0.0"),
        Image("tooling-database", "registry.example.com/tooling-database:1.0.0", "1.0.0"),
    )
}
RECIPES = {
    "tooling-web": Recipe("web", Packages("debian-python", ("python3",), compile_library, 1), fill_web),
    "tooling-database": Recipe(
        "database", Packages("debian-mariadb", ("mariadb-server",), renumber_mysql, 1), fill_database
    ),
}


def ensure(wanted: Iterable[str] = tuple(RECIPES)) -> dict[str, mirror.LockEntry]:
    """Have the images in the mirror, built where sources or recipe changed; return their lock entries by key.

    Raises:
        LabError: when one can't be built.
    """
    return artifacts.fill([order(name) for name in wanted])


def order(name: str) -> artifacts.Order:
    """Return the order for an image of the example; its Debian layers are made first.

    Raises:
        LabError: when there is no such image, or its Debian packages can't be had.
    """
    if name not in RECIPES:
        raise LabError(f"image {name}: not one of the example's, which are {', '.join(RECIPES)}")
    image, recipe = IMAGES[name], RECIPES[name]
    below = debian_layers.ensure(recipe.packages)

    def build(target: Path) -> None:
        with scratch.folder(f"image-{name}") as folder:
            layers.unpack(below, folder / "tree")
            recipe.fill(folder / "tree")
            layers.pack(folder / "tree", folder / "layer.tar", below)
            whole = [*below, folder / "layer.tar"]
            layers.write_image(target, image.reference, _config(recipe, whole), whole)

    digests = [mirror.file_digest(layer) for layer in below] + [_sources(EXAMPLE / recipe.folder)]
    digest = hashlib.sha256("\n".join(digests).encode()).hexdigest()[:16]
    return artifacts.Order(image.key(paths.architecture()), image.file_name(), build, digest)


def _sources(folder: Path) -> str:
    """Digest what an image is made from: all files of its folder, and what fills the tree."""
    digest = hashlib.sha256(mirror.file_digest(Path(__file__).with_name("example_trees.py")).encode())
    for path in sorted(
        path for path in folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts
    ):
        digest.update(f"{path.relative_to(folder)} {mirror.file_digest(path)}\n".encode())
    return digest.hexdigest()


def _config(recipe: Recipe, whole: list[Path]) -> bytes:
    """Return an image's configuration as the OCI image specification has it."""
    config = {
        "architecture": paths.architecture(),
        "os": "linux",
        "created": "1970-01-01T00:00:00Z",
        "config": dockerfile.start(EXAMPLE / recipe.folder / "Dockerfile"),
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{mirror.file_digest(layer)}" for layer in whole]},
        "history": [{"created": "1970-01-01T00:00:00Z", "created_by": "hardway lab"} for _ in whole],
    }
    return json.dumps(config, sort_keys=True).encode()


def import_into(
    chosen: stack.Stack, machines: Iterable[str], wanted: Iterable[str] = tuple(RECIPES)
) -> list[str]:
    """Have the example's images in the containerd of the lab's machines; return a line for each that was imported.

    Raises:
        LabError: when an image can't be built or a machine can't take it.
    """
    archives = []
    for name in wanted:
        one = order(name)
        artifacts.fill([one])
        archives.append(image_import.Archive(IMAGES[name].reference, one.path()))
    return image_import.import_all(chosen, list(machines), archives)


def main(arguments: list[str]) -> int:
    """Make the images by hand: `python3 -m lab.example_images [NAME ...]`."""
    parser = argparse.ArgumentParser(prog="python3 -m lab.example_images")
    parser.add_argument("name", nargs="*", default=None)
    chosen = parser.parse_args(arguments)
    try:
        for key, entry in ensure(chosen.name or tuple(RECIPES)).items():
            print(f"{paths.MIRROR / key / entry.file}  {entry.size / 1e6:.1f} MB  {entry.seconds:.1f} s")
    except LabError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
