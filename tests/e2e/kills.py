"""Kills the engine at a random moment of a run, and has the next runs make good what was left.

The moments come from a seed, which is printed and which HARDWAY_SEED sets, so that a run can be repeated.
"""

from __future__ import annotations

import os
import random
import signal
import time
from dataclasses import dataclass, field
from typing import Any

from tests.e2e.cluster import Cluster
from tests.e2e.test_7_interrupts import _engine

TRIES = 2
"""Runs that may be needed after a kill."""
START_SECONDS = 60.0


@dataclass
class Killer:
    """Kills with moments from one seed.

    Attributes:
        cluster: whose runs are killed.
        seed: of the moments.
        kills: what was killed, and after how many seconds of the engine's life.
        runs: how many runs each of them took to be made good.
    """

    cluster: Cluster
    seed: int = field(default_factory=lambda: int(os.environ.get("HARDWAY_SEED") or time.time_ns() % 100_000))
    kills: list[tuple[str, float]] = field(default_factory=list)
    runs: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)
        print(f"HARDWAY_SEED={self.seed}")

    def kill(self, what: str, seconds: float, **settings: Any) -> bool:
        """Write settings, begin an `up`, and kill its engine within its first seconds.

        Gives whether it was killed: a run may have been quicker.
        """
        self.cluster.write_settings(**settings)
        process, log = self.cluster.begin("up")
        engine = _when_it_runs(process.pid, log.read_text)
        moment = self._random.uniform(0, seconds)
        time.sleep(moment)
        ended = process.poll() is not None
        if not ended:
            os.kill(engine, signal.SIGKILL)
        process.wait(60)
        if not ended:
            self.kills.append((what, moment))
        return not ended

    def made_good(self) -> None:
        """`up` again until it ends well; then the planned Nodes are there, and a further `up` has nothing to do."""
        cluster = self.cluster
        for run in range(1, TRIES + 1):
            done = cluster.lab("up")
            if done.status == 0:
                break
            assert run < TRIES, f"HARDWAY_SEED={self.seed}, {self.kills[-1:]}:\n{done.tail()}"
        self.runs.append(run)
        assert cluster.ready_nodes() == set(cluster.nodes)
        found = {one["metadata"]["name"] for one in cluster.get("nodes")["items"]}
        assert found == set(cluster.nodes), "and no other Node is left"
        again = cluster.up()
        assert set(cluster.changes()) == {"same"}, again.tail()


def _when_it_runs(parent: int, said: Any) -> int:
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            return _engine(parent)
        except AssertionError:
            # `pulumi` also answers questions before the run; the one that updates writes its heading.
            if time.monotonic() > deadline:
                raise AssertionError(f"no engine ran within {START_SECONDS:.0f} s:\n{said()}") from None
            time.sleep(0.1)
