"""What the file backend costs: seconds of `pulumi up` and `pulumi preview` and the checkpoint's size, by workers.

`python -m bench.backend`, with `--workers 10 100` for other sizes and `--minutes 10` for more patience. A real engine
runs the program for AWS with fake providers that answer at once, so what is left is the engine, the program and the
backend, which writes its whole checkpoint at each step. No machine is made; seconds differ from computer to computer.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from lab import engine
from tests.engine.cluster import Cluster, Run, settings
from tests.engine.fakes import all_fakes
from tests.engine.journal import Journal
from tests.engine.provider import serving

SIZES = (10, 100, 300, 1000)
MINUTES = 6.0
LANES = 32
"""Workers that are activated at once, as many as the engine's parallel steps: a pool's chain is not the question."""
HEAD = f"{'workers':>8}{'resources':>11}{'up':>10}{'preview':>10}{'up, +1':>10}{'checkpoint':>13}"


def main() -> None:
    """Measure each size in turn, and stop where one takes too long."""
    parser = argparse.ArgumentParser(description="seconds and bytes of the file backend, by workers")
    parser.add_argument("--workers", type=int, nargs="+", default=list(SIZES))
    parser.add_argument("--minutes", type=float, default=MINUTES, help="patience with one command")
    chosen = parser.parse_args()
    engine.ensure()
    journal = Journal()
    print(HEAD)
    with serving(all_fakes(journal)) as attached:
        for workers in chosen.workers:
            with tempfile.TemporaryDirectory() as folder:
                cluster = Cluster.new(Path(folder), journal, attached, seconds=chosen.minutes * 60)
                try:
                    print(_measured(cluster, workers), flush=True)
                except subprocess.TimeoutExpired:
                    sys.exit(f"{workers:8}  a command took more than {chosen.minutes:g} minutes")


def _measured(cluster: Cluster, workers: int) -> str:
    up, made = _timed(lambda: cluster.up(_cluster_of(workers)))
    size = len(cluster.checkpoint())
    preview, _ = _timed(lambda: cluster.preview(_cluster_of(workers), "--expect-no-changes"))
    more, _ = _timed(lambda: cluster.up(_cluster_of(workers + 1)))
    return (
        f"{workers:8}{made.changes['create']:11}{up:8.1f} s{preview:8.1f} s{more:8.1f} s{size / 1e6:10.1f} MB"
    )


def _timed(run: Callable[[], Run]) -> tuple[float, Run]:
    begin = time.monotonic()
    done = run()
    if not done.ok:
        sys.exit(f"the run failed:\n{done.text[-3000:]}")
    return time.monotonic() - begin, done


def _cluster_of(workers: int) -> dict[str, Any]:
    """The tests' cluster with so many workers, and pod addresses for all of them."""
    pool = {"name": "general", "count": workers, "maxUnavailable": min(workers, LANES)}
    return settings(workerPools=[pool], network={"pods": "10.64.0.0/12"})


if __name__ == "__main__":
    main()
