"""Bring the lab up from nothing, then with nothing to do, and take it down; print every phase.

`make bench`. The clock is wall time of whole commands; phases go by the arrival of the engine's events.
Machines differ and are shared: compare the ratios of one run, not seconds of two.
"""

from __future__ import annotations

import subprocess
import sys
import time

from lab import paths, stack, timeline


def timed(*arguments: str) -> float:
    """Run a command of the lab and give its seconds; ends the program when it fails."""
    begin = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-m", "lab", *arguments],
        cwd=paths.PROJECT,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        sys.exit(f"lab {' '.join(arguments)} failed:\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}")
    return time.monotonic() - begin


def main() -> None:
    """Measure and print."""
    lab = stack.Stack("lab")
    timed("down")
    up = timed("up")
    phases = {phase.name: phase for phase in timeline.phases(timeline.read(lab.events))}
    nothing = timed("up")
    down = timed("down")
    staged, ready = phases["artifacts staged"].end, phases["Nodes and DNS ready"].end
    rows = [
        ("make up, artifacts cached", up),
        *(
            (f"  {phase.name}, {phase.begin:.0f} to {phase.end:.0f} s", phase.end - phase.begin)
            for phase in phases.values()
        ),
        ("artifacts staged to all Ready", ready - staged),
        ("make up with nothing to do", nothing),
        ("make down", down),
    ]
    for name, seconds in rows:
        print(f"{name:52}{seconds:7.1f} s   {seconds / up:5.2f} of up")


if __name__ == "__main__":
    main()
