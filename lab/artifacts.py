"""Artifacts: fetched from their publisher or built, kept in the mirror by version, locked by digest.

A publisher's file is taken only when its digest is known and fits. Where the publisher can't be reached,
the same version is compiled from its Go modules and packed under the publisher's own file name, so that
machines can't tell. Nothing half-made is ever visible: files are moved into the mirror when whole, the lock
is written after each one.
"""

import argparse
import shutil
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from config import versions
from lab import archives, builds, mirror, paths, progress, publishers, scratch
from lab.errors import LabError
from lab.exclusive import exclusive

GIBIBYTE = 1 << 30
MANY = 8
"""From so many missing files on, a run is told to be the long first one."""


@dataclass(frozen=True)
class Order:
    """One file that is wanted in the mirror, and the two ways to get it.

    `sources` is the version of the modules when it differs from the version that the programs report.
    """

    key: str
    file: str
    build: Callable[[Path], None]
    recipe: str
    url: str = ""
    sha256: str = ""

    def path(self) -> Path:
        """Return where the file lies in the mirror."""
        return paths.MIRROR / self.key / self.file

    def label(self) -> str:
        """Return the name for people: `kubelet 1.37.2`."""
        name, version, _ = self.key.split("/")
        return f"{name} {version}"


def order(
    name: str,
    *,
    kubernetes: str = versions.KUBERNETES_DEFAULT,
    pins: Mapping[str, str] | None = None,
    sources: str | None = None,
) -> Order:
    """Return the order for an artifact of the catalogue, for this computer's architecture.

    Args:
        name: its name in config/versions.py.
        kubernetes: the Kubernetes version, for those artifacts that follow it.
        pins: versions in place of the catalogue's, by name.
        sources: version of the modules to build from, when it is to differ from the version that is reported.

    Raises:
        LabError: when the catalogue has no such artifact.
    """
    artifact = _catalogued(name, kubernetes, pins or {})
    arch = paths.architecture()
    recipe = builds.RECIPES[name]
    file = artifact.file_name(arch)

    def build(target: Path) -> None:
        with scratch.folder(name) as folder:
            made = builds.compile_programs(name, sources or artifact.version, folder, stamp=artifact.version)
            inside = recipe.folder.format(version=artifact.version, arch=arch)
            archives.pack(made, recipe.pack, inside, target)

    return Order(
        artifact.key(arch),
        file,
        build,
        recipe.digest(),
        artifact.address(arch),
        artifact.digest(arch) or "",
    )


def _catalogued(name: str, kubernetes: str, pins: Mapping[str, str]) -> versions.Artifact:
    if name in versions.KUBERNETES_BINARIES:
        return versions.kubernetes_artifact(name, kubernetes)
    if name not in versions.ARTIFACTS:
        known = ", ".join([*versions.KUBERNETES_BINARIES, *versions.ARTIFACTS])
        raise LabError(f"artifact {name}: config/versions.py has none of that name; it has {known}")
    return versions.pinned(name, pins)


def names() -> tuple[str, ...]:
    """Return every artifact of a cluster, in build order: the slow API server pays for the other programs."""
    return (*versions.KUBERNETES_BINARIES, *versions.ARTIFACTS)


def ensure(
    wanted: Iterable[str],
    *,
    kubernetes: str = versions.KUBERNETES_DEFAULT,
    pins: Mapping[str, str] | None = None,
    verify: bool = False,
) -> dict[str, mirror.LockEntry]:
    """Have the named artifacts in the mirror; return their lock entries by `<name>/<version>/<arch>`.

    With `verify` every file is hashed again; else its size and time must be those of when it was hashed.

    Raises:
        LabError: when one can be neither fetched nor built, or a digest is wrong.
    """
    return fill([order(name, kubernetes=kubernetes, pins=pins) for name in wanted], verify=verify)


def fill(orders: Iterable[Order], *, verify: bool = False) -> dict[str, mirror.LockEntry]:
    """Have all ordered files in the mirror, one after another; see `ensure`."""
    listed = list(orders)
    if any(not _present(one, verify=verify) for one in listed):
        with exclusive(paths.MIRROR / ".building", "artifacts"):
            absent = [one for one in listed if not _present(one, verify=verify)]
            if len(absent) >= MANY:
                progress.note(f"{len(absent)} files to fetch or build; half an hour, once, if all are built")
            for position, one in enumerate(absent, 1):
                _obtain(one, f"{one.label()} ({position} of {len(absent)})")
    lock = mirror.read_lock()
    return {one.key: lock[one.key] for one in listed}


def _present(one: Order, *, verify: bool) -> bool:
    """Tell whether the mirror has the file, whole, and made by today's recipe."""
    entry = mirror.read_lock().get(one.key)
    path = one.path()
    if entry is None or entry.file != one.file or not path.is_file():
        return False
    if entry.source == "built" and entry.recipe != one.recipe:
        return False
    facts = path.stat()
    if (facts.st_size, facts.st_mtime_ns) != (entry.size, entry.modified):
        return False
    return not verify or mirror.file_digest(path) == entry.sha256


def _obtain(one: Order, label: str) -> None:
    """Get one file by the publisher or by building, move it into the mirror, and record it."""
    _require_space()
    one.path().parent.mkdir(parents=True, exist_ok=True)
    partial = one.path().with_name(f".{one.file}.partial")
    started = time.monotonic()
    with progress.step(label) as step:
        source = "publisher" if publishers.fetch(one.url, one.sha256, partial, step) else "built"
        if source == "built":
            step.detail = "compiling"
            one.build(partial)
        entry = _entry(one, partial, source, time.monotonic() - started)
        partial.replace(one.path())
        mirror.record(one.key, entry)


def _entry(one: Order, partial: Path, source: str, seconds: float) -> mirror.LockEntry:
    facts = partial.stat()
    recipe = one.recipe if source == "built" else ""
    digest = mirror.file_digest(partial)
    return mirror.LockEntry(
        digest, one.file, source, round(seconds, 1), facts.st_size, facts.st_mtime_ns, recipe
    )


def _require_space() -> None:
    paths.CACHE.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(paths.CACHE).free
    needed = 4 * GIBIBYTE if (paths.CACHE / "go" / "build").exists() else 12 * GIBIBYTE
    if free < needed:
        raise LabError(
            f"{paths.CACHE}: {free / GIBIBYTE:.1f} GiB free, builds need {needed / GIBIBYTE:.0f} GiB; "
            "free some, or set HARDWAY_CACHE to a folder on a larger disk"
        )


def timings(entries: Mapping[str, mirror.LockEntry] | None = None) -> dict[str, float]:
    """Return how many seconds each file of the mirror took to fetch or build, slowest first."""
    listed = mirror.read_lock() if entries is None else entries
    return {key: entry.seconds for key, entry in sorted(listed.items(), key=lambda item: -item[1].seconds)}


def main(arguments: list[str]) -> int:
    """Make artifacts by hand: `python3 -m lab.artifacts [NAME ...] [--verify] [--kubernetes VERSION]`."""
    parser = argparse.ArgumentParser(prog="python3 -m lab.artifacts")
    parser.add_argument("name", nargs="*", default=None)
    parser.add_argument("--verify", action="store_true", help="hash every file again")
    parser.add_argument("--kubernetes", default=versions.KUBERNETES_DEFAULT, metavar="VERSION")
    chosen = parser.parse_args(arguments)
    try:
        entries = ensure(chosen.name or names(), kubernetes=chosen.kubernetes, verify=chosen.verify)
    except LabError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    for key, seconds in timings(entries).items():
        entry = entries[key]
        print(f"{key:44} {entry.source:9} {seconds:7.1f} s {entry.size / 1e6:7.1f} MB  {entry.sha256}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
