"""Debian packages: those that are missing are installed, and a service that comes with one stays off.

Another run of the package manager is waited for. Nothing is upgraded or removed.
"""

import subprocess
import time

from components.agent import proxy
from components.agent.evidence import Failure, say, succeeds
from components.agent.evidence import run as command

LOCK_SECONDS = 300.0
"""How long another run of the package manager is waited for; machines in a cloud update themselves at first boot."""
_LOCKED = "Could not get lock"
_APT = (
    "env",
    "LC_ALL=C",
    "DEBIAN_FRONTEND=noninteractive",
    "apt-get",
    "--quiet",
    "--yes",
    "-o",
    f"DPkg::Lock::Timeout={LOCK_SECONDS:.0f}",
)


def install(wanted: list[str], way_out: proxy.Proxy | None = None) -> None:
    """Install the packages that are missing.

    Args:
        wanted: names of packages.
        way_out: the proxy, or None.

    Raises:
        Failure: the package manager fails, or somebody else holds its locks for longer than `LOCK_SECONDS`.
    """
    lacking = missing(wanted)
    if not lacking:
        return
    say(f"installing packages: {' '.join(lacking)}")
    by = proxy.for_apt(way_out)
    _apt(*by, "update", seconds=300)
    _apt(*by, "install", "--no-install-recommends", *lacking, seconds=600)


def missing(wanted: list[str]) -> list[str]:
    """The packages among these that are not installed."""
    listed = subprocess.run(
        ["dpkg-query", "--show", "--showformat=${Package} ${db:Status-Status}\n", *wanted],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    ).stdout
    return [package for package in wanted if f"{package} installed\n" not in listed]


def _apt(*words: str, seconds: float) -> None:
    """Run apt-get, again while another run holds a lock.

    DPkg::Lock::Timeout covers dpkg's own locks only: those of the lists and of the archive cache fail at once
    (seen with apt 2.6.1).
    """
    begin = time.monotonic()
    while True:
        try:
            command(*_APT, *words, timeout=seconds)
            return
        except Failure as failure:
            if _LOCKED not in str(failure):
                raise
            if time.monotonic() - begin > LOCK_SECONDS:
                raise Failure(
                    f"another run of the package manager has held its lock for {LOCK_SECONDS:.0f} s; end it or "
                    f"let it end on this machine, then run again: {failure}"
                ) from None
        say("another run of the package manager holds its lock; waiting for it")
        time.sleep(5)


def silence_haproxy() -> None:
    """The package starts a service of its own, whoever installed it; ours has another name and configuration."""
    if succeeds("systemctl", "is-enabled", "--quiet", "haproxy.service"):
        command("systemctl", "disable", "--now", "haproxy.service")
