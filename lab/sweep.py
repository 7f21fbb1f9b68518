"""Everything on this computer that carries this lab's name, whether its state folder knows of it or not.

It lets `make down` leave nothing behind after a kill, and tests ask it whether anything was left.
"""

import contextlib
import os
import signal

from lab import cgroups, disks, kernel, machines, network, nspawn, paths
from lab.mounts import below, unmount_below


def leftovers() -> list[str]:
    """Return what this lab has on the computer now: a line for each process, mount, namespace, interface...

    Empty means that nothing is left. The state folder itself is not counted, machines' folders in it are.
    """
    found = [f"process {pid}" for pid in sorted(_processes())]
    found += [f"control group {folder}" for folder in cgroups.folders(_everything())]
    found += [f"mount {mount.folder}" for mount in below(disks.machines_folder())]
    found += network.leftovers()
    found += [f"folder of systemd-nspawn for machine {name}" for name in nspawn.leftovers()]
    found += [f"folder of machine {name}" for name in disks.names()]
    if paths.instance() in kernel.instances():
        found.append("kernel settings of the lab")
    return found


def sweep() -> list[str]:
    """Remove all of it, machines with their disks included, and return what was removed.

    Raises:
        LabError: if something can't be removed, saying what.
    """
    with contextlib.ExitStack() as stack:
        for name in disks.names():  # a command that is still making one must not go on afterwards
            stack.enter_context(machines.locked(name))
        removed = leftovers()
        _end_processes()
        cgroups.remove(_everything())
        removed += [entry for entry in network.delete() if entry not in removed]
        unmount_below(disks.machines_folder())
        for name in disks.names():
            disks.remove(disks.Disk(name))
        for name in nspawn.leftovers():
            nspawn.clean(name)
    return removed


def _end_processes() -> None:
    cgroups.kill(_everything())
    for pid in network.processes():  # what has left the machine's group, but not its network
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def _everything() -> str:
    """Return the pattern that the control groups of all machines of this lab match."""
    return f"{paths.instance()}-*"


def _processes() -> set[int]:
    return cgroups.processes(_everything()) | network.processes()
