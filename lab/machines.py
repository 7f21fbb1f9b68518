"""The machines of the lab: systemd-nspawn containers with an init, an address and a disk of their own.

A machine outlives the command that made it and the engine that ran the command. What is known of it lies in
its folder; whether it runs is asked of the kernel each time. What runs in it beyond SSH is not decided here.
"""

import contextlib
import json
import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from lab import cgroups, computer, disks, network, nspawn, paths, specification
from lab.commands import attempt
from lab.disks import Disk
from lab.errors import LabError
from lab.exclusive import exclusive
from lab.specification import MachineSpec, checked_name

START_SECONDS = 60.0
BOOT_SECONDS = 2.0  # after which a machine without processes has failed, not just not begun
STOP_SECONDS = 30.0
DELETE_SECONDS = 3.0
SUPERVISOR_SECONDS = 1.0
POWER_OFF = signal.SIGRTMIN + 4  # systemd(1): starts poweroff.target
CONSOLE_LINES = 15
SSH_PORT = 22


@dataclass(frozen=True)
class Machine:
    """One machine as it is now.

    `leader` is its init's process id on this computer, None if it is stopped; `identity` that of its disk,
    None if that was wiped and the machine not started since.
    """

    name: str
    address: str
    leader: int | None
    identity: str | None

    @property
    def state(self) -> str:
        """`running` or `stopped`."""
        return "running" if self.leader else "stopped"


def create(spec: MachineSpec) -> str:
    """Make a machine, or bring it to its specification, and return its identity once SSH answers.

    The disk, and with it the identity, stays whatever else changes. Changed keys are planted while it runs;
    a changed address restarts it.

    Raises:
        LabError: if it can't be made or its SSH does not answer in time.
    """
    computer.check()
    with locked(spec.name) as disk:
        before = specification.load(_spec_file(disk))
        if before and before.interface != spec.interface:
            _power_off(spec.name, STOP_SECONDS)
        specification.save(spec, _spec_file(disk))
        _start(spec)
        if before and before.host_key != spec.host_key:
            _inside(spec.name, ["systemctl", "try-restart", "ssh.service"])
        return disks.make(disk)


def start(name: str) -> None:
    """Start a stopped machine with its disk and wait for its SSH.

    Raises:
        LabError: if there is no such machine, or it does not come up.
    """
    with locked(name) as disk:
        _start(_known(disk))


def stop(name: str) -> None:
    """Shut a machine down as an operator would; if it does not obey in half a minute, its power is cut."""
    with locked(name) as disk:
        _known(disk)
        _power_off(name, STOP_SECONDS)


def kill(name: str) -> None:
    """Cut a machine's power: everything in it dies at once, the disk stays."""
    with locked(name) as disk:
        _known(disk)
        _power_off(name, 0)


def wipe(name: str) -> None:
    """Cut a machine's power and throw its disk away; the next start brings an empty one, a new identity."""
    with locked(name) as disk:
        _known(disk)
        _power_off(name, 0)
        disks.wipe(disk)


def delete(name: str) -> None:
    """Remove a machine and everything of it, also a half-made one; one that is gone already is fine."""
    with locked(name) as disk:
        _power_off(name, DELETE_SECONDS)
        network.disconnect(name)
        disks.remove(disk)


def start_all() -> list[str]:
    """Bring the whole lab back, as after a reboot of the computer: the network, then all machines at once.

    Returns the names of the machines that had to be started.

    Raises:
        LabError: naming every machine that did not come up.
    """
    stopped = [machine.name for machine in list_machines() if machine.leader is None]
    saved = network.saved_spec()
    if saved:
        network.create(saved)
    _all_at_once(stopped, start)
    return stopped


def stop_all() -> None:
    """Shut all machines down at once."""
    _all_at_once([machine.name for machine in list_machines() if machine.leader], stop)


def list_machines() -> list[Machine]:
    """Return this lab's machines, by name."""
    folder = disks.machines_folder()
    names = sorted(file.parent.name for file in folder.glob("*/spec.json"))
    specs = [spec for name in names if (spec := specification.load(folder / name / "spec.json"))]
    return [
        Machine(spec.name, str(spec.address), leader(spec.name), disks.identity(Disk(spec.name)))
        for spec in specs
    ]


def leader(name: str) -> int | None:
    """Return the process id, on this computer, of a machine's init, or None if the machine is stopped."""
    for pid in sorted(cgroups.processes(_group(name))):
        with contextlib.suppress(OSError):
            # The innermost number is the one in the machine's own namespace of process ids. Containers of the
            # machine have an init too, but a level deeper.
            status = Path(f"/proc/{pid}/status").read_text()
            numbers = next(line for line in status.splitlines() if line.startswith("NSpid:")).split()[1:]
            if len(numbers) == 2 and numbers[1] == "1":
                return pid
    return None


def _group(name: str) -> str:
    return f"{paths.instance()}-{name}"


def _spec_file(disk: Disk) -> Path:
    return disk.folder / "spec.json"


def _known(disk: Disk) -> MachineSpec:
    spec = specification.load(_spec_file(disk))
    if spec is None:
        names = ", ".join(machine.name for machine in list_machines()) or "none"
        raise LabError(f"machine {disk.machine}: there is no such machine in this lab; there are: {names}")
    return spec


def _start(spec: MachineSpec) -> None:
    """Start the machine unless it runs, with its keys planted either way, and wait for its SSH."""
    disk = Disk(spec.name)
    running = leader(spec.name) is not None and network.connected(spec.name)
    if not running:
        _power_off(spec.name, 0)  # what is left where the init died alone, or where its cable was cut
    disks.make(disk)
    disks.mount(disk)
    disks.plant(disk, spec)
    if not running:
        network.connect(spec.name, spec.interface, spec.gateway)
        nspawn.boot(spec, disk, _group(spec.name))
    _wait_for_ssh(spec, disk)


def _wait_for_ssh(spec: MachineSpec, disk: Disk) -> None:
    started = time.monotonic()
    reason = f"SSH on {spec.address} did not answer within {START_SECONDS:.0f} s"
    while time.monotonic() < started + START_SECONDS:
        if _answers(str(spec.address)):
            return
        if time.monotonic() > started + BOOT_SECONDS and not cgroups.processes(_group(spec.name)):
            reason = "it ended while it booted"
            break
        time.sleep(0.05)
    lines = (
        nspawn.console(disk).read_text(errors="replace").splitlines() if nspawn.console(disk).exists() else []
    )
    tail = "\n".join(lines[-CONSOLE_LINES:]) or "(nothing)"
    raise LabError(f"machine {spec.name}: {reason}; its console {nspawn.console(disk)} ends:\n{tail}")


def _answers(address: str) -> bool:
    try:
        with socket.create_connection((address, SSH_PORT), timeout=1.0) as connection:
            return connection.recv(4) == b"SSH-"
    except OSError:
        return False


def _power_off(name: str, seconds: float) -> None:
    """End a machine: ask its init, wait so many seconds, then kill. Nothing of it runs afterwards."""
    init = leader(name)
    if init and seconds > 0:
        with contextlib.suppress(ProcessLookupError):
            os.kill(init, POWER_OFF)
        _wait_until(lambda: not cgroups.processes(_group(name)), seconds)
    _cut_power(name)
    cgroups.remove(_group(name))


def _cut_power(name: str) -> None:
    """Kill a machine's init, and with it all its processes, then whatever is left in its control group."""
    init = leader(name)
    if init:
        with contextlib.suppress(ProcessLookupError):
            os.kill(init, signal.SIGKILL)
        # systemd-nspawn itself outlives the init for a moment, to take back what it put under /run.
        _wait_until(lambda: not cgroups.processes(_group(name)), SUPERVISOR_SECONDS)
    cgroups.kill(_group(name))
    nspawn.clean(name)


def _wait_until(done: Callable[[], bool], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not done() and time.monotonic() < deadline:
        time.sleep(0.05)


def _inside(name: str, command: list[str]) -> None:
    """Run a command in a running machine, past its SSH."""
    inner = leader(name)
    if inner:
        attempt(["nsenter", f"--target={inner}", "--all", "--root", "--wd", "--", *command])


def _all_at_once(names: list[str], action: Callable[[str], None]) -> None:
    """Do something to several machines at the same time, and report what went wrong with all of them."""
    errors = []
    with ThreadPoolExecutor(max_workers=max(1, len(names))) as pool:
        for running in [pool.submit(action, name) for name in names]:
            try:
                running.result()
            except LabError as error:
                errors.append(str(error))
    if errors:
        raise LabError("\n".join(errors))


@contextmanager
def locked(name: str) -> Iterator[Disk]:
    """Give a machine's disk to one command at a time."""
    with exclusive(paths.STATE / "lab" / "locks" / checked_name(name), f"machine {name}"):
        yield Disk(name)


def create_from_stdin() -> None:
    """Make the machine described on standard input; print its identity as one line of JSON."""
    print(json.dumps({"identity": create(specification.parse(sys.stdin.read()))}))
