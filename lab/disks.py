"""A machine's disk: an overlay over the base tree, and folders outside it for what containers write to.

A disk has an identity, made with it: it tells a replaced machine from the one that had its address before.
"""

import os
import shutil
import uuid
from dataclasses import dataclass
from pathlib import Path

from lab import base, paths
from lab.commands import run
from lab.mounts import mounts, unmount_below
from lab.specification import MachineSpec

ROOTFS = Path(__file__).resolve().parent / "rootfs"
"""Files that every machine gets; the path below this folder is the path on the machine."""

DATA = {
    "containerd": "/var/lib/containerd",
    "etcd": "/var/lib/etcd",
    "kubelet": "/var/lib/kubelet",
    "hardway": "/opt/hardway",
}
"""Folders of a machine kept outside its overlay: containerd, for one, can't put an overlay on an overlay."""


@dataclass(frozen=True)
class Disk:
    """One machine's folders. `folder` holds everything, on `root` its root file system is mounted."""

    machine: str

    @property
    def folder(self) -> Path:
        """All that the lab keeps of this machine."""
        return machines_folder() / self.machine

    @property
    def root(self) -> Path:
        """The mount point of the machine's root file system."""
        return self.folder / "root"

    @property
    def content(self) -> Path:
        """What is lost when the disk is wiped."""
        return self.folder / "disk"

    def data(self) -> dict[Path, str]:
        """Return the folders of this computer to bind, each with its path on the machine."""
        return {self.content / "data" / name: path for name, path in DATA.items()}


def machines_folder() -> Path:
    """Return the folder with one folder for every machine of this lab."""
    return paths.STATE / "lab" / "machines"


def names() -> list[str]:
    """Return the names of the machines that have a folder, finished or not."""
    folder = machines_folder()
    return sorted(path.name for path in folder.iterdir() if path.is_dir()) if folder.is_dir() else []


def identity(disk: Disk) -> str | None:
    """Return the identity of a disk, or None if there is none (yet)."""
    file = disk.content / "identity"
    return file.read_text().strip() if file.exists() else None


def make(disk: Disk) -> str:
    """Make the disk if there is none, and return its identity."""
    present = identity(disk)
    if present:
        return present
    tree = base.ensure()
    wipe(disk)  # of what an interrupted making left
    for folder in [disk.content / "upper", disk.content / "work", *disk.data()]:
        folder.mkdir(mode=0o755, parents=True)
    for private in (disk.folder, disk.content, disk.content / "data" / "etcd"):
        private.chmod(0o700)
    (disk.content / "base").write_text(f"{tree.name}\n")
    minted = str(uuid.uuid4())
    unfinished = disk.content / "identity.unfinished"
    unfinished.write_text(f"{minted}\n")
    unfinished.rename(disk.content / "identity")  # last: a disk with an identity is complete
    return minted


def mount(disk: Disk) -> None:
    """Mount the machine's root file system, if it is not mounted.

    Raises:
        LabError: if the kernel refuses.
    """
    if any(mount.folder == disk.root for mount in mounts()):
        return
    lower = base.existing((disk.content / "base").read_text().strip())
    disk.root.mkdir(mode=0o755, exist_ok=True)
    options = f"lowerdir={lower},upperdir={disk.content / 'upper'},workdir={disk.content / 'work'}"
    run(["mount", "-t", "overlay", "overlay", "-o", options, str(disk.root)])


def plant(disk: Disk, spec: MachineSpec) -> None:
    """Write the files of all machines, then what makes this one: name, keys, machine id. It may run."""
    for file in sorted(path for path in ROOTFS.rglob("*") if path.is_file()):
        _write(
            disk.root / file.relative_to(ROOTFS),
            file.read_text(),
            0o755 if os.access(file, os.X_OK) else 0o644,
        )
    minted = make(disk)
    _write(disk.root / "etc/hostname", f"{spec.name}\n")
    _write(disk.root / "etc/hosts", f"127.0.0.1 localhost\n{spec.address} {spec.name}\n")
    _write(disk.root / "etc/machine-id", f"{minted.replace('-', '')}\n")
    _write(disk.root / "etc/ssh/ssh_host_ed25519_key", f"{spec.host_key.strip()}\n", 0o600)
    (disk.root / "root/.ssh").mkdir(mode=0o700, exist_ok=True)
    _write(disk.root / "root/.ssh/authorized_keys", f"{spec.authorized_key.strip()}\n", 0o600)


def _write(file: Path, text: str, mode: int = 0o644) -> None:
    if file.is_file() and file.read_text() == text:
        return
    file.parent.mkdir(parents=True, exist_ok=True)
    unfinished = file.with_name(f".{file.name}.unfinished")
    unfinished.touch(mode=0o600)
    unfinished.write_text(text)
    unfinished.chmod(mode)
    unfinished.replace(file)


def wipe(disk: Disk) -> None:
    """Throw away all that the machine has written. The machine must be stopped."""
    unmount_below(disk.root)
    if disk.content.exists():
        # Renamed first: an interrupted removal must not look like a disk.
        discarded = disk.folder / f"discarded-{uuid.uuid4()}"
        disk.content.rename(discarded)
    for discarded in disk.folder.glob("discarded-*"):
        shutil.rmtree(discarded)


def remove(disk: Disk) -> None:
    """Remove all that the lab keeps of the machine. The machine must be stopped."""
    unmount_below(disk.folder)
    if disk.folder.exists():
        shutil.rmtree(disk.folder)
