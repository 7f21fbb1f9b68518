"""The base tree: the one read-only root file system that all machines of the lab share.

debootstrap makes it once per recipe, from the mirror that this computer's own apt uses, and it is cached.
Configuration, common or not, lies in the overlay of each machine (lab/disks.py), never here.
"""

import hashlib
import os
import shutil
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

from lab import paths, progress
from lab.apt_sources import Source, own_source
from lab.commands import run
from lab.errors import LabError
from lab.exclusive import exclusive
from lab.mounts import unmount_below

PACKAGES = (
    "ca-certificates",
    "conntrack",
    "curl",
    "dbus",
    "ethtool",
    "haproxy",
    "iproute2",
    "iptables",
    "iputils-ping",
    "kmod",
    "nftables",
    "openssh-server",
    "procps",
    "python3",
    "socat",
    "sudo",
    "systemd",
    "systemd-sysv",
)
"""What a machine has from the start: an init, SSH, and the Debian packages that the roles need."""

QUIET_UNITS = (
    "apt-daily.timer",
    "apt-daily-upgrade.timer",
    "dpkg-db-backup.timer",
    "e2scrub_all.timer",
    "fstrim.timer",
    "haproxy.service",
    "nftables.service",
    "systemd-networkd.service",
    "systemd-networkd.socket",
    "systemd-resolved.service",
    "systemd-pstore.service",
)
"""Disabled, not masked: a role may bring a unit of that name. Six machines' timers would run all at once."""

MASKED_UNITS = (
    "console-getty.service",
    "getty.target",
    "systemd-firstboot.service",
    "e2scrub_reap.service",
    "sys-kernel-debug.mount",
    "sys-kernel-tracing.mount",
)
"""Nobody sits at a machine's console; disks and the kernel's insides are the computer's affair."""

FREE_BYTES = 2 * 1024**3
SECONDS = 1800.0
REMOVALS = 10


def tree() -> Path:
    """Return the folder of the finished base tree for the present recipe, whether or not it was made yet.

    Raises:
        LabError: if this computer's apt names no mirror.
    """
    return paths.CACHE / "base" / _recipe(own_source())


def existing(name: str) -> Path:
    """Return the tree of an earlier recipe, by its name: a disk goes on with the tree that it was made on.

    Raises:
        LabError: if it is gone from the cache and can't be made again.
    """
    folder = paths.CACHE / "base" / name
    if not folder.is_dir() and folder != ensure():
        raise LabError(
            f"{folder}: the base tree of an existing machine is gone, and its recipe has changed since; "
            "the machine has to be made again: `make down`, then `make up`"
        )
    return folder


def ensure() -> Path:
    """Return the base tree, made first if it is not in the cache (about a minute).

    An interrupted making leaves nothing that is taken for a tree; a second maker waits for the first.

    Raises:
        LabError: if debootstrap fails, the disk is too full or apt names no mirror.
    """
    finished = tree()
    if finished.is_dir():
        return finished
    with exclusive(finished.parent / "lock", "the base tree"):
        if not finished.is_dir():
            with progress.step(f"base tree {finished.name}"):
                _make(finished)
    return finished


def _recipe(source: Source) -> str:
    recipe = (source.suite, paths.architecture(), PACKAGES, QUIET_UNITS, MASKED_UNITS)
    return f"{source.suite}-{hashlib.sha256(repr(recipe).encode()).hexdigest()[:12]}"


def _make(finished: Path) -> None:
    free = shutil.disk_usage(finished.parent).free
    if free < FREE_BYTES:
        raise LabError(
            f"{finished.parent}: {free // 1024**2} MiB free, the base tree needs {FREE_BYTES // 1024**2}; "
            "free some space, or set HARDWAY_CACHE to a folder on another disk"
        )
    for interrupted in finished.parent.glob("*.unfinished-*"):
        _remove(interrupted)
    temporary = finished.with_name(f"{finished.name}.unfinished-{os.getpid()}")
    try:
        _debootstrap(temporary, own_source())
        # It leaves its /proc mounted: whoever removed the cache would walk into the computer's own.
        unmount_below(temporary)
        _furnish(temporary)
        temporary.rename(finished)
    finally:
        _remove(temporary)


def _remove(folder: Path) -> None:
    """Remove a tree, unmounting first what debootstrap may have left: removal through /sys is fatal."""
    for attempt in range(REMOVALS):
        unmount_below(folder)
        # A package's script may still be writing for a moment after debootstrap was killed.
        shutil.rmtree(folder, ignore_errors=attempt < REMOVALS - 1)
        if not folder.exists():
            return
        time.sleep(0.5)


def _debootstrap(folder: Path, source: Source) -> None:
    if shutil.which("debootstrap") is None:
        raise LabError("debootstrap: not installed; run `make up`, which installs what the lab needs")
    log = folder.parent / f"{source.suite}.log"
    # debootstrap ends with us, even if we are killed: an orphan would go on filling the disk for nobody.
    arguments = [
        "setpriv",
        "--pdeathsig=KILL",
        "debootstrap",
        "--variant=minbase",
        f"--include={','.join(PACKAGES)}",
    ]
    arguments.append(f"--components={','.join(source.components)}")
    if source.keyring:
        arguments.append(f"--keyring={source.keyring}")
    _logged([*arguments, source.suite, str(folder), source.address], log)


def _logged(arguments: Sequence[str], log: Path) -> None:
    environment = {**os.environ, "LC_ALL": "C", "DEBIAN_FRONTEND": "noninteractive"}
    try:
        with log.open("wb") as file:
            done = subprocess.run(
                arguments,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                env=environment,
                timeout=SECONDS,
                check=False,
            )
    except subprocess.TimeoutExpired:
        raise LabError(
            f"debootstrap: not done after {SECONDS:.0f} s; look at {log}, then run it again"
        ) from None
    if done.returncode != 0:
        tail = "\n".join(log.read_text(errors="replace").splitlines()[-8:])
        raise LabError(
            "debootstrap: the base tree was not made; is the mirror of apt reachable? "
            f"Its log {log} ends:\n{tail}"
        )


def _furnish(folder: Path) -> None:
    """Turn what debootstrap left into the tree of a machine that is nobody yet."""
    run(["systemctl", f"--root={folder}", "--quiet", "disable", *_known(folder, QUIET_UNITS)])
    run(["systemctl", f"--root={folder}", "--quiet", "mask", *MASKED_UNITS])
    run(["systemctl", f"--root={folder}", "--quiet", "enable", "ssh.service"])
    _forget_identity(folder)
    for cached in (
        "var/cache/apt",
        "var/lib/apt/lists",
        "usr/share/doc",
        "usr/share/man",
        "usr/share/locale",
    ):
        shutil.rmtree(folder / cached, ignore_errors=True)
    (folder / "var/cache/apt/archives/partial").mkdir(parents=True)
    (folder / "var/lib/apt/lists/partial").mkdir(parents=True)


def _known(folder: Path, units: Sequence[str]) -> list[str]:
    places = [folder / "lib/systemd/system", folder / "usr/lib/systemd/system", folder / "etc/systemd/system"]
    return [unit for unit in units if any((place / unit).exists() for place in places)]


def _forget_identity(folder: Path) -> None:
    """Take out what two machines must never share, and what the installer copied from this computer."""
    for key in (folder / "etc/ssh").glob("ssh_host_*"):
        key.unlink()
    (folder / "etc/machine-id").write_text("")
    (folder / "var/lib/dbus/machine-id").unlink(missing_ok=True)
    (folder / "etc/hostname").unlink(missing_ok=True)
    (folder / "etc/resolv.conf").unlink(missing_ok=True)
    (folder / "etc/resolv.conf").write_text(
        "# The machines of the lab have no name server outside the cluster.\n"
    )
