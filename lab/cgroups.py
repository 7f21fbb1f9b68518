"""A control group of its own for every machine, so that machines neither see nor end each other's processes.

Without it all machines of a computer with cgroup v1 would share one tree, and each kubelet would take the
pods of the others for orphans and kill them. It also finds all processes of a machine, whoever started them.

cgroup v1 (tried): one folder per controller below the caller's own group, so that limits put on the caller
hold for its machines. cgroup v2 (written to its rules, not tried on a computer that has it): the tree belongs
to the computer's systemd, which lends a part of it as a delegated scope.
"""

import contextlib
import os
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from fnmatch import fnmatch
from pathlib import Path

from lab.commands import attempt
from lab.errors import LabError

ROOT = Path("/sys/fs/cgroup")
SYSTEMD = Path("/run/systemd/system")
PREFIX = "hardway-"
KILL_SECONDS = 10.0


def unified() -> bool:
    """Return whether this computer has cgroup v2 only."""
    return (ROOT / "cgroup.controllers").exists()


def usable() -> bool:
    """Return whether machines can have groups here: those of cgroup v2 only systemd can hand out."""
    return SYSTEMD.is_dir() if unified() else bool(_hierarchies())


def wrap(machine: str, command: Sequence[str]) -> list[str]:
    """Return the command that runs `command` inside the control group of a machine."""
    if unified():
        scope = ["systemd-run", "--scope", "--quiet", "--collect", f"--unit={PREFIX}{machine}"]
        return [*scope, "--property=Delegate=yes", "--property=KillMode=mixed", "--", *command]
    joined = [str(folder) for folder in _make(machine)]
    return [sys.executable, "-m", "lab.cgroups", *joined, "--", *command]


def _hierarchies() -> list[Path]:
    """Return the mount point of the one v2 tree, or of each v1 controller (cpu -> cpu,cpuacct once).

    With v1 goes an empty v2 tree beside it, where there is one: systemd-nspawn takes the path of its own group
    from there and repeats it in systemd's v1 tree. Left out, all machines would land in one `/payload`.
    """
    if unified():
        return [ROOT]
    folders = {folder.resolve() for folder in ROOT.iterdir() if folder.is_dir()} if ROOT.is_dir() else set()
    return sorted(folder for folder in folders if (folder / "cgroup.procs").exists())


def _own_group(hierarchy: Path) -> Path:
    """Return the folder of the group that this process is in, in one hierarchy beside others."""
    wanted = {""} if (hierarchy / "cgroup.controllers").exists() else set(hierarchy.name.split(","))
    for line in Path("/proc/self/cgroup").read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        if set(controllers.removeprefix("name=").split(",")) == wanted:
            own = hierarchy / path.lstrip("/")
            return own if own.is_dir() else hierarchy
    return hierarchy


def _make(machine: str) -> list[Path]:
    made = []
    for hierarchy in _hierarchies():
        folder = _own_group(hierarchy) / f"{PREFIX}{machine}"
        folder.mkdir(exist_ok=True)
        for inherited in ("cpuset.cpus", "cpuset.mems"):
            if (folder / inherited).exists() and not (folder / inherited).read_text().strip():
                (folder / inherited).write_text((folder.parent / inherited).read_text())
        made.append(folder)
    return made


def folders(machine: str) -> list[Path]:
    """Return the groups of a machine (or of several, by a pattern such as `3f9a01-*`), in all trees."""
    pattern = f"{PREFIX}{machine}"
    return [
        folder for hierarchy in _hierarchies() for folder in _search(hierarchy, (pattern, f"{pattern}.scope"))
    ]


def _search(hierarchy: Path, patterns: Sequence[str]) -> Iterator[Path]:
    """Give the groups of one tree whose names match. Groups come and go: os.walk passes over those gone."""
    for folder, inner, _ in os.walk(hierarchy):
        for name in inner:
            if any(fnmatch(name, pattern) for pattern in patterns):
                yield Path(folder, name)
        inner[:] = sorted(name for name in inner if not name.startswith(PREFIX))  # no machine is in a machine


def processes(machine: str) -> set[int]:
    """Return the process ids, as this computer numbers them, of everything in the groups of a machine."""
    found: set[int] = set()
    for group in folders(machine):
        for folder, _, _ in os.walk(group):
            with contextlib.suppress(OSError):
                found.update(int(pid) for pid in Path(folder, "cgroup.procs").read_text().split())
    return found - {0, os.getpid()}


def kill(machine: str) -> set[int]:
    """Kill every process of a machine at once, again until none is left, and return their ids.

    Raises:
        LabError: if processes survive ten seconds of it.
    """
    killed: set[int] = set()
    deadline = time.monotonic() + KILL_SECONDS
    while alive := processes(machine):
        if time.monotonic() > deadline:
            raise LabError(
                f"machine {machine}: processes {sorted(alive)[:10]} can't be killed; waiting for a disk? "
                "Look at `ps -o pid,stat,wchan,args`, or restart the computer"
            )
        for pid in alive:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        killed |= alive
        time.sleep(0.02)
    return killed


def remove(machine: str) -> list[Path]:
    """Remove the groups of a machine whose processes are gone, and return them."""
    if unified():
        attempt(["systemctl", "stop", f"{PREFIX}{machine}.scope"])
    removed = folders(machine)
    for folder in removed:
        for inner, _, _ in os.walk(folder, topdown=False):
            _remove(Path(inner))
    return removed


def _remove(folder: Path) -> None:
    """Remove one group; a process that was just killed may keep it busy for a moment."""
    for _ in range(100):
        try:
            folder.rmdir()
            return
        except FileNotFoundError:
            return
        except OSError:
            time.sleep(0.02)
    raise LabError(f"{folder}: the control group stays busy; see its cgroup.procs for the processes in it")


def main(arguments: Sequence[str]) -> None:
    """Join the groups given before `--`, then become the command after it."""
    divider = arguments.index("--")
    for folder in arguments[:divider]:
        (Path(folder) / "cgroup.procs").write_text("0")
    command = list(arguments[divider + 1 :])
    try:
        os.execvp(command[0], command)
    except FileNotFoundError:
        sys.exit(f"{command[0]}: not installed; run `make up`, which installs what the lab needs")


if __name__ == "__main__":
    main(sys.argv[1:])
