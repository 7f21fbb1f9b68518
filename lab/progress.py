"""Progress on the screen: what is being done, and for how long.

On a terminal all running steps share one line that is rewritten every second, and a finished step leaves a
line behind. Elsewhere (a log, CI) each step prints when it begins and ends, and every 30 seconds in
between, so that a long build never looks hung. Steps may run in several threads at once. Nothing here
decides what is done.
"""

import shutil
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

HEARTBEAT_SECONDS = 30.0


@dataclass
class Step:
    """One running piece of work; `detail` is shown beside it and may change, `outcome` is its last word."""

    label: str
    started: float = field(default_factory=time.monotonic)
    detail: str = ""
    outcome: str = "done"
    reported: float = field(default_factory=time.monotonic)

    def seconds(self) -> float:
        """Return how long this step has been running, in seconds."""
        return time.monotonic() - self.started


_lock = threading.RLock()
_running: list[Step] = []
_finished: list[tuple[str, float]] = []
_ticker: threading.Thread | None = None


def timings() -> list[tuple[str, float]]:
    """Return (label, seconds) of every step that ended well in this process, in the order of their ends."""
    with _lock:
        return list(_finished)


def note(text: str) -> None:
    """Print one line of its own without tearing the line that is being rewritten."""
    with _lock:
        _erase()
        print(text, file=sys.stderr, flush=True)


@contextmanager
def step(label: str) -> Iterator[Step]:
    """Show `label` as being worked on while the block runs, then how long it took.

    The yielded step's `detail` may be set by the block. An error inside is reported as failed and raised
    again.
    """
    current = Step(label)
    _begin(current)
    try:
        yield current
    except BaseException:
        _end(current, "failed after")
        raise
    _end(current, f"{current.outcome} in")
    with _lock:
        _finished.append((label, current.seconds()))


def _begin(current: Step) -> None:
    global _ticker
    with _lock:
        _running.append(current)
        if not _terminal():
            note(f"{current.label} ...")
        if _ticker is None:
            _ticker = threading.Thread(target=_tick, name="progress", daemon=True)
            _ticker.start()


def _end(current: Step, verdict: str) -> None:
    with _lock:
        _running.remove(current)
        note(f"{current.label}: {verdict} {current.seconds():.1f} s")


def _tick() -> None:
    global _ticker
    while True:
        time.sleep(1.0)
        with _lock:
            if not _running:
                _ticker = None
                return
            if _terminal():
                _rewrite()
            else:
                _heartbeat()


def _terminal() -> bool:
    return sys.stderr.isatty()


def _describe(current: Step) -> str:
    detail = f" ({current.detail})" if current.detail else ""
    return f"{current.label}{detail} {current.seconds():.0f} s"


def _rewrite() -> None:
    width = shutil.get_terminal_size().columns - 1
    line = " | ".join(_describe(current) for current in _running)
    sys.stderr.write("\r" + line[:width].ljust(width))
    sys.stderr.flush()


def _erase() -> None:
    if _terminal():
        sys.stderr.write("\r" + " " * (shutil.get_terminal_size().columns - 1) + "\r")


def _heartbeat() -> None:
    now = time.monotonic()
    for current in _running:
        if now - current.reported >= HEARTBEAT_SECONDS:
            current.reported = now
            note(f"{_describe(current)}, still working")
