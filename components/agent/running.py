"""What a unit's process was started from, when files have changed behind the agent's back.

The record of `units` tells what the agent last started a unit with. Somebody who replaces a binary, or changes a file
and restarts the unit by hand, leaves that record as it was: only the process itself tells.
"""

import glob
import os
import time
from fnmatch import fnmatch

from components.agent.evidence import run
from components.agent.units import Unit

BINARIES = "/opt/hardway/"


def runs_another_file(unit: Unit, process: int | None = None) -> bool:
    """Whether the unit's process runs a file of ours that is not the one its link leads to now.

    Asked only where the link still leads to the path that the process was started from: a link that was switched is
    the unit's changed input, which `units` knows.

    Args:
        unit: the unit.
        process: its main process; asked of systemd when left out.
    """
    number = _main_process(unit.name) if process is None else process
    if not number:
        return False
    try:
        started_from = os.readlink(f"/proc/{number}/exe").removesuffix(" (deleted)")
        for link in _links(unit):
            if os.path.realpath(link) == started_from:
                return not os.path.samestat(os.stat(link), os.stat(f"/proc/{number}/exe"))
    except OSError:
        return False  # It has just ended; whether it should run is another question.
    return False


def _main_process(name: str) -> int:
    return int(run("systemctl", "show", "--property=MainPID", "--value", name).strip() or 0)


def _links(unit: Unit) -> list[str]:
    """Links among the unit's inputs that lead to binaries of ours."""
    found = [path for pattern in unit.restart_on for path in glob.glob(pattern)]
    return [path for path in found if os.path.realpath(path).startswith(BINARIES)]


def changed_at(paths: list[str]) -> dict[str, float]:
    """When each path last changed, in seconds since 1970; of one that is gone, when its folder did."""
    times = {}
    for path in paths:
        try:
            times[path] = os.lstat(path).st_ctime
        except OSError:
            folder = os.path.dirname(path)
            times[path] = os.stat(folder).st_mtime if os.path.isdir(folder) else 0.0
    return times


def read_what_changed(unit: Unit, changes: dict[str, float]) -> bool:
    """Whether the unit was started after one of its inputs had changed.

    Args:
        unit: the unit.
        changes: path to the time of its change, as `changed_at` gave it before the files were put right.
    """
    own = [when for path, when in changes.items() if any(fnmatch(path, one) for one in unit.restart_on)]
    return bool(own) and _started_at(unit.name) > min(own)


def _started_at(name: str) -> float:
    """When the unit's process was started, in seconds since 1970; 0 when it never was."""
    text = run("systemctl", "show", "--property=ExecMainStartTimestampMonotonic", "--value", name).strip()
    since_boot = int(text or 0) / 1e6
    return time.time() - time.clock_gettime(time.CLOCK_MONOTONIC) + since_boot if since_boot else 0.0
