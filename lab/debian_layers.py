"""Layers of Debian packages: a minimal system that images share, and what packages add to it.

debootstrap makes each tree from the mirror that this computer's own apt uses, and runs the packages' scripts without
starting a service. What comes out is a tar in the mirror, made once for each recipe. It has no apt source: who needs
later security fixes builds from the Dockerfile.
"""

import os
import platform
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path

from lab import artifacts, go, layers, mirror, paths, scratch
from lab.apt_sources import own_source
from lab.mounts import unmount_below

LEFT_OUT = (
    "etc/apt/sources.list",
    "etc/group-",
    "etc/gshadow-",
    "etc/hostname",
    "etc/passwd-",
    "etc/resolv.conf",
    "etc/shadow-",
    # Conversions between old character sets: 8 MB, and everything here speaks UTF-8.
    f"usr/lib/{platform.machine()}-linux-gnu/gconv",
    "usr/share/doc",
    "usr/share/info",
    "usr/share/lintian",
    "usr/share/locale",
    "usr/share/man",
    "var/cache/debconf/config.dat-old",
    "var/cache/debconf/templates.dat-old",
    "var/lib/dpkg/diversions-old",
    "var/lib/dpkg/status-old",
)
"""What no container reads, and what the installer copied from this computer."""
EMPTIED = ("run", "tmp", "var/cache/apt", "var/cache/ldconfig", "var/lib/apt/lists", "var/log")


@dataclass(frozen=True)
class Packages:
    """One layer.

    Attributes:
        name: of the layer, in the mirror and on the screen.
        packages: Debian packages on top of the minimal system; none for that system itself.
        finish: what is done to the tree afterwards; it counts by `finish_version`.
        finish_version: to be raised when `finish` changes.
    """

    name: str
    packages: tuple[str, ...] = ()
    finish: Callable[[Path], None] = field(default=lambda tree: None, compare=False)
    finish_version: int = 0


MINIMAL = Packages("debian")


def ensure(wanted: Packages) -> tuple[Path, ...]:
    """Return the layers, lowest first, that together are a system with these packages; made first where missing.

    Raises:
        LabError: when debootstrap fails or the computer's apt names no mirror.
    """
    base = _order(MINIMAL, ())
    artifacts.fill([base])
    if wanted == MINIMAL:
        return (base.path(),)
    more = _order(wanted, (base.path(),))
    artifacts.fill([more])
    return base.path(), more.path()


def _order(wanted: Packages, below: tuple[Path, ...]) -> artifacts.Order:
    suite = own_source().suite
    parts = [wanted.packages, wanted.finish_version, LEFT_OUT, EMPTIED, *map(mirror.file_digest, below)]

    def build(target: Path) -> None:
        with scratch.folder(f"layer-{wanted.name}") as folder:
            tree = folder / "tree"
            try:
                _debootstrap(tree, wanted.packages)
            finally:
                # It leaves its /proc mounted, and whoever removes the folder would walk into it.
                unmount_below(folder)
            clean(tree)
            wanted.finish(tree)
            layers.pack(tree, target, below)

    recipe = sha256(repr(parts).encode()).hexdigest()[:16]
    return artifacts.Order(f"layer-{wanted.name}/{suite}/{paths.architecture()}", "layer.tar", build, recipe)


def _debootstrap(tree: Path, packages: tuple[str, ...]) -> None:
    source = own_source()
    # It ends with us, even if we are killed: an orphan would go on filling the disk for nobody.
    command = ["setpriv", "--pdeathsig=KILL", "debootstrap", "--variant=minbase"]
    command.append(f"--components={','.join(source.components)}")
    command += [f"--include={','.join(packages)}"] if packages else []
    command += [f"--keyring={source.keyring}"] if source.keyring else []
    environ = {**os.environ, "LC_ALL": "C", "DEBIAN_FRONTEND": "noninteractive"}
    # A strict mask of root's shell would hide the system from the container's user.
    mask = os.umask(0o022)
    try:
        go.run([*command, source.suite, str(tree), source.address], purpose="debootstrap", environ=environ)
    finally:
        os.umask(mask)


def clean(tree: Path) -> None:
    """Take out what only costs space or tells of this computer."""
    for name in LEFT_OUT:
        path = tree / name
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
    for name in EMPTIED:
        for path in (tree / name).iterdir() if (tree / name).is_dir() else ():
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink()
