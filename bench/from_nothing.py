"""Install and build everything from nothing, into a cache of its own, and print the time of each part.

`make soak`. It takes half an hour to an hour on two processors and 20 GB of disk, which it gives back. What a new
computer needs more than this is the package manager's part, which does not repeat.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from lab import paths
from lab.mounts import unmount_below

STEPS = {
    "Python packages, engine and plugins": ["-m", "lab", "tools"],
    "binaries": ["-m", "lab.artifacts"],
    "images": ["-m", "lab.images"],
    "base tree of the machines": ["-c", "from lab import base; base.ensure()"],
}


def main() -> None:
    """Measure and print; the cache goes whatever happens."""
    cache = Path(tempfile.mkdtemp(prefix="hardway-from-nothing-", dir=paths.CACHE.parent))
    link = paths.VENV.readlink()
    try:
        seconds = {name: timed(arguments, cache) for name, arguments in STEPS.items()}
        for name, value in seconds.items():
            print(f"{name:44}{value:8.0f} s")
        print(f"{'together':44}{sum(seconds.values()):8.0f} s")
        lock = json.loads((cache / "mirror" / "lock.json").read_text())
        for key, entry in sorted(lock.items(), key=lambda item: -item[1]["seconds"]):
            print(f"  {key:42}{entry['seconds']:8.1f} s   {entry['source']}")
    finally:
        paths.VENV.unlink(missing_ok=True)
        paths.VENV.symlink_to(link)
        unmount_below(cache)
        shutil.rmtree(cache)


def timed(arguments: list[str], cache: Path) -> float:
    """Run one part with its cache there; gives its seconds, or ends the program with its last words."""
    begin = time.monotonic()
    environment = {**os.environ, "HARDWAY_CACHE": str(cache)}
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=paths.PROJECT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        sys.exit(f"{' '.join(arguments)} failed:\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}")
    return time.monotonic() - begin


if __name__ == "__main__":
    main()
