"""What a killed engine leaves running: its language host looks for it only every few minutes."""

import contextlib
import os
import signal
from pathlib import Path

from lab import paths, progress


def end() -> list[int]:
    """End the engine's helpers of this clone whose engine is gone; return their process ids."""
    found = [pid for pid in _helpers() if not _has_engine(pid)]
    for pid in found:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGTERM)
    if found:
        progress.note(f"ended what a killed engine left: {', '.join(f'process {pid}' for pid in found)}")
    return found


def _helpers() -> list[int]:
    """Processes started from the lab's PULUMI_HOME in this clone's folder, but for engines themselves."""
    helpers = []
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            program = (folder / "exe").readlink()
            ours = program.is_relative_to(paths.PULUMI_HOME) and program.name != "pulumi"
            if ours and (folder / "cwd").readlink() == paths.PROJECT:
                helpers.append(int(folder.name))
    return sorted(helpers)


def _has_engine(pid: int) -> bool:
    """Whether an engine is among the process' parents."""
    while pid > 1:
        try:
            status = Path(f"/proc/{pid}/status").read_text()
            pid = int(next(line for line in status.splitlines() if line.startswith("PPid:")).split()[1])
            if b"pulumi" in Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")[0]:
                return True
        except OSError:
            return False
    return False
