"""One phase at a time on a machine."""

import fcntl
import time
from collections.abc import Iterator
from contextlib import contextmanager

from components.agent.evidence import Failure, say

LOCK = "/run/hardway.lock"


@contextmanager
def machine_lock(seconds: float = 600) -> Iterator[None]:
    """Hold the machine's lock; a run that was killed on the operator's side may still be working here.

    Args:
        seconds: how long to wait for it; Failure after that.
    """
    with open(LOCK, "a+") as file:
        _acquire(file.fileno(), time.monotonic() + seconds)
        yield


def _acquire(descriptor: int, deadline: float) -> None:
    told = False
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if time.monotonic() > deadline:
                raise Failure(
                    f"an earlier run still works here; 'fuser -v {LOCK}' on the machine names it"
                ) from None
            if not told:
                say("an earlier run still works on this machine; waiting for it")
                told = True
            time.sleep(0.5)
