"""One run at a time: a phase on a machine, or a drain on the operations machine."""

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
    with hold(LOCK, "an earlier run", seconds):
        yield


@contextmanager
def hold(path: str, holder: str, seconds: float) -> Iterator[None]:
    """Hold a lock of its own for one kind of work.

    Args:
        path: the lock's file.
        holder: who may have it, in the messages.
        seconds: how long to wait for it; Failure after that.
    """
    with open(path, "a+") as file:
        _acquire(file.fileno(), path, holder, time.monotonic() + seconds)
        yield


def _acquire(descriptor: int, path: str, holder: str, deadline: float) -> None:
    told = False
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if time.monotonic() > deadline:
                raise Failure(
                    f"{holder} still works here; 'fuser -v {path}' on the machine names it"
                ) from None
            if not told:
                say(f"{holder} still works on this machine; waiting for it")
                told = True
            time.sleep(0.5)
