"""The command that runs a machine: systemd-nspawn with the rights and mounts that a Kubernetes node needs."""

import os
import shutil
import subprocess
from pathlib import Path

from lab import cgroups, network, paths
from lab.disks import Disk
from lab.mounts import unmount_below
from lab.specification import MachineSpec

PROPAGATE = Path("/run/systemd/nspawn/propagate")
REBOOTED = 133
"""Status with which systemd-nspawn ends under --keep-unit when its machine has asked for a reboot: it leaves starting
it again to who started it (systemd's nspawn.c, EXIT_FORCE_RESTART)."""
_AGAIN = f'while "$@"; status=$?; [ "$status" -eq {REBOOTED} ]; do :; done; exit "$status"'


def boot(spec: MachineSpec, disk: Disk, group: str) -> None:
    """Start a machine, whose disk is mounted and whose network exists, in a control group."""
    environment = {
        # Nothing else of the caller's: the engine's holds its passphrase, and this process stays.
        "PATH": os.environ.get("PATH", os.defpath),
        "SYSTEMD_NSPAWN_UNIFIED_HIERARCHY": "1" if cgroups.unified() else "0",
        # Its own network's settings are the machine's to write, all others are the computer's.
        "SYSTEMD_NSPAWN_API_VFS_WRITABLE": "network",
    }
    log_file = console(disk)
    if log_file.exists():
        log_file.replace(disk.folder / "console.previous.log")
    with log_file.open("wb") as log:
        subprocess.run(
            ["setsid", "--fork", *cgroups.wrap(group, _supervised(_nspawn(spec, disk)))],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            env=environment,
            cwd=paths.PROJECT,
            check=True,
        )


def _supervised(command: list[str]) -> list[str]:
    """The command, run again whenever the machine reboots itself: as hardware would, and with the same cable."""
    return ["/bin/sh", "-c", _AGAIN, "machine", *command]


def _nspawn(spec: MachineSpec, disk: Disk) -> list[str]:
    binds = [f"--bind={_escaped(outside)}:{inside}" for outside, inside in disk.data().items()]
    return [
        "systemd-nspawn",
        "--quiet",
        "--register=no",
        "--keep-unit",
        f"--directory={disk.root}",
        f"--machine={network.namespace(spec.name)}",
        f"--hostname={spec.name}",
        f"--network-namespace-path={network.NAMESPACES / network.namespace(spec.name)}",
        "--capability=all",
        # runc and the kubelet need these, and systemd-nspawn's own list leaves them out.
        "--system-call-filter=bpf keyctl add_key perf_event_open",
        "--resolv-conf=off",
        "--timezone=off",
        "--link-journal=no",
        # The kubelet reads the kernel's messages for processes killed for want of memory.
        "--bind-ro=/dev/kmsg",
        "--console=pipe",
        *binds,
        "/usr/local/sbin/lab-init",
    ]


def _escaped(path: Path) -> str:
    return str(path).replace("\\", "\\\\").replace(":", "\\:")


def clean(name: str) -> None:
    """Remove what a killed systemd-nspawn left of a machine under /run: a folder for mounts from outside."""
    folder = PROPAGATE / network.namespace(name)
    if folder.is_dir():
        unmount_below(folder)
        shutil.rmtree(folder)


def leftovers() -> list[str]:
    """Return the names of this lab's machines of which systemd-nspawn left something under /run."""
    prefix = network.namespace("")
    return sorted(folder.name.removeprefix(prefix) for folder in PROPAGATE.glob(f"{prefix}*"))


def console(disk: Disk) -> Path:
    """Return the file that a machine's console is written to; the one of its last run lies beside it."""
    return disk.folder / "console.log"
