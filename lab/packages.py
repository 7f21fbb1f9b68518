"""Debian packages that the lab needs on the computer: the missing ones are installed, none is removed."""

import os
import shutil
import subprocess
from collections.abc import Sequence

from lab import go, progress
from lab.errors import LabError

NEEDED = (
    "busybox-static", "ca-certificates", "curl", "debootstrap", "gcc", "git", "iproute2", "iptables",
    "libc6-dev", "libseccomp-dev", "make", "nftables", "openssh-client", "pkg-config", "shellcheck",
    "systemd-container",
)  # fmt: skip
BROWSER = ("chromium",)
"""What tests of pages in a real browser need besides; no `make up` does."""
LOCK_SECONDS = 300
"""How long apt waits for another apt, such as the computer's own unattended upgrades."""


def ensure(*, browser: bool = False) -> list[str]:
    """Install the Debian packages that are missing; return their names.

    Args:
        browser: whether a browser for tests is needed too.

    Raises:
        LabError: when this is no Debian-like system, we are not root, or apt fails.
    """
    return have((*needed(), *(BROWSER if browser else ())))


def have(names: Sequence[str]) -> list[str]:
    """Install those of the named packages that are missing; return their names.

    Raises:
        LabError: when this is no Debian-like system, we are not root, or apt fails.
    """
    absent = missing(names)
    if absent:
        _require_apt(absent)
        with progress.step(f"Debian packages: {' '.join(absent)}"):
            _install(absent)
    return absent


def needed() -> tuple[str, ...]:
    """Return the packages; the one with Python's ensurepip only where this Python comes without."""
    try:
        import ensurepip  # noqa: F401 - whether it can be imported is the question
    except ImportError:
        return (*NEEDED, "python3-venv")
    return NEEDED


def missing(names: Sequence[str]) -> list[str]:
    """Return those of the named packages that are not installed."""
    if shutil.which("dpkg-query") is None:
        return list(names)
    command = ["dpkg-query", "-W", "-f=${Package} ${db:Status-Status}\n", *names]
    listed = subprocess.run(command, capture_output=True, text=True, check=False).stdout.splitlines()
    return sorted(set(names) - {line.split()[0] for line in listed if line.endswith(" installed")})


def _require_apt(absent: Sequence[str]) -> None:
    if shutil.which("apt-get") is None:
        raise LabError(
            f"this computer: no apt-get; the lab needs Debian 12 or newer, or Ubuntu 24.04 or newer "
            f"(missing: {' '.join(absent)})"
        )
    if os.geteuid() != 0:
        raise LabError(
            f"this computer: {' '.join(absent)} missing and only root may install them; run as root"
        )


def _install(absent: Sequence[str]) -> None:
    try:
        _apt("install", *absent)
    except LabError:
        # Absent or old package lists are the common reason; fetching them at every run would cost seconds.
        _apt("update")
        _apt("install", *absent)


def _apt(verb: str, *names: str) -> None:
    options = ["-y", "-q", "-o", f"DPkg::Lock::Timeout={LOCK_SECONDS}", "--no-install-recommends"]
    environ = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    go.run(["apt-get", *options, verb, *names], purpose=f"apt-get {verb}", environ=environ)
